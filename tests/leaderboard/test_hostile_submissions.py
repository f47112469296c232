"""Hostile archives and cards: refused, quickly, in little memory, with nothing written or executed."""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from submission_support import (
    contents,
    found,
    made,
    packed,
    with_json,
    with_rows,
    with_submission,
)

from simclick import cli
from simclick.errors import SimclickError
from simclick.leaderboard.archive import read_archive, zip_bytes
from simclick.leaderboard.limits import (
    MAX_JSON,
    RefusedError,
    canonical_json,
    read_json,
    read_yaml,
)
from simclick.leaderboard.method import TEMPLATE, read_card
from simclick.leaderboard.opening import open_submission
from simclick.leaderboard.parquet import Bounds, read_masks, read_table
from simclick.leaderboard.verify import Check, _verdict, verify
from simclick.leaderboard.worker import Walls

NOC = "noc-v1"
Change = Callable[[dict[str, Any]], None]


def refused(data: bytes, tmp_path: Path) -> str:
    it = made()
    path = it.write(tmp_path, data)
    with pytest.raises(RefusedError) as error:
        open_submission(path, it.suite_file)
    assert "\n" not in str(error.value)
    return str(error.value)


def zipped(entries: list[tuple[zipfile.ZipInfo, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for info, data in entries:
            archive.writestr(info, data, how)
    return stream.getvalue()


def info(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/passwd", "runs/../../x.json", "runs\\x\\run.json", "runs/noc-v1/", "C:/x", "con"],
)
def test_a_name_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    data = zipped([(info(n), d) for n, d in contents(made().data).items()] + [(info(name), b"x")])
    assert "no name of a submission" in refused(data, tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]


def test_links_devices_doubles_and_compressed_entries_are_refused(tmp_path: Path) -> None:
    files = contents(made().data)
    run = f"runs/{NOC}/run.json"
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, 0):
        entries = [(info(n, mode | 0o644 if n == run else stat.S_IFREG | 0o644), d) for n, d in files.items()]
        assert "plain file" in refused(zipped(entries), tmp_path)
    plain = [(info(n), d) for n, d in files.items()]
    assert "compressed" in refused(zipped(plain, zipfile.ZIP_DEFLATED), tmp_path)
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped([*plain, (info(run), b"{}")])
    assert "there twice" in refused(twice, tmp_path)


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    bomb = zipped([(info("submission.json"), b"{}"), (info(f"runs/{NOC}/masks.parquet"), bytes(64 << 20))], 8)
    assert len(bomb) < 1 << 20
    assert "compressed" in refused(bomb, tmp_path)


def test_an_odd_frame_is_refused(tmp_path: Path) -> None:
    data = made().data
    many = zipped([(info(f"runs/r{i}/run.json"), b"{}") for i in range(70)])
    for odd in (b"", b"PK", data[:-1], data + b"x", b"x" + data, data[:-2] + b"\x01\x00", b"not a zip" * 99):
        assert "the archive" in refused(odd, tmp_path)
    assert "70 files" in refused(many, tmp_path)
    end = bytearray(data)
    struct.pack_into("<I", end, len(data) - 10, 2**31)
    assert "directory" in refused(bytes(end), tmp_path)


def test_sizes_that_lie_are_refused(tmp_path: Path) -> None:
    data = bytearray(made().data)
    at = data.index(b"PK\x01\x02")
    for offset in (20, 24):  # packed and unpacked size of the first entry
        lie = bytearray(data)
        struct.pack_into("<I", lie, at + offset, 2**31 - 1)
        refused(bytes(lie), tmp_path)


def test_a_link_or_a_folder_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="plain file"):
        read_archive(tmp_path)
    with pytest.raises(RefusedError):
        read_archive(tmp_path / "missing.zip")


JSON = {
    "double keys": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "overflow": b'{"a": 1e999}',
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "depth": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "shallow depth": b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "mark": b'\xef\xbb\xbf{"a": 1}',
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "list": b"[1]",
    "nothing": b"",
    "huge": b" " * (MAX_JSON + 1),
}


@pytest.mark.parametrize("name", JSON)
def test_odd_json_is_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        read_json(JSON[name], "x.json")


YAML = {
    "object": b"name: !!python/object/apply:os.system ['touch canary']",
    "tag": b"name: !!str x",
    "own tag": b"name: !x y",
    "alias": b"a: &a [1]\nb: *a",
    "laughs": b"a: &a [x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]",
    "merge": b"a: &a {x: 1}\nb: {<<: *a}",
    "double": b"name: a\nname: b",
    "documents": b"a: 1\n---\nb: 2",
    "utf-16": "name: a".encode("utf-16"),
    "latin-1": "name: é".encode("latin-1"),
    "list": b"- a",
    "nothing": b"",
    "deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "huge": b"a: " + b"x" * (64 << 10),
    "number key": b"1: a",
}


@pytest.mark.parametrize("name", YAML)
def test_odd_yaml_is_refused_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError):
        read_yaml(YAML[name], "method.yaml")
    assert list(tmp_path.iterdir()) == []


