"""What the page that compares two methods needs: one chart per board, and all numbers as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from simclick.leaderboard.boards import COSTS, THRESHOLDS, Board
from simclick.leaderboard.charts import Chart, curves_chart
from simclick.leaderboard.method_tables import curves_grid, levels_grid
from simclick.leaderboard.standings import Standing
from simclick.leaderboard.summary import share_text
from simclick.leaderboard.tables import board_grid, pair_rows
from simclick.leaderboard.verdicts import card_facts
from simclick.report.grid import Row, interval_text, value_text

__all__ = ["comparison"]

_TOLD = ("Version", "Authors", "Licence", "Family", "Prompts it takes", "Parameters", "Trained on",
         "Training overlap", "Hardware of the seconds", "Submitted", "Verified")  # fmt: skip


def comparison(
    standings: Sequence[Standing], titles: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Chart]]:
    """Return the page's data and its charts by board key.

    Args:
        standings: The suites.
        titles: Titles of roles.
    """
    charts: dict[str, Chart] = {}
    suites = []
    for standing in standings:
        boards = []
        for role, board in standing.boards.items():
            if board.noisy or board.statistic == "area":
                grid = levels_grid(board) if board.noisy else curves_grid(board)
                charts[board.key] = curves_chart(board, grid, prefix=f"cmp-{board.key}")
            boards.append({**_board(standing, board), "title": titles.get(role, role), "key": board.key})
        suites.append(
            {
                "name": standing.suite.name,
                "title": standing.suite.title,
                "cards": {m.slug: _card(standing, m) for m in standing.methods},
                "boards": boards,
            }
        )
    return {"suites": suites}, charts


def _card(standing: Standing, method: Any) -> dict[str, Any]:
    facts = {fact.term: " ".join(fact.lines) for fact in card_facts(method, standing)}
    return {
        "name": method.label,
        "number": method.number,
        "marks": list(standing.marks(method)),
        "facts": [["Tier", method.entry.tier], *([term, facts.get(term, "")] for term in _TOLD)],
    }


def _board(standing: Standing, board: Board) -> dict[str, Any]:
    grid = board_grid(board, standing.robust if board.role == "clicks" else None)
    columns = [c for c in grid.columns if c.key not in ("links", "tier", "date")]
    by_label = {row.name: row for row in grid.rows}
    rows = {m.slug: by_label[m.label] for m in board.methods.values() if m.label in by_label}
    failed = any(board.failed(slug)[0] for slug in rows)
    return {
        "protocol": board.protocol.id,
        "methods": list(board.methods),
        "columns": [
            {
                "key": c.key,
                "style": c.style,
                "head": " ".join(filter(None, [c.over.replace("…", ""), c.head])),
            }
            for c in columns
        ]
        + [{"key": "failed", "style": "text", "head": "episodes that failed"}] * failed,
        "rows": {
            slug: [_cell(row, c.key, c.style) for c in columns] + [_failed(board, slug)] * failed
            for slug, row in rows.items()
        },
        "pairs": _pairs(board),
        "targets": _targets(board),
        "curves": _curves(board),
    }


def _cell(row: Row, key: str, style: Any) -> list[str]:
    cell = row.values.get(key)
    return [value_text(cell, style), interval_text(cell, style)]


def _failed(board: Board, slug: str) -> list[str]:
    failed, n = board.failed(slug)
    return [f"{failed} of {n}", f"[{share_text(failed, n)}]" if failed else ""]


def _pairs(board: Board) -> dict[str, list[list[Any]]]:
    """Return by column key ``[a, b, difference, low, high, p]`` of every pair."""
    wanted: list[tuple[str, str, float | None]] = [("outcome", "", None)]
    if not board.noisy:
        wanted += [(f"dice@{cost}", "dice", float(cost)) for cost in board.costs if cost in COSTS]
        wanted += [(f"{name}@{tau:.2f}", name, tau) for tau in THRESHOLDS for name in ("noc", "nof")]
    found = {}
    for key, statistic, at in wanted:
        found[key] = [
            [r.a, r.b, *(_round(v) for v in (r.difference.value, r.difference.low, r.difference.high)),
             _round(r.p_holm)]
            for r in pair_rows(board, statistic, at)
        ]  # fmt: skip
    return found


def _targets(board: Board) -> dict[str, dict[str, float | None]]:
    """Return by target and slug the outcome."""
    names = board.subsets("target")
    if len(names) < 2:
        return {}
    return {
        name: {slug: _round(board.outcome(slug, subset=("target", name)).value) for slug in board.methods}
        for name in names
    }


def _curves(board: Board) -> dict[str, Any]:
    """Return the numbers behind the chart."""
    if not board.noisy and board.statistic != "area":
        return {"columns": [], "rows": {}}
    grid = levels_grid(board) if board.noisy else curves_grid(board)
    rows = dict(zip(board.methods, grid.rows, strict=True))
    return {
        "title": grid.title,
        "columns": [c.head for c in grid.columns],
        "rows": {slug: [_cell(row, c.key, c.style)[0] for c in grid.columns] for slug, row in rows.items()},
    }


def _round(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
