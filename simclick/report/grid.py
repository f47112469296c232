"""A table as values: one model, shown as HTML, LaTeX or CSV.

A `Grid` holds numbers, not text; how a number reads depends on its column's style alone, so a
number looks the same on the page, in a paper and at the end of a run.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "MINUS",
    "Column",
    "Grid",
    "Row",
    "Style",
    "Value",
    "best_of",
    "csv_text",
    "interval_text",
    "spanned",
    "value_text",
]

Style: TypeAlias = Literal[
    "dice", "clicks", "share", "distance", "seconds", "count", "difference", "click_difference", "p", "text"
]
"""How a number reads: Dice with three decimals, clicks with two, a share in per cent, …"""

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Value:
    """One cell: a number, perhaps with its 95 % interval, or a text.

    Attributes:
        value: The number; NaN shows as a dash.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
        text: Shown instead of the number.
        strong: Whether it stands out: the best of its column, or a difference whose interval
            excludes 0.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    text: str = ""
    strong: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in CSV; unique in the grid.
        head: Its head.
        style: How its numbers read.
        over: A head that it shares with its neighbours, or "".
        marks: What must be said beside the head.
    """

    key: str
    head: str
    style: Style = "dice"
    over: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        name: What it is about.
        values: Its cells by column key; a missing one shows as a dash.
        marks: What must be said beside the name.
        part: Rows of one part stand together under its heading.
    """

    name: str
    values: Mapping[str, Value]
    marks: tuple[str, ...] = ()
    part: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        name: File name without suffix, and the LaTeX label; letters, digits, ``-_.+@``.
        title: What it shows.
        stub: Head of the column of row names.
        columns: The columns.
        rows: The rows.
        notes: Sentences below the table: what it rests on, why an interval is missing.
        constants: Further columns of the CSV file, the same in every row.
    """

    name: str
    title: str
    stub: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    constants: Mapping[str, object] = field(default_factory=dict)

    @property
    def parts(self) -> list[tuple[str, list[Row]]]:
        """The rows by part, in order of first appearance."""
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(row.part, []).append(row)
        return list(parts.items())

    @property
    def heads(self) -> list[tuple[str, int]]:
        """The shared heads of all columns; see `spanned`."""
        return spanned(self.columns)


def spanned(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Return the shared heads and how many neighbouring columns each spans; empty when there are none."""
    spans: list[tuple[str, int]] = []
    for column in columns:
        if spans and spans[-1][0] == column.over and column.over:
            spans[-1] = (column.over, spans[-1][1] + 1)
        else:
            spans.append((column.over, 1))
    return spans if any(over for over, _ in spans) else []


_DECIMALS: Mapping[str, int] = {
    "dice": 3,
    "clicks": 2,
    "distance": 2,
    "count": 0,
    "difference": 3,
    "click_difference": 2,
}


def _number(value: float, style: Style) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if style == "share":
        return f"{100 * value:.1f}"
    if style == "seconds":
        return f"{value:.2f}" if value >= 1 else f"{value:.3f}" if value >= 0.001 else "< 0.001"
    if style == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    text = f"{abs(value):.{_DECIMALS[style]}f}"
    zero = float(text) == 0
    if style in ("difference", "click_difference") and not zero:
        return ("+" if value > 0 else MINUS) + text
    return MINUS + text if value < 0 and not zero else text


def value_text(cell: Value | None, style: Style) -> str:
    """Return a cell's number or text, without its interval; a dash where there is none."""
    if cell is None:
        return MISSING
    if cell.text:
        return cell.text
    if math.isnan(cell.value):
        return MISSING
    text = _number(cell.value, style)
    return f"{text} %" if style == "share" else text


def interval_text(cell: Value | None, style: Style) -> str:
    """Return a cell's interval, ``[low, high]``; "" where there is none."""
    if cell is None or not cell.has_interval:
        return ""
    return f"[{_number(cell.low, style)}, {_number(cell.high, style)}]"


def csv_text(grid: Grid) -> str:
    """Return a grid as CSV, numbers in full precision; columns that have intervals get low and high.

    Shares stay between 0 and 1, distances and seconds in their unit; a missing number is empty.
    """
    with_interval = {c.key for c in grid.columns if any(_has_interval(row, c.key) for row in grid.rows)}
    header = [grid.stub, *(["part"] if any(row.part for row in grid.rows) else []), "marks"]
    for column in grid.columns:
        header.append(column.key)
        if column.key in with_interval:
            header += [f"{column.key}_low", f"{column.key}_high"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*header, *grid.constants])
    for row in grid.rows:
        texts = [row.name, *([row.part] if "part" in header else []), "; ".join(row.marks)]
        line: list[object] = [_inert(text) for text in texts]
        for column in grid.columns:
            cell = row.values.get(column.key, Value())
            line.append(_inert(cell.text) if cell.text else _plain(cell.value, column.style))
            if column.key in with_interval:
                line += [_plain(cell.low, column.style), _plain(cell.high, column.style)]
        writer.writerow([*line, *grid.constants.values()])
    return stream.getvalue()


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "@", "\t", "\r"} or text[:2] in {"-=", "--"} else text


def _has_interval(row: Row, key: str) -> bool:
    return key in row.values and row.values[key].has_interval


def _plain(value: float, style: Style) -> object:
    if math.isnan(value):
        return ""
    return int(value) if style == "count" else float(value)


def best_of(values: Sequence[float], highest: bool) -> set[int]:
    """Return the positions of the best number, with all that are equal to it; none where all are equal.

    NaN is never best.
    """
    known = [v for v in values if not math.isnan(v)]
    if len(set(known)) < 2:
        return set()
    best = max(known) if highest else min(known)
    return {i for i, v in enumerate(values) if v == best}
