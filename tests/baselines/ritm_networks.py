"""Small RITM networks and images for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

SMALL = {
    "width": 4,
    "ocr_width": 8,
    "small": True,
    "with_aux_output": True,
    "use_leaky_relu": True,
    "use_rgb_conv": False,
    "use_disks": True,
    "norm_radius": 5,
    "with_prev_mask": True,
}


def network(seed: int = 0, square: int | None = None) -> Any:
    """RITM's own class at a reduced size; random weights, scaled so that masks follow image and clicks.

    Args:
        seed: Of the weights.
        square: Side of the square in which the network will see an image first; None: the image itself.
    """
    from ritm_annotation.model.is_hrnet_model import HRNetModel

    torch.manual_seed(seed)
    model = HRNetModel(**SMALL)
    model.eval()
    # The last layer is scaled on the tests' own first questions.
    last = [m for m in model.feature_extractor.cls_head.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    given = []
    for (picture, _), at in zip(images(), ([30.0, 40.0, 0.0], [50.0, 20.0, 0.0]), strict=True):
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
        if square is not None:
            scale = [square / pixels.shape[2], square / pixels.shape[3], 1.0]
            at = [value * factor for value, factor in zip(at, scale, strict=True)]
            pixels = torch.nn.functional.interpolate(
                pixels, (square, square), mode="bilinear", align_corners=True
            )
        plane = torch.cat([pixels, torch.zeros_like(pixels[:, :1])], dim=1)
        given.append((plane, torch.tensor([[at, [-1.0, -1.0, -1.0]]])))
    with torch.no_grad():
        raw = [model(plane, points)["instances"] for plane, points in given]
        last.weight *= 3 / min(float(logits.std()) for logits in raw)
        last.bias *= 0
        middles = [model(plane, points)["instances"].median() for plane, points in given]
        last.bias -= sum(middles) / len(middles)
    return model


def save(model: Any, path: Path, package: str = "isegm") -> Path:
    """Write a checkpoint in RITM's format, as its own code (package isegm) writes it."""
    config = dict(model._config)
    config["class"] = f"{package}.model.is_hrnet_model.HRNetModel"
    torch.save({"state_dict": model.state_dict(), "config": config}, path)
    return path


def images() -> list[tuple[np.ndarray, np.ndarray]]:
    """Images with their truths."""
    made = []
    for height, width, x, y in ((60, 90, 40, 30), (90, 70, 20, 50)):
        rows, columns = np.mgrid[:height, :width]
        truth = ((rows - y) / (height * 0.2)) ** 2 + ((columns - x) / (width * 0.25)) ** 2 <= 1
        grey = truth * 100 + (rows * 7 + columns * 13) % 60
        made.append((np.stack([grey, grey + 20, grey], axis=2).astype(np.uint8), truth))
    return made
