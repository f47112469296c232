"""The answers come back that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import NOC, planned_cases, write_run

from simclick.agent import FAMILIES, AgentInfo
from simclick.protocol import Protocol
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_questions import questions_study
from simclick.report.style import looks, png_bytes

CASES = planned_cases(12, 2)
NOISY = Protocol(
    "noisy-v1", "center-click", noise="gaussian-click", levels=(0.0, 5.0, 10.0), repeats=2, budget=3
)
SAM = AgentInfo("sam", family="promptable")
RITM = AgentInfo("ritm", family="iterative")


def rising(start, end, seed, budget=20):
    """Dice that rises in a straight line from click 1 to the budget, with a little noise per case."""
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(CASES), 1))
    return np.clip(np.linspace(start, end, budget)[None] + noise, 0, 1)


def study_of(*paths):
    sections = load_sections(open_runs(paths))
    entrants = [entrant for section in sections for entrant in section.entrants.values()]
    return questions_study(sections, looks(entrants))


def test_ahead_then_overtaken(tmp_path):
    study = study_of(
        write_run(tmp_path / "a", SAM, cases=CASES, dice=rising(0.7, 0.8, 1)),
        write_run(tmp_path / "b", RITM, cases=CASES, dice=rising(0.5, 0.95, 2)),
        write_run(
            tmp_path / "c", AgentInfo("weak", family="iterative"), cases=CASES, dice=rising(0.1, 0.2, 3)
        ),
    )
    # The lines cross where 0.7 + 0.1 t = 0.5 + 0.45 t, t = 0.571 of 19 clicks: from click 12 on.
    assert "sam, is ahead by 0.2" in study.words[0]
    assert "ritm overtakes at click 12 [" in study.words[0]
    assert study.words[0].endswith(
        "That is what COSMOS found for SAM: ahead at few points, outpaced at many."
    )
    table = study.tables["questions_race"].set_index("cost")
    assert set(table["agent_a"]) == {"sam"}
    assert table.loc[1, "value"] == pytest.approx(0.2, abs=0.01)
    assert table.loc[20, "value"] == pytest.approx(-0.15, abs=0.01)
    table = table.loc[1:]  # at cost 0 both masks are empty
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    for picture in study.pictures:
        assert len(png_bytes(picture.figure)) > 5000


@pytest.mark.parametrize(
    ("ours", "behind", "said"),
    [
        ((0.3, 0.5), "sam", "here it is behind from the first."),
        ((0.9, 0.99), "ritm", "COSMOS found SAM outpaced at many points: here it is not."),
        ((0.7, 0.95), "ritm", "if it is outpaced at many is not decided here."),
    ],
)
def test_the_opposite_is_said_too(tmp_path, ours, behind, said):
    study = study_of(
        write_run(tmp_path / "a", SAM, cases=CASES, dice=rising(*ours, 1)),
        write_run(tmp_path / "b", RITM, cases=CASES, dice=rising(0.5, 0.95, 2)),
    )
    assert study.words[0].endswith(said)
    assert f"{behind} never overtakes" in study.words[0]


def test_each_data_set_answers_for_itself(tmp_path):
    """Ahead on one, behind on the other: together they would say that chance decides."""
    runs = []
    for dataset, sign in (("one", 1), ("two", -1)):
        ours, theirs = (0.7, 0.5) if sign > 0 else (0.5, 0.7)
        for agent, base in ((SAM, ours), (RITM, theirs)):
            dice = rising(base, base + 0.1, len(runs))
            path = tmp_path / f"{dataset}-{agent.name}"
            runs.append(write_run(path, agent, dataset, cases=CASES, dice=dice))
    study = study_of(*runs)
    assert study.words[0].startswith("one: Against the best iterative agent, ritm")
    assert "sam, is ahead by 0." in study.words[0]
    assert study.words[1].startswith("two: ")
    assert "sam, is behind by 0." in study.words[1]
    table = study.tables["questions_race"].query("cost == 1").set_index("dataset")["value"]
    assert table["one"] == pytest.approx(0.2, abs=0.02)
    assert table["two"] == pytest.approx(-0.2, abs=0.02)
    race = next(grid for grid in study.grids if grid.name == "questions_race")
    assert [row.part.split(" · ")[0] for row in race.rows] == ["one", "two"]
    assert study.pictures[0].figure.axes[0].get_xlabel().startswith("clicks (one,")


def test_equal_agents_decide_nothing(tmp_path):
    study = study_of(
        write_run(tmp_path / "a", SAM, cases=CASES, dice=rising(0.5, 0.9, 1)),
        write_run(tmp_path / "b", RITM, cases=CASES, dice=rising(0.5, 0.9, 2)),
    )
    assert "which may be chance" in study.words[0]
    assert study.words[0].endswith("These cases do not decide it.")


def test_what_noise_costs(tmp_path):
    # `write_run` takes 0.02 off per level.
    study = study_of(write_run(tmp_path / "a", SAM, cases=CASES, protocol=NOISY, dice=rising(0.5, 0.9, 1, 3)))
    assert study.words[0].startswith("With a click, noise of 5 and 10 px costs sam 0.10")
    table = study.tables["questions_noise"].set_index("level")
    assert table.loc[10.0, "value"] == pytest.approx(0.2)
    (grid,) = study.grids
    assert grid.rows[0].values["10"].value == pytest.approx(-0.2)


def test_one_mask_has_no_gap(tmp_path):
    study = study_of(write_run(tmp_path / "a", SAM, cases=CASES, dice=rising(0.5, 0.9, 1)))
    assert len(study.words) == 1
    assert "there is no oracle gap" in study.words[0]


def test_nothing_is_said_of_other_agents_bounds_and_random_weights(tmp_path):
    paths = [
        write_run(tmp_path / "a", "plain", cases=CASES),
        write_run(tmp_path / "b", AgentInfo("net", family="promptable", random_weights=True), cases=CASES),
        write_run(tmp_path / "c", AgentInfo("bound", family="promptable", uses_truth=True), cases=CASES),
    ]
    assert study_of(*paths) is None
    assert NOC.budget == 20


def test_every_agent_of_ours_names_its_family():
    from simclick import registry
    from simclick.harness.specs import AgentSpec

    for name in ("grabcut", "graph-cut", "geodesic", "watershed", "random-walker", "disc"):
        assert name in registry.agents.entries
        assert AgentSpec(name).make().info.family in FAMILIES
