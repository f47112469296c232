from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_runs import SMALL, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import load_protocol
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_cvpr25 import cvpr25_study

CASES = planned_cases(9, 1)
CVPR = load_protocol("cvpr25-v1")


def study_of(*paths):
    return cvpr25_study(load_sections(open_runs(paths))[0], {})


def flat(value):
    return np.full((9, 7), value) + np.linspace(-0.05, 0.05, 9)[:, None]


def test_both_areas_stand_side_by_side(tmp_path):
    study = study_of(
        write_run(tmp_path / "a", "low", cases=CASES, protocol=CVPR, dice=flat(0.5)),
        write_run(tmp_path / "b", "high", cases=CASES, protocol=CVPR, dice=flat(0.7)),
        write_run(tmp_path / "c", AgentInfo("oracle", uses_truth=True), cases=CASES, protocol=CVPR,
                  dice=flat(0.9)),
    )  # fmt: skip
    (grid,) = study.grids
    assert [(row.name, row.part) for row in grid.rows] == [
        ("high", ""), ("low", ""), ("oracle", "Not compared"),
    ]  # fmt: skip
    best = grid.rows[0].values
    assert best["dsc_auc"].value == pytest.approx(2.8)
    assert best["dsc_auc"].strong
    assert best["dsc_auc"].has_interval
    assert [best[key].value for key in ("dsc_auc/4", "area")] == pytest.approx([0.7, 0.7])
    assert not grid.rows[2].values["dsc_auc"].strong
    assert study.words[0].startswith("high has the largest Dice AUC: 2.80 [")
    assert set(study.tables["cvpr25-v1_challenge"]["agent"]) == {"low", "high", "oracle"}


def test_only_the_challenges_rounds_have_it(tmp_path):
    assert study_of(write_run(tmp_path / "s", "one", cases=CASES, protocol=SMALL)) is None
    short = replace(CVPR, id="cvpr25-v1+", budget=5, surface_at=())
    assert study_of(write_run(tmp_path / "c", "one", cases=CASES, protocol=short)) is None
