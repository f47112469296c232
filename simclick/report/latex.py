r"""Grids as LaTeX: a ``table*`` that can be pasted into a paper.

Needs the packages ``booktabs`` and ``graphicx`` (a table wider than the page is made smaller); every
text is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from simclick.report.grid import MINUS, Column, Grid, Row, interval_text, spanned, value_text

__all__ = ["escape", "latex_text"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"''",
    "`": r"\textasciigrave{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "τ": r"$\tau$",
    "Δ": r"$\Delta$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "·": r"$\cdot$",
    "\N{EN DASH}": "--",
    "—": "---",
    "…": r"\dots{}",
    MINUS: "$-$",
}


def escape(text: str) -> str:
    """Return text that LaTeX prints as it stands; control characters become spaces.

    A character outside ASCII that has no command here is kept: UTF-8 is LaTeX's own encoding.
    """
    plain = re.sub(" +", " ", "".join(ch if ch.isprintable() else " " for ch in text))
    apart = re.sub("-(?=-)", "-\0", plain)  # two hyphens would join to a dash
    return "".join(_SPECIAL.get(ch, ch) for ch in apart).replace("\0", "{}")


def latex_text(grid: Grid) -> str:
    """Return a grid as a LaTeX table; intervals stand small below their values.

    Marks become footnotes of the table. Counts that are the same in every row are left out: the
    notes say how many cases and groups there are.
    """
    columns = [c for c in grid.columns if not _constant_count(grid, c)]
    marked: list[Row | Column] = [*grid.rows, *columns]
    marks = list(dict.fromkeys(mark for item in marked for mark in item.marks))
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        r"\begin{table*}[t]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(grid.title)}.}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', grid.name)}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{''.join('l' if c.style == 'text' else 'r' for c in columns)}}}",
        r"\toprule",
        *_heads(grid, columns, marks),
        r"\midrule",
    ]
    for number, (part, rows) in enumerate(grid.parts):
        if number:
            lines.append(r"\midrule")
        if part:
            lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{escape(part)}}}}} \\")
        for row in rows:
            lines += _row(row, columns, marks)
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [escape(note) for note in grid.notes]
    notes += [rf"$^{{{_letter(i)}}}$ {escape(mark)}." for i, mark in enumerate(marks)]
    if notes:
        lines.append(rf"\par\smallskip\parbox{{0.95\textwidth}}{{\footnotesize {' '.join(notes)}}}")
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def _constant_count(grid: Grid, column: Column) -> bool:
    cells = [row.values.get(column.key) for row in grid.rows]
    known = {cell.value for cell in cells if cell is not None}
    return column.style == "count" and len(known) == 1 and len(grid.columns) > 1 and not known & {math.nan}


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) * (1 + number // 26)


def _heads(grid: Grid, columns: Sequence[Column], marks: Sequence[str]) -> list[str]:
    lines = []
    spans = spanned(columns)
    if spans:
        cells, rules, at = [""], [], 2
        for over, span in spans:
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(over)}}}")
            if over and span > 1:
                rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines += [" & ".join(cells) + r" \\", *(["".join(rules)] if rules else [])]
    heads = " & ".join([escape(grid.stub), *(escape(c.head) + _marked(c, marks) for c in columns)])
    return [*lines, heads + r" \\"]


def _marked(item: Row | Column, marks: Sequence[str]) -> str:
    letters = ",".join(_letter(marks.index(mark)) for mark in item.marks)
    return f"$^{{{letters}}}$" if letters else ""


def _row(row: Row, columns: Sequence[Column], marks: Sequence[str]) -> list[str]:
    name = escape(row.name)
    if name.startswith(("[", "*")):
        name = "{}" + name  # or the line break before would take it for its argument
    cells, intervals = [name + _marked(row, marks)], [""]
    for column in columns:
        cell = row.values.get(column.key)
        text = escape(value_text(cell, column.style))
        cells.append(rf"\textbf{{{text}}}" if cell is not None and cell.strong else text)
        interval = interval_text(cell, column.style)
        intervals.append(rf"{{\scriptsize {escape(interval)}}}" if interval else "")
    lines = [" & ".join(cells) + r" \\"]
    if any(intervals):
        lines.append(" & ".join(intervals) + r" \\[2pt]")
    return lines
