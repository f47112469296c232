"""Draws the pictures of the README that are not figures of a report: one phantom of each kind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from simclick.datasets.phantoms import Phantoms
from simclick.envs.rendering import draw

HEIGHT, COLUMNS = 192, 5


def main() -> None:
    """Write ``phantoms.png`` beside this file."""
    tiles: dict[str, np.ndarray] = {}
    for case in Phantoms(slices=1):
        family = case.case_id.rsplit("-", 4)[0] if case.family is None else case.family
        # The last target of the first patient of each kind.
        if case.group.rsplit("-", 1)[-1] == "0":
            picture = draw(case.image, truth=case.truth, factor=1)
            width = round(picture.shape[1] * HEIGHT / picture.shape[0])
            tiles[family] = cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    names = list(tiles)
    rows = [np.hstack([tiles[n] for n in names[i : i + COLUMNS]]) for i in range(0, len(names), COLUMNS)]
    widest = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, 4), (0, widest - row.shape[1]), (0, 0))) for row in rows])
    cv2.imwrite(str(Path(__file__).with_name("phantoms.png")), sheet[..., ::-1])


if __name__ == "__main__":
    main()
