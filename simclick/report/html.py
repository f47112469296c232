"""The page: one file that holds everything, works offline and asks for nothing.

Every text is escaped by the template engine; the only markup that is passed through are figures
drawn here, whose texts are outlines. A content security policy in the page forbids scripts and
requests.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from simclick.report.boards import CURVE_THRESHOLDS, REACH, Board
from simclick.report.figures import Picture
from simclick.report.grid import Column, Grid, Row, Style, Value, interval_text, value_text
from simclick.report.runs import Section
from simclick.report.sheets import LEGEND, Sheet
from simclick.report.study import Study
from simclick.report.style import THEME, Look, page_svg
from simclick.report.wording import Lead, lead_sentences
from simclick.texts import listed

__all__ = ["Chapter", "render_page"]

TILE = 420
"""Longer side of a contact sheet's picture on the page, in pixels."""
MANY = 30
"""At most this many skipped or failed things are listed by name."""


@dataclass(frozen=True, eq=False)
class Chapter:
    """A board with everything that is shown of it.

    Attributes:
        board: The numbers.
        anchor: Id on the page.
        leads: Who leads.
        lead: The same as a table, or None with fewer than two ranked agents.
        grids: Its tables, by kind.
        pictures: Its figures with their bytes as SVG.
        sheets: Its contact sheets, with the name of each one's file.
    """

    board: Board
    anchor: str
    leads: Sequence[Lead]
    lead: Grid | None
    grids: Mapping[str, Sequence[Grid]]
    pictures: Sequence[tuple[Picture, bytes]]
    sheets: Sequence[tuple[Sheet, str]]


def render_page(
    sections: Sequence[Section],
    chapters: Sequence[Chapter],
    studies: Sequence[tuple[Study, Sequence[tuple[Picture, bytes]]]],
    looks: Mapping[str, Look],
    warnings: Sequence[str],
) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("simclick.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        value=value_text,
        interval=interval_text,
        tile=_tile,
        sentence=lambda names: listed(list(names)),
        pretty=lambda content: json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True),
        short=lambda digest: str(digest)[:12],
    )
    environment.globals.update(figure=_figure, numbers=_numbers, lead_sentences=lead_sentences, legend=LEGEND)
    page = environment.get_template("page.html.j2")
    return page.render(
        sections=sections,
        chapters=chapters,
        studies=studies,
        looks=looks,
        warnings=warnings,
        theme=THEME,
        facts=_facts(sections),
        runs=[(label, run) for section in sections for label, run in section.runs],
        failed=[failure for section in sections for failure in _failures(section)],
        skips=_skips(sections),
        many=MANY,
    )


