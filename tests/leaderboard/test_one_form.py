"""An archive has one spelling: tables by content, JSON by its bytes, every value of its type."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submission_support import contents, found, made, packed, with_json, with_submission

from simclick.leaderboard import checks, replay
from simclick.leaderboard.archive import zip_bytes
from simclick.leaderboard.canonical import check_numbers, check_order
from simclick.leaderboard.limits import MAX_RUN_JSON, RefusedError
from simclick.leaderboard.manifest import check_run_json
from simclick.leaderboard.opening import open_submission
from simclick.leaderboard.parquet import ORDER, Bounds, read_masks
from simclick.leaderboard.verify import Check, _merged, _verdict

NOC = "noc-v1"
RUN = f"runs/{NOC}/run.json"


def table(name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(contents(made().data)[f"runs/{NOC}/{name}.parquet"]))


def written(rows: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(rows, stream, **{"compression": "zstd", "store_schema": False, **options})
    return stream.getvalue()


def with_table(name: str, data: bytes) -> bytes:
    return packed({**contents(made().data), f"runs/{NOC}/{name}.parquet": data})


def refused(data: bytes, tmp_path: Path) -> str:
    it = made()
    with pytest.raises(RefusedError) as error:
        open_submission(it.write(tmp_path, data), it.suite_file)
    return str(error.value)


def replaced(rows: pa.Table, name: str, values: Any) -> pa.Table:
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))


def test_a_table_in_another_order_is_refused(tmp_path: Path) -> None:
    for name in ("episodes", "steps", "prompts", "masks"):
        rows = table(name)
        turned = rows.take(pa.array(range(rows.num_rows)[::-1]))
        assert "out of order" in refused(with_table(name, written(turned)), tmp_path), name
        twice = rows.take(pa.array([0, *range(rows.num_rows - 1)]))
        assert "key of the row before" in refused(with_table(name, written(twice)), tmp_path), name


def test_a_zero_with_a_sign_and_a_nan_are_refused(tmp_path: Path) -> None:
    steps, episodes = table("steps"), table("episodes")
    zeros = replaced(episodes, "level", [-0.0] * episodes.num_rows)
    assert "level holds -0.0" in refused(with_table("episodes", written(zeros)), tmp_path)
    distances = steps["hd95"].to_pylist()
    nan = replaced(steps, "hd95", [float("nan") if v is None else v for v in distances])
    assert "hd95 holds NaN" in refused(with_table("steps", written(nan)), tmp_path)
    check_numbers(
        pa.table({"score": [-0.0, 1.0], "hd95": [float("inf"), None]}), "scores are the method's own"
    )


CODECS = ("snappy", "gzip", "none", "lz4", "brotli")


@pytest.mark.parametrize("codec", CODECS)
def test_another_codec_is_refused_by_the_footer(codec: str, tmp_path: Path) -> None:
    assert "packed with" in refused(with_table("steps", written(table("steps"), compression=codec)), tmp_path)


def test_other_encodings_and_metadata_are_refused(tmp_path: Path) -> None:
    steps = table("steps")
    delta = written(steps, use_dictionary=False, column_encoding={"step": "DELTA_BINARY_PACKED"})
    assert "encoding DELTA_BINARY_PACKED" in refused(with_table("steps", delta), tmp_path)
    for more in (None, {"a": "b"}):
        odd = written(steps.replace_schema_metadata(more), store_schema=True)
        assert "metadata" in refused(with_table("steps", odd), tmp_path)
    must = pa.schema([pa.field(f.name, f.type, nullable=False) for f in table("cases").schema])
    required = pa.Table.from_arrays(table("cases").columns, schema=must)
    assert "columns" in refused(with_table("cases", written(required)), tmp_path)


def test_what_the_writers_version_decides_is_not_held_against_it(tmp_path: Path) -> None:
    """Pages and row groups are no content: the rows are the same, and so is what is found."""
    it = made()
    for options in ({"row_group_size": 7}, {"data_page_size": 64}, {"use_dictionary": False}):
        data = with_table("steps", written(table("steps"), **options))
        assert data != it.data
        assert found(it.write(tmp_path, data), it.suite_file)["findings"] == {}, options


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b", "é", "z"]), st.sampled_from([0.0, 1.5, 2.0]), st.integers(-1, 1)
        )
    )
)
def test_order_is_what_python_calls_sorted_without_doubles(rows: list[tuple[str, float, int]]) -> None:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    kinds = (pa.string(), pa.float64(), pa.int32())
    made_of = pa.table({n: pa.array(c, k) for n, c, k in zip("abc", columns, kinds, strict=True)})
    keyed = [(a.encode(), b, c) for a, b, c in rows]
    if keyed == sorted(set(keyed)):
        check_order(made_of, "abc", "rows")
    else:
        with pytest.raises(RefusedError):
            check_order(made_of, "abc", "rows")


def test_the_keys_of_every_table_are_columns_of_it() -> None:
    for name, keys in ORDER.items():
        assert set(keys) <= set(table(name).column_names)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from([0, 1, 5, 2**32 - 1]), max_size=5), min_size=1, max_size=6))
def test_sums_of_run_lengths_are_those_of_a_plain_loop(lists: list[list[int]]) -> None:
    rows = table("masks").slice(0, 1)
    many = pa.concat_tables([rows] * len(lists))
    many = replaced(replaced(many, "candidate", range(len(lists))), "counts", lists)
    masks = read_masks(written(many), "masks", Bounds(3, 3, 20))
    assert masks.totals.tolist() == [sum(runs) for runs in lists]
    assert masks.plain.tolist() == [bool(runs) and 0 not in runs[1:] for runs in lists]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    else:
        yield path, value


def other_spellings(value: Any) -> list[Any]:
    """Return values that Python calls equal to a number or flag and JSON does not."""
    if isinstance(value, bool):
        return [int(value), float(value)]
    if isinstance(value, int):
        return [float(value)] + ([bool(value)] if value in (0, 1) else [])
    if isinstance(value, float):
        return [int(value)] * value.is_integer() + [-0.0] * (value == 0)
    return []


def put(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


DECLARED = ("engine", "agent_spec")
"""What of run.json is the submitter's own account, of any plain values."""


