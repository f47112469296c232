r"""Grids as LaTeX: a ``table`` for `booktabs` that can be pasted into a paper.

Needs ``\usepackage{booktabs}`` alone; every text is escaped.
"""

from __future__ import annotations

import re

from simclick.report.grid import MINUS, Column, Grid, Row, interval_text, value_text

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
    return "".join(_SPECIAL.get(ch, ch) for ch in plain.replace("--", "-\0-")).replace("\0", "{}")


def latex_text(grid: Grid) -> str:
    """Return a grid as a LaTeX table; intervals stand small below their values."""
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{escape(grid.title)}.}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', grid.name)}}}",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{l{'r' * len(grid.columns)}}}",
        r"\toprule",
        *_heads(grid),
        r"\midrule",
    ]
    for number, (part, rows) in enumerate(grid.parts):
        if number:
            lines.append(r"\midrule")
        if part:
            lines.append(rf"\multicolumn{{{len(grid.columns) + 1}}}{{l}}{{\emph{{{escape(part)}}}}} \\")
        for row in rows:
            lines += _row(row, grid.columns)
    lines += [r"\bottomrule", r"\end{tabular}"]
    if grid.notes:
        notes = " ".join(escape(note) for note in grid.notes)
        lines.append(rf"\par\smallskip\parbox{{0.95\linewidth}}{{\footnotesize {notes}}}")
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def _heads(grid: Grid) -> list[str]:
    lines = []
    if grid.heads:
        cells, rules, at = [""], [], 2
        for over, span in grid.heads:
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(over)}}}")
            if over and span > 1:
                rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines += [" & ".join(cells) + r" \\", *(["".join(rules)] if rules else [])]
    heads = " & ".join([escape(grid.stub), *(escape(c.head) for c in grid.columns)])
    return [*lines, heads + r" \\"]


def _row(row: Row, columns: tuple[Column, ...]) -> list[str]:
    name = escape(row.name)
    if name.startswith(("[", "*")):
        name = "{}" + name  # or the line break before would take it for its argument
    if row.marks:
        name += r" \emph{(" + escape(", ".join(row.marks)) + ")}"
    cells, intervals = [name], [""]
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
