"""Accepted folders that a stranger made: refused in one line by whoever reads it; it hides no other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from submission_support import made

from simclick.errors import ConfigError
from simclick.leaderboard import changed, verify
from simclick.leaderboard.accept import write_entry
from simclick.leaderboard.archive import FORMAT
from simclick.leaderboard.changed import Evidence, check_changed
from simclick.leaderboard.entries import EPISODES, STEPS, load_entry
from simclick.leaderboard.folders import check_folder, check_folders
from simclick.leaderboard.inventory import MAX_FOLDER
from simclick.leaderboard.limits import TEXT_BYTES
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.rows import MAX_ROWS
from simclick.texts import stray

NOC = "noc-v1.episodes.parquet"
ESC = "\x1b[2J"
RTL = "\u202etxt"
Content = dict[str, Any]

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of submissions with a single one, ``self-reported``."""
    root = tmp_path_factory.mktemp("accepted")
    found = verify.verify(made().write(root), suite=made().suite_file, replay=False, accept=True)
    write_entry(found, root / "submissions")
    return root / "submissions"


@pytest.fixture
def target(accepted: Path, tmp_path: Path) -> Path:
    """That submission, new in a checkout."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    words = ("commit", "-q", "--allow-empty", "-m", "x")
    subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True)
    shutil.copytree(accepted, tmp_path / "submissions")
    return tmp_path / "submissions" / "tiny-v1" / "disc"


def seal(folder: Path) -> None:
    """Make the verdict fit the files, as a forger would."""
    path = folder / "verdict.json"
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p != path]
    files = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in sorted(names)}
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))


def edit(path: Path, change: Callable[[Content], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def put(*keys: Any) -> Callable[[Content], None]:
    """Return a change that sets the value at a path of keys; the last of `keys` is the value."""
    *inner, last, value = keys

    def change(content: Any) -> None:
        for key in inner:
            content = content[key]
        content[last] = value

    return change


def refused(target: Path, said: str) -> str:
    """Assert that a check of the change refuses the folder in one printable line that says `said`."""
    (outcome,) = check_changed(target.parents[1], "HEAD")
    assert not outcome.passed
    assert said in outcome.detail
    assert "it cannot be read" not in outcome.detail, "nobody foresaw it"
    assert stray(outcome.detail) is None
    return outcome.detail


def write_rows(target: Path, table: pa.Table, name: str = NOC) -> None:
    (target / name).write_bytes(parquet_bytes(table))
    seal(target)


def with_text(target: Path, column: str, text: str) -> None:
    table = pq.read_table(target / NOC, partitioning=None)
    place = table.schema.get_field_index(column)
    texts = pa.array([text] * table.num_rows, pa.string())
    write_rows(target, table.set_column(place, column, texts))


def test_an_honest_folder_passes(target: Path) -> None:
    (outcome,) = check_changed(target.parents[1], "HEAD")
    assert outcome.passed, outcome.detail
    assert json.loads((target / "submission.json").read_text())["format"] == FORMAT


def bomb_of_text(target: Path) -> None:
    with_text(target, "target", "A" * (4 << 20))


def bomb_of_rows(target: Path) -> None:
    row = pq.read_table(target / NOC, partitioning=None).slice(0, 1)
    write_rows(target, row.take(pa.array([0] * (MAX_ROWS + 1))))


def bomb_of_steps(target: Path) -> None:
    name = "noc-v1.steps.parquet"
    row = pq.read_table(target / name, partitioning=None).slice(0, 1)
    write_rows(target, row.take(pa.array([0] * (MAX_ROWS + 1))), name)


@pytest.mark.parametrize(
    ("bomb", "said"),
    [(bomb_of_text, "unpack to"), (bomb_of_rows, "rows"), (bomb_of_steps, "rows")],
)
def test_a_small_file_that_holds_much_is_refused_by_its_footer(
    target: Path, monkeypatch: pytest.MonkeyPatch, bomb: Callable[[Path], None], said: str
) -> None:
    bomb(target)
    assert sum(path.stat().st_size for path in target.rglob("*")) < MAX_FOLDER

    def never(*_: object, **__: object) -> None:
        raise AssertionError("rows were read")

    entry = load_entry(target)
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read", never)
        with pytest.raises(ConfigError, match=said):
            entry.rows("noc-v1", "steps" if bomb is bomb_of_steps else "episodes")
    with pytest.raises(ConfigError, match=said):  # as a build of the site does
        check_folders(target.parents[1])


def test_a_footer_that_lies_of_its_pages_is_refused(target: Path) -> None:
    bomb_of_text(target)
    data = (target / NOC).read_bytes()
    column = pq.ParquetFile(target / NOC).metadata.row_group(0).column(5)
    assert column.path_in_schema == "target"
    true, lie = (varint(2 * n) for n in (column.total_uncompressed_size, 100))
    assert data.count(true) == 1
    lie = (
        bytes(byte | 128 for byte in lie) + b"\x80" * (len(true) - len(lie) - 1) + b"\0"
    )  # as long as before
    (target / NOC).write_bytes(data.replace(true, lie))
    seal(target)
    assert pq.ParquetFile(target / NOC).metadata.row_group(0).column(5).total_uncompressed_size == 100
    refused(target, "its pages are not those that its footer tells of")


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def test_a_check_of_the_change_refuses_a_bomb(target: Path) -> None:
    bomb_of_text(target)
    refused(target, "unpack to")


@pytest.mark.parametrize("column", ["case_id", "group", "modality", "target", "status", "error"])
@pytest.mark.parametrize("text", [ESC, RTL, "a\nb"])
def test_a_text_of_the_rows_that_steers_is_refused_by_whoever_reads_it(
    target: Path, column: str, text: str
) -> None:
    with_text(target, column, text)
    with pytest.raises(ConfigError, match=rf"{column}: the character U\+"):
        load_entry(target).episodes("noc-v1")
    refused(target, f"{column}: the character U+")


def test_texts_that_are_long_or_no_utf8_are_refused(target: Path) -> None:
    before = (target / NOC).read_bytes()
    with_text(target, "modality", "a" * (TEXT_BYTES + 1))
    refused(target, f"texts of up to {TEXT_BYTES + 1} bytes")
    (target / NOC).write_bytes(before)
    table = pq.read_table(target / NOC, partitioning=None)
    raw = pa.array([b"\xff\xfe"] * table.num_rows, pa.binary())
    texts = pa.StringArray.from_buffers(len(raw), raw.buffers()[1], raw.buffers()[2])
    place = table.schema.get_field_index("modality")
    write_rows(target, table.set_column(place, "modality", texts))
    refused(target, "codec can't decode")


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("episodes", "modality", None, "modality holds nulls"),
        ("episodes", "seconds_encode", -5.0, "no times"),
        ("steps", "seconds_predict", float("inf"), "no times"),
        ("steps", "dice", None, "dice holds nulls"),
    ],
)
def test_values_that_no_run_writes_are_refused(
    target: Path, table: str, column: str, value: object, said: str
) -> None:
    name, schema = f"noc-v1.{table}.parquet", EPISODES if table == "episodes" else STEPS
    frame: pd.DataFrame = pq.read_table(target / name, partitioning=None).to_pandas()
    frame[column] = value
    write_rows(target, pa.Table.from_pandas(frame, schema, preserve_index=False), name)
    refused(target, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("protocol", ["noc-v1"]), "protocol: must be a text"),
        (put("level", [0]), "level: must be a number"),
        (put("group", ["x"]), "group: must be a text"),
        (put("picture", ["a"]), "picture must be"),
        (put("steps", None), "steps: must be a list"),
        (put("steps", 0, "prompts", None), "prompts: must be a list"),
        (put("steps", 0, "prompts", 0, "kind", f"{ESC}<script>"), "kind must be one of"),
        (put("steps", 0, "prompts", 0, "landed", [1e308, 1]), "landed: must be whole numbers"),
        (put("steps", 0, "prompts", 0, "meant", [1] * 4000), "meant: 4000 coordinates are no click"),
        (put("steps", 0, "dice", "0.5"), "dice: must be a number"),
        (put("more", 1), "unknown key"),
    ],
)
def test_a_story_of_another_shape_is_refused(
    target: Path, change: Callable[[Content], object], said: str
) -> None:
    edit(target / "worst" / "noc-v1-0.json", change)
    seal(target)
    with pytest.raises(ConfigError, match=said):
        load_entry(target).worst()
    refused(target, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("format", 99), "format must be 1"),
        (put("format", True), "format must be 1"),
        (put("summary", []), "summary must be a mapping"),
        (put("declared", None), "declared must be a mapping"),
        (put("declared", {"seconds": ESC}), "U+001B"),
        (put("declared", {"machine": {RTL: "x"}}), "U+202E"),
        (put("runs", 0, "dataset", ESC), "U+001B"),
        (put("runs", 0, "noise", RTL), "U+202E"),
        (put("runs", 0, "agent_digest", ESC), "must be a SHA-256"),
        (put("runs", 0, "marks", [{"a": 1}]), "marks: must be a text"),
        (lambda content: content["runs"].append(content["runs"][0]), "is there twice"),
        (put("runs", 1, "agent", "other"), "different agents"),
    ],
)
def test_a_submission_of_another_shape_is_refused_by_whoever_reads_it(
    target: Path, change: Callable[[Content], object], said: str
) -> None:
    edit(target / "submission.json", change)
    seal(target)
    refused(target, said)
    with pytest.raises(ConfigError):
        load_entry(target)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("suite", "version", 7), "digest or version"),
        (put("runs", 0, "dataset", "others"), "data set or noise"),
        (put("runs", 0, "noise", "gaussian-click"), "data set or noise"),
        (put("summary", "more-v1", {}), "summary is of other protocols"),
    ],
)
def test_a_submission_that_does_not_fit_its_suite_is_refused(
    target: Path, change: Callable[[Content], object], said: str
) -> None:
    edit(target / "submission.json", change)
    seal(target)
    with pytest.raises(ConfigError, match=said):
        check_folder(target)


def test_a_file_name_of_any_bytes_is_refused_in_a_printable_line(target: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(target) + b"/\xff.json")).write_bytes(b"{}")
    except OSError:
        pytest.skip("names are UTF-8 on this file system")
    assert "\ufffd.json" in refused(target, "not a file of a submission")


def test_a_bad_folder_hides_no_other(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(target, target.with_name("bad"))
    edit(target.with_name("bad") / "worst" / "noc-v1-0.json", put("level", [0]))
    seal(target.with_name("bad"))
    shutil.copytree(target, target.with_name("worse"))

    def check(folder: Path) -> object:
        if folder.name == "worse":
            raise ZeroDivisionError(f"nobody{ESC}\nforesaw this")
        return check_folder(folder)

    monkeypatch.setattr(changed, "check_folder", check)
    outcomes = check_changed(target.parents[1], "HEAD")
    assert [(o.folder.name, o.passed) for o in outcomes] == [("bad", False), ("disc", True), ("worse", False)]
    assert "ZeroDivisionError: nobody" in outcomes[2].detail
    assert stray(outcomes[2].detail) is None


def test_what_is_no_archive_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "b.zip").symlink_to(tmp_path / "nothing")
    (tmp_path / "c.zip").write_bytes(b"x")
    assert Evidence.of(tmp_path).archives == {hashlib.sha256(b"x").hexdigest(): tmp_path / "c.zip"}