def test_numbers_spelled_otherwise_are_refused(tmp_path: Path) -> None:
    """1, 1.0 and true are three things, in every place that is not the submitter's own account."""
    it = made()
    accepted, tried = [], 0
    for name, change in (("submission.json", with_submission), (RUN, None)):
        seen = set()
        for path, value in leaves(json.loads(contents(it.data)[name])):
            kind = tuple(key for key in path[-3:] if isinstance(key, str) and not key.startswith("runs/"))
            if (name == RUN and path[0] in DECLARED) or (kind, type(value)) in seen:
                continue
            for other in other_spellings(value):
                seen.add((kind, type(value)))
                tried += 1
                edit = put(path, other)
                data = change(it.data, edit) if change else with_json(it.data, RUN, edit)
                if not found(it.write(tmp_path, data), it.suite_file, replay=False)["findings"]:
                    accepted.append((name, path, other))
    assert accepted == []
    assert tried > 40


def untidy(change: Callable[[dict[str, Any]], None]) -> bytes:
    return with_json(made().data, RUN, change)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("created",), "yesterday"),
        (("created",), "2026-01-02T03:04:05+00:00\n"),
        (("engine",), "fast"),
        (("versions", "numpy"), 2),
        (("git",), {"commit": "x", "dirty": False}),
        (("git",), {"commit": None, "dirty": None}),
        (("git",), {"commit": "0" * 40, "dirty": False, "remote": "here"}),
        (("hardware", "cores"), "two"),
        (("hardware", "owner"), "me"),
        (("dataset", "path"), "here"),
        (("marks",), ["the best"]),
        (("agent", "parameters"), -1),
        (("agent", "parameters"), "many"),
        (("agent", "uses_previous"), "x"),
        (("agent", "accepts"), ["click", "box"]),
        (("agent", "accepts"), ["box", "box", "click"]),
        (("agent", "accepts"), ["box", "click", "thought"]),
        (("agent", "weights_sha256"), "x"),
        (("agent", "overlap"), ["none"]),
        (("agent", "more"), 1),
        (("agent_spec", "name"), "grabcut"),
        (("agent_spec", "name"), "custom"),
        (("agent_spec", "options"), None),
        (("agent_spec", "more"), 1),
        (("protocol", "more"), 1),
        (("protocol", "summary"), 7),
        (("protocol", "budget"), 20.0),
    ],
    ids=str,
)
def test_every_key_of_a_run_has_its_type(path: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    assert RUN in refused(untidy(put(path, value)), tmp_path)


def test_no_stranger_takes_the_name_of_one_of_ours(tmp_path: Path) -> None:
    said = refused(untidy(put(("agent_spec",), {"name": "process", "options": {}})), tmp_path)
    assert "agent 'disc' was run as 'process'" in said


def test_a_run_json_is_canonical_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents(made().data)
    blank = json.dumps(json.loads(files[RUN]), indent=1).encode()
    assert "canonical" in refused(packed({**files, RUN: blank}), tmp_path)
    large = files[RUN] + b" " * MAX_RUN_JSON
    assert f"at most {MAX_RUN_JSON}" in refused(packed({**files, RUN: large}), tmp_path)
    monkeypatch.setattr(json, "loads", None)  # nothing is parsed
    with pytest.raises(RefusedError, match=f"at most {MAX_RUN_JSON}"):
        check_run_json(large, "run.json")


def test_half_a_character_is_a_refusal(tmp_path: Path) -> None:
    files = contents(made().data)
    for name in ("submission.json", RUN):
        text = files[name].replace(b'"disc"', b'"\\ud800"', 1)
        assert text != files[name]
        data = zip_bytes({**files, name: text}) if name != RUN else packed({**files, name: text})
        assert "canonical" in refused(data, tmp_path), name


def test_much_that_is_wrong_is_told_in_few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = made()
    steps = table("steps")
    dice = np.nextafter(steps["dice"].to_numpy(), 2)
    data = with_table("steps", written(replaced(steps, "dice", dice)))
    path = it.write(tmp_path, data)
    whole = found(path, it.suite_file)
    assert whole["stopped"] == ""
    assert whole["counts"]["overlap"] == steps.num_rows
    monkeypatch.setattr(replay, "MAX_MISMATCHES", 5)
    monkeypatch.setattr(checks, "_TOGETHER", 1)
    early = found(path, it.suite_file)
    assert early["stopped"] == "stopped after 1 of 3 cases"
    assert early["counts"]["overlap"] == steps.num_rows / 3
    verdict = _verdict(_merged([early]), Check("reproduced", "skipped", ""), True)
    lines = {check.name: check for check in verdict.checks}
    assert lines["overlap"].detail.endswith("(and at least 19 more; stopped after 1 of 3 cases)")
    assert lines["prompts"].verdict == "skipped"
    assert (verdict.tier, verdict.passed) == (None, False)
    assert max(len(check.detail) for check in verdict.checks) < 800


def test_an_episode_list_that_is_all_wrong_is_not_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = made()
    monkeypatch.setattr(replay, "MAX_MISMATCHES", 2)
    rows = table("episodes")
    data = with_table("episodes", written(replaced(rows, "case_id", ["a", "b", "c"])))
    result = found(it.write(tmp_path, data), it.suite_file)
    assert "episodes" in result["findings"]
    assert "prompts" not in result["done"]
