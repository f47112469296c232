from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_runs import EVIL, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import Protocol
from simclick.report import landed_figure, robustness_figures
from simclick.report.grid import value_text
from simclick.report.landed_figure import _moved
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_robustness import robustness_study
from simclick.report.style import looks, png_bytes, svg_bytes

NOISY = Protocol(
    "noisy-v1", "center-click", noise="gaussian-click", levels=(0.0, 5.0, 10.0), repeats=2, budget=3
)
BOXES = Protocol(
    "boxes-v1", "tight-box", noise="box-edges", noise_options={"unit": "box"}, levels=(0.0, 0.1), repeats=2,
    budget=2,
)  # fmt: skip


def dice(n, low, high):
    """Rising Dice; `write_run` takes 0.02 off per level and cuts it at 0: where little is, little is lost."""
    last = np.random.default_rng(7).uniform(low, high, (n, 1))
    return np.clip(last + np.array([-0.05, -0.02, 0.0]), 0, 1)


def section_of(paths):
    (section,) = load_sections(open_runs(paths))
    return section


def study_of(paths):
    section = section_of(paths)
    return robustness_study(section, looks(list(section.entrants.values())))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    root = tmp_path_factory.mktemp("noisy")
    cases = planned_cases(12, 2)

    def write(name, agent, low, high):
        return write_run(root / name, agent, cases=cases, protocol=NOISY, dice=dice(24, low, high))

    return [
        write("frail", "frail", 0.15, 0.6),
        write("tough", "tough", 0.02, 0.1),
        write("oracle", AgentInfo("oracle", uses_truth=True), 0.8, 0.9),
        write("random", AgentInfo("net", random_weights=True), 0.6, 0.9),
        write("evil", f"{EVIL}_100%", 0.05, 0.2),
    ]


@pytest.fixture(scope="module")
def study(paths):
    return study_of(paths)


def test_only_noise_with_levels_makes_a_study(tmp_path):
    cases = planned_cases(3, 1)
    plain = write_run(tmp_path / "plain", "a", cases=cases)
    assert study_of([plain]) is None
    one = write_run(tmp_path / "one", "a", cases=cases, protocol=replace(NOISY, id="one-v1", levels=(5.0,)))
    assert study_of([one]) is None


def test_the_words_say_who_is_fragile_and_how_sure_that_is(study):
    text = " ".join(study.words)
    assert "At gaussian-click 10 px and after 3 clicks, frail loses 0.2" in text
    assert "more than tough; that is clear (p = 0.001, corrected for all pairs of agents)" in text
    assert "A loss of 0.05 is reached first by" in text
    assert "oracle" not in text  # it uses the truth
    assert "net" not in text.replace("noise", "")  # its weights are random
    assert not any("nan" in sentence for sentence in study.words)


def test_numbers_of_grids_are_those_of_the_table(study):
    grids = {grid.name.rpartition("_")[2]: grid for grid in study.grids}
    assert {"levels", "fragility", "pairs", "worst"} <= set(grids)
    table = study.tables[study.kind]
    rows = {row.name: row for row in grids["levels"].rows}
    for agent in ("frail", "tough", "oracle"):
        mine = table[
            (table["agent"] == agent)
            & (table["outcome"] == "dice@3")
            & (table["statistic"] == "mean")
            & (table["level"] == 10)
        ]
        assert rows[agent].values["mean@10"].value == mine["value"].iloc[0]
    assert rows["oracle"].part == "Not compared"
    assert rows["oracle"].marks == ("uses the truth",)
    assert rows["net"].marks == ("random weights",)
    change = {row.name: row.values["change"] for row in grids["fragility"].rows}["frail"]
    assert change.low <= change.value <= change.high < 0
    assert value_text(change, "difference").startswith("\N{MINUS SIGN}0.")
    passes = {row.name: row.values["passes"] for row in grids["fragility"].rows}["frail"]
    assert passes.value == pytest.approx(2.5, abs=0.01)  # 0.02 lost per level
    pairs = {row.name: row.values for row in grids["pairs"].rows}
    assert set(pairs) == {"frail", f"{EVIL}_100%"}
    assert pairs["frail"]["drop"].strong


def test_a_pair_reads_the_same_from_both_sides(study):
    pairs = study.tables[f"{study.kind}_pairs"]
    assert set(pairs["agent_a"]) | set(pairs["agent_b"]) == {"frail", "tough", f"{EVIL}_100%"}
    mine = pairs[(pairs["agent_a"] == "frail") & (pairs["agent_b"] == "tough")]
    mine = mine[(mine["statistic"] == "dose_area") & (mine["outcome"] == "dice@3")].iloc[0]
    shown = next(g for g in study.grids if g.name.endswith("_pairs")).rows[-1]
    assert shown.name == "frail"
    assert shown.values["dose_area"].value == mine["difference"]


def test_pictures_are_drawn_and_the_same_every_time(study, paths):
    kinds = [picture.kind for picture in study.pictures]
    # In the made runs no prompt was moved.
    assert kinds == ["dose-response", "heat", "within-case"]
    again = study_of(paths)
    for one, other in zip(study.pictures, again.pictures, strict=True):
        assert png_bytes(one.figure, 60).startswith(b"\x89PNG")
        assert svg_bytes(one.figure) == svg_bytes(other.figure)
        assert "nan" not in one.alt


