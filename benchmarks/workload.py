"""What the benchmarks work on: masks at several sizes, and predictions that converge to them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Click = tuple[int, int, bool]
STEPS = 20


def masks(folder: Path | None, count: int = 6) -> tuple[str, list[Mask]]:
    """Return typical masks (0.2 to 5 % of the image) and where they are from.

    Args:
        folder: A folder of 0/255 PNG masks, for example SAM-Med2D's ``data_demo/masks``; None takes
            the truths of the generated phantoms.
        count: How many.
    """
    if folder is not None:
        found = [cv2.imread(str(f), cv2.IMREAD_GRAYSCALE) for f in sorted(folder.glob("*.png"))]
        candidates: Iterator[Mask] = (mask > 127 for mask in found if mask is not None)
        name = f"masks of {folder.name}"
    else:
        from simclick.datasets.phantoms import Phantoms

        candidates, name = (case.truth for case in Phantoms()), "phantoms"
    typical = [mask for mask in candidates if 0.002 <= mask.mean() <= 0.05]
    if not typical:
        sys.exit(f"--masks {folder}: no PNG mask of 0.2 to 5 % of its image in it")
    return name, typical[:: max(1, len(typical) // count)][:count]


def resized(mask: Mask, size: int) -> Mask:
    """Return the mask at size x size, by nearest neighbour."""
    return cv2.resize(mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0


def disc(size: int) -> Mask:
    """Return one disc that covers 41 % of the image: errors as large as they come."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return rows**2 + columns**2 <= 0.41 * size * size / np.pi


def converging(truth: Mask, seed: int) -> list[NDArray[np.float32]]:
    """Return `STEPS` probability maps, Float32[H, W], whose error shrinks towards the truth."""
    inside = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    signed = inside - outside
    scale = truth.shape[0] / 256
    random = np.random.default_rng(seed)
    coarse = random.standard_normal((24, 24)).astype(np.float32)
    noise = cv2.resize(coarse, truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    maps = []
    for step in range(STEPS):
        logits = (signed + noise * 9 * scale * 0.85**step) / scale
        maps.append((1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32))
    return maps


def plain_peer(truth: Mask) -> Callable[[Mask], Click]:
    """Return RITM's rule by whole-image distance transforms: a mask's next click."""
    unclicked = np.ones_like(truth)

    def depth(wrong: Mask) -> Any:
        padded = cv2.copyMakeBorder(wrong.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        return inside * unclicked

    def answer(mask: Mask) -> Click:
        missing, extra = depth(truth & ~mask), depth(mask & ~truth)
        positive = bool(missing.max() > extra.max())
        y, x = np.unravel_index(np.argmax(missing if positive else extra), truth.shape)
        unclicked[y, x] = False
        return int(x), int(y), positive

    return answer


def ritm(path: Path) -> ModuleType:
    """Import RITM's evaluation code (`isegm`) from a checkout, without its data sets and models."""
    if not (path / "isegm" / "inference" / "evaluation.py").is_file():
        sys.exit(f"--ritm {path}: no isegm/inference/evaluation.py in it")
    for name in ("isegm.data.datasets", "isegm.utils.serialization"):
        stub: Any = ModuleType(name)
        for attribute in ("GrabCut", "Berkeley", "Davis", "PascalVoc"):
            setattr(stub, f"{attribute}Dataset", None)
        stub.SBDEvaluationDataset = stub.load_model = None
        sys.modules[name] = stub
    sys.path.insert(0, str(path))
    import isegm.inference.evaluation as evaluation

    return evaluation