def _facts(sections: Sequence[Section]) -> list[tuple[str, list[str]]]:
    """Return what was run, as terms and lines."""
    runs = [run for section in sections for _, run in section.runs]
    agents = sorted({label for section in sections for label, _ in section.runs})
    data: dict[str, None] = {}  # lines, each once, in order
    for run in runs:
        about = run.description["dataset"]
        note = f" ({about['note']})" if about.get("note") else ""
        line = f"{about['name']}: {_count(about['cases'], 'case')}, {_count(about['groups'], 'group')}{note}"
        data[line] = None
    protocols: dict[str, None] = {}
    for section in sections:
        p = section.protocol
        line = (
            f"{p['id']} (digest {str(p['digest'])[:12]}): {p['annotator']}, budget {p['budget']}, "
            f"mask chosen by {p['select']}, noise {p['noise']}"
        )
        protocols[line] = None
    weights: dict[str, None] = {}
    for section in sections:
        for label, entrant in section.entrants.items():
            if entrant.random_weights:
                weights[f"{label}: random weights, so its numbers say nothing about the method"] = None
            elif entrant.info.get("weights_sha256"):
                weights[f"{label}: {str(entrant.info['weights_sha256'])[:12]}…"] = None
    versions = [run.description.get("versions", {}) for run in runs]
    software = dict.fromkeys(
        f"simclick {v.get('simclick', '?')}, Python {v.get('python', '?')}, NumPy {v.get('numpy', '?')}"
        for v in versions
    )
    return [
        (f"Agents ({len(agents)})", [", ".join(agents)]),
        ("Data", list(data)),
        ("Protocol", list(protocols)),
        ("Seed", [", ".join(sorted({str(run.description["seed"]) for run in runs}))]),
        ("Weights", list(weights) or ["none: no agent here has learned weights"]),
        ("Software", list(software)),
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _figure(svg: bytes, prefix: str) -> Markup:
    """Return a figure as markup; its texts are outlines, so nothing of a user's is in it."""
    return Markup(page_svg(svg, prefix))


def _tile(picture: NDArray[np.uint8]) -> str:
    """Return a picture, made smaller, as a data address."""
    image = Image.fromarray(picture)
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _numbers(board: Board, kind: str) -> list[Grid]:
    """Return the numbers behind a figure, for readers who cannot see it."""
    if kind == "dice":
        return [_curve_grid(board, "dice", None, f"Mean {board.rounds.over}", "dice")]
    if kind == "reach":
        return [
            _curve_grid(board, "reach", tau, f"Share of cases at Dice ≥ {tau:.2f} within … clicks", "share")
            for tau in REACH
        ]
    if kind == "noc":
        columns = tuple(Column(f"{tau:.2f}", f"{tau:.2f}", "clicks") for tau in CURVE_THRESHOLDS)
        rows = tuple(
            Row(
                s.label,
                {f"{tau:.2f}": board.numbers.value(s.label, "noc", tau) for tau in CURVE_THRESHOLDS},
                s.marks,
            )
            for s in board.standings
        )
        return [Grid("noc", "Mean clicks to Dice ≥ …", "agent", columns, rows)]
    if kind == "spread":
        columns = tuple(Column(f"q{q}", f"{q} %", "dice") for q in (5, 25, 50, 75, 95))
        rows = tuple(Row(s.label, _quantiles(board.paths[s.label][:, -1]), s.marks) for s in board.standings)
        return [
            Grid(
                "spread",
                f"Percentiles of Dice after {board.rounds.spent(board.rounds.budget)}",
                "agent",
                columns,
                rows,
            )
        ]
    return []


def _quantiles(values: NDArray[np.float64]) -> dict[str, Value]:
    return {f"q{q}": Value(float(np.quantile(values, q / 100))) for q in (5, 25, 50, 75, 95)}


def _curve_grid(board: Board, statistic: str, at: float | None, title: str, style: Style) -> Grid:
    table = board.curves[board.curves["statistic"] == statistic]
    if at is not None:
        table = table[np.isclose(table["at"], at)]
    costs = [c for c in sorted(table["cost"].unique()) if c >= board.rounds.first]
    columns = tuple(Column(str(cost), str(cost), style) for cost in costs)
    rows = []
    for s in board.standings:
        mine = table[table["agent"] == s.label]
        points = zip(*(mine[name] for name in ("cost", "value", "low", "high")), strict=True)
        values = {str(cost): Value(value, low, high) for cost, value, low, high in points}
        rows.append(Row(s.label, values, s.marks))
    return Grid(statistic, title, "agent", columns, tuple(rows))


def _failures(section: Section) -> list[dict[str, Any]]:
    """Return failed episodes by agent, data set and reason, most frequent first."""
    rows = section.episodes
    rows = rows[rows["status"] == "failed"]
    reasons = rows["error"].fillna("no reason was recorded")
    keys = list(zip(rows["agent"], rows["dataset"], reasons, strict=True))
    cases: dict[tuple[str, str, str], list[str]] = {}
    for key, case_id in zip(keys, rows["case_id"], strict=True):
        cases.setdefault(key, []).append(case_id)
    return [
        {
            "agent": agent,
            "dataset": dataset,
            "protocol": f"{section.name}, seed {section.seed}",
            "reason": reason,
            "count": count,
            "cases": list(dict.fromkeys(cases[agent, dataset, reason])),
        }
        for (agent, dataset, reason), count in Counter(keys).most_common()
    ]


def _skips(sections: Sequence[Section]) -> list[tuple[str, list[dict[str, str]]]]:
    """Return what was left out of each data set; runs that left out the same are listed once."""
    found: dict[str, tuple[str, list[dict[str, str]]]] = {}
    for section in sections:
        for _, run in section.runs:
            skipped = run.description["dataset"].get("skipped") or []
            if skipped:
                found.setdefault(json.dumps([run.dataset, skipped]), (run.dataset, skipped))
    return list(found.values())
