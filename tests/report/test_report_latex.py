from __future__ import annotations

import re

import pytest

from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.latex import escape, latex_text


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (
            r"50% of a_b & c#d $x {y} ~ ^",
            r"50\% of a\_b \& c\#d \$x \{y\} \textasciitilde{} \textasciicircum{}",
        ),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("<script>", r"\textless{}script\textgreater{}"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("Dice ≥ 0.90", r"Dice $\geq$ 0.90"),
        ("\N{MINUS SIGN}0.05", "$-$0.05"),
        ("two\nlines\x07", "two lines "),
        ("Müller", "Müller"),
    ],
)
def test_escapes(text: str, latex: str) -> None:
    assert escape(text) == latex


def table() -> str:
    rows = (
        Row("[first]", {"d": Value(0.5, 0.4, 0.6, strong=True), "n": Value(72.0)}),
        Row("second_100%", {"d": Value(0.25), "n": Value(72.0)}, ("uses truth",), "Not ranked"),
    )
    columns = (Column("d", "Dice_1", over="after"), Column("n", "cases", "count"))
    return latex_text(Grid("noc-v1_x", "Title & more", "agent", columns, rows, ("72 cases.",)))


def test_a_table_is_booktabs_with_caption_label_and_notes() -> None:
    text = table()
    for part in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\caption{Title \& more.}",
        r"\label{tab:noc-v1-x}",
    ):
        assert part in text
    assert "72 cases." in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert text.count("{") == text.count("}")


def test_a_row_has_its_interval_below_and_its_mark_as_a_footnote() -> None:
    text = table()
    assert "{}[first] & \\textbf{0.500} \\\\\n & {\\scriptsize [0.400, 0.600]} \\\\[2pt]" in text
    assert r"second\_100\%$^{a}$ & 0.250 \\" in text
    assert "$^{a}$ uses truth." in text
    assert r"\emph{Not ranked}" in text


def test_a_count_that_is_the_same_everywhere_is_left_to_the_notes() -> None:
    text = table()
    assert "cases &" not in text
    assert "& cases" not in text
    assert re.search(r"\\begin\{tabular\}\{lr\}", text)
