"""`simclick run`: what it says of the data, JSON of a sweep, keys that would have no effect."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from simclick import cli


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for i in range(3):
        mask = np.zeros((40, 50), np.uint8)
        mask[10:25, 12:30] = 255
        cv2.imwrite(f"data/images/p{i}.png", mask // 2 + 40)
        cv2.imwrite(f"data/masks/p{i}.png", mask)
    return tmp_path


WORDS = ("run", "agent=disc", "dataset=folder", "dataset.root=data", "protocol.budget=2", "--quiet")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_cases_that_were_left_out_are_mentioned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("data/masks/p1.png", np.zeros((40, 50), np.uint8))
    code, _, err = run(capsys, *WORDS, "out=empty")
    assert code == 0
    assert err.startswith("simclick: 1 left out beside 2 cases: masks/p1.png: the mask is empty")
    (here / "data" / "images" / "p2.png").write_text("damaged")
    code, _, err = run(capsys, *WORDS, "out=bad", "dataset.skip_invalid=true")
    assert code == 0
    assert err.startswith("simclick: 2 left out beside 1 case: ")
    assert err.count("\n") == 1
    code, out, err = run(capsys, *WORDS, "out=bad", "dataset.skip_invalid=true", "--json")
    assert (code, err, json.loads(out)["left_out"]) == (0, "", 2)


def test_masks_merged_into_one_object_give_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros((40, 50), np.uint8)
    labels[5:20, 5:20], labels[22:35, 22:40] = 1, 2
    cv2.imwrite("data/masks/p1.png", labels)
    code, _, err = run(capsys, *WORDS, "out=one")
    assert code == 0
    assert err.startswith("simclick: 1 mask file with several values or colours, read as one object")
    assert err.count("\n") == 1
    code, out, _ = run(capsys, *WORDS, "out=one", "--json")
    assert len(json.loads(out)["hints"]) == 1
    code, _, err = run(capsys, *WORDS, "dataset.targets=value", "out=two")
    assert (code, err) == (0, "")


def test_what_an_agent_prints_is_no_json(here: Path) -> None:
    (here / "chatty.py").write_text(
        "import os\nimport numpy as np\nfrom simclick.agent import AgentInfo, SimpleAgent\n"
        "class Chatty(SimpleAgent):\n    info = AgentInfo('chatty')\n"
        "    def segment(self, image, request):\n        print('hello'); os.system('echo there')\n"
        "        return np.zeros(request.size, bool)\n"
    )
    program = "import sys; from simclick import cli; sys.exit(cli.main(sys.argv[1:]))"
    for workers in ("1", "2"):
        words = [*WORDS[:1], "agent=custom", "agent.target=chatty:Chatty", *WORDS[2:], "--json"]
        words += [f"out=w{workers}", f"engine.workers={workers}"]
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout)["episodes"] == 3
        assert "hello" in done.stderr
        assert "there" in done.stderr


def test_a_sweep_gives_one_json_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *WORDS, "-m", "seed=0,1", "out=runs", "--json")
    assert code == 0
    assert [row["seed"] for row in json.loads(out)] == [0, 1]


def test_a_run_of_a_sweep_that_cannot_be_is_told_in_the_list(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "runs").mkdir()
    (here / "runs" / "disc-folder-noc-v1+,seed=0").write_text("a file")
    code, out, err = run(capsys, *WORDS, "-m", "seed=0,1", "out=runs", "--json")
    first, second = json.loads(out)
    assert code == 2
    assert "is a file" in first["error"]
    assert "is a file" in err
    assert second["seed"] == 1


@pytest.mark.parametrize("word", ["hydra.run.dir=elsewhere", "hydra/launcher=basic", "+hydra.verbose=true"])
def test_keys_of_hydra_are_refused(here: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    code, out, err = run(capsys, *WORDS, word, "out=one")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "have no effect here; out=DIR" in err
    assert not (here / "one").exists()


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "rnu")
    assert (code, err.count("\n")) == (2, 1)
    assert "unknown command 'rnu'; did you mean 'run'?" in err


def test_an_error_of_the_system_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr("simclick.harness.run.execute", refuse)
    code, out, err = run(capsys, *WORDS, "out=one")
    assert (code, out) == (2, "")
    assert err == "simclick: error: some/file: Permission denied (--debug shows where)\n"
    with pytest.raises(PermissionError):
        cli.main([*WORDS, "out=one", "--debug"])


def test_an_import_of_a_file_that_is_not_there_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "weights", "import", "sam_vit_b", "no-such-file")
    assert (code, out, err) == (2, "", "simclick: error: no such file: no-such-file\n")
