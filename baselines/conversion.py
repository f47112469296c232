"""Takes the tensors out of a checkpoint: ``python -I -m simclick.baselines.conversion FROM TO [NET]``.

Run by `simclick.weights_import` as a process of its own. The unpickler knows tensors, their storages and
plain containers; whatever else a file names (an optimizer, a configuration, ``os.system``) becomes an inert
object that takes any arguments and does nothing. So nothing that the file names is imported or called. The
limits on the process are the second wall. NET is a `simclick.checkpoints.Architecture` as JSON: the network
that the tensors must fit.
"""

from __future__ import annotations

import collections
import ctypes
import importlib
import json
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from simclick.errors import ConfigError

__all__ = ["expected_state", "main", "read_tensors"]

_CONTAINERS = {
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "bytes": bytes,
    "bytearray": bytearray,
    "complex": complex,
    "slice": slice,
}
_REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
_SPARE = 1 << 30


class _Inert:
    """Stands for an object of an unknown class: takes everything, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return _Inert()

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Take an element of a list."""

    def extend(self, _: Any) -> None:
        """Take elements of a list."""

    def add(self, _: Any) -> None:
        """Take an element of a set."""


def read_tensors(source: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the state dict in a pickled checkpoint, and the names of what was made inert.

    Raises:
        ConfigError: When it holds no state dict.
    """
    import torch

    from simclick.baselines.checkpoints import refuse_endless, refuse_odd_archives, unwrapped

    inert: set[str] = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == "torch._utils" and name in _REBUILD:
                return getattr(torch._utils, name)
            if (module, name) == ("collections", "OrderedDict"):
                return collections.OrderedDict
            if (module, name) == ("torch", "Size"):
                return torch.Size
            if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
            if module == "torch" and name.endswith("Storage") and name.isidentifier():
                kind = getattr(torch, name, None)
                if isinstance(kind, type):
                    return kind
            if module in {"builtins", "__builtin__"} and name in _CONTAINERS:
                return _CONTAINERS[name]
            inert.add(f"{module}.{name}")
            return type("Inert", (_Inert,), {})

    def load(stream: Any, **options: Any) -> Any:
        return Unpickler(stream, **options).load()

    refuse_odd_archives(source)
    refuse_endless(source)
    tool: Any = SimpleNamespace(Unpickler=Unpickler, load=load, __name__="pickle")
    content = torch.load(source, map_location="cpu", weights_only=False, pickle_module=tool)
    return unwrapped(content, source), sorted(inert)


def _opened(source: Path) -> tuple[dict[str, Any], list[str], bool, bool]:
    """Return the state dict, what was made inert, and whether the file is plain data and has a config."""
    from simclick.baselines.checkpoints import HoldsObjectsError, read_content, unwrapped

    try:
        content = read_content(source)
    except HoldsObjectsError:
        return *read_tensors(source), False, False
    inner = content.get("model", content) if isinstance(content, dict) else content
    config = any(isinstance(level, dict) and "config" in level for level in (content, inner))
    return unwrapped(content, source), [], True, config


def expected_state(architecture: str) -> dict[str, Any]:
    """Return the state dict, without numbers, of the network that the registry names."""
    import torch

    network = json.loads(architecture)
    module, _, function = network["make"].partition(":")
    make = getattr(importlib.import_module(module), function)
    with torch.device("meta"):
        state: dict[str, Any] = make(**network["options"]).state_dict()
    return state


def _isolate() -> list[str]:
    """Give up network and privileges where the system allows it; before threads exist."""
    done: list[str] = []
    if sys.platform != "linux":
        return done
    try:
        system = ctypes.CDLL(None, use_errno=True)
        if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            done.append("no new privileges")
        if system.unshare(_NEWUSER | _NEWNET) == 0:
            done.append("no network")
    except (OSError, AttributeError):
        pass
    return done


def _limit(source: Path) -> list[str]:
    """Limit memory, time, file size and processes to what a file of this size needs."""
    try:
        import resource
    except ImportError:
        return []
    size = source.stat().st_size
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    memory = pages * os.sysconf("SC_PAGE_SIZE") + 4 * size + _SPARE
    wanted = {
        "RLIMIT_AS": memory if pages else resource.RLIM_INFINITY,
        "RLIMIT_CPU": 1800,
        "RLIMIT_FSIZE": size + (64 << 20),
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(getattr(resource, name), (value, value))
    return ["limits on memory, time and file size"]


def main(source: Path, target: Path, architecture: str | None = None) -> int:
    """Convert one file; print a line of JSON that says what was done, or what was wrong."""
    confined = _isolate()
    try:
        import torch  # its libraries are mapped before memory is limited
        from safetensors.torch import save_file

        from simclick.baselines.fit import mismatch

        expected = None if architecture is None else expected_state(architecture)
    except ModuleNotFoundError as error:
        print(json.dumps({"lacks": str(error.name)}))
        return 1
    try:
        confined += _limit(source)
        tensors, inert, plain, config = _opened(source)
        if expected is not None and (wrong := mismatch(expected, tensors)):
            raise ConfigError(f"it is no checkpoint of this network: {wrong}")
        state = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in sorted(tensors.items())
        }
        save_file(state, target)
    except ConfigError as error:
        print(json.dumps({"error": str(error)}))
        return 1
    except Exception as error:  # whatever a hostile file makes go wrong is one line
        reason = " ".join(str(error).split())[:500]
        print(json.dumps({"error": f"{type(error).__name__}: {reason}" if reason else type(error).__name__}))
        return 1
    shown = [name[:80] for name in inert[:20]]
    done = {"tensors": len(state), "inert": shown, "confined": confined, "plain": plain, "config": config}
    print(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4]))
