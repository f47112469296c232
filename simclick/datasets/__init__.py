"""Data sets: one file per layout."""

from __future__ import annotations

from simclick.datasets.base import Dataset, DatasetInfo, Skipped
from simclick.registry import Entry

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Skipped"]

DATASETS: dict[str, Entry] = {
    "phantoms": Entry(
        "simclick.datasets.phantoms:Phantoms",
        "generated: ten kinds of image, 30 imitated patients, truths known exactly",
    ),
    "mni152": Entry(
        "simclick.datasets.mni152:MNI152",
        "36 slices and tissues of the MNI152 average brain (one group: no interval)",
        ("nilearn",),
        extra="demo",
    ),
    "folder": Entry(
        "simclick.datasets.folder:Folder",
        "images and masks in folders: binary, soft, label maps, colours, a file per object",
    ),
    "nifti": Entry(
        "simclick.datasets.nifti:Nifti",
        "slices of NIfTI volumes; also the Decathlon's and nnU-Net's layouts",
    ),
    "cosmos": Entry(
        "simclick.datasets.cosmos:Cosmos", "COSMOS 1050K's layout: grey-value labels with a JSON of names"
    ),
    "sam_med2d": Entry(
        "simclick.datasets.sam_med2d:SamMed2D", "SAM-Med2D's layout: a mask per object, listed by JSON"
    ),
    "medscribble": Entry(
        "simclick.datasets.medscribble:MedScribble",
        "MedScribble's layout: NumPy files, with scribbles of three people for `recorded`",
    ),
}
