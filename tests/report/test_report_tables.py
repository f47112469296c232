"""The numbers of the tables, worked out by hand on two agents, two cases and three clicks."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import Protocol
from simclick.report.boards import Board, make_boards
from simclick.report.build import ReportResult
from simclick.report.grid import Grid, Value
from simclick.report.runs import load_sections, open_runs
from simclick.report.tables import board_grids, oracle_grids, slug
from simclick.report.wording import lead_sentences, leads

THREE = Protocol("three-v1", "center-click", budget=3, surface_at=(1, 3))
# Dice after 1, 2, 3 clicks of a liver and a lesion.
A = np.array([[0.5, 0.8, 0.9], [0.2, 0.6, 0.7]])
B = np.array([[0.9, 0.9, 0.9], [0.4, 0.4, 0.4]])


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    root = tmp_path_factory.mktemp("hand")
    cases = planned_cases(1, 2, ("liver", "lesion"), ("ct",))
    paths = [
        write_run(root / "a", "a", cases=cases, protocol=THREE, dice=A),
        write_run(root / "b", "b", cases=cases, protocol=THREE, dice=B, failures={1: (3, "boom")}),
        write_run(
            root / "o", AgentInfo("o", uses_truth=True), cases=cases, protocol=THREE, dice=np.ones((2, 1))
        ),
    ]
    (section,) = load_sections(open_runs(paths))
    (made,) = make_boards(section)
    return made


def cells(grid: Grid, row: str) -> dict[str, Value]:
    return dict(next(r for r in grid.rows if r.name == row).values)


def grid(board: Board, kind: str) -> Grid:
    grids = [g for found in board_grids(board).values() for g in found]
    return next(g for g in grids if g.name == f"three-v1_toy_{kind}")


def values(grid_: Grid, row: str) -> dict[str, float]:
    return {key: cell.value for key, cell in cells(grid_, row).items() if not cell.text}


def test_clicks_and_shares_not_reached(board: Board) -> None:
    found = values(grid(board, "clicks"), "a")
    # liver: 0.80 at click 2, 0.90 at 3 (exactly), 0.95 never: 3; lesion: never: 3
    expected = {
        "noc@0.80": 2.5,
        "nof@0.80": 0.5,
        "noc@0.85": 3.0,
        "nof@0.85": 0.5,
        "noc@0.90": 3.0,
        "nof@0.90": 0.5,
        "noc@0.95": 3.0,
        "nof@0.95": 1.0,
    }
    assert {k: found[k] for k in expected} == pytest.approx(expected)
    assert (found["n_cases"], found["n_groups"], found["n_failed"]) == (2, 1, 0)


def test_dice_and_area_with_a_failure_as_zero(board: Board) -> None:
    found = values(grid(board, "dice"), "a")
    assert found["dice@1"] == pytest.approx(0.35)
    assert found["dice@3"] == pytest.approx(0.8)
    assert found["area"] == pytest.approx((0.35 + 0.7 + 0.8) / 3)
    failed = values(grid(board, "dice"), "b")
    assert failed["dice@3"] == pytest.approx(0.45)  # (0.9 + 0) / 2: the lesion failed at click 3
    assert failed["n_failed"] == 1


def test_the_best_ranked_number_stands_out_and_the_bound_does_not(board: Board) -> None:
    table = grid(board, "dice")
    assert [cells(table, name)["dice@3"].strong for name in "abo"] == [True, False, False]
    clicks = grid(board, "clicks")
    assert [cells(clicks, name)["noc@0.90"].strong for name in "abo"] == [False, True, False]
    bound = next(row for row in table.rows if row.name == "o")
    assert (bound.part, bound.marks, table.rows[-1].name) == ("Not ranked", ("uses truth",), "o")


def test_under_eight_groups_there_is_no_interval_and_the_reason_stands_below(board: Board) -> None:
    for found in (g for grids in board_grids(board).values() for g in grids):
        assert not any(cell.has_interval for row in found.rows for cell in row.values.values())
    for kind in ("clicks", "dice", "by-target_area", "averages", "difference_area"):
        assert any("1 group: an interval needs 8" in note for note in grid(board, kind).notes), kind


def test_what_a_table_rests_on_is_said_below_it(board: Board) -> None:
    note = grid(board, "clicks").notes[0]
    digest = board.section.protocol["digest"]
    assert note == f"2 cases in 1 group, protocol three-v1 ({digest[:8]}), seed 0."
    assert grid(board, "clicks").constants["protocol_digest"] == digest


def test_targets_and_macro(board: Board) -> None:
    by_target = grid(board, "by-target_area")
    assert [row.name for row in by_target.rows] == ["lesion", "liver"]
    assert cells(by_target, "liver")["a"].value == pytest.approx(2.2 / 3)
    assert cells(by_target, "liver")["b"].strong
    assert not cells(by_target, "liver")["o"].strong
    average = values(grid(board, "averages"), "a")
    assert average["area_macro"] == pytest.approx(average["area_micro"]) == pytest.approx(1.85 / 3)


def test_paired_differences_are_row_minus_column(board: Board) -> None:
    table = grid(board, "difference_dice-1")
    assert cells(table, "a")["b"].value == pytest.approx(-0.3)
    assert cells(table, "b")["a"].value == pytest.approx(0.3)
    assert "a" not in cells(table, "a")
    assert {row.name for row in table.rows} == {"a", "b"}


def test_surfaces_are_medians_with_the_share_undefined(board: Board) -> None:
    table = grid(board, "surface")
    found = values(table, "a")
    assert found["hd95@1"] == pytest.approx(20 * (1 - 0.35))
    assert found["hd95_undefined@1"] == 0
    failed = values(table, "b")
    assert failed["hd95_undefined@3"] == pytest.approx(0.5)
    assert "mm" in next(c.head for c in table.columns if c.key == "hd95@1")


def test_who_leads_in_words(board: Board) -> None:
    found = leads(board)
    assert [(lead.cost, lead.leader, lead.second) for lead in found] == [(1, "b", "a"), (3, "a", "b")]
    assert [lead.difference.value for lead in found] == pytest.approx([0.3, 0.35])
    assert all(lead.verdict == "open: no interval" for lead in found)
    assert lead_sentences(board, found)[0] == (
        "After 1 click b is ahead by 0.300 Dice; after 3 clicks a is ahead by 0.350 Dice."
    )


def test_seconds_per_interaction(board: Board) -> None:
    found = values(grid(board, "time"), "b")
    assert found["seconds_per_step"] == pytest.approx(0.02)
    assert (found["n_episodes"], found["n_failed"]) == (2, 1)


def test_file_names_are_tame() -> None:
    assert slug("a/../b", "c d", "", "ü<>") == "a-..-b_c-d_x"
    assert slug("../..") == "x"


def test_the_files_hold_the_same_numbers(report: ReportResult) -> None:
    folder = report.page.parent / "tables"
    summary = pd.read_csv(folder / "summary.csv")
    one = summary[
        (summary["board"] == "many")
        & (summary["agent"] == "good")
        & (summary["subset"] == "all")
        & (summary["average"] == "micro")
        & (summary["statistic"] == "area")
    ].iloc[0]
    with (folder / "small-v1_many_dice.csv").open() as stream:
        row = next(r for r in csv.DictReader(stream) if r["agent"] == "good")
    assert float(row["area"]) == one["value"]
    assert (float(row["area_low"]), float(row["area_high"])) == (one["low"], one["high"])
    assert one["low"] < one["value"] < one["high"]
    pairs = pd.read_csv(folder / "differences.csv")
    assert {"p", "p_holm", "difference"} <= set(pairs.columns)
    assert not {"oracle", "net"} & {*pairs["agent_a"], *pairs["agent_b"]}
    few = pairs[pairs["board"] == "few"]
    assert len(few)
    assert few["low"].isna().all()
    assert all(math.isfinite(v) for v in few["difference"])


def test_oracle_stands_beside_the_rule_where_candidates_differ(board: Board, tmp_path: Path) -> None:
    assert oracle_grids(board) == []  # one mask a step
    cases = planned_cases(1, 2, ("liver", "lesion"), ("ct",))
    paths = [write_run(tmp_path / "a", "a", cases=cases, protocol=THREE, dice=A)]
    (section,) = load_sections(open_runs(paths))
    first = section.steps["step"] == 1
    section.steps.loc[first, "oracle_dice"] += 0.3
    (made,) = make_boards(section)
    (found,) = oracle_grids(made)
    assert [(c.over, c.head) for c in found.columns][:2] == [
        ("Dice after 1 click", "by score"), ("Dice after 1 click", "oracle"),
    ]  # fmt: skip
    expected = {"dice@1": 0.35, "oracle_dice@1": 0.65, "dice@3": 0.8, "oracle_dice@3": 0.8}
    assert [c.key for c in found.columns] == list(expected)
    shown = values(found, "a")
    assert {key: shown[key] for key in expected} == pytest.approx(expected)
    assert found.name in [g.name for g in board_grids(made)["main"]]
    chosen_by_truth = replace(section, protocol={**section.protocol, "select": "oracle"})
    assert oracle_grids(replace(made, section=chosen_by_truth)) == []