def test_the_template_is_a_card() -> None:
    card = read_card(TEMPLATE.encode())
    assert (card.name, card.date, card.overlap) == ("My method", "2026-01-31", {"phantoms-v1": "none"})


ODD_CARD: list[tuple[str, Any]] = [
    ("name", "x" * 1_000_000),
    ("name", ""),
    ("name", "***"),
    ("name", "two\nlines"),
    ("name", "\u202egnp.exe"),
    ("name", "nul\x00"),
    ("name", 7),
    ("name", None),
    ("authors", "A. Author"),
    ("authors", ["x"] * 1000),
    ("paper", "javascript:alert(1)"),
    ("paper", 'https://x.org/" onmouseover="alert(1)'),
    ("code", "file:///etc/passwd"),
    ("parameters", -1),
    ("parameters", 1.5),
    ("parameters", True),
    ("overlap", {"phantoms-v1": "a bit"}),
    ("prompts", []),
    ("prompts", ["click", "click"]),
    ("prompts", ["telepathy"]),
    ("family", "best"),
    ("date", "yesterday"),
    ("date", "2026-02-30"),
    ("oracle", "no"),
    *[
        (key, markup)
        for key in ("name", "version", "licence", "training_data", "hardware", "description", "paper")
        for markup in ("<script>alert(1)</script>", "a<img src=x onerror=alert(1)>", "<!--", "</title>")
    ],
    ("authors", ["<b>A</b>"]),
    ("overlap", {"<i>": "none"}),
]


@pytest.mark.parametrize(("key", "value"), ODD_CARD, ids=lambda v: str(v)[:30])
def test_an_odd_card_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    def change(s: dict[str, Any]) -> None:
        s["method"][key] = value

    refused(with_submission(made().data, change), tmp_path)


def test_missing_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    data = made().data
    for change in (
        lambda s: s["method"].pop("licence"),
        lambda s: s["method"].update(extra=1),
        lambda s: s.pop("runs"),
        lambda s: s.update(extra={}),
        lambda s: s.update(format=2),
        lambda s: s.update(format=True),
        lambda s: s["runs"].clear(),
        lambda s: s["runs"].append(s["runs"][0]),
        lambda s: s["runs"][0].update(folder="runs/other"),
        lambda s: s["files"].pop(f"runs/{NOC}/run.json"),
        lambda s: s["files"].update({"runs/x/run.json": {"sha256": "0" * 64, "bytes": 1}}),
        lambda s: s["files"][f"runs/{NOC}/run.json"].update(sha256="0" * 64),
        lambda s: s["suite"].update(name="../../etc/passwd.yaml"),
        lambda s: s["suite"].update(version=99),
    ):
        refused(with_submission(data, change), tmp_path)
    run = f"runs/{NOC}/run.json"
    refused(with_json(data, run, lambda r: r.pop("seed")), tmp_path)
    refused(with_json(data, run, lambda r: r["agent"].update(source="<script>x</script>")), tmp_path)
    refused(with_json(data, run, lambda r: r["versions"].update(numpy="x" * 10_000)), tmp_path)
    refused(with_json(data, run, lambda r: r["agent"].update(accepts="click")), tmp_path)


def test_json_that_is_not_canonical_is_refused(tmp_path: Path) -> None:
    files = contents(made().data)
    files["submission.json"] = json.dumps(json.loads(files["submission.json"]), indent=1).encode()
    assert "canonical" in refused(zip_bytes(files), tmp_path)


def parquet(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **{"compression": "zstd", "store_schema": False, **options})
    return stream.getvalue()


def original(table: str) -> pa.Table:
    return pq.read_table(io.BytesIO(contents(made().data)[f"runs/{NOC}/{table}.parquet"]))


def with_table(table: str, data: bytes) -> bytes:
    files = contents(made().data)
    return packed({**files, f"runs/{NOC}/{table}.parquet": data})


def test_a_table_with_too_many_rows_is_refused_by_its_footer(tmp_path: Path) -> None:
    steps = original("steps")
    many = pa.concat_tables([steps] * 4000)
    data = with_table("steps", parquet(many))
    assert "rows in" in refused(data, tmp_path)


def test_a_small_file_that_holds_much_is_refused_before_it_is_read() -> None:
    one = original("masks").slice(0, 1)
    runs = pa.ListArray.from_arrays([0, 8_000_000], pa.array(np.zeros(8_000_000, np.uint32)))
    bomb = parquet(one.set_column(one.schema.get_field_index("counts"), "counts", runs))
    assert len(bomb) < 200_000
    with pytest.raises(RefusedError, match="8000000 values"):
        read_masks(bomb, "masks", Bounds(3, 3, 20))