def test_agents_are_told_apart_without_colour(study):
    """Lines differ in dash and marker, not only in colour."""
    axes = study.pictures[0].figure.axes[0]
    lines = [line for line in axes.get_lines() if line.get_marker() not in ("None", "", None)]
    assert len(lines) == 3
    assert len({line.get_marker() for line in lines}) == 3
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 3


def test_the_heat_map_holds_the_means(study, paths):
    section = section_of(paths)
    steps = section.steps
    mine = steps[(steps["agent"] == "tough") & (steps["level"] == 5) & (steps["step"] == 2)]
    texts = [t.get_text() for axes in study.pictures[1].figure.axes for t in axes.texts]
    assert len(texts) == 3 * 3 * 3
    assert texts[:9][4] == f"{mine['dice'].mean():.2f}"  # the most robust first; level 5, 2 clicks


def test_one_agent_alone_few_groups_and_another_unit(tmp_path):
    cases = planned_cases(3, 2)
    values = np.full((6, 1), 0.6)
    path = write_run(tmp_path / "box", "solo", cases=cases, protocol=BOXES, dice=values)
    study = study_of([path])
    text = " ".join(study.words)
    assert "0.1 sides of the box" in text
    assert "there are no intervals" in text
    assert "never loses 0.05" in text
    assert any("an interval needs 8" in note for note in study.grids[0].notes)
    assert not any(grid.name.endswith("_pairs") for grid in study.grids)
    assert (
        next(p for p in study.pictures if p.kind == "dose-response")
        .figure.axes[0]
        .get_xlabel()
        .endswith("(sides of the box)")
    )


def test_a_noise_without_level_zero_has_means_only(tmp_path):
    protocol = replace(NOISY, id="above-v1", levels=(5.0, 10.0))
    runs = [
        write_run(
            tmp_path / name,
            name,
            cases=planned_cases(9, 1),
            protocol=protocol,
            dice=dice(9, start, start + 0.1),
        )
        for name, start in (("one", 0.6), ("other", 0.3))
    ]
    study = study_of(runs)
    assert [grid.name.rpartition("_")[2] for grid in study.grids][:2] == ["levels", "worst"]
    assert study.words == ("one has the highest Dice at 5 px and at 10 px.",)
    assert len(study.pictures[0].figure.axes) == 1


def test_displacements_of_clicks_boxes_and_lines():
    prompts = pd.DataFrame(
        [
            (5.0, 0, "click", [10, 20], [13, 16]),
            (5.0, 1, "box", [0, 0, 10, 10], [1, 2, 7, 14]),
            (5.0, 2, "scribble", [0, 0, 4, 0, 8, 0], [0, 3, 8, 3]),
            (5.0, 3, "everything", None, None),
        ],
        columns=["level", "repeat", "kind", "meant", "landed"],
    )
    moved = _moved(prompts, {(5.0, 0): 0.5, (5.0, 1): 0.25})
    assert moved["part"].to_list() == [
        "click", "top left corner", "bottom right corner", "middle of the scribble",
    ]  # fmt: skip
    assert moved[["dx", "dy"]].to_numpy().tolist() == [[3, -4], [1, 2], [-3, 4], [0, 3]]
    assert moved["dice"].to_list()[:3] == [0.5, 0.25, 0.25]
    assert math.isnan(moved["dice"].iloc[3])


def test_the_worst_case_is_drawn_where_prompts_landed(toy, tmp_path):
    from simclick.harness.run import RunSpec, execute
    from simclick.harness.specs import AgentSpec, DatasetSpec

    out = tmp_path / "painter"
    agent = AgentSpec("custom", {"target": "support:Painter"})
    execute(RunSpec(agent, DatasetSpec("toy", {"n": 4}), replace(NOISY, repeats=3), out))
    study = study_of([out])
    (picture,) = [p for p in study.pictures if p.kind == "landed"]
    section = section_of([out])
    (_, run) = section.runs[0]
    prompts = run.table("prompts")
    case = picture.title.rpartition(": ")[2]
    mine = prompts[(prompts["case_id"] == case) & (prompts["step"] == 1) & (prompts["level"] > 0)]
    wanted = {(b[0] - a[0], b[1] - a[1]) for a, b in zip(mine["meant"], mine["landed"], strict=True)}
    axes = picture.figure.axes[0]
    drawn = {tuple(point) for points in axes.collections for point in points.get_offsets().data.tolist()}
    assert drawn == wanted
    assert len(mine) == 2 * 3
    assert axes.yaxis_inverted()  # rows of an image grow downwards
    steps = section.steps[section.steps["step"] == 3].groupby(["case_id", "level"])["dice"].mean().unstack()
    assert case == (steps[0.0] - steps[10.0]).idxmax()


def test_nothing_of_pyplot():
    for module in (robustness_figures, landed_figure):
        assert not hasattr(module, "plt")
