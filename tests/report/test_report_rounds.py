"""A first round that costs more than a click: nothing is shown where no mask can exist."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import NOC, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import Protocol
from simclick.report.boards import Board, make_boards
from simclick.report.build import build_report
from simclick.report.figures import board_pictures
from simclick.report.grid import Grid
from simclick.report.rounds import Rounds, first_cost, prompt_word, single_round
from simclick.report.runs import load_sections, open_runs
from simclick.report.style import looks
from simclick.report.tables import board_grids
from simclick.report.terminal import final_table
from simclick.report.wording import lead_grid, lead_sentences, leads

BOX = Protocol("box-v1", "tight-box", budget=2, surface_at=(2,))
MIXED = Protocol("mixed-v1", "cvpr25", budget=7)
CASES = planned_cases(9, 1, ("liver", "lesion"), ("ct", "mr"))
A = 0.9 + 0.01 * np.arange(9)[:, None] / 2
B = 0.6 + 0.02 * np.arange(9)[:, None]


def made(root: Path, protocol: Protocol, **dice: np.ndarray) -> list[Path]:
    return [
        write_run(root / name, name, cases=CASES, protocol=protocol, dice=values, first=("box", 2))
        for name, values in dice.items()
    ]


def board_of(paths: list[Path]) -> Board:
    (section,) = load_sections(open_runs(paths))
    (board,) = make_boards(section)
    return board


@pytest.fixture(scope="module")
def box_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return made(tmp_path_factory.mktemp("box"), BOX, a=A, b=B)


@pytest.fixture(scope="module")
def box(box_paths: list[Path]) -> Board:
    return board_of(box_paths)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Board:
    rise = np.linspace(0.0, 0.05, 6)
    return board_of(made(tmp_path_factory.mktemp("mixed"), MIXED, a=A + rise, b=B + rise))


def all_grids(board: Board) -> list[Grid]:
    return [grid for some in board_grids(board).values() for grid in some]


def test_a_box_alone_has_one_outcome(box: Board) -> None:
    assert box.rounds == Rounds(2, 2, single=True, prompt="box")
    keys = {column.key for grid in all_grids(box) for column in grid.columns}
    assert "dice@2" in keys
    assert not {key for key in keys if key.startswith(("noc", "area", "dice@1", "area_"))}
    texts = [grid.title for grid in all_grids(box)] + [c.head for g in all_grids(box) for c in g.columns]
    assert not [text for text in texts if "click" in text or "1…2" in text or "NoC" in text]
    (dice, missed) = board_grids(box)["main"]
    assert dice.title == "Dice after the box on toy"
    assert dice.rows[0].values["dice@2"].value == pytest.approx(float(A.mean()))
    assert missed.rows[0].values["nof@0.90"].value == 0.0
    assert missed.rows[1].values["nof@0.90"].value == 1.0


def test_who_leads_after_the_box(box: Board) -> None:
    found = leads(box)
    assert [(lead.cost, lead.leader, lead.second) for lead in found] == [(2, "a", "b")]
    said = lead_sentences(box, found)[0]
    assert said == f"After the box a leads by {float((A - B).mean()):.3f} Dice."
    assert [row.name for row in lead_grid(box, found, "leads", {}).rows] == ["the box"]


def test_a_box_alone_has_no_curve(box: Board) -> None:
    pictures = board_pictures(box, looks(list(box.section.entrants.values())))
    assert [picture.kind for picture in pictures] == ["spread", "scatter"]
    assert pictures[0].title == "Dice after the box, case by case"
    assert "a: median 0.92" in pictures[0].alt


def test_the_page_of_a_box_alone(box_paths: list[Path], tmp_path: Path) -> None:
    result = build_report(box_paths, tmp_path / "report")
    body = result.page.read_text().partition('<section id="words"')[0]
    assert "After the box a leads" in body
    assert "best</strong> · case-08-0 · liver · Dice after the box 0.940" in body
    assert "one round: the box" in body
    for text in ("After 1 click", "mean of 1…2", "NoC", "mean Dice 0.4", "against clicks"):
        assert text not in body
    names = {path.name for path in result.files}
    assert "box-v1_toy_missed.csv" in names
    assert not {name for name in names if "noc" in name or "clicks" in name or "area" in name}
    rows = pd.read_csv(tmp_path / "report/tables/summary.csv")
    assert set(rows.loc[rows["statistic"] == "dice", "at"]) == {2.0}


def test_after_a_box_the_curve_begins_at_its_cost(mixed: Board) -> None:
    assert mixed.rounds == Rounds(2, 7, single=False, prompt="box")
    dice, clicks = board_grids(mixed)["main"]
    assert [c.key for c in dice.columns][:5] == ["dice@2", "dice@3", "dice@5", "dice@7", "area"]
    assert [c.head for c in dice.columns][:5] == ["2 (box)", "3", "5", "7", "mean of 1…7, 0 before the box"]
    assert any("The box counts 2." in note for note in clicks.notes)
    found = leads(mixed)
    assert [lead.cost for lead in found] == [2, 3, 5, 7]
    assert lead_sentences(mixed, found)[0].startswith(
        "After the box (cost 2) and a cost of 3, 5 and 7 clicks a leads by "
    )
    pictures = {p.kind: p for p in board_pictures(mixed, looks(list(mixed.section.entrants.values())))}
    assert list(pictures) == ["dice", "noc", "reach", "spread", "scatter"]
    for kind in ("dice", "reach", "spread"):
        for axes in pictures[kind].figure.axes:
            assert axes.get_xlim() == (2, 7)
            assert min(line.get_xdata().min() for line in axes.lines[:1]) == 2
    assert "at cost 2" in pictures["dice"].alt


def test_the_mean_still_counts_the_costs_before_the_box(mixed: Board) -> None:
    curve = (A + np.linspace(0.0, 0.05, 6)).mean(axis=0)
    assert mixed.numbers.value("a", "area").value == pytest.approx(float(curve.sum()) / 7)


def test_the_table_of_a_run_of_boxes(box_paths: list[Path], tmp_path: Path) -> None:
    lines = [" ".join(line.split()) for line in final_table(box_paths[0]).splitlines()]
    assert lines[3] == "Dice to reach not reached after Dice"
    assert lines[4].startswith("≥ 0.80 0.0 % the box 0.920")
    assert not any("click" in line or "mean" in line for line in lines[:8])
    noisy = dataclasses.replace(BOX, noise="box-edges", levels=(0.0, 5.0), repeats=2)
    path = write_run(tmp_path / "n", "a", cases=CASES, protocol=noisy, dice=A, first=("box", 2))
    text = final_table(path)
    assert "NoC" not in text
    assert "area" not in text
    assert "Dice after the box" in text
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["0"], ["5"])]
    assert [row[-1] for row in rows] == ["0.920", "0.820"]


def test_the_table_of_a_run_of_a_box_and_clicks(tmp_path: Path) -> None:
    (path,) = made(tmp_path, MIXED, a=A + np.linspace(0.0, 0.05, 6))
    text = final_table(path)
    assert "1 click" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert any("the box (cost 2) 0.920" in line for line in lines)
    assert "mean of costs 1…7, 0 before the box, which costs 2" in lines
    assert max(len(line) for line in text.splitlines()) <= 100


def test_whether_there_is_one_round() -> None:
    def episodes(*rows: tuple[str, int, float]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["status", "steps", "final_dice"])

    assert single_round(episodes(("ok", 1, 0.7), ("ok", 1, 1.0)), 5, 10)
    assert not single_round(episodes(("ok", 1, 0.7), ("ok", 2, 1.0)), 1, 20)
    # Perfect at once, or failed: that says nothing of further rounds, the budget does.
    early = episodes(("ok", 1, 1.0), ("failed", 1, 0.0), ("ok", 0, 0.0))
    assert not single_round(early, 1, 20)
    assert single_round(early, 2, 2)
    assert not single_round(episodes(), 1, 20)
    assert first_cost(pd.DataFrame({"cost": [4, 2, 3]}), 7) == 2
    assert first_cost(pd.DataFrame({"cost": [0, 1]}), 7) == 1
    assert first_cost(pd.DataFrame({"cost": []}), 7) == 1


def test_what_the_first_round_holds_in_a_word() -> None:
    def word(*rows: tuple[int, int, str]) -> str:
        return prompt_word(pd.DataFrame(rows, columns=["step", "index", "kind"]))

    assert word((1, 0, "box"), (2, 0, "click")) == "box"
    assert word((1, 0, "box"), (1, 1, "box")) == "boxes"
    assert word((1, 0, "click"), (1, 1, "click")) == "clicks"
    assert word((1, 0, "box"), (1, 1, "click")) == "prompts"
    assert word((1, 0, "everything")) == word() == "prompt"


def test_with_clicks_all_is_as_it_was() -> None:
    assert Rounds(1, 20).costs == [1, 3, 5, 10, 20]
    assert Rounds(1, 6).costs == [1, 3, 5]
    assert Rounds(1, 2).costs == [1, 2]
    assert Rounds(1, 20).leads == [1, 3, 5, 20]
    assert (Rounds(1, 20).spent(1), Rounds(1, 20).spent_all([1, 3])) == ("1 click", "1 and 3 clicks")
    assert Rounds(5, 10, True, "clicks").costs == [10]
    assert Rounds(2, 7, False, "box").spent_all([5]) == "a cost of 5 clicks"
    assert Rounds(2, 7, False, "box").spent_all([2]) == "the box (cost 2)"


def test_surfaces_say_that_they_are_medians_and_in_what(box: Board, tmp_path: Path) -> None:
    surface = next(g for g in board_grids(box)["more"] if g.name.endswith("_surface"))
    assert any("Woodruff" in note and "may be infinite" in note for note in surface.notes)
    assert not any("studentised bootstrap over groups" in note for note in surface.notes)
    build_report([box.section.runs[0][1].path], tmp_path / "r")
    with (tmp_path / "r/tables/box-v1_toy_surface.csv").open() as stream:
        row = next(csv.DictReader(stream))
    wanted = {
        "hd95_unit": "mm",
        "nsd_tolerance": "2.0",
        "nsd_tolerance_unit": "mm",
        "hd95_nsd_average": "median over cases",
    }
    assert {key: row[key] for key in wanted} == wanted


@pytest.mark.parametrize(("groups", "unsure"), [(2, True), (12, False)])
def test_overtaking_says_where_it_is_unsure(groups: int, unsure: bool, tmp_path: Path) -> None:
    from simclick.report.study_ranking import crossing_study

    cases = planned_cases(groups, 1)
    noc = dataclasses.replace(NOC, budget=3, surface_at=())
    rising, flat = np.tile([0.5, 0.7, 0.9], (groups, 1)), np.tile([0.6, 0.6, 0.6], (groups, 1))
    hardness = 0.02 * np.arange(groups)[:, None] / groups
    paths = [
        write_run(tmp_path / "r", "rising", cases=cases, protocol=noc, dice=rising - hardness),
        write_run(tmp_path / "f", "flat", cases=cases, protocol=noc, dice=flat),
        write_run(tmp_path / "o", AgentInfo("o", uses_truth=True), cases=cases, protocol=noc, dice=flat),
    ]
    (section,) = load_sections(open_runs(paths))
    study = crossing_study(section, looks(list(section.entrants.values())))
    assert study is not None
    hedged = [words for words in study.words if words.startswith("How sure that is cannot be said")]
    assert study.words[1].startswith("flat is ahead at first, rising from click 2")
    assert bool(hedged) == unsure
    if unsure:
        assert "2 groups: an interval needs 8" in hedged[0]


def test_one_round_has_no_overtaking(tmp_path: Path) -> None:
    from simclick.report.study_ranking import crossing_study

    points = Protocol("points-v1", "cosmos-points", budget=10)
    paths = [
        write_run(tmp_path / n, n, cases=CASES, protocol=points, dice=d, first=("click", 10))
        for n, d in {"a": A, "b": B}.items()
    ]
    (section,) = load_sections(open_runs(paths))
    assert section.rounds.single
    assert crossing_study(section, looks(list(section.entrants.values()))) is None
