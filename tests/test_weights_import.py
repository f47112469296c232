"""Importing a pickled checkpoint: the tensors come out, nothing in the file runs."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")

from safetensors.torch import load_file  # noqa: E402

from simclick import weights  # noqa: E402
from simclick.baselines.conversion import read_tensors  # noqa: E402
from simclick.checkpoints import Architecture, Checkpoint  # noqa: E402
from simclick.cli import main  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.weights_import import import_checkpoint  # noqa: E402
from simclick.weights_proof import verify  # noqa: E402


class Bomb:
    """Writes a file when it is unpickled the usual way, in three manners."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"echo boom > '{self.canary}'",)


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 3)
    return {f"module.{key}": value for key, value in layer.state_dict().items()}


def checkpoint(folder: Path, legacy: bool = False) -> Path:
    """As SAM-Med2D's: a state dict beside a pickled optimizer; and beside a bomb."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = folder / "net.pth"
    content = {"model": state(), "optimizer": optimizer, "bomb": Bomb(folder / "canary")}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    layer = Architecture("torch.nn:Conv2d", {"in_channels": 3, "out_channels": 4, "kernel_size": 3}, "sam")
    none = Architecture("absent_package:make", {}, "sam")
    for name, pickled, network in (("net", True, layer), ("plain", False, layer), ("lacking", False, none)):
        made = Checkpoint(
            f"{name}.pth", "https://x", None, None, "ours", pickled=pickled, architecture=network
        )
        monkeypatch.setitem(weights.CHECKPOINTS, name, made)
    return tmp_path / "cache" / "checkpoints"


def test_the_bomb_of_these_tests_is_live(tmp_path: Path) -> None:
    checkpoint(tmp_path)
    torch.load(tmp_path / "net.pth", weights_only=False)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_the_reader_takes_tensors_and_runs_nothing(tmp_path: Path, legacy: bool) -> None:
    path = checkpoint(tmp_path, legacy)
    tensors, inert = read_tensors(path)
    assert set(tensors) == {"weight", "bias"}
    assert any(name.endswith("Adam") for name in inert)
    assert any(name in {"posix.system", "nt.system"} for name in inert)
    assert not (tmp_path / "canary").exists()
    expected = state()
    for key, tensor in tensors.items():
        assert torch.equal(tensor, expected[f"module.{key}"])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("open('canary', 'w')",)),
        (exec, ("open('canary', 'w')",)),
        (__import__, ("antigravity",)),
        (getattr, (os, "system")),
        (torch.load, ("inner.pth",)),
        (torch.hub.load, ("owner/evil", "entry")),
        (Path.touch, (Path("canary"),)),
    ],
)
def test_whatever_a_file_names_stays_inert(tmp_path: Path, function: Any, arguments: Any) -> None:
    class Call:
        def __reduce__(self) -> Any:
            return function, arguments

    if function is getattr:  # a module cannot be pickled: name it
        payload = b"cbuiltins\ngetattr\n(cos\nsystem\nS'__call__'\ntR(S'touch canary'\ntR."
        (tmp_path / "raw.pkl").write_bytes(payload)
        with pytest.raises(Exception):  # noqa: B017  (no state dict comes out of it, in whatever way)
            read_tensors(tmp_path / "raw.pkl")
    else:
        torch.save({"model": {"a": torch.ones(2)}, "x": Call()}, tmp_path / "w.pth")
        tensors, inert = read_tensors(tmp_path / "w.pth")
        assert list(tensors) == ["a"]
        assert inert
    assert not (tmp_path / "canary").exists()


def test_the_command_warns_asks_and_converts(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path)
    assert main(["weights", "import", "net", str(path)]) == 2  # not asked here: no terminal
    shown = capsys.readouterr().err
    assert "WARNING" in shown
    assert "add --yes" in shown
    assert not cache.exists()
    assert main(["weights", "import", "net", str(path), "--yes"]) == 0
    out, err = capsys.readouterr()
    made = cache / "net.safetensors"
    assert out.strip() == str(made)
    assert "2 tensors" in err
    assert "left out, not executed" in err
    assert not (tmp_path / "canary").exists()
    assert set(load_file(made)) == {"weight", "bias"}
    assert weights.located("net") == made
    record = json.loads((cache / "net.safetensors.json").read_text())
    assert record["sha256"] == weights.sha256_of(made)
    assert record["source_sha256"] == weights.sha256_of(path)
    (verdict,) = verify("net")
    assert verdict.right
    assert "as first imported" in verdict.words
    assert leftovers(cache) == []
    made.write_bytes(made.read_bytes() + b" ")
    assert main(["weights", "verify", "net"]) == 1
    assert "CHANGED" in capsys.readouterr().out
    # Another file under the same name is refused, before it is read, until one says so.
    torch.save({key: value + 1 for key, value in state().items()}, path)
    assert main(["weights", "import", "net", str(path), "--yes"]) == 2
    assert "is not the file that came as net before" in capsys.readouterr().err
    assert json.loads((cache / "net.safetensors.json").read_text()) == record
    assert main(["weights", "import", "net", str(path), "--yes", "--replace"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(made)
    assert f"replaced SHA-256 {record['source_sha256'][:16]}" in err
    assert torch.equal(load_file(made)["bias"], state()["module.bias"] + 1)
    assert verify("net")[0].right


def leftovers(cache: Path) -> list[str]:
    return [file.name for file in cache.iterdir() if file.name.startswith(".") and file.suffix != ".lock"]


def test_a_plain_file_is_copied_and_one_of_another_network_is_refused(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(state(), file)
    made = import_checkpoint("plain", file)
    assert made.path == cache / "plain.pth"
    assert made.path.read_bytes() == file.read_bytes()
    assert made.sha256 == weights.sha256_of(file)
    assert weights.located("plain") == made.path
    made.path.with_name("plain.pth.json").unlink()  # as if it had been put there: imported from where it is
    assert str(weights.missing_reason("plain")).endswith(f"simclick weights import plain {made.path}")
    assert import_checkpoint("plain", made.path).path == made.path
    assert weights.missing_reason("plain") is None
    torch.save({"weight": state()["module.weight"], "bais": torch.zeros(4)}, file)
    with pytest.raises(
        ConfigError, match=r"no checkpoint of this network: it misses bias; has unexpected bais"
    ):
        import_checkpoint("plain", file, replace=True)
    assert leftovers(cache) == []
    assert verify("plain")[0].right


def test_an_architecture_that_cannot_be_made_here_says_what_to_install(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"needs absent_package: pip install 'simclick\[sam\]'"):
        import_checkpoint("lacking", tmp_path / "w.pth")


def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    with pytest.raises(ConfigError, match="was not imported") as caught:
        import_checkpoint("net", file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()
    assert leftovers(cache) == []
    assert not (cache / "net.safetensors").exists()


def test_a_known_sha256_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"is not sam_vit_b_01ec64\.pth: SHA-256"):
        import_checkpoint("sam_vit_b", tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="no such file"):
        import_checkpoint("sam_vit_b", tmp_path / "none.pth")
    with pytest.raises(ConfigError, match="unknown checkpoint 'sam'"):
        import_checkpoint("sam", tmp_path / "w.pth")


class Script(torch.nn.Module):
    def __init__(self, victim: str) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.victim = victim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.victim, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        torch.save(torch.ones(3), state[0])
        self.victim = state[0]
        self.training = state[1]
        self.weight = torch.ones(3)


def test_a_torchscript_archive_is_refused_before_its_program_runs(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    file = tmp_path / "script.pth"
    try:
        torch.jit.script(Script(str(victim))).save(str(file))
    except Exception:  # the language that TorchScript takes changes between releases
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(file))
    victim.write_text("precious")
    with pytest.raises(ConfigError, match="TorchScript"):
        read_tensors(file)
    assert victim.read_text() == "precious"


def test_archives_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    import zipfile

    file = tmp_path / "odd.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"x")
        archive.writestr("b/data.pkl", b"x")
    with pytest.raises(ConfigError, match="not tensors"):
        read_tensors(file)
    file.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ConfigError, match="damaged archive"):
        read_tensors(file)