def test_a_long_text_behind_a_small_dictionary_is_refused() -> None:
    steps = original("steps")
    names = pa.array(["x" * 1_000_000] * steps.num_rows)
    bomb = parquet(steps.set_column(steps.schema.get_field_index("target"), "target", names))
    assert len(bomb) < 100_000
    with pytest.raises(RefusedError, match="a text of 1000000"):
        read_table(bomb, "steps", "steps", Bounds(3, 3, 20))


def test_other_columns_types_and_numbers_are_refused(tmp_path: Path) -> None:
    steps, masks = original("steps"), original("masks")
    nan = pa.array([float("nan")] * steps.num_rows)
    at = steps.schema.get_field_index
    odd = [
        ("steps", steps.drop_columns(["dice"])),
        ("steps", steps.append_column("more", nan)),
        ("steps", steps.set_column(at("dice"), "dice", pa.array(["x"] * steps.num_rows))),
        ("steps", steps.set_column(at("dice"), "dice", nan.cast(pa.float32()))),
        ("steps", steps.set_column(at("seconds_predict"), "seconds_predict", nan)),
        ("steps", steps.set_column(at("seconds_predict"), "seconds_predict", pa.array([-1.0] * len(nan)))),
        ("steps", steps.set_column(at("step"), "step", pa.nulls(len(nan), pa.int32()))),
        (
            "masks",
            masks.set_column(
                masks.schema.get_field_index("score"), "score", pa.array([float("inf")] * len(masks))
            ),
        ),
        (
            "masks",
            masks.set_column(
                masks.schema.get_field_index("counts"),
                "counts",
                pa.array([[None]] * len(masks), pa.list_(pa.uint32())),
            ),
        ),
    ]
    for table, changed in odd:
        refused(with_table(table, parquet(changed)), tmp_path)
    for junk in (b"", b"PAR1", b"PAR1" * 9, b"PAR1" + b"\xff" * 100 + b"\xff\xff\xff\x7fPAR1"):
        refused(with_table("steps", junk), tmp_path)


