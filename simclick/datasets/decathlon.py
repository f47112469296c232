"""`dataset.json` of the Medical Segmentation Decathlon and of nnU-Net: what it says, checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from simclick.datasets.disk import read_json
from simclick.datasets.options import named_values
from simclick.errors import ConfigError, DataError

__all__ = ["Task", "read_task"]

_BACKGROUND, _IGNORE = "background", "ignore"
_MODALITIES = {"mri": "mr"}


@dataclass(frozen=True, slots=True)
class Task:
    """What a `dataset.json` says.

    Attributes:
        name: The data set's name, "" where it gives none.
        licence: Its licence, "" where it gives none.
        names: {target: label values}, without background and ignore.
        ignore: The label value of pixels that count nowhere, or None.
        modality: Of the chosen channel, in lower case (``mri`` is ``mr``); "unknown" where not given.
        pairs: (volume, image, labels) of the training cases, paths relative to the root, by name.
    """

    name: str
    licence: str
    names: dict[str, tuple[int, ...]]
    ignore: int | None
    modality: str
    pairs: tuple[tuple[str, str, str], ...]


def read_task(root: Path, channel: int) -> Task:
    """Read ``root/dataset.json``.

    Medical Segmentation Decathlon: ``labels`` is {"1": "liver"}, ``training`` lists the files, a
    fourth axis of an image holds the channels. nnU-Net v1 lists ``case.nii.gz`` but stores each
    channel as ``case_0000.nii.gz``; a listed image that does not exist is looked for so. nnU-Net
    v2: ``labels`` is {"liver": 1} or, for regions, {"tumour": [1, 2]}; the files are those in
    ``labelsTr``. The label ``ignore`` of nnU-Net is kept apart.

    Raises:
        DataError: When the file is malformed, names paths outside the root, or missing files.
        ConfigError: When it has no such channel, or stores its images as anything but NIfTI.
    """
    path = root / "dataset.json"
    content = read_json(path)
    labels = _labels(path, content.get("labels"))
    ignore = labels.pop(_IGNORE, None)
    labels.pop(_BACKGROUND, None)
    try:
        names = named_values("labels", labels) or {}
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from None
    listed = content.get("training")
    pairs = (
        _listed(root, path, listed, channel) if isinstance(listed, list) else _found(root, content, channel)
    )
    return Task(
        name=str(content.get("name", "")),
        licence=str(content.get("licence", content.get("license", ""))),
        names=names,
        ignore=ignore if isinstance(ignore, int) else None,
        modality=_modality(path, content, channel),
        pairs=tuple(sorted(pairs)),
    )


def _labels(path: Path, labels: Any) -> dict[str, Any]:
    """Return {name: value or values} from either direction of writing it."""
    if not isinstance(labels, dict) or not labels:
        raise DataError(f"{path}: needs 'labels'")
    if all(isinstance(name, str) for name in labels.values()):
        if not all(value.strip().isdigit() for value in labels):
            raise DataError(f"{path}: 'labels' must map label values and names")
        if len(set(labels.values())) < len(labels):
            raise DataError(f"{path}: 'labels' gives one name to two values")
        return {name: int(value) for value, name in labels.items() if int(value) > 0}
    return {name: value for name, value in labels.items() if value not in (0, [0])}


def _modality(path: Path, content: dict[str, Any], channel: int) -> str:
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict):
        return "unknown"
    if str(channel) not in channels:
        raise ConfigError(f"{path}: has no channel {channel} (choices: {', '.join(sorted(channels))})")
    name = str(channels[str(channel)]).lower()
    return _MODALITIES.get(name, name)


def _listed(root: Path, path: Path, training: list[Any], channel: int) -> Iterator[tuple[str, str, str]]:
    for entry in training:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in ("image", "label")):
            raise DataError(f"{path}: every entry of 'training' needs 'image' and 'label'")
        image, labels = (_inside(path, entry[key]) for key in ("image", "label"))
        if not (root / image).exists():
            stem, ending = _split(image)
            one_channel = f"{stem}_{channel:04d}{ending}"
            image = one_channel if (root / one_channel).exists() else image
        yield _split(PurePosixPath(labels).name)[0], image, labels


def _found(root: Path, content: dict[str, Any], channel: int) -> Iterator[tuple[str, str, str]]:
    ending = content.get("file_ending", ".nii.gz")
    if ending not in (".nii", ".nii.gz"):
        raise ConfigError(f"{root / 'dataset.json'}: file_ending {ending!r} is not NIfTI; not supported")
    folder = root / "labelsTr"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, though dataset.json is there")
    for file in sorted(folder.glob(f"*{ending}")):
        if not file.name.startswith("."):
            case = file.name.removesuffix(ending)
            yield case, f"imagesTr/{case}_{channel:04d}{ending}", f"labelsTr/{file.name}"


def _inside(path: Path, listed: str) -> str:
    parts = PurePosixPath(listed).parts
    if not parts or ".." in parts or re.search(r"^/|[\\:\0]", listed):
        raise DataError(f"{path}: the path {listed!r} leads out of the data set: refused")
    return PurePosixPath(*parts).as_posix()


def _split(name: str) -> tuple[str, str]:
    ending = next((e for e in (".nii.gz", ".nii") if name.endswith(e)), "")
    return name.removesuffix(ending), ending
