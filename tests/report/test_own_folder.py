"""Reports and replays: never over somebody else's files, never into a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simclick.errors import ConfigError, StoreError
from simclick.report.build import build_report
from simclick.report.folder import OwnFolder
from simclick.report.replay import replay


def _report(run: Path, out: Path) -> Any:
    return build_report([run], out)


def _replay(run: Path, out: Path) -> Any:
    return replay(run, "case-001", out)


COMMANDS = [
    pytest.param(_report, "index.html", "report", id="report"),
    pytest.param(_report, "tables/summary.csv", "report", id="report-table"),
    pytest.param(_replay, "step-00.png", "replay", id="replay"),
]


@pytest.mark.parametrize(("command", "name", "what"), COMMANDS)
def test_a_users_files_are_kept(toy_run: Path, tmp_path: Path, command: Any, name: str, what: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match=f"is not empty and holds no {what}: choose another folder"):
        command(toy_run, tmp_path)
    assert mine.read_text() == "mine"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]


@pytest.mark.parametrize("command", [_report, _replay])
@pytest.mark.parametrize("inner", ["", "steps", "new/deeper"])
def test_no_run_directory_is_written_into(toy_run: Path, tmp_path: Path, command: Any, inner: str) -> None:
    before = sorted(toy_run.rglob("*"))
    link = tmp_path / "link"
    link.symlink_to(toy_run, target_is_directory=True)
    for out in (toy_run / inner, link / inner):
        with pytest.raises(ConfigError, match="a run directory: choose another folder"):
            command(toy_run, out)
    assert sorted(toy_run.rglob("*")) == before


def test_a_damaged_run_is_a_run(toy_run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "cases.parquet").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is a run directory"):
        build_report([toy_run], tmp_path)


def test_another_programs_run_json_is_no_run(toy_run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"of": "another program"}')
    assert replay(toy_run, "case-001", tmp_path / "out")[0].is_file()


def test_the_same_command_again_replaces_what_it_made(toy_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = {path: path.read_bytes() for path in replay(toy_run, "case-001", out)}
    (out / ".DS_Store").write_text("hidden files do not matter")
    (out / "notes.txt").write_text("kept")
    index = json.loads((out / "replay.json").read_text())
    assert index["files"] == sorted(path.name for path in first)
    (out / "step-99.png").write_text("of an earlier, longer episode")
    index["files"] += ["step-99.png", "notes.txt", "../precious.txt"]
    (out / "replay.json").write_text(json.dumps(index))
    (tmp_path / "precious.txt").write_text("x")
    second = {path: path.read_bytes() for path in replay(toy_run, "case-001", out)}
    assert first == second
    assert not (out / "step-99.png").exists()
    assert (out / "notes.txt").exists()
    assert (tmp_path / "precious.txt").exists()
    with pytest.raises(ConfigError, match="holds no report"):
        build_report([toy_run], out)


def test_what_was_interrupted_is_made_again(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("simclick.report.build.render_page", stopped)
        with pytest.raises(KeyboardInterrupt):
            build_report([toy_run], tmp_path)
    assert not (tmp_path / "index.html").exists()
    assert any(tmp_path.iterdir())
    assert build_report([toy_run], tmp_path).page.is_file()


def test_a_place_that_cannot_be_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        OwnFolder(tmp_path / ("x" * 300), "report.json", "report").check()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StoreError, match="cannot write"):
        OwnFolder(tmp_path / "loop" / "out", "report.json", "report").check()