def test_a_flipped_bit_in_a_table_is_refused_by_its_hash(tmp_path: Path) -> None:
    files = contents(made().data)
    name = f"runs/{NOC}/masks.parquet"
    for place in (100, 500, len(files[name]) // 2):
        flipped = bytearray(files[name])
        flipped[place] ^= 4
        assert "SHA-256" in refused(zip_bytes({**files, name: bytes(flipped)}), tmp_path)


def mutated(data: bytes, random_: random.Random) -> bytes:
    """Return an archive with some bytes flipped, cut, doubled, overwritten or moved."""
    out = bytearray(data)
    for _ in range(random_.choice([1, 1, 1, 2, 5, 20])):
        at = random_.randrange(len(out))
        end = min(len(out), at + random_.choice([1, 4, 64, 4096]))
        kind = random_.randrange(5)
        if kind == 0:
            out[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del out[at:end]
        elif kind == 2:
            out[at:at] = out[at:end]
        elif kind == 3:
            out[at:end] = random_.randbytes(end - at)
        else:
            out[at:end] = random_.choice([b"\x00", b"\xff"]) * (end - at)
        if not out:
            out = bytearray(b"x")
    return bytes(out)


def fuzz(n: int, tmp_path: Path) -> None:
    it, random_ = made(), random.Random(5)
    accepted = []
    for i in range(n):
        data = mutated(it.data, random_)
        if data == it.data:
            continue
        try:
            open_submission(it.write(tmp_path, data), it.suite_file)
        except RefusedError:
            continue
        accepted.append(i)
    assert accepted == []
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]


def deep_fuzz(n: int, tmp_path: Path) -> None:
    """Mutate files and fit the manifest: whatever is still read must be the original, times apart.

    Some footers make Arrow end its process. So this is done in child processes; what ended one must be
    refused, in words, by the verifier, whose worker is one that may end.
    """
    it = made()
    it.write(tmp_path)
    context, begun, deaths = multiprocessing.get_context("fork"), 0, 0
    while begun < n:
        at = context.Value("i", begun)
        child = context.Process(target=_deep, args=(at, n, tmp_path))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode is not None
        assert child.exitcode < 0, f"mutation {at.value}: see the child's words"
        verdict = verify(it.write(tmp_path, _mutation(at.value)), suite=it.suite_file, replay=False)
        assert verdict.tier is None
        assert verdict.checks[0].verdict == "fail"
        begun, deaths = at.value + 1, deaths + 1
    assert deaths <= max(1, n // 100), "a worker that ends is the last wall, not the first"


def _mutation(number: int) -> bytes:
    files, random_ = contents(made().data), random.Random(f"6 {number}")
    name = random_.choice([name for name in files if name.endswith(".parquet")])
    return packed({**files, name: mutated(files[name], random_)})


def _deep(at: Any, n: int, folder: Path) -> None:
    it = made()
    honest = open_submission(it.write(folder), it.suite_file)
    for number in range(at.value, n):
        at.value = number
        path = it.write(folder, _mutation(number))
        try:
            opened = open_submission(path, it.suite_file)
        except RefusedError:
            continue
        if not same_rows(honest, opened):
            assert found(path, it.suite_file)["findings"], number


def same_rows(a: Any, b: Any) -> bool:
    for one, other in zip(a.runs, b.runs, strict=True):
        for table in ("episodes", "steps", "prompts"):
            left, right = one.claimed.table(table), other.claimed.table(table)
            keep = [c for c in left.columns if not c.startswith("seconds")]
            if left[keep].to_json() != right[keep].to_json():
                return False
        x, y = one.claimed.masks, other.claimed.masks
        if not (np.array_equal(x.counts, y.counts) and np.array_equal(x.offsets, y.offsets)):
            return False
        if x.rows.drop(columns="score").to_json() != y.rows.drop(columns="score").to_json():
            return False
    return True


def test_mutated_archives_are_all_refused(tmp_path: Path) -> None:
    fuzz(300, tmp_path)


def test_mutated_tables_are_refused_or_found_out(tmp_path: Path) -> None:
    deep_fuzz(60, tmp_path)


@pytest.mark.slow
def test_ten_thousand_mutated_archives_are_all_refused(tmp_path: Path) -> None:
    fuzz(10_000, tmp_path)
    deep_fuzz(2000, tmp_path)


def test_the_worker_refuses_what_needs_more_than_it_is_given(tmp_path: Path) -> None:
    it = made()
    path = it.write(tmp_path, with_table("masks", bytes(64 << 20)))
    verdict = verify(path, suite=it.suite_file, walls=Walls(memory=8 << 20))
    assert not verdict.passed
    assert verdict.tier is None
    assert verdict.checks[0].verdict == "fail"
    assert "more memory" in verdict.checks[0].detail


def test_the_worker_may_write_no_file(tmp_path: Path) -> None:
    code = (
        "from simclick.leaderboard.worker import _limit; _limit(1 << 30)\n"
        "import pathlib\n"
        f"try: pathlib.Path({str(tmp_path / 'x')!r}).write_text('x' * 9)\n"
        "except OSError as e: print('refused', e.errno)\n"
        "try: bytearray(2 << 30)\n"
        "except MemoryError: print('no memory')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "refused" in done.stdout, done.stderr
    assert "no memory" in done.stdout


def test_errors_of_refusals_are_one_class() -> None:
    assert issubclass(RefusedError, SimclickError)
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}\n'.encode()


def test_a_reason_with_markup_stays_a_reason(tmp_path: Path) -> None:
    """Free text in tables (a failure's reason) is bounded, and left to the page to escape."""
    it = made()

    def say(t: Any) -> None:
        t["episodes"].loc[0, "error"] = "<script>" + "x" * 1000

    refused(with_rows(it.data, NOC, say), tmp_path)


ESCAPES = "\x1b[1A\x1b[2Kpass all\x1b[8m\u202e\x9b"


def test_no_refusal_steers_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    it = made()
    hostile = {
        "claim": with_submission(
            it.data, lambda s: s["summary"][NOC]["levels"]["0"].update(area=ESCAPES)
        ),
        "suite": with_submission(it.data, lambda s: s["suite"].update(name=ESCAPES)),
        "key": with_submission(it.data, lambda s: s.update({ESCAPES: 1})),
        "protocol": with_json(it.data, f"runs/{NOC}/run.json", lambda r: r["protocol"].update({ESCAPES: 1})),
        "case": with_rows(it.data, NOC, lambda t: t["prompts"].replace(
            {"case_id": {t["prompts"]["case_id"].iloc[-1]: "z" + ESCAPES}}, inplace=True
        )),
    }  # fmt: skip
    for name, data in hostile.items():
        result = found(it.write(tmp_path, data), it.suite_file)
        verdict = _verdict(result, Check("reproduced", "fail", ESCAPES), True)
        assert result["findings"], name
        for check in verdict.checks:
            assert check.detail.isprintable(), (name, check)
    for name in ("claim", "suite"):  # found while comparing, and refused while reading
        path = it.write(tmp_path, hostile[name])
        assert cli.main(["verify", str(path), "--suite", it.suite_file, "--quiet"]) == 1
        said = "".join(capfd.readouterr())
        assert "fail" in said
        assert all(c.isprintable() or c == "\n" for c in said), (name, said)
    assert str(RefusedError("a\x1b[8m\u202eb\nc")) == "a\ufffd[8m\ufffdb c"
