"""A look at the pickle in a checkpoint before torch unpickles it: what would never end is refused.

Safe loading executes nothing, but it makes tuples and puts them into dictionaries. Sixty tuples, each of
which holds the one before twice, fit into a kilobyte, and the hash of the last takes 2^60 steps, in C, where
not even Control-C gets through. So the pickle is read here first, by Python's own unpickler in Python, with
an inert object for whatever the file names, and no tuple may hold more than `MOST` things in all, counted as
often as it holds them. A tensor's own tuples hold a few dozen.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

__all__ = ["MOST", "EndlessError", "scan"]

MOST = 1000
"""Things in a tuple, and in the tuples in it."""
_OLD_FORM = 5
"""Pickles in a file of torch's older form: mark, version, system, content, names of storages."""
_UNPICKLER: Any = pickle._Unpickler  # the one in Python, which can be looked into


class EndlessError(Exception):
    """A pickle that holds a tuple too large to be anything of a tensor's."""


class _Inert:
    """Stands for everything that a file names: it takes anything and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def _take(self, *_: Any) -> None:
        pass

    append = extend = add = update = _take


class _Scan(_UNPICKLER):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Any]] = dict(_UNPICKLER.dispatch)

    def __init__(self, stream: BinaryIO, named: list[str]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._named = named
        self._sizes: dict[int, int] = {}
        self._kept: list[object] = []  # or a tuple's id could be given to another

    def find_class(self, module: str, name: str) -> Any:
        self._named.append(f"{module}.{name}")
        return _Inert

    def persistent_load(self, key: Any) -> Any:
        return _Inert()

    def _weigh(self) -> None:
        made = self.stack[-1]
        if isinstance(made, tuple) and id(made) not in self._sizes:
            size = 1 + sum(self._sizes.get(id(one), 1) for one in made)
            if size > MOST:
                raise EndlessError
            self._sizes[id(made)] = size
            self._kept.append(made)


def _weighed(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def weighed(scan: Any) -> None:
        load(scan)
        scan._weigh()

    return weighed


for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _Scan.dispatch[_code[0]] = _weighed(_UNPICKLER.dispatch[_code[0]])


def scan(path: Path, named: list[str]) -> None:
    """Read the pickles of a checkpoint without making anything of them.

    Args:
        path: A file of `torch.save`, in its present form (an archive) or the older one.
        named: Takes the names of classes and functions in the file, also of those before an error.

    Raises:
        EndlessError: When a tuple holds more than `MOST` things.
        Exception: Whatever a damaged pickle makes the unpickler raise.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".pkl")]
            for name in names:
                _Scan(io.BytesIO(archive.read(name)), named).load()
        return
    with path.open("rb") as stream:
        for _ in range(_OLD_FORM):
            _Scan(stream, named).load()
