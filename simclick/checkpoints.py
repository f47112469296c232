"""The official checkpoints: files, addresses, SHA-256, licences, and the networks that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CHECKPOINTS", "Architecture", "Checkpoint"]

_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_RITM = "https://github.com/saic-vul/ritm_interactive_segmentation/releases/download/v1.0/"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Which network a checkpoint is for: a function of this project that makes one.

    Attributes:
        make: The function, as ``module:name``.
        options: Its keyword arguments, JSON-able.
        extra: The extra of simclick that brings what the function imports.
    """

    make: str
    options: Mapping[str, Any]
    extra: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An official checkpoint.

    Attributes:
        file: Its file name.
        url: Its official address.
        size: Its size in bytes; None where it is not known.
        sha256: Of the whole file; None where it is not known, and recorded at the first fetch then. (The
            digits in SAM's file names are of another hash.)
        licence: Of the weights.
        about: Its size in MB as its authors or a mirror say it, where the exact one is not known.
        commercial: False when the licence forbids commercial use, which is said loudly.
        page: The address is a page for a browser: the file cannot be fetched by a program.
        pickled: The file holds Python objects beside tensors: it must be imported before it can be used.
        config: The file holds a configuration beside tensors, without which they cannot be used.
        architecture: The network whose keys and shapes an import must find; None where none is known.
    """

    file: str
    url: str
    size: int | None
    sha256: str | None
    licence: str
    about: float | None = None
    commercial: bool = True
    page: bool = False
    pickled: bool = False
    config: bool = False
    architecture: Architecture | None = None

    @property
    def imported(self) -> str:
        """The name of the file that an import makes of it."""
        return f"{Path(self.file).stem}.safetensors"


def _sam(file: str, model: str, size: int, sha256: str) -> Checkpoint:
    return Checkpoint(file, _META + file, size, sha256, "Apache-2.0", architecture=_vit(model))


def _vit(size: str) -> Architecture:
    return Architecture("simclick.baselines.sam.official:sam_model", {"size": size}, "sam")


def _ritm(name: str, about: float) -> Checkpoint:
    model = name.removeprefix("coco_lvis_")
    network = Architecture("simclick.baselines.ritm.networks:official_network", {"model": model}, "ritm")
    file = f"{name}.pth"
    return Checkpoint(file, _RITM + file, None, None, "MIT", about, config=True, architecture=network)


CHECKPOINTS: dict[str, Checkpoint] = {
    "sam_vit_b": _sam(
        "sam_vit_b_01ec64.pth",
        "vit_b",
        375042383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam_vit_l": _sam(
        "sam_vit_l_0b3195.pth",
        "vit_l",
        1249524607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam_vit_h": _sam(
        "sam_vit_h_4b8939.pth",
        "vit_h",
        2564550879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "sam_med2d": Checkpoint(
        "sam-med2d_b.pth",
        "https://drive.google.com/file/d/1ARiB5RkSsWmAB_8mqWnwDF8ZKTtFwsjl/view",
        None,
        None,
        "Apache-2.0",
        about=2560,
        page=True,
        pickled=True,
        architecture=Architecture("simclick.baselines.sam.med2d:med2d_model", {}, "sam"),
    ),
    "medsam": Checkpoint(
        "medsam_vit_b.pth",
        "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        None,
        None,
        "Apache-2.0",
        about=375,
        architecture=_vit("vit_b"),
    ),
    "ritm_h18_itermask": _ritm("coco_lvis_h18_itermask", 38.8),
    "ritm_h18s_itermask": _ritm("coco_lvis_h18s_itermask", 16.5),
    "ritm_h32_itermask": _ritm("coco_lvis_h32_itermask", 119),
    "ritm_h18_baseline": _ritm("coco_lvis_h18_baseline", 38.8),
    "ritm_sbd_h18_itermask": _ritm("sbd_h18_itermask", 38.8),
}
