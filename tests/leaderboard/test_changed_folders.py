"""What `simclick verify --changed` passes, and what it does not."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from submission_support import made

from simclick import cli
from simclick.errors import ConfigError, SimclickError
from simclick.harness.specs import AgentSpec
from simclick.leaderboard import verify
from simclick.leaderboard.accept import write_entry
from simclick.leaderboard.changed import Evidence, Outcome, check_changed
from simclick.leaderboard.entries import load_entry
from simclick.leaderboard.folders import check_folder
from simclick.leaderboard.limits import canonical_json
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.pictures import MAX_PICTURE, check_picture, same_picture
from simclick.leaderboard.summary import summarise

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an archive, and beside it the accepted folder that it truly gives: ``reproduced``."""
    root = tmp_path_factory.mktemp("reproduced")
    (root / "archives").mkdir()
    path = made().write(root / "archives")
    found = verify.verify(path, suite=made().suite_file, agent=AgentSpec("disc"), episodes=3, accept=True)
    assert found.tier == "reproduced", found.checks
    write_entry(found, root / "submissions")
    return root


@pytest.fixture
def checkout(reproduced: Path, tmp_path: Path) -> Path:
    """A checkout whose base has no submission; `reproduced`'s was added since."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "README.md").write_text("x")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    shutil.copytree(reproduced / "submissions", folder, dirs_exist_ok=True)
    return folder


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "more")


def only(outcomes: list[Outcome]) -> Outcome:
    (outcome,) = outcomes
    return outcome


def seal(folder: Path, **changes: Any) -> None:
    """Make the verdict fit the files, as a forger would."""
    path = folder / "verdict.json"
    verdict = {**json.loads(path.read_text()), **changes}
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p != path]
    verdict["files"] = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in sorted(names)}
    path.write_text(json.dumps(verdict))


def forge(folder: Path, table: str, change: Callable[[pd.DataFrame], object], name: str = "noc-v1") -> None:
    """Change rows, and make the claimed numbers and the verdict fit."""
    path = folder / f"{name}.{table}.parquet"
    before = pq.read_table(path, partitioning=None)
    frame = before.to_pandas()
    change(frame)
    path.write_bytes(parquet_bytes(pa.Table.from_pandas(frame, before.schema, preserve_index=False)))
    seal(folder)
    entry = load_entry(folder)
    protocol = made().suite.protocol(name)
    submission = json.loads((folder / "submission.json").read_text())
    submission["summary"][name] = summarise(entry.episodes(name), entry.steps(name), protocol)
    (folder / "submission.json").write_bytes(canonical_json(submission))
    seal(folder)


def test_a_claim_passes_only_as_far_as_it_is_established_here(checkout: Path, reproduced: Path) -> None:
    archives = reproduced / "archives"
    bare = only(check_changed(checkout, "HEAD"))
    assert not bare.passed
    assert "claims reproduced, established here is self-reported" in bare.detail
    replayed = only(check_changed(checkout, "HEAD", Evidence.of(archives)))
    assert not replayed.passed
    assert "established here is replayed" in replayed.detail
    assert "--rerun agent=" in replayed.detail
    rerun = only(check_changed(checkout, "HEAD", Evidence.of(archives, AgentSpec("disc"), 3)))
    assert rerun.passed, rerun.detail
    assert rerun.detail.startswith("reproduced: ")
    other = only(check_changed(checkout, "HEAD", Evidence.of(archives, AgentSpec("watershed"), 3)))
    assert not other.passed
    allowed = only(check_changed(checkout, "HEAD", Evidence.of(archives), allow_unreplayed=True))
    assert allowed.passed
    assert allowed.detail.startswith("NOT PROVED")


def test_a_replayed_or_self_reported_claim_needs_less(checkout: Path, reproduced: Path) -> None:
    target = checkout / "tiny-v1" / "disc"
    seal(target, tier="replayed")
    assert only(check_changed(checkout, "HEAD", Evidence.of(reproduced / "archives"))).passed
    assert not only(check_changed(checkout, "HEAD")).passed
    seal(target, tier="self-reported")
    assert only(check_changed(checkout, "HEAD")).passed


def test_the_command_ends_with_1_unless_everything_passed(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["verify", "--changed", "HEAD", "--submissions", str(checkout)]
    assert cli.main(words) == 1
    assert "--allow-unreplayed" not in capsys.readouterr().out
    assert cli.main([*words, "--allow-unreplayed", "--json"]) == 0
    assert "NOT PROVED" in json.loads(capsys.readouterr().out)[0]["detail"]
    assert cli.main([*words, "--accept", str(checkout)]) == 2
    assert cli.main([*words, "--archives", str(checkout / "none")]) == 2


def test_an_invented_folder_is_refused_even_where_claims_are_let_pass(checkout: Path) -> None:
    target = checkout / "tiny-v1" / "disc"

    def better(frame: pd.DataFrame) -> None:
        frame["dice"] = 1 - (1 - frame["dice"]) * 0.2

    forge(target, "steps", better)
    outcome = only(check_changed(checkout, "HEAD", allow_unreplayed=True))
    assert not outcome.passed
    assert "do not fit each other" in outcome.detail


def set_last(column: str, value: object) -> Callable[[pd.DataFrame], object]:
    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame.index[-1], column] = value

    return change


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("episodes", set_last("final_dice", 0.99), "final_dice is not the last step's"),
        ("episodes", set_last("steps", 19), "number of steps"),
        ("episodes", set_last("group", "another"), "group is not the suite's"),
        ("episodes", set_last("status", "fine"), "status"),
        ("episodes", set_last("error", "boom"), "error and status"),
        ("steps", set_last("oracle_dice", 0.0), "oracle_dice below dice"),
        ("steps", set_last("oracle_dice", 0.999), "oracle_dice of one candidate"),
        ("steps", set_last("chosen", 1), "chosen"),
        ("steps", set_last("chosen", -1), "without answer"),
        ("steps", set_last("n_candidates", 0), "chosen"),
        ("steps", set_last("cost", 1), "cost does not rise"),
        ("steps", set_last("step", 40), "without a gap"),
        ("steps", set_last("nsd", 1.5), "nsd"),
        ("steps", set_last("hd95", -1.0), "hd95"),
    ],
)
def test_rows_that_no_run_could_write_are_refused(
    checkout: Path, table: str, change: Callable[[pd.DataFrame], object], said: str
) -> None:
    target = checkout / "tiny-v1" / "disc"
    try:
        forge(target, table, change)
    except (SimclickError, ValueError, KeyError):  # too odd for a summary: the claim stays as it was
        seal(target)
    with pytest.raises(ConfigError, match=said):
        check_folder(target)


def test_the_worst_episodes_are_the_worst_and_say_what_the_rows_say(checkout: Path) -> None:
    target = checkout / "tiny-v1" / "disc"
    path = target / "worst" / "noc-v1-0.json"
    story = json.loads(path.read_text())
    story["steps"][0]["dice"] = 0.97
    path.write_bytes(canonical_json(story))
    seal(target)
    with pytest.raises(ConfigError, match="not what the rows say"):
        check_folder(target)
    for file in (path, path.with_suffix(".png")):
        file.unlink()
    seal(target)
    with pytest.raises(ConfigError, match="does not hold the worst"):
        check_folder(target)


def picture(size: tuple[int, int] = (40, 20), colour: str = "#557799") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def test_pictures_are_plain_small_pngs(checkout: Path) -> None:
    check_picture(picture(), "p")
    hidden = io.BytesIO()
    from PIL.PngImagePlugin import PngInfo

    words = PngInfo()
    words.add_text("a", "b")
    Image.new("RGB", (4, 4)).save(hidden, "PNG", pnginfo=words)
    for data, said in (
        (b"\x89PNG\r\n\x1a\n" + b"not a picture <script>alert(1)</script>", "no plain PNG"),
        (picture() + b"more", "no plain PNG"),
        (picture()[:-20], "no plain PNG"),
        (hidden.getvalue(), "no plain PNG"),
        (picture((5000, 10)), "5000 by 10"),
        (b"\0" * (MAX_PICTURE + 1), "at most"),
        (picture()[:45] + b"\0\0\0" + picture()[48:], "can be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_picture(data, "p")
    target = checkout / "tiny-v1" / "disc"
    (target / "worst" / "noc-v1-0.png").write_bytes(b"\x89PNG\r\n\x1a\njunk")
    seal(target)
    assert not only(check_changed(checkout, "HEAD", allow_unreplayed=True)).passed


def test_another_picture_is_refused_where_the_archive_is_at_hand(checkout: Path, reproduced: Path) -> None:
    assert same_picture(picture(), picture())
    assert not same_picture(picture(), picture(colour="#557798"))
    target = checkout / "tiny-v1" / "disc"
    (target / "worst" / "noc-v1-0.png").write_bytes(picture())
    seal(target, tier="replayed")
    outcome = only(check_changed(checkout, "HEAD", Evidence.of(reproduced / "archives")))
    assert not outcome.passed
    assert "does not show what the archive gives" in outcome.detail


def test_submissions_are_removed_or_replaced_only_when_that_is_said(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(checkout)
    target = checkout / "tiny-v1" / "disc"
    seal(target, date="2020-01-01")
    replaced = only(check_changed(checkout, "HEAD", allow_unreplayed=True))
    assert not replaced.passed
    assert "is replaced: --allow-removal" in replaced.detail
    assert only(check_changed(checkout, "HEAD", allow_unreplayed=True, allow_removal=True)).passed
    shutil.rmtree(target)
    assert cli.main(["verify", "--changed", "HEAD", "--submissions", str(checkout)]) == 1
    assert "is removed: --allow-removal" in capsys.readouterr().out
    assert only(check_changed(checkout, "HEAD", allow_removal=True)).passed


def test_what_the_base_gained_since_is_no_removal(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "-b", "theirs")
    commit(checkout)
    git(checkout, "checkout", "-q", "-b", "mine", "theirs~1")
    assert check_changed(checkout, "theirs") == []
