"""Pickles that never end are refused before torch sees them; checkpoints pass."""

from __future__ import annotations

import collections
import pickle
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")

from simclick.baselines.checkpoints import read_state  # noqa: E402
from simclick.baselines.conversion import read_tensors  # noqa: E402
from simclick.baselines.pickle_scan import MOST, EndlessError, scan  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402


def doubled(times: int) -> tuple[object, ...]:
    """A tuple in which 2^times others are found, in a few hundred bytes."""
    made: tuple[object, ...] = ()
    for _ in range(times):
        made = (made, made)
    return made


def bomb(times: int) -> bytes:
    """The pickle of a dictionary whose key is `doubled`; to make that dictionary would take as long."""
    key = pickle.dumps(doubled(times), 2)
    assert key[:2] == b"\x80\x02"
    return b"\x80\x02}" + key[2:-1] + b"K\x01s."


@pytest.mark.parametrize("old_form", [False, True])
@pytest.mark.parametrize("reader", [read_state, read_tensors])
def test_a_key_whose_hash_never_ends_is_refused_at_once(tmp_path: Path, old_form: bool, reader) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=not old_form)
    if old_form:
        content = path.read_bytes()
        own = pickle.dumps({"a": 1}, 2)
        assert content.count(own) == 1
        path.write_bytes(content.replace(own, bomb(60)))
    else:
        with zipfile.ZipFile(path) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in records.items():
                archive.writestr(name, bomb(60) if name.endswith("data.pkl") else content)
    with pytest.raises(ConfigError, match="without end") as caught:
        reader(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("old_form", [False, True])
def test_checkpoints_pass(tmp_path: Path, old_form: bool) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 3, 3, 6)).sum().backward()
    optimizer.step()
    content = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not old_form)
    scan(path, [])
    assert {k: v.tolist() for k, v in read_state(path).items()} == {
        k: v.tolist() for k, v in network.state_dict().items()
    }


def test_the_bound_counts_what_is_shared_as_often_as_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "one.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(tuple(range(MOST - 1)), 2))
    scan(path, [])
    for content in (tuple(range(MOST)), doubled(9)):  # 1 + MOST things; 2^10 - 1 of them
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", pickle.dumps(content, 2))
        with pytest.raises(EndlessError):
            scan(path, [])


def test_what_a_file_names_is_never_made(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(collections.OrderedDict(a=Evil()), 2))
    with pytest.raises(ConfigError, match="never loaded"):
        read_state(path)
    assert not (tmp_path / "canary").exists()
