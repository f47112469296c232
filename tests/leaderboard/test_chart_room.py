"""Charts have room for what is in them: long labels, marks at the ends of an axis."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from made_entries import toy_standings
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simclick.leaderboard import charts
from simclick.leaderboard.boards import Board
from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.style import drawing


def drawn(function: Any, *args: Any) -> Figure:
    """Return the figure of a chart."""
    kept: list[Figure] = []
    with mock.patch.object(charts, "_drawn", lambda figure, prefix: kept.append(figure) or Markup()):
        function(*args)
    return kept[0]


def board() -> Board:
    return next(s for s in toy_standings() if s.suite.name == "toy-v1").boards["clicks"]


@pytest.mark.parametrize(
    "names",
    [
        ["box-noise-short-v1 at 0", "box-noise-short-v1 at 5", "noc-v1"],
        ["noc-v1", "a-protocol-with-quite-a-long-name-v12 at 0.125"] * 3,
        ["a", "b"],
    ],
)
def test_labels_of_conditions_are_whole(names: list[str]) -> None:
    methods = list(board().methods.values())
    ranks = {m.slug: [float(i + 1)] * len(names) for i, m in enumerate(methods)}
    figure = drawn(charts.stability_chart, "toy-v1", names, ranks, methods, Grid("g", "t", "s", (), ()))
    with drawing():
        box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    wide, high = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= wide
    assert box.y1 <= high


def test_quality_against_cost_shows_whole_marks_and_one_form_of_numbers() -> None:
    columns = (Column("outcome", "o"), Column("seconds", "s"))
    cells = [(0.0, 1e-5), (0.5, 0.0003), (1.0, 0.2)]
    names = [place.name for place in board().places][: len(cells)]
    rows = [
        Row(n, {"outcome": Value(q), "seconds": Value(s)}) for n, (q, s) in zip(names, cells, strict=True)
    ]
    few = mock.Mock(
        places=[board().place[name] for name in names], methods=board().methods, key="k", outcome_words="Dice"
    )
    figure = drawn(charts.pareto_chart, few, Grid("g", "t", "s", columns, tuple(rows)))
    with drawing():
        FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_gid()]
    assert len(dots) == 3
    assert not any(dot.get_clip_on() for dot in dots)
    low, high = axes.get_xlim()
    ticks = [t.get_text() for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert ticks == ["0.00001", "0.0001", "0.001", "0.01", "0.1"]
