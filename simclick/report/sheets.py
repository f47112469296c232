"""Contact sheets: the best, the median and the worst episode of every agent, with its clicks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simclick.case import Case
from simclick.envs.rendering import Box, crop_around, draw
from simclick.errors import DataError
from simclick.harness.reading import Run
from simclick.report.films import CaseLoader, Film, load_films
from simclick.report.rounds import CLICKS, Rounds
from simclick.report.style import MUTED, drawing

__all__ = ["LEGEND", "Sheet", "Strip", "Tile", "make_sheet", "sheet_figure", "shown_part", "strip_tiles"]

LEGEND = (
    "Dashed yellow: truth. Blue: the agent's mask. Green plus: positive click. Orange minus: negative "
    "click. Numbers: order of the clicks."
)
NO_MASKS = "Masks were not kept (save_masks=true keeps them): clicks and truth only."
SHOWN_AT = 5
"""Cost at which a strip shows the mask, besides the first round and the end."""
CLOSE = 0.6
"""An object is shown closer where that needs less than this share of the image's longer side."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture and its caption.

    Attributes:
        caption: What it shows, for example ``5 clicks: Dice 0.812``.
        picture: UInt8[h, w, 3].
    """

    caption: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Strip:
    """One episode as a row of pictures.

    Attributes:
        rank: ``best``, ``median`` or ``worst``.
        case_id: The case.
        target: Name of the object.
        what: What it was chosen by (`Rounds.outcome_words`).
        value: That number.
        text: What to say below: a failure's reason, why there is no picture.
        tiles: Its pictures; empty when the image could not be loaded.
    """

    rank: str
    case_id: str
    target: str
    what: str
    value: float
    text: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """The contact sheet of one agent on one data set.

    Attributes:
        label: The agent.
        strips: Its strips.
        note: What holds for all of them, or "".
    """

    label: str
    strips: tuple[Strip, ...]
    note: str


def make_sheet(
    label: str, run: Run, loader: CaseLoader, episodes: pd.DataFrame, rounds: Rounds = CLICKS
) -> Sheet:
    """Return the contact sheet of an agent.

    Args:
        label: The agent's label.
        run: Its run on the data set.
        loader: Loads cases.
        episodes: The episodes of the run at one noise level, with the outcome of `rounds`: ``area``, or
            ``dice@BUDGET`` of a single round.
        rounds: The rounds of the protocol.
    """
    outcome = f"dice@{rounds.budget}" if rounds.single else "area"
    chosen = _best_median_worst(episodes, outcome)
    films = load_films(run, [(str(r["case_id"]), float(r["level"]), int(r["repeat"])) for _, r in chosen])
    strips = [
        _strip(rank, film, run, loader, float(row[outcome]), rounds)
        for (rank, row), film in zip(chosen, films, strict=True)
    ]
    return Sheet(label, tuple(strips), "" if run.description.get("save_masks") else NO_MASKS)


def _best_median_worst(episodes: pd.DataFrame, outcome: str) -> list[tuple[str, pd.Series]]:
    """Return the best, median and worst episode by an outcome; ties go to the first case id."""
    order = episodes.sort_values([outcome, "case_id", "repeat"], ascending=[False, True, True], kind="stable")
    worst = order[outcome].to_numpy()
    last = int(np.flatnonzero(worst == worst[-1])[0])
    places = {"best": 0, "median": (len(order) - 1) // 2, "worst": last}
    return [(rank, order.iloc[place]) for rank, place in places.items()]


def _strip(rank: str, film: Film, run: Run, loader: CaseLoader, value: float, rounds: Rounds) -> Strip:
    text = f"The agent failed: {film.error}" if film.error else ""
    try:
        tiles = strip_tiles(film, loader.load(run, film.case_id), rounds)
    except DataError as error:
        text, tiles = f"{text} Not shown: {error}".strip(), ()
    return Strip(rank, film.case_id, film.target, rounds.outcome_words, value, text, tiles)


def strip_tiles(film: Film, case: Case, rounds: Rounds = CLICKS) -> tuple[Tile, ...]:
    """Return an episode as few pictures: the truth, then the masks after the first round, at cost 5, last."""
    crop = shown_part(film, case)
    tiles = [Tile("truth" if crop is None else "truth, whole image", draw(case.image, case.truth))]
    last = film.shots[-1].cost if film.shots else 0
    if not film.shots or not film.has_masks:
        dice = f": Dice {film.final_dice:.3f}" if film.shots else ""
        picture = draw(case.image, case.truth, None, film.rounds, crop=crop)
        return (*tiles, Tile(f"{_tile_words(last, rounds)}{dice}", picture))
    shots = {
        s.step: s for s in (film.at_cost(cost) for cost in (rounds.first, SHOWN_AT, last)) if s is not None
    }
    for shot in shots.values():
        picture = draw(case.image, case.truth, shot.mask, film.rounds[: shot.step], crop=crop)
        tiles.append(Tile(f"{_tile_words(shot.cost, rounds)}: Dice {shot.dice:.3f}", picture))
    return tuple(tiles)


def shown_part(film: Film, case: Case) -> Box | None:
    """Return the part of the image to show: a closer look where object, masks and clicks are small."""
    masks = [case.truth, *(shot.mask for shot in film.shots if shot.mask is not None)]
    x0, y0, x1, y1 = crop = crop_around(masks, film.rounds)
    near = max(x1 - x0 + 1, y1 - y0 + 1) < CLOSE * max(case.size)
    return crop if near else None


def _tile_words(cost: int, rounds: Rounds) -> str:
    """Return a cost as a caption: ``5 clicks``, ``after the box``, ``after a cost of 5 clicks``."""
    words = rounds.spent(cost)
    return words if rounds.first == 1 and not rounds.single else f"after {words}"


def sheet_figure(title: str, rows: Sequence[tuple[str, Sequence[Tile]]], legend: str = LEGEND) -> Figure:
    """Return pictures in rows, each row with a heading (or none), each picture with its caption."""
    columns = max([1, *(len(tiles) for _, tiles in rows)])
    side, gap, line = 2.3, 0.08, 0.27
    heads = [line if heading else 0.08 for heading, _ in rows]
    tall = [max([0.25, *(t.picture.shape[0] / max(t.picture.shape[:2]) for t in tiles)]) for _, tiles in rows]
    width = max(columns * (side + gap) + gap, 4.8)
    words = textwrap.wrap(legend, int(width * 15))
    height = (
        0.45
        + sum(head + side * h + line for head, h in zip(heads, tall, strict=True))
        + 0.14 * len(words)
        + 0.1
    )
    with drawing():
        figure = Figure((width, height))

        def write(x: float, y: float, text: str, **style: Any) -> None:
            figure.text(x / width, y / height, text, va="top", **style)

        title = textwrap.shorten(title, int(width * 10), placeholder=" …")
        write(gap, height - 0.12, title, fontsize=11, fontweight="bold")
        top = height - 0.45
        for (heading, tiles), head, h in zip(rows, heads, tall, strict=True):
            write(gap, top - 0.04, textwrap.shorten(heading, int(width * 15), placeholder=" …"), fontsize=8.5)
            top -= head
            for column, tile in enumerate(tiles):
                left = gap + column * (side + gap)
                box = (left / width, (top - side * h) / height, side / width, side * h / height)
                axes = figure.add_axes(box)
                axes.imshow(tile.picture, interpolation="antialiased")
                axes.set_axis_off()
                axes.set_anchor("NW")
                write(left, top - side * h - 0.04, tile.caption, fontsize=7.5, color=MUTED)
            top -= side * h + line
        write(gap, top - 0.02, "\n".join(words), fontsize=7, color=MUTED)
    return figure
