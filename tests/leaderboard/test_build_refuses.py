"""A build of the site takes no accepted folder that the check of a change would refuse, and says so early."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from submission_support import found, made

from simclick.errors import ConfigError, StoreError
from simclick.leaderboard import folders
from simclick.leaderboard.accept import write_entry
from simclick.leaderboard.folders import check_folder
from simclick.leaderboard.inventory import MAX_FILES
from simclick.leaderboard.limits import canonical_json
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.site import build_site
from simclick.leaderboard.verify import Check, Verdict, _verdict

PNG = "worst/noc-v1-0.png"


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    it = made()
    result = found(it.write(tmp_path_factory.mktemp("archive")), it.suite_file, accept=True)
    return replace(_verdict(result, Check("reproduced", "skipped", "not asked"), True), suite=it.suite_file)


@pytest.fixture(scope="module")
def accepted(verdict: Verdict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of submissions with one."""
    root = tmp_path_factory.mktemp("accepted") / "submissions"
    write_entry(verdict, root)
    return root


@pytest.fixture
def target(accepted: Path, tmp_path: Path) -> Path:
    """A copy of that one."""
    shutil.copytree(accepted, tmp_path / "submissions")
    return tmp_path / "submissions" / "tiny-v1" / "disc"


def build(target: Path) -> Path:
    site = target.parents[2] / "site"
    return build_site(target.parents[1], site, [Path(made().suite_file)]).index


def refused(target: Path) -> str:
    """Assert that a build ends in one line that names the folder, and writes nothing; return the line."""
    with pytest.raises(ConfigError) as error:
        build(target)
    assert not (target.parents[2] / "site").exists()
    assert str(target) in str(error.value)
    assert "\n" not in str(error.value)
    assert "it cannot be read" not in str(error.value), "nobody foresaw it"
    return str(error.value)


def seal(folder: Path) -> None:
    """Make the verdict fit the files, as a forger would."""
    path = folder / "verdict.json"
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p != path]
    files = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in sorted(names)}
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))


