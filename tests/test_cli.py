"""The program, as a person meets it: exit codes, one-line errors, nothing half-written."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from simclick import cli


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def images(folder: Path, n: int = 3) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(n):
        mask = np.zeros((40, 50), np.uint8)
        mask[10 : 25 + i, 12:30] = 255
        cv2.imwrite(str(folder / "images" / f"p{i}.png"), mask // 2 + 40)
        cv2.imwrite(str(folder / "masks" / f"p{i}.png"), mask)
    return folder


SMALL = ("dataset=phantoms", "dataset.limit=3", "protocol.budget=2", "--quiet")


def test_a_run_prints_its_table_and_exits_zero(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", "agent=disc", *SMALL, "out=one")
    assert (code, err) == (0, "")
    assert "disc" in out
    assert "noc-v1+" in out
    assert "Dice to reach" in out
    assert (here / "one" / "manifest.json").is_file()


def test_json_for_machines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", "agent=disc", *SMALL, "out=one", "--json")
    assert code == 0
    assert json.loads(out) | {"run": "one", "episodes": 3, "failed": 0, "seed": 0} == json.loads(out)


def test_words_and_options_mix_in_any_order(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", "--quiet", "agent=disc", "--json", *SMALL[:3])
    assert code == 0
    assert Path(json.loads(out)["run"]).as_posix() == "runs/disc-phantoms-noc-v1+"


def test_a_sweep_runs_every_combination(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run(capsys, "run", "-m", "agent=disc,empty", *SMALL, "out=all")
    assert code == 0
    assert sorted(p.name for p in (here / "all").iterdir()) == [
        "disc-phantoms-noc-v1+",
        "empty-phantoms-noc-v1+",
    ]


def test_a_sweep_over_any_key_keeps_its_runs_apart(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", "-m", "agent=disc", *SMALL, "agent.radius=0.1,0.2", "out=all")
    assert (code, err) == (0, "")
    names = ["disc-phantoms-noc-v1+,agent.radius=0.1", "disc-phantoms-noc-v1+,agent.radius=0.2"]
    assert sorted(p.name for p in (here / "all").iterdir()) == names
    assert [p.name for p in here.iterdir()] == ["all"]


@pytest.mark.parametrize("words", [("agent=disc,nonsense",), ("agent=disc,grabcut", "agent.radius=0.3")])
def test_a_wrong_sweep_runs_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, "run", "-m", *words, *SMALL, "out=all")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert list(here.iterdir()) == []


def test_a_report_does_not_go_into_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "run", "agent=disc", *SMALL, "out=one")
    code, _, err = run(capsys, "report", "one", "--out", "one")
    assert code == 2
    assert "is a run directory" in err


def test_failed_episodes_exit_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "failing_agent_module.py").write_text(
        "from simclick.agent import AgentInfo, SimpleAgent\n"
        "class A(SimpleAgent):\n"
        "    info = AgentInfo(name='a')\n"
        "    def segment(self, image, request):\n"
        "        raise RuntimeError('no')\n"
    )
    code, _, err = run(capsys, "run", "agent=custom", "agent.target=failing_agent_module:A", *SMALL, "out=x")
    assert code == 1
    assert "3 of 3 episodes failed" in err


def test_parameters_reach_a_users_class(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "param_agent_module.py").write_text(
        "import numpy as np\nfrom simclick.agent import AgentInfo, SimpleAgent\n"
        "class A(SimpleAgent):\n"
        "    def __init__(self, fill):\n"
        "        self.fill = fill\n"
        "        self.info = AgentInfo(name='a', settings={'fill': fill})\n"
        "    def segment(self, image, request):\n"
        "        return np.full(request.size, self.fill)\n"
    )
    words = ("agent=custom", "agent.target=param_agent_module:A", *SMALL)
    assert run(capsys, "run", *words, "agent.params.fill=true", "out=x")[0] == 0
    code, _, err = run(capsys, "run", *words, "out=y")
    assert code == 2
    assert "fill" in err


WRONG = {
    "unknown agent": (("agent=grabcat",), "did you mean 'grabcut'"),
    "unknown dataset": (("dataset=phantom",), "did you mean 'phantoms'"),
    "unknown protocol": (("protocol=noc-v9",), "did you mean 'noc-v1'"),
    "unknown engine": (("engine=slurm",), "local"),
    "misspelt key": (("protocol.budgett=5",), "did you mean 'protocol.budget'"),
    "misspelt top key": (("sed=5",), "did you mean 'seed'"),
    "misspelt agent key": (("agent.iteration=5",), "agent.iterations"),
    "no key": (("grabcut",), "key=value"),
    "negative budget": (("protocol.budget=-1",), "budget=-1"),
    "budget of words": (("protocol.budget=many",), "whole number"),
    "no levels": (("protocol.levels=3",), "must be a list"),
    "level without noise": (("protocol.levels=[0,3]",), "needs a noise"),
    "unknown annotator": (("protocol.annotator=centre-click",), "center-click"),
    "unknown noise": (("protocol.noise=gauss", "protocol.levels=[0,3]"), "gaussian-click"),
    "bad annotator option": (("protocol.annotator_options.radius=3",), "protocol.annotator"),
    "budget true": (("protocol.budget=true",), "whole number"),
    "a click that costs nothing": (("protocol.costs.click=0",), "costs.click=0"),
    "zero workers": (("engine.workers=0",), "≥ 1"),
    "bad limit": (("dataset.limit=0",), "≥ 1"),
    "bad seed": (("seed=x",), "whole number"),
    "bad flag": (("save_masks=perhaps",), "true or false"),
    "sweep without -m": (("agent=disc,empty",), "add -m"),
    "missing root": (("dataset=folder",), "dataset.root=FOLDER"),
    "no such root": (("dataset=folder", "dataset.root=nowhere"), "nowhere"),
    "module that does not exist": (("agent=custom", "agent.target=no_such_mod:A"), "no_such_mod"),
    "no target": (("agent=custom",), "agent.target"),
    "target without colon": (("agent=custom", "agent.target=os"), "module:attribute"),
    "target that is no agent": (("agent=custom", "agent.target=collections:OrderedDict"), "Agent"),
    "cuda for a classical agent": (("agent.device=cuda",), "cuda"),
    "unknown device": (("agent.device=gpu",), "gpu"),
    "protocol renamed": (("protocol.id=mine",), "protocol.id"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_get_one_line_and_exit_two(
    here: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words, expected = WRONG[case]
    code, out, err = run(capsys, "run", "dataset.limit=2", *words, "out=result")
    assert code == 2
    assert out == ""
    assert err.startswith("simclick: error: ")
    assert len(err.strip().splitlines()) == 1, err
    assert expected in err
    assert list(here.iterdir()) == []


def bad_files(here: Path, case: str) -> tuple[list[str], str]:
    folder = images(here / "data")
    words = ["dataset=folder", f"dataset.root={folder}"]
    if case == "mask of another size":
        cv2.imwrite(str(folder / "masks" / "p1.png"), np.full((9, 9), 255, np.uint8))
        return words, "p1"
    if case == "truncated image":
        file = folder / "images" / "p1.png"
        file.write_bytes(file.read_bytes()[:-30])
        return words, "p1.png"
    if case == "missing mask":
        (folder / "masks" / "p1.png").unlink()
        return words, "p1"
    (folder / "file").write_text("x")
    return [*words, f"out={folder / 'file' / 'run'}"], "is a file"


@pytest.mark.parametrize("case", ["mask of another size", "truncated image", "missing mask", "unwritable"])
def test_bad_files_get_one_line_and_exit_two(
    here: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words, expected = bad_files(here, case)
    if case != "unwritable":
        words.append("out=result")
    code, out, err = run(capsys, "run", "agent=disc", *words, "--quiet")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert expected in err
    assert [p.name for p in here.iterdir()] == ["data"]


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return Path.write_text, (Path("canary"), "boom")  # type: ignore[return-value]


@pytest.mark.parametrize("case", ["missing", "text", "pickle"])
def test_wrong_checkpoints_get_one_line_and_run_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    pytest.importorskip("segment_anything")
    file = here / "weights.pth"
    if case == "text":
        file.write_text("not weights")
    elif case == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    code, out, err = run(capsys, "run", "agent=sam_vit_b", f"agent.checkpoint={file}", *SMALL, "out=result")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert "weights.pth" in err
    assert not (here / "canary").exists()
    assert not (here / "result").exists()


def test_debug_shows_the_traceback(here: Path) -> None:
    with pytest.raises(Exception, match="grabcat"):
        cli.main(["run", "agent=grabcat", "--debug"])


def test_a_path_may_hold_any_character(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = images(here / "it's (a, strange) = folder")
    words = ("dataset=folder", f"dataset.root={folder}", "protocol.budget=1", "--quiet", "--json")
    code, out, err = run(capsys, "run", "agent=disc", *words, "out=a b,c")
    assert (code, err) == (0, "")
    assert json.loads(out)["episodes"] == 3
    assert (here / "a b,c" / "run.json").is_file()


@pytest.mark.parametrize("value", [r"^(p\d)", "a\\", "it's", "\\'", "a,b (c) [d]{e}: =", r"\\server\x y"])
def test_literal_values_reach_the_run_unchanged(value: str) -> None:
    from simclick.config import compose_run

    words = ["dataset=folder", f"dataset.root={value}", f"dataset.group={value}", f"out={value}"]
    spec = compose_run(words)
    assert spec.dataset.options["root"] == spec.dataset.options["group"] == value
    assert str(spec.out) == str(Path(value))


def test_words_may_stand_on_both_sides_of_an_option(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "train", "pocket-sam", "--quiet", "foo=1")
    assert (code, "unknown key 'foo'" in err) == (2, True), err
    code, _, err = run(capsys, "list", "--json", "agents", "more")
    assert (code, err) == (2, "simclick: error: unknown argument 'more'\n")


def test_unknown_arguments_suggest_the_nearest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", "agent=disc", "--quite")
    assert code == 2
    assert "did you mean '--quiet'" in err
    code, _, err = run(capsys, "check", "agent:disc", "--json")
    assert (code, err) == (2, "simclick: error: unknown argument '--json'\n")
    code, _, err = run(capsys, "rn")
    assert code == 2
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["agents", "annotators", "noises", "datasets", "protocols"])
def test_list(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    code, out, _ = run(capsys, "list", kind, "--json")
    assert code == 0
    assert {row["ready"] for row in json.loads(out)}
    assert run(capsys, "list", kind)[0] == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from simclick.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'pandas', 'hydra', 'torch', 'cv2', 'gymnasium') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"


def test_report_and_replay(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "run", "agent=disc", *SMALL, "out=one", "save_masks=true")
    code, out, _ = run(capsys, "report", "one", "--out", "page")
    assert code == 0
    assert Path(out.strip()).is_file()
    cases = (here / "one" / "cases.parquet").is_file()
    assert cases
    code, _, err = run(capsys, "replay", "one", "--case", "no-such-case")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    code, _, err = run(capsys, "report", "nowhere", "--out", "page2")
    assert code == 2
    assert "no run directory" in err
    assert not (here / "page2").exists()


def test_replay_takes_level_and_repeat(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = ("dataset=phantoms", "dataset.limit=1", "protocol=click-noise-v1", "protocol.repeats=2")
    run(capsys, "run", "agent=disc", *noisy, "protocol.budget=1", "out=one", "--quiet", "--json")
    (case,) = pq.read_table(here / "one" / "cases.parquet")["case_id"].to_pylist()
    code, out, _ = run(
        capsys, "replay", "one", "--case", case, "--level", "20", "--repeat", "1", "--out", "a"
    )
    assert code == 0
    assert {Path(line).name for line in out.split()} >= {"step-01.png", "episode.gif"}
    run(capsys, "replay", "one", "--case", case, "--level", "20", "--out", "b")
    assert (here / "a" / "step-01.png").read_bytes() != (here / "b" / "step-01.png").read_bytes()
    for words, said in (
        (("--level", "3"), "no level 3 in one (choices: 0, 2, 5, 10, 20, 30)"),
        (("--level", "5", "--repeat", "2"), "no repeat 2 at level 5 in one (choices: 0 to 1)"),
        (("--level", "much"), "argument --level: invalid float value: 'much'"),
    ):
        code, out, err = run(capsys, "replay", "one", "--case", case, *words, "--out", "c")
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
        assert said in err
        assert not (here / "c").exists()
