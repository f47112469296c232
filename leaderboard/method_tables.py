"""The tables of one method, and of two side by side."""

from __future__ import annotations

import math

from simclick.leaderboard.boards import Board, Method
from simclick.leaderboard.frames import failure_marks
from simclick.leaderboard.tables import (
    BRACKETS,
    FAILED,
    board_title,
    number_cells,
    number_columns,
    pair_rows,
    turned,
)
from simclick.report.grid import Column, Grid, Row, Style, Value, interval_text, value_text

__all__ = ["against_grid", "curves_grid", "levels_grid", "robustness_grid", "subset_grid"]


def against_grid(board: Board, method: Method) -> Grid | None:
    """Return one method against every other ranked one, or None where there is none."""
    columns = (Column("difference", "difference", "difference"), Column("p_holm", "p, Holm", "p"))
    rows = []
    for r in pair_rows(board):
        if method.slug not in (r.a, r.b):
            continue
        other = board.methods[r.b if r.a == method.slug else r.a]
        d = r.difference if r.a == method.slug else turned(r.difference)
        strong = Value(d.value, d.low, d.high, strong=r.significant)
        rows.append((other, {"difference": strong, "p_holm": Value(r.p_holm)}))
    if not rows:
        return None
    order = {place.name: i for i, place in enumerate(board.places)}
    rows.sort(key=lambda row: order[row[0].slug])
    note = (
        f"{method.label} less the other in {board.outcome_words}, on the same cases. Bold: significant after "
        f"Holm's correction over all pairs of the board. {BRACKETS}"
    )
    found = tuple(Row(other.label, cells, board.marks(other.slug)) for other, cells in rows)
    name = f"{method.slug}-{board.key}-against"
    return Grid(name, f"Against the others: {board_title(board)}", "against", columns, found, (note,))


def subset_grid(board: Board, method: Method, by: str) -> Grid | None:
    """Return a method's numbers per ``target`` or ``modality``, or None where there is only one."""
    values = board.subsets(by)
    if len(values) < 2:
        return None
    failed = [Column("failed", "failed", "share")] if board.failed(method.slug)[0] else []
    columns = (
        *(number_columns(board)[:1] if board.noisy else number_columns(board)),
        *failed,
        Column("n_cases", "cases", "count"),
        Column("n_groups", "groups", "count"),
    )
    rows = []
    for value in values:
        cells = number_cells(board, method.slug, (by, value))
        counts = board.numbers.counts(method.slug, board.statistic, subset=(by, value))
        cells |= {key: Value(float(n)) for key, n in zip(("n_cases", "n_groups"), counts, strict=True)}
        bad, n = board.failed(method.slug, (by, value))
        rows.append(Row(value, {**cells, "failed": Value(bad / n if n else math.nan)}))
    name = f"{method.slug}-{board.key}-by-{by}"
    note = f"{BRACKETS} None under 8 groups."
    note += f" Failed: {FAILED[0].lower()}{FAILED[1:]}" if failed else ""
    return Grid(name, f"By {by}: {board_title(board)}", by, columns, tuple(rows), (note,))


def robustness_grid(board: Board, method: Method) -> Grid:
    """Return what noise costs a method, level by level."""
    wanted: list[tuple[str, str, Style]] = [
        ("mean", "Dice", "dice"),
        ("drop", "change", "difference"),
        ("retention", "kept", "share"),
        ("large_loss", "lose > 0.1", "share"),
        ("sd", "SD over repeats", "dice"),
        ("worst_repeat", "worst repeat", "dice"),
        ("worst_tenth", "worst tenth", "dice"),
    ]
    rows = []
    for level in board.protocol.levels:
        cells = {key: board.robust(method.slug, key, level) for key, _, _ in wanted}
        cells["drop"] = turned(cells["drop"]) if level > 0 else Value()
        failed = failure_marks(*board.failed(method.slug, ("level", str(float(level)))))
        rows.append(Row(board.level_text(level), cells, failed))
    whole = turned(board.robust(method.slug, "dose_area"))
    average = " ".join(filter(None, [value_text(whole, "difference"), interval_text(whole, "difference")]))
    note = (
        f"Dice after {board.budget_words}, and its change against the same cases at level 0. Kept: the share "
        f"of it that is left. Average change over the levels: {average}. {BRACKETS}"
    )
    name = f"{method.slug}-{board.key}-levels"
    columns = tuple(Column(*column) for column in ((key, head, style) for key, head, style in wanted))
    return Grid(name, f"Level by level: {board_title(board)}", "noise", columns, tuple(rows), (note,))


def curves_grid(board: Board) -> Grid:
    """Return the numbers behind the curves: mean Dice after every cost, of all methods."""
    table = board.curves
    costs = [int(c) for c in sorted(table["cost"].unique()) if c >= board.first_cost]
    columns = tuple(Column(str(cost), str(cost), "dice") for cost in costs)
    rows = []
    for slug, method in board.methods.items():
        mine = table[table["agent"] == slug]
        points = zip(*(mine[name] for name in ("cost", "value", "low", "high")), strict=True)
        cells = {str(int(c)): Value(float(v), float(low), float(high)) for c, v, low, high in points}
        rows.append(Row(method.label, cells, board.marks(slug)))
    title = f"Mean Dice after … clicks: {board_title(board)}"
    return Grid(f"{board.key}-curves", title, "method", columns, tuple(rows), (BRACKETS,))


def levels_grid(board: Board) -> Grid:
    """Return the numbers behind the lines over noise levels, of all methods."""
    levels = board.protocol.levels
    columns = tuple(Column(f"{v:g}", board.level_text(v), "dice") for v in levels)
    rows = tuple(
        Row(m.label, {f"{v:g}": board.robust(slug, "mean", v) for v in levels}, board.marks(slug))
        for slug, m in board.methods.items()
    )
    title = f"Mean Dice after {board.budget_words} at a noise of …: {board_title(board)}"
    return Grid(f"{board.key}-curves", title, "method", columns, rows, (BRACKETS,))
