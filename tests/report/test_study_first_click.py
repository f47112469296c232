from __future__ import annotations

import numpy as np
import pytest
from made_runs import SMALL, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import Protocol
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_first_click import first_click_study
from simclick.report.style import looks, svg_bytes
from simclick.statistics.rclicks import first_click_table

NOISY = Protocol("noisy-v1", "center-click", noise="gaussian-click", levels=(0.0, 5.0), repeats=3, budget=2)
CASES = planned_cases(9, 1)


def section_of(*paths):
    return load_sections(open_runs(paths))[0]


def study_of(section):
    return first_click_study(section, looks(list(section.entrants.values())))


def spread(section, agent, by):
    """Make the repeats of an agent differ: `write_run` gives all of them the same Dice."""
    for table in (section.steps, section.episodes):
        own = (table["agent"] == agent) & (table["level"] == 5)
        column = "dice" if "dice" in table else "final_dice"
        table.loc[own, column] = 0.5 + by * (table.loc[own, "repeat"] - 1)


def test_the_agent_that_varies_most_comes_first(tmp_path):
    made = [
        write_run(tmp_path / str(k), agent, cases=CASES, protocol=NOISY, dice=np.full((9, 2), 0.6))
        for k, agent in enumerate(
            ("calm", "wild", AgentInfo("oracle", uses_truth=True), AgentInfo("net", random_weights=True))
        )
    ]
    section = section_of(*made)
    spread(section, "wild", 0.2)
    spread(section, "calm", 0.01)
    study = study_of(section)
    (grid,) = study.grids
    assert [row.name for row in grid.rows] == ["wild", "calm"]
    wild = grid.rows[0].values
    assert wild["sd@5"].value == pytest.approx(0.2)
    assert (wild["lowest"].value, wild["mean"].value, wild["highest"].value) == pytest.approx((0.3, 0.5, 0.7))
    assert "sd@0" not in wild or wild["sd@0"].value == 0
    assert study.words[0].startswith(
        "Another draw of the first prompt at gaussian-click 5 px moves wild's Dice (most) by 0.20"
    )
    assert "are 0.30 and 0.70 on average" in study.words[0]
    assert "calm's Dice (least) by 0.01" in study.words[1]
    table = study.tables["noisy-v1_first-prompt"]
    fair = [t[t["agent"].isin(["calm", "wild"])] for t in (section.episodes, section.steps)]
    assert table.equals(first_click_table(*fair))
    (picture,) = study.pictures
    assert "wild: more than 0.5 apart in 0 % of cases; calm" in picture.alt
    assert b"<svg" in svg_bytes(picture.figure)


def test_nothing_to_repeat_is_no_study(tmp_path):
    assert study_of(section_of(write_run(tmp_path / "s", "one", cases=CASES, protocol=SMALL))) is None
    bound = AgentInfo("oracle", uses_truth=True)
    assert study_of(section_of(write_run(tmp_path / "b", bound, cases=CASES, protocol=NOISY))) is None
