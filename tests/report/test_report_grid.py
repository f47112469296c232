from __future__ import annotations

import csv
import io
import math

import pytest

from simclick.report.grid import (
    Column,
    Grid,
    Row,
    Style,
    Value,
    best_of,
    csv_text,
    interval_text,
    spanned,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.81249, "dice", "0.812"),
        (7.456, "clicks", "7.46"),
        (0.125, "share", "12.5 %"),
        (1.0, "share", "100.0 %"),
        (math.inf, "distance", "∞"),
        (0.0312, "seconds", "0.031"),
        (0.0000001, "seconds", "< 0.001"),
        (12.3456, "seconds", "12.35"),
        (72.0, "count", "72"),
        (0.05, "difference", "+0.050"),
        (-0.05, "difference", "\N{MINUS SIGN}0.050"),
        (-0.0001, "difference", "0.000"),
        (-2.5, "click_difference", "\N{MINUS SIGN}2.50"),
        (0.0004, "p", "< 0.001"),
        (0.0123, "p", "0.012"),
        (math.nan, "dice", "\N{EN DASH}"),
    ],
)
def test_how_a_number_reads(value: float, style: Style, text: str) -> None:
    assert value_text(Value(value), style) == text


def test_a_missing_cell_is_a_dash_and_a_text_stands_for_itself() -> None:
    assert value_text(None, "dice") == "\N{EN DASH}"
    assert value_text(Value(text="grabcut"), "text") == "grabcut"
    assert interval_text(None, "dice") == ""


def test_an_interval_needs_both_ends() -> None:
    assert interval_text(Value(0.5, 0.4, 0.6), "dice") == "[0.400, 0.600]"
    assert interval_text(Value(0.5, 0.4, 0.6), "share") == "[40.0, 60.0]"
    assert interval_text(Value(0.5, math.nan, 0.6), "dice") == ""
    assert not Value(0.5).has_interval


def test_best_takes_all_equals_and_never_nan_and_needs_somebody_worse() -> None:
    assert best_of([0.7, 0.7], highest=True) == set()
    assert best_of([0.5, 0.7, math.nan, 0.7], highest=True) == {1, 3}
    assert best_of([0.5, 0.7, math.nan], highest=False) == {0}
    assert best_of([math.nan], highest=True) == set()


def test_shared_heads_span_their_neighbours() -> None:
    columns = [Column("a", "a", over="x"), Column("b", "b", over="x"), Column("c", "c"), Column("d", "d")]
    assert spanned(columns) == [("x", 2), ("", 1), ("", 1)]
    assert spanned(columns[2:]) == []


def test_csv_has_full_precision_low_and_high_marks_and_constants() -> None:
    rows = (
        Row('a, "b"', {"dice@1": Value(1 / 3, 0.1, 0.6), "n": Value(3.0)}, ("uses truth",), "Not ranked"),
        Row("c", {"dice@1": Value(0.5)}),
    )
    columns = (Column("dice@1", "1"), Column("n", "cases", "count"))
    grid = Grid("t", "T", "agent", columns, rows, constants={"seed": 7})
    lines = list(csv.DictReader(io.StringIO(csv_text(grid))))
    assert lines[0] == {
        "agent": 'a, "b"',
        "part": "Not ranked",
        "marks": "uses truth",
        "dice@1": repr(1 / 3),
        "dice@1_low": "0.1",
        "dice@1_high": "0.6",
        "n": "3",
        "seed": "7",
    }
    assert lines[1]["dice@1_low"] == ""
    assert lines[1]["n"] == ""
