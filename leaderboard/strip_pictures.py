"""An episode as a strip of small pictures in which every mark keeps its colour: PNG with a palette.

Small enough for a repository. The palette holds the colours of all marks as they are, and what is left of it
goes to the image; so what a legend calls green is green on any image. The same episode gives the same bytes
where OpenCV, matplotlib and Pillow are the same.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simclick.case import Case
    from simclick.envs.rendering import Box
    from simclick.prompts import Round
    from simclick.report.films import Film

__all__ = ["strip_png"]

SIDE, GAP = 240, 8
"""Longer side of a picture and the space between two, in pixels."""
MARKS = 1.7
"""How many times larger than usual marks are drawn: the pictures are small."""
MOST = 40 << 10
"""Bytes of a strip, if fewer colours of the image can do it."""
_COLOURS = (24, 18, 13, 9, 6, 3, 1)
"""How many colours an image has, besides its darkest and lightest; the first that fits `MOST` is taken."""
_DPI = 100
_SHOWN_AT = (1, 5)


@dataclass(frozen=True, eq=False)
class _Tile:
    """One picture; `bare` is true where it shows the image alone."""

    caption: str
    picture: NDArray[np.uint8]
    bare: NDArray[np.bool_]


def strip_png(film: Film, case: Case, heading: str) -> bytes:
    """Return an episode as a strip: the truth, then the masks after 1 and 5 clicks and at the end.

    Args:
        film: The episode. Where the method failed, the last picture shows the clicks that it left without
            an answer.
        case: Its case.
        heading: What stands above.
    """
    from simclick.report.sheets import shown_part

    crop = shown_part(film, case)
    tiles = _tiles(film, case, crop)
    sheet, bare = _laid_out(heading, tiles, _legend(film))
    parts = (None,) if crop is None else (None, crop)
    image = np.vstack([_drawn(case, part).reshape(-1, 3) for part in parts])
    for colours in _COLOURS:
        data = _packed(sheet, bare, *_palette(image, colours))
        if len(data) <= MOST:
            break
    return data


def _tiles(film: Film, case: Case, crop: Box | None) -> list[_Tile]:
    whole, part = _drawn(case, None), _drawn(case, crop)

    def tile(caption: str, picture: NDArray[np.uint8], plain: NDArray[np.uint8] = part) -> _Tile:
        return _Tile(caption, picture, (picture == plain).all(axis=2))

    first = "truth" if crop is None else "truth, whole image"
    tiles = [tile(first, _drawn(case, None, case.truth), whole)]
    last = film.shots[-1].cost if film.shots else 0
    costs = _SHOWN_AT if film.error else (*_SHOWN_AT, last)
    shots = {shot.step: shot for shot in map(film.at_cost, costs) if shot is not None}
    for shot in shots.values():
        step = "" if shot.cost == shot.step else f"step {shot.step}, cost "
        caption = f"{step}{shot.cost} click{'s' * (shot.cost != 1)}: Dice {shot.dice:.3f}"
        tiles.append(tile(caption, _drawn(case, crop, case.truth, shot.mask, film.rounds[: shot.step])))
    if film.error:
        caption = f"step {len(film.rounds)}: no answer"
        tiles.append(tile(caption, _drawn(case, crop, case.truth, None, film.rounds)))
    return tiles


def _drawn(
    case: Case, crop: Box | None, truth: NDArray[np.bool_] | None = None,
    mask: NDArray[np.bool_] | None = None, rounds: Sequence[Round] = (),
) -> NDArray[np.uint8]:  # fmt: skip
    """Return a picture whose longer side has `SIDE` pixels."""
    import cv2

    from simclick.envs.rendering import draw

    large = draw(case.image, truth, mask, rounds, crop=crop, marks=MARKS)
    height, width = large.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _legend(film: Film) -> str:
    from simclick.report.sheets import LEGEND

    moved = any(p.meant != p.landed for round_ in film.rounds for p in round_.prompts)
    boxes = any(p.kind == "box" for round_ in film.rounds for p in round_.prompts)
    said = [
        LEGEND,
        "Green frame: box." if boxes else "",
        "Hollow: the place that was meant." if moved else "",
    ]
    return " ".join(filter(None, said))


def _laid_out(
    heading: str, tiles: Sequence[_Tile], legend: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the strip, UInt8[h, w, 3], and where it shows the image alone.

    Pictures are laid in pixel by pixel.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    from simclick.report.style import MUTED, drawing, png_bytes

    width = max(len(tiles) * (SIDE + GAP) + GAP, 2 * SIDE)
    tall = max(tile.picture.shape[0] for tile in tiles)
    words = textwrap.wrap(legend, width // 6)
    top, below = 34, 34 + tall + 20
    height = below + 14 * len(words) + GAP
    with drawing():
        figure = Figure((width / _DPI, height / _DPI))

        def write(x: int, y: int, text: str, **style: Any) -> None:
            figure.text(x / width, 1 - y / height, text, va="top", **style)

        write(GAP, 8, textwrap.shorten(heading, width // 8, placeholder=" …"), fontsize=10, fontweight="bold")
        for i, tile in enumerate(tiles):
            write(GAP + i * (SIDE + GAP), top + tall + 3, tile.caption, fontsize=8, color=MUTED)
        write(GAP, below, "\n".join(words), fontsize=7.4, color=MUTED)
    sheet = np.array(Image.open(io.BytesIO(png_bytes(figure, _DPI))).convert("RGB"))
    bare = np.zeros(sheet.shape[:2], dtype=np.bool_)
    for i, tile in enumerate(tiles):
        x, (h, w) = GAP + i * (SIDE + GAP), tile.picture.shape[:2]
        sheet[top : top + h, x : x + w] = tile.picture
        bare[top : top + h, x : x + w] = tile.bare
    return sheet, bare


def _palette(image: NDArray[np.uint8], colours: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the colours of the image, UInt8[n, 3], and all others: marks, their edges, the tinted image."""
    from PIL import Image

    from simclick.envs.rendering import COLOURS, TINT

    few = Image.fromarray(image[None]).quantize(colours, method=Image.Quantize.MEDIANCUT)
    common = np.array(few.getpalette(), dtype=np.uint8).reshape(-1, 3)[: len(few.getcolors() or [])]
    # The cut follows what is common: of few colours none is left for a small bright part.
    order = np.argsort(image.sum(axis=1, dtype=np.int64), kind="stable")
    bare = np.vstack([common, image[order[[0, -1]]]])
    tinted = bare * (1 - TINT) + np.array(COLOURS["mask"]) * TINT
    marks = np.array(list(COLOURS.values()), dtype=np.float64)
    greys = np.repeat([[20.0], [92.0], [150.0], [200.0], [230.0]], 3, axis=1)
    edges = [(marks + end) / 2 for end in (255.0, 20.0)]
    return bare, np.rint(np.vstack([marks, greys, *edges, tinted])).astype(np.uint8)


def _packed(
    sheet: NDArray[np.uint8], bare: NDArray[np.bool_], image: NDArray[np.uint8], others: NDArray[np.uint8]
) -> bytes:
    """Return a picture as PNG in which each pixel has the nearest colour of a palette.

    Args:
        sheet: UInt8[h, w, 3].
        bare: Bool[h, w], where only colours of the image are taken.
        image: The colours of the image, UInt8[n, 3].
        others: All others, UInt8[m, 3].
    """
    from PIL import Image

    palette = np.vstack([image, others])
    found = np.zeros(bare.shape, dtype=np.uint8)
    for where, allowed in ((bare, image), (~bare, palette)):
        seen, places = np.unique(sheet[where].astype(np.int32) @ (1 << 16, 1 << 8, 1), return_inverse=True)
        rgb = np.stack([seen >> 16, seen >> 8 & 255, seen & 255], axis=1)
        far = ((rgb[:, None] - allowed.astype(np.int32)) ** 2).sum(axis=2)
        found[where] = far.argmin(axis=1).astype(np.uint8)[places]
    picture = Image.fromarray(found, "P")
    picture.putpalette(palette.tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
