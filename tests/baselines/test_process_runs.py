"""Whole runs with a method in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)

import cv2
from process_methods import GOOD

from simclick import cli
from simclick.commands.agent_template import EXAMPLE, helper


def _episodes(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "episodes")


def test_a_run_goes_on_past_a_crash_and_keeps_the_log(
    method: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = method.command(
        """
        class Moody(Method):
            name = "moody"
            def encode(self, image):
                return int(image[0, 0, 0])
            def segment(self, request):
                if request.features % 3 == 1:
                    print("this one is too hard", file=sys.stderr, flush=True)
                    os._exit(4)
                return np.ones(request.size, bool)
        serve(Moody)
        """
    )
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(5):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 8 : 20 + i] = 255
        cv2.imwrite(str(tmp_path / "images" / f"p{i}.png"), mask // 2 + i)
        cv2.imwrite(str(tmp_path / "masks" / f"p{i}.png"), mask)
    words_ = ["run", "agent=process", f"agent.command={command}", f"out={tmp_path / 'run'}"]
    data = ["dataset=folder", f"dataset.root={tmp_path}", "protocol.budget=2", "--quiet"]
    code = cli.main([*words_, *data])
    episodes = _episodes(tmp_path / "run")
    failed = episodes[episodes.status == "failed"]
    assert code == 1
    assert list(failed.case_id) == ["p1", "p4"]
    assert len(episodes) == 5
    assert set(failed.error) == {
        "predict: the method ended with code 4; its last words: this one is too hard"
    }
    assert (episodes.agent == "moody").all()
    (log,) = (tmp_path / "run" / "logs").iterdir()
    assert log.read_text().splitlines().count("this one is too hard") == 2
    assert (tmp_path / "run" / "manifest.json").is_file()
    capsys.readouterr()


@pytest.mark.slow
def test_rows_do_not_depend_on_workers(method: Any, tmp_path: Path) -> None:
    command = method.command(GOOD)
    tables = []
    for workers in (1, 2):
        run = tmp_path / f"run{workers}"
        words_ = [
            "run",
            "agent=process",
            f"agent.command={command}",
            f"out={run}",
            f"engine.workers={workers}",
        ]
        assert cli.main([*words_, "dataset.limit=5", "protocol.budget=3", "--quiet"]) == 0
        steps = pd.read_parquet(run / "steps").sort_values(["case_id", "step"], ignore_index=True)
        tables.append(steps[["case_id", "step", "dice", "mask_sha256"]])
        assert len(list((run / "logs").iterdir())) == workers
    pd.testing.assert_frame_equal(*tables)


def test_the_example_that_the_program_writes_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert cli.main(["agent-template", "--out", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "my_method.py").read_text() == EXAMPLE
    monkeypatch.chdir(tmp_path / "mine")
    assert cli.main(["check", "process", "command=python my_method.py"]) == 0
    assert "agent discs: keeps its contract" in capsys.readouterr().out
    assert cli.main(["agent-template", "--out", str(tmp_path / "mine")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["agent-template"]) == 0
    assert capsys.readouterr().out == helper()


def test_adapters_are_written_with_what_they_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["agent-template", "--recipe", "focalclick", "--out", str(tmp_path)]) == 0
    names = ["focalclick.py", "simclick_method.py", "simpleclick.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert cli.main(["agent-template", "--recipe", "focalclick"]) == 2
    assert "say where with --out" in capsys.readouterr().err


def test_the_helper_started_by_hand_says_how_it_is_meant(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    command = method.command(GOOD).split()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "simclick run agent=process" in result.stderr
