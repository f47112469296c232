"""Takes the tensors out of a pickled checkpoint: ``python -I -m simclick.baselines.conversion FROM TO``.

Run by `simclick.weights_import` as a process of its own. The unpickler knows tensors, their storages and
plain containers; whatever else a file names (an optimizer, a configuration, ``os.system``) becomes an inert
object that takes any arguments and does nothing. So nothing that the file names is imported or called. The
limits on the process are the second wall.
"""

from __future__ import annotations

import collections
import ctypes
import json
import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["main", "read_tensors"]

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

    from simclick.baselines.sam.checkpoints import unwrapped

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

    _refuse_scripts(source)
    tool: Any = SimpleNamespace(Unpickler=Unpickler, load=load, __name__="pickle")
    content = torch.load(source, map_location="cpu", weights_only=False, pickle_module=tool)
    return unwrapped(content, source), sorted(inert)


def _refuse_scripts(source: Path) -> None:
    """Refuse TorchScript: `torch.load` hands such archives to its own interpreter, past any unpickler.

    What it would run is code in the file, which may write files. An archive is refused by its records, and
    any that is neither a plain checkpoint of one pickle nor an older file without an archive.
    """
    import zipfile

    from simclick.errors import ConfigError

    with source.open("rb") as stream:
        begins = stream.read(4)
    if begins[:2] != b"PK" and not zipfile.is_zipfile(source):
        return
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ConfigError(f"{source}: a damaged archive ({error})") from None
    records = [name.split("/", 1)[-1] for name in names]
    scripts = sorted(r for r in records if r == "constants.pkl" or r.startswith("code/"))
    if scripts or sum(r.endswith(".pkl") for r in records) != 1 or "data.pkl" not in records:
        raise ConfigError(f"{source}: holds a program (TorchScript), not tensors; it is not opened")


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


def main(source: Path, target: Path) -> int:
    """Convert one file; print a line of JSON that says what was done, or what was wrong."""
    confined = _isolate()
    try:
        import torch  # its libraries are mapped before memory is limited
        from safetensors.torch import save_file

        confined += _limit(source)
        tensors, inert = read_tensors(source)
        state = {
            str(key): value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in sorted(tensors.items())
        }
        save_file(state, target)
    except Exception as error:  # whatever a hostile file makes go wrong is one line
        reason = (str(error).splitlines() or [""])[0][:500]
        print(json.dumps({"error": f"{type(error).__name__}: {reason}" if reason else type(error).__name__}))
        return 1
    shown = [name[:80] for name in inert[:20]]
    print(json.dumps({"tensors": len(state), "inert": shown, "confined": confined}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
