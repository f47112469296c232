"""RITM through torch.hub: loading, refusing, conformance."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra ritm)")
pytest.importorskip("ritm_annotation", reason="ritm_annotation is not installed (extra ritm)")

from ritm_networks import images, network, save  # noqa: E402

from simclick.agent import AgentInfo  # noqa: E402
from simclick.baselines.ritm.agent import MODELS, Ritm, RitmAgent, hub_folder, load_by_hub  # noqa: E402
from simclick.baselines.ritm.zoom import ZoomOptions  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.testing import check_agent, sample_cases  # noqa: E402
from simclick.weights import CHECKPOINTS  # noqa: E402
from support import make_case  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty hub folder."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub"
    torch.hub.set_dir(before)


def same(a: Any, b: Any) -> bool:
    other = b.state_dict()
    return all(torch.equal(tensor, other[key]) for key, tensor in a.state_dict().items())


@pytest.mark.parametrize("package", ["isegm", "ritm_annotation"])
def test_torch_hub_loads_a_checkpoint_from_a_folder(tmp_path: Path, package: str) -> None:
    source = network()
    path = save(source, tmp_path / "w.pth", package)
    for folder in (None, str(hub_folder()), str(ROOT)):
        made = load_by_hub(folder, path, "cpu", strict=True)
        assert same(source, made)
        assert not made.training
        assert not any(p.requires_grad for p in made.parameters())


def test_torch_hub_loads_from_its_cache_and_fetches_nothing(tmp_path: Path, hub: Path) -> None:
    source = network()
    path = save(source, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="not in torch's hub folder; clone it to"):
        load_by_hub("owner/simclick:main", path, "cpu", strict=True)
    with pytest.raises(ConfigError, match="not of the form OWNER/REPOSITORY:REF"):
        load_by_hub("somewhere", path, "cpu", strict=True)
    clone = hub / "owner_simclick_main"
    (clone / "baselines/ritm").mkdir(parents=True)
    shutil.copy(ROOT / "hubconf.py", clone)
    shutil.copytree(ROOT / "baselines/ritm/hub", clone / "baselines/ritm/hub")
    assert same(source, load_by_hub("owner/simclick:main", path, "cpu", strict=True))


def test_the_entry_point_imports_nothing_of_this_project() -> None:
    imported = set()
    for node in ast.walk(ast.parse((hub_folder() / "hubconf.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported == {
        *("__future__", "hashlib", "importlib", "pathlib", "re", "typing"),
        *("torch", "ritm_annotation"),
    }


def test_an_address_needs_the_whole_sha256(tmp_path: Path, hub: Path) -> None:
    path = save(network(), tmp_path / "w.pth")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    call = {"repo_or_dir": str(hub_folder()), "model": "ritm", "source": "local"}
    with pytest.raises(ValueError, match="all 64 digits"):
        torch.hub.load(**call, checkpoint=path.as_uri())
    with pytest.raises(ValueError, match="refused"):
        torch.hub.load(**call, checkpoint="http://127.0.0.1:9/w.pth", sha256=right)
    with pytest.raises(ValueError, match="all 64 digits"):
        torch.hub.load(**call, checkpoint=path.as_uri(), sha256=right[:8])
    with pytest.raises(ValueError, match="invalid hash"):
        torch.hub.load(**call, checkpoint=path.as_uri(), sha256="0" * 64)
    made = torch.hub.load(**call, checkpoint=path.as_uri(), sha256=right)
    assert same(network(), made)
    assert (hub / "checkpoints" / "w.pth").is_file()
    (hub / "checkpoints" / "w.pth").write_bytes(b"changed")
    with pytest.raises(ValueError, match="SHA-256 is"):
        torch.hub.load(**call, checkpoint=path.as_uri(), sha256=right)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.write_text, (Path("canary"), "boom")


def broken(folder: Path, how: str) -> Path:
    path = save(network(), folder / "w.pth")
    content = torch.load(path, weights_only=True)
    state, config = content["state_dict"], content["config"]
    first = next(iter(state))
    if how == "renamed":
        state["other.key"] = state.pop(first)
    elif how == "shape":
        state[first] = torch.zeros(3)
    elif how == "bomb":
        content["optimizer"] = Bomb()
    elif how == "config bomb":
        config["class"] = "subprocess.Popen"
        config["params"] = {"args": {"type": "builtin", "value": ["touch", "canary"], "specified": True}}
    elif how == "layer bomb":
        config["params"]["norm_layer"] = {"type": "class", "value": "os.system", "specified": True}
    elif how == "number as key":
        state[7] = torch.zeros(1)
    elif how == "nan":
        state[first] = torch.full_like(state[first], torch.nan)
    elif how == "sparse":
        state[first] = state[first].to_sparse()
    elif how == "whole numbers":
        state[first] = state[first].to(torch.int32)
    elif how == "no config":
        del content["config"]
    elif how == "odd config":
        config["params"]["width"] = 7
    elif how == "wrong architecture":
        config["params"]["width"] = {**config["params"]["width"], "value": 8}
    elif how == "list":
        content = [content, content]
    torch.save(content, path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-9000])
    elif how == "missing":
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("renamed", "misses .*; has unexpected other.key"),
        ("shape", r"is \[3\], not"),
        ("bomb", "never loaded"),
        ("config bomb", "'subprocess.Popen', which is none of RITM's networks"),
        ("layer bomb", "'os.system', which is no known layer"),
        ("number as key", "of texts and tensors: see '7'"),
        ("nan", "numbers that are not finite"),
        ("sparse", "no plain tensor"),
        ("whole numbers", r"is of torch\.int32, not torch\.float32"),
        ("no config", "must hold state_dict and config"),
        ("odd config", "its config must hold"),
        ("wrong architecture", "has other shapes"),
        ("list", "2 networks"),
        ("truncated", "damaged"),
        ("missing", "no such checkpoint"),
    ],
)
def test_bad_checkpoints_are_one_line_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words) as caught:
        load_by_hub(None, broken(tmp_path, how), "cpu", strict=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("how", ["module", "model"])
def test_common_wrappings_are_taken_off(tmp_path: Path, how: str) -> None:
    source = network()
    content = torch.load(save(source, tmp_path / "w.pth"), weights_only=True)
    if how == "module":
        content["state_dict"] = {f"module.{key}": value for key, value in content["state_dict"].items()}
    torch.save({"model": content} if how == "model" else content, tmp_path / "w.pth")
    assert same(source, load_by_hub(None, tmp_path / "w.pth", "cpu", strict=True))


def test_keys_that_do_not_fit_are_ignored_only_when_asked(tmp_path: Path) -> None:
    path = broken(tmp_path, "renamed")
    assert load_by_hub(None, path, "cpu", strict=False) is not None


def agent(zoom: ZoomOptions | None, flip: bool, **options: Any) -> RitmAgent:
    info = AgentInfo("small-ritm", random_weights=True, uses_previous=True)
    square = zoom.target if zoom is not None and zoom.square else None
    return RitmAgent(network(square=square).requires_grad_(False), info, flip=flip, zoom=zoom, **options)


@pytest.mark.parametrize(
    ("zoom", "flip"),
    [
        (ZoomOptions(target=48, min_crop=20), True),
        (ZoomOptions(target=40, square=True, skip_clicks=-1, min_crop=10), False),
        (None, False),
    ],
)
def test_conforms(zoom: ZoomOptions | None, flip: bool) -> None:
    # The network is scaled to answer on these images; on others its masks may be all or nothing.
    known = [make_case(i, image=picture, truth=truth) for i, (picture, truth) in enumerate(images())]
    check_agent(agent(zoom, flip), [*known, *sample_cases(((33, 20), (1, 1)))])


@pytest.mark.slow
def test_conforms_on_large_images_too() -> None:
    known = [make_case(i, image=picture, truth=truth) for i, (picture, truth) in enumerate(images())]
    check_agent(
        agent(ZoomOptions(target=200, min_crop=50), flip=True), [*known, *sample_cases(((520, 610),))]
    )


def test_every_official_checkpoint_has_its_network() -> None:
    assert {f"ritm_{name}" for name in MODELS} == {name for name in CHECKPOINTS if name.startswith("ritm_")}


def test_the_official_small_network_with_random_weights() -> None:
    made = Ritm("h18s_itermask", checkpoint="random", device="cpu")
    assert round((made.info.parameters or 0) / 1e6, 2) == 4.22
    assert made.info.marks == ("random weights",)
    assert made.info.settings["zoom"]["target"] == 400
    assert re.match("@inproceedings", made.info.citation)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "h48"}, "agent.model=h48"),
        ({"threshold": 1.5}, "agent.threshold=1.5"),
        ({"flip": "yes"}, "agent.flip=yes"),
        ({"clicks_limit": 0}, "agent.clicks_limit=0"),
        ({"zoom_target": 0}, "agent.zoom_target=0"),
        ({"zoom_skip_clicks": -2}, "agent.zoom_skip_clicks=-2"),
        ({"zoom_expansion": 0.5}, "agent.zoom_expansion=0.5"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Ritm(checkpoint="random", device="cpu", **options)