def of_rows(table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(target: Path) -> None:
        path = target / f"noc-v1.{table}.parquet"
        before = pq.read_table(path, partitioning=None)
        frame = change(before.to_pandas())
        path.write_bytes(parquet_bytes(pa.Table.from_pandas(frame, before.schema, preserve_index=False)))
        seal(target)

    return apply


def of_json(name: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def apply(target: Path) -> None:
        content = json.loads((target / name).read_bytes())
        change(content)
        (target / name).write_bytes(canonical_json(content))
        seal(target)

    return apply


def marks(*words: str) -> Callable[[Path], None]:
    return of_json("submission.json", lambda s: [run.update(marks=list(words)) for run in s["runs"]])  # type: ignore[attr-defined]


def too_good(target: Path) -> None:
    of_rows("steps", lambda t: t.assign(dice=7.5, oracle_dice=7.5))(target)
    of_rows("episodes", lambda t: t.assign(final_dice=7.5))(target)


def elsewhere(target: Path) -> None:
    shutil.move(target / "worst", target.parents[2] / "worst")
    (target / "worst").symlink_to(target.parents[2] / "worst")


def linked(target: Path) -> None:
    shutil.move(target / PNG, target.parents[2] / "x.png")
    (target / PNG).symlink_to(target.parents[2] / "x.png")


def piped(target: Path) -> None:
    (target / "submission.json").unlink()
    os.mkfifo(target / "submission.json")


def swollen(target: Path) -> None:
    os.truncate(target / PNG, 300 << 20)  # with a hole: so long, and empty


def crowded(target: Path) -> None:
    for number in range(MAX_FILES):
        (target / "worst" / f"more-{number}.json").touch()


def appended(target: Path) -> None:
    (target / PNG).write_bytes((target / PNG).read_bytes() + b"more")
    seal(target)


def unsealed(target: Path) -> None:
    (target / PNG).write_bytes((target / "worst/noc-v1-1.png").read_bytes())


def renamed(target: Path) -> None:
    shutil.move(target / PNG, target / "worst/else.png")
    seal(target)


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (too_good, "steps: dice"),
    (of_json("verdict.json", lambda v: v.update(tier="reproduced")), "'reproduced' did not pass"),
    (of_json("verdict.json", lambda v: v["checks"][0].update(verdict="fail")), "did not pass"),  # type: ignore[index]
    (elsewhere, "links are not followed"),
    (linked, "links are not followed"),
    (piped, "not a file of a submission"),
    (lambda t: (t / "worst/deeper").mkdir(), "not a file of a submission"),
    (lambda t: (t / "index.html").touch(), "not a file of a submission"),
    (swollen, "larger than"),
    (crowded, f"more than {MAX_FILES} files"),
    (appended, "no plain PNG"),
    (unsealed, "not the file that the verdict names"),
    (renamed, "pictures and worst episodes do not fit"),
    (of_json("worst/noc-v1-0.json", lambda s: s.update(final_dice=0.99)), "not what the rows say"),
    (of_json("worst/noc-v1-0.json", lambda s: s.update(level=9)), "does not hold the worst"),
    (of_json("submission.json", lambda s: s["summary"].clear()), "summary is of other"),  # type: ignore[attr-defined]
    (marks("random weights"), "marks may be uses truth and oracle selection"),
    (marks("oracle selection", "uses truth"), "in this order"),
    (marks("uses truth", "uses truth"), "in this order"),
    (marks("oracle selection"), "not those of the protocol"),
    (marks("uses truth"), "the card says no oracle"),
]


@pytest.mark.parametrize(("change", "said"), HOSTILE, ids=[said[:30] for _, said in HOSTILE])
def test_a_build_refuses_what_the_check_refuses(
    target: Path, change: Callable[[Path], object], said: str
) -> None:
    change(target)
    assert said in refused(target)


def test_an_honest_folder_is_built(target: Path) -> None:
    assert build(target).is_file()


def test_marks_of_some_runs_only_are_no_agents(target: Path) -> None:
    def change(content: dict[str, object]) -> None:
        content["method"]["oracle"] = True  # type: ignore[index]
        content["runs"][0]["marks"] = ["uses truth"]  # type: ignore[index]

    of_json("submission.json", change)(target)
    assert "marks of one agent" in refused(target)


def test_no_file_is_opened_before_all_were_measured(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swollen(target)

    def never(*_: object) -> bytes:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_bytes", never)
    monkeypatch.setattr(Path, "open", never)
    with pytest.raises(ConfigError, match="larger than"):
        check_folder(target)


def test_the_folder_of_a_suite_is_no_link(target: Path) -> None:
    shutil.move(target.parent, target.parents[2] / "tiny-v1")
    target.parent.symlink_to(target.parents[2] / "tiny-v1")
    with pytest.raises(ConfigError, match="not the name of a suite"):
        build(target)
    with pytest.raises(ConfigError, match="links are not followed"):
        check_folder(target, {"tiny-v1": made().suite})


def without_rows(target: Path) -> None:
    """Let an episode fail after seven steps of which no row tells."""
    case_id = pq.read_table(target / "noc-v1.episodes.parquet", partitioning=None)["case_id"][0].as_py()

    def fail(frame: pd.DataFrame) -> pd.DataFrame:
        lost = frame["case_id"] == case_id
        for name, value in {
            "status": "failed",
            "error": "x",
            "final_dice": 0.0,
            "steps": np.int32(7),
        }.items():
            frame.loc[lost, name] = value
        return frame

    of_rows("episodes", fail)(target)
    of_rows("steps", lambda t: t[t["case_id"] != case_id])(target)


def test_steps_without_their_rows_name_the_folder(target: Path) -> None:
    without_rows(target)
    assert "steps without their rows" in refused(target)


@pytest.mark.parametrize("error", [StoreError, ZeroDivisionError, IndexError])
def test_whatever_goes_wrong_names_the_folder(
    target: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def wrong(*_: object) -> None:
        raise error("the episode disc/noc-v1 has 0 rows of steps and counts 7")

    monkeypatch.setattr(folders, "summarise", wrong)
    with pytest.raises(ConfigError, match="counts 7") as refusal:
        build(target)
    assert str(refusal.value).startswith(f"{target}: ")


def test_what_no_build_would_take_is_not_accepted(verdict: Verdict, target: Path, tmp_path: Path) -> None:
    name = "worst/noc-v1-0.json"
    story = json.loads(verdict.files[name])
    story["steps"][0]["prompts"][0]["kind"] = "é" * 700
    bad = replace(verdict, files={**verdict.files, name: canonical_json(story)})
    with pytest.raises(ConfigError, match="kind must be one of") as error:
        write_entry(bad, tmp_path / "new")
    assert str(error.value).startswith(f"{tmp_path / 'new' / 'tiny-v1' / 'disc'}: ")
    assert not (tmp_path / "new").exists()
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match="kind must be one of"):
        write_entry(bad, target.parents[1], replace=True)
    root = target.parents[1]
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in root.iterdir()) == ["tiny-v1"]
    (target / "verdict.json").unlink()
    write_entry(verdict, root, replace=True)
    assert {p for p in root.rglob("*") if p.is_file()} == set(before)
