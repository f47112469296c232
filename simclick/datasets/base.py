"""The contract of a data set: cases, lazily, in a stable order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick.case import Case
from simclick.errors import ConfigError, DataError

__all__ = ["Dataset", "DatasetInfo", "Skipped", "existing_folder"]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What a report says of a data set.

    Attributes:
        name: Its name in every table.
        version: Raised whenever a case changes.
        licence: Licence of the images, or how to find out.
        source: Where it comes from.
        note: What a reader of the numbers must know (for example "one group").
    """

    name: str
    version: str = "1"
    licence: str = "the owner's"
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something left out, and why: a file that could not be read, an empty target."""

    what: str
    why: str


class Dataset(ABC):
    """Cases, lazily, in a stable order.

    A case is named by a *reference* that is cheap to list and to pickle, so that workers can load
    what they need. References are listed without decoding images; masks are read where targets
    cannot be known otherwise.

    Attributes:
        info: What the data set is; set by the constructor.
        skip_invalid: Whether a bad file becomes a listed skip instead of an error.
        skipped: What was left out so far, and why. Complete once every case was loaded.
    """

    info: DatasetInfo

    def __init__(self, skip_invalid: bool = False) -> None:
        self.skip_invalid = skip_invalid
        self.skipped: list[Skipped] = []

    @abstractmethod
    def references(self) -> Sequence[Any]:
        """Return the references of all cases, in stable order.

        Raises:
            DataError: When a file that must be read for this is bad and `skip_invalid` is off.
        """

    @abstractmethod
    def load(self, reference: Any) -> Case:
        """Return the case of a reference.

        Raises:
            DataError: When the case cannot be read; the message names the file and the reason.
        """

    def hints(self) -> tuple[str, ...]:
        """Return what a person should know of how the files were read, in lines; complete as `skipped` is."""
        return ()

    def __len__(self) -> int:
        return len(self.references())

    def __iter__(self) -> Iterator[Case]:
        for _, case in self.items():
            yield case

    def items(self) -> Iterator[tuple[Any, Case]]:
        """Yield references with their cases, skipping bad ones where `skip_invalid` is set."""
        for reference in self.references():
            try:
                yield reference, self.load(reference)
            except DataError as error:
                if not self.skip_invalid:
                    raise self._refused(error) from None
                skip = Skipped(str(reference), str(error))
                if skip not in self.skipped:
                    self.skipped.append(skip)

    def _refused(self, error: DataError) -> DataError:
        """Return the error of a bad file, with the way out that this data set has."""
        return error


def existing_folder(root: str | Path | None, dataset: str) -> Path:
    """Return a data set's root folder.

    Raises:
        ConfigError: When it was not given or is no folder.
    """
    if root is None or str(root) in {"", "None", "null"}:
        raise ConfigError(f"dataset {dataset!r} reads from disk: say where with dataset.root=FOLDER")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"dataset {dataset!r}: no such folder: {folder}")
    return folder
