"""``agent.checkpoint=FILE`` over the four learned methods: whose weights they are, and files that are wrong.

The networks are reduced (fewer blocks and channels, the same classes); everything else is what a user runs.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")
pytest.importorskip("ritm_annotation", reason="ritm_annotation is not installed (extra ritm)")

from ritm_networks import SMALL as SMALL_RITM  # noqa: E402

from simclick import weights  # noqa: E402
from simclick.agent import AgentInfo  # noqa: E402
from simclick.baselines.checkpoints import unwrapped  # noqa: E402
from simclick.baselines.conversion import expected_state  # noqa: E402
from simclick.baselines.ritm.agent import Ritm  # noqa: E402
from simclick.baselines.ritm.networks import MODELS, check_network, official_network  # noqa: E402
from simclick.baselines.sam import med2d, medsam, official  # noqa: E402
from simclick.cli import main  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402

AGENTS: dict[str, Callable[..., Any]] = {
    "sam_vit_b": official.SamVitB,
    "medsam": medsam.MedSam,
    "sam_med2d": med2d.SamMed2d,
    "ritm": Ritm,
}
_SMALL = {"image_size": 128, "depth": 2, "channels": 48, "heads": 4, "global_blocks": (1,)}
_make = med2d.med2d_model


def small(adapters: bool = True) -> Any:
    torch.manual_seed(0)
    return _make(adapters, **_SMALL)


@pytest.fixture(autouse=True)
def reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(official, "sam_model", lambda size: small(adapters=False))
    monkeypatch.setattr(medsam, "sam_model", lambda size: small(adapters=False))
    monkeypatch.setattr(med2d, "med2d_model", small)
    monkeypatch.setitem(MODELS, "h18_itermask", SMALL_RITM)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def state_of(agent: str) -> dict[str, Any]:
    network = official_network("h18_itermask") if agent == "ritm" else small(agent == "sam_med2d")
    return dict(network.state_dict())


def whole(agent: str, state: Any, model: str = "h18_itermask") -> Any:
    """A file's content: RITM's has a configuration beside the state dict."""
    if agent != "ritm":
        return state
    config = dict(official_network(model)._config)
    config["class"] = "isegm.model.is_hrnet_model.HRNetModel"
    return {"state_dict": state, "config": config}


def made(agent: str, path: Path) -> AgentInfo:
    info = AGENTS[agent](checkpoint=str(path), device="cpu").info
    assert isinstance(info, AgentInfo)
    return info


@pytest.mark.parametrize("agent", AGENTS)
def test_only_official_bytes_carry_what_is_known_of_the_official_weights(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ritm_h18_itermask" if agent == "ritm" else agent
    file = tmp_path / "mine.pth"
    torch.save(whole(agent, state_of(agent)), file)
    mine = made(agent, file)
    assert mine.name == f"{agent}-own"
    assert mine.training_data == "not known: other weights than the official ones"
    assert mine.overlap == {}
    assert mine.licence.endswith("(code); of the weights not known")
    assert mine.source.startswith("other weights in the architecture of ")
    assert mine.weights_sha256 == weights.sha256_of(file)
    if agent == "sam_vit_b":
        known = replace(weights.CHECKPOINTS[name], sha256=weights.sha256_of(file))
        monkeypatch.setitem(weights.CHECKPOINTS, name, known)
    else:  # no official SHA-256 is known: the file that came from the official address counts
        cached = weights.cache_folder() / weights.CHECKPOINTS[name].file
        cached.parent.mkdir(parents=True)
        weights.write_record(cached, {"sha256": weights.sha256_of(file), "official": False})
    true = made(agent, file)
    assert true.name == agent
    assert true.overlap["phantoms"].startswith("none")
    assert "not known" not in true.training_data + true.licence + true.source
    assert true.digest != mine.digest
    random = AGENTS[agent](checkpoint="random", device="cpu").info
    assert (random.name, random.training_data, random.overlap) == (agent, "random weights", {})


def test_a_file_in_the_cache_that_is_not_the_official_one_is_not_run(tmp_path: Path) -> None:
    for name, words in (("sam_vit_b", "not the official one"), ("medsam", "not one recorded at a fetch")):
        cached = weights.cache_folder() / weights.CHECKPOINTS[name].file
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state_of(name), cached)
        with pytest.raises(ConfigError, match=f"is not the checkpoint {name}: SHA-256 .* is {words}"):
            AGENTS[name](device="cpu")


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("how", ["model", "state_dict", "both", "module."])
def test_common_wrappings_are_taken_off(agent: str, how: str, tmp_path: Path) -> None:
    state = state_of(agent)
    if how == "module.":
        state = {f"module.{key}": value for key, value in state.items()}
    content = whole(agent, state)
    if how == "both":
        content = {"state_dict": {"model": content}} if agent != "ritm" else {"model": content}
    elif how != "module." and agent != "ritm":
        content = {how: content, "epoch": 7}
    torch.save(content, tmp_path / "w.pth")
    mine = made(agent, tmp_path / "w.pth")
    assert mine.parameters == sum(value.numel() for value in _parameters(agent))


def _parameters(agent: str) -> Any:
    network = official_network("h18_itermask") if agent == "ritm" else small(agent == "sam_med2d")
    return network.parameters()


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("echo boom > canary",)


def wrong_state(agent: str, how: str) -> Any:
    """A state dict that is wrong in one entry."""
    state = state_of(agent)
    key = next(k for k, v in state.items() if v.ndim > 1)
    shape = state[key].shape
    odd: dict[str, Any] = {
        "another shape": torch.zeros(3),
        "sparse": torch.zeros(shape).to_sparse(),
        "complex": torch.zeros(shape, dtype=torch.complex64),
        "meta": torch.zeros(shape, device="meta"),
        "nan": torch.full(shape, torch.nan),
        "infinite": torch.full(shape, -torch.inf),
        "too large": torch.full(shape, 1e300, dtype=torch.float64),
        "whole numbers": torch.zeros(shape, dtype=torch.int32),
        "endless": torch.zeros(1).expand(1 << 40),
        "a number": 3,
    }
    if how == "quantised":
        state[key] = torch.quantize_per_tensor(torch.zeros(shape), 0.1, 0, torch.qint8)
    elif how in odd:
        state[key] = odd[how]
    elif how == "renamed key":
        state["renamed"] = state.pop(key)
    elif how == "key of two lines":
        state["two\nlines"] = torch.zeros(1)
    elif how == "key is a number":
        state[7] = torch.zeros(1)  # type: ignore[index]
    elif how == "all keys numbers":
        state = dict(enumerate(state.values()))  # type: ignore[arg-type]
    elif how == "empty":
        state = {}
    return state


def wrong_file(agent: str, how: str, path: Path) -> Path:
    content = whole(agent, wrong_state(agent, how))
    if how == "optimizer":
        content = {"model": content, "optimizer": Bomb()}
    elif how == "bomb":
        content = Bomb()
    elif how == "another wrapper":
        content = {"net": content, "epoch": 3}
    elif how == "two state dicts":
        content = {"model": content, "state_dict": state_of(agent)}
    elif how == "itself":
        content = {}
        content["model"] = content
    elif how == "another architecture":
        other = "sam_med2d" if agent != "sam_med2d" else "medsam"
        content = whole("ritm", {}, "h18s_itermask") if agent == "ritm" else state_of(other)
    torch.save(content, path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-5000])
    elif how == "text":
        path.write_text("hello")
    elif how == "a web page":
        path.write_text("<!DOCTYPE html><html>")
    elif how == "no bytes":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    elif how == "compressed":
        _compress(path)
    return path


def _compress(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


WRONG = {
    "another architecture": "does not (fit|hold)",
    "renamed key": "misses .*has unexpected renamed",
    "another shape": r"has other shapes: .* is \[3\], not \[",
    "endless": r"is \[1099511627776\], not \[",
    "key of two lines": "has unexpected two.lines",
    "key is a number": "the name 7 is no text but an int",
    "all keys numbers": "the name 0 is no text but an int",
    "sparse": "is stored as sparse_coo; save plain dense tensors",
    "complex": "is complex; save plain dense tensors",
    "quantised": "is quantised; save plain dense tensors",
    "meta": r"is without numbers \(device meta\)",
    "nan": "has numbers that are not finite in",
    "infinite": "has numbers that are not finite in",
    "too large": "has numbers that are not finite in",
    "whole numbers": "other kinds of number: .* is int32, not float32",
    "a number": "not every value is a tensor, .* is an int",
    "empty": "holds an empty state dict",
    "optimizer": r"holds Python objects beside tensors \((posix|nt).system\), which are never loaded",
    "bomb": r"holds Python objects beside tensors \((posix|nt).system\), which are never loaded",
    "another wrapper": "not every value is a tensor, net is a dict",
    "two state dicts": "two state dicts, under model and under state_dict",
    "itself": "not every value is a tensor, model is a dict",
    "truncated": "is truncated, or a damaged archive",
    "text": "truncated, damaged or of another kind",
    "a web page": "is a web page, not the checkpoint",
    "no bytes": "truncated, damaged or of another kind",
    "compressed": "a compressed archive",
    "missing": "no such checkpoint",
}
ALL_AGENTS = (
    "another architecture",
    "renamed key",
    "key is a number",
    "nan",
    "optimizer",
    "bomb",
    "truncated",
)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("agent", "how"),
    [("medsam", how) for how in WRONG]
    + [(agent, how) for how in ALL_AGENTS for agent in AGENTS if agent != "medsam"],
)
def test_a_wrong_file_is_one_line_and_runs_nothing(
    agent: str, how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = wrong_file(agent, how, tmp_path / "w.pth")
    protocol = "box-noise-v1" if agent == "medsam" else "noc-v1"
    words = [f"agent={agent}", f"agent.checkpoint={file}", "dataset=phantoms", f"protocol={protocol}"]
    capfd.readouterr()
    assert main(["run", *words, "dataset.limit=1", "out=runs/x"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("simclick: error: ")
    assert "w.pth" in line
    assert len(line) < 4000
    assert re.search(WRONG[how], line), line
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "runs").exists()


def test_the_bomb_of_these_tests_is_live(tmp_path: Path) -> None:
    torch.load(wrong_file("medsam", "bomb", tmp_path / "w.pth"), weights_only=False)
    assert (tmp_path / "canary").exists()


def test_the_network_in_a_ritm_file_must_be_the_one_that_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    state = official_network("h18_baseline").state_dict()
    torch.save(whole("ritm", state, "h18_baseline"), file)
    with pytest.raises(ConfigError, match=r"with_prev_mask=False: say agent.model=h18_baseline or own"):
        Ritm("sbd_h18_itermask", checkpoint=str(file), device="cpu")
    own = Ritm("own", checkpoint=str(file), device="cpu").info
    assert own.name == "ritm-own"
    assert own.settings["model"] == "own"
    assert not own.overlap
    with pytest.raises(ConfigError, match=r"agent.model=own needs agent.checkpoint=FILE"):
        Ritm("own", device="cpu")


@pytest.mark.parametrize(
    "content", [[1], {}, {"config": 3}, {"config": {"class": 1}}, {"config": {"class": "A", "params": 3}}]
)
def test_a_configuration_that_cannot_be_read_is_left_to_the_loader(content: Any) -> None:
    check_network(content, "h18_itermask", Path("w.pth"))


def test_another_class_of_network_is_named() -> None:
    content = {"config": {"class": "isegm.model.is_deeplab_model.DeeplabModel", "params": {}}}
    with pytest.raises(ConfigError, match="but a DeeplabModel with width=48"):
        check_network(content, "h18_baseline", Path("w.pth"))


def test_plain_subclasses_alone_count_as_tensors() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    assert list(unwrapped({"a": parameter}, Path("w.pth"))) == ["a"]

    class Odd(torch.Tensor):
        pass

    with pytest.raises(ConfigError, match=r"a is (a|an) Odd"):
        unwrapped({"a": torch.ones(2).as_subclass(Odd)}, Path("w.pth"))


def test_every_registered_architecture_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names in the registry are right; made without memory, as an import makes them."""
    monkeypatch.undo()  # at their official sizes
    counts = {"sam_vit_b": 314, "medsam": 314, "sam_vit_l": 482, "sam_vit_h": 594, "sam_med2d": 386}
    for name, checkpoint in weights.CHECKPOINTS.items():
        assert checkpoint.architecture is not None, name
        state = expected_state(json.dumps(asdict(checkpoint.architecture)))
        assert all(value.device.type == "meta" for value in state.values())
        assert len(state) == counts.get(name, 929 if name == "ritm_h18s_itermask" else 1895), name
