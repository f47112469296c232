"""HD95 and NSD of each step beside MONAI's two calls, on the same masks, with the same values.

    python benchmarks/metrics.py [--masks FOLDER]

An episode is one truth and 20 predictions that converge to it. Ours is `SurfaceTruth`, made once per episode
(inside the time), and one `measure` per step, which gives HD, HD95, ASSD and NSD together. MONAI's are
``compute_hausdorff_distance(percentile=95)`` and ``compute_surface_dice``, on tensors that were made
beforehand. Both count border pixels plainly, so the numbers must agree: to 1e-4, MONAI works in Float32; the
program stops where they do not. Numeric threads are held to one.
"""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from statistics import median

import cv2
import torch
from timing import Result, Table, arguments, typical
from workload import Mask, converging, disc, masks, resized

from simclick.metrics.surface import SurfaceTruth

TOLERANCE = 2.0
SIZES = (256, 512, 1024)
AGREE = 1e-4


def ours(truth: Mask, steps: list[Mask]) -> list[tuple[float, float]]:
    """Return HD95 and NSD of each step."""
    surface = SurfaceTruth(truth)
    found = [surface.measure(mask, TOLERANCE) for mask in steps]
    return [(one.hd95, one.nsd) for one in found]


def monai(truth: torch.Tensor, steps: list[torch.Tensor]) -> list[tuple[float, float]]:
    """Return the same from MONAI; tensors are Float32[1, 1, H, W]."""
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    found = []
    for mask in steps:
        hd95 = compute_hausdorff_distance(mask, truth, include_background=True, percentile=95)
        nsd = compute_surface_dice(mask, truth, class_thresholds=[TOLERANCE], include_background=True)
        found.append((float(hd95), float(nsd)))
    return found


def check(label: str, mine: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> float:
    """Return the largest difference; stop where one is too large."""
    worst = 0.0
    for step, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for one, other in zip(a, b, strict=True):
            differ = 0.0 if one == other else abs(one - other)
            if math.isnan(differ) or differ > AGREE * max(1.0, abs(other)):
                sys.exit(f"{label}, step {step + 1}: values differ: {a} and MONAI's {b}")
            worst = max(worst, differ)
    return worst


def line(table: Table, label: str, truths: list[Mask], repeats: int) -> None:
    """Measure one row."""
    mine, theirs, ratios, worst = [], [], [], 0.0
    for seed, truth in enumerate(truths):
        steps = [probability > 0.49 for probability in converging(truth, seed)]
        tensors = [torch.from_numpy(mask)[None, None].float() for mask in (truth, *steps)]
        worst = max(worst, check(f"{label}, mask {seed}", ours(truth, steps), monai(tensors[0], tensors[1:])))
        mine.append(1000 * typical(lambda t=truth, s=steps: ours(t, s), repeats) / len(steps))
        theirs.append(1000 * typical(lambda t=tensors: monai(t[0], t[1:]), max(1, repeats // 2)) / len(steps))
        ratios.append(theirs[-1] / mine[-1])
    table.add(
        label, f"{median(theirs):.2f}", f"{median(mine):.3f}", f"{median(ratios):.0f}x",
        f"{min(ratios):.0f}x to {max(ratios):.0f}x", f"{worst:.0e}",
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--masks", type=Path, help="a folder of 0/255 PNG masks (default: the phantoms)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # MONAI says of each perfect step that a surface is empty
    import monai as package

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    name, typical_masks = masks(options.masks)
    result = Result("metrics")
    table = result.table(
        "HD95 and NSD of one step, milliseconds",
        *("masks", "MONAI", "ours", "ratio", "ratios of masks", "differs by"),
        note=f"Typical: {len(typical_masks)} {name}; large: a disc of 41 %; 20 converging predictions each. "
        f"MONAI {package.__version__}, both of its calls. One thread each. A ratio is the median over masks.",
    )
    for size in SIZES:
        line(table, f"typical {size}²", [resized(mask, size) for mask in typical_masks], options.repeats)
        line(table, f"large {size}²", [disc(size)], options.repeats)
    result.save(options.json)


if __name__ == "__main__":
    main()
