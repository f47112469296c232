from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from made_runs import SMALL, planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import Protocol
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_factors import factors_study
from simclick.report.style import looks, svg_bytes
from simclick.statistics.factors import factor_table

NOISY = Protocol("noisy-v1", "center-click", noise="gaussian-click", levels=(0.0, 5.0), repeats=2, budget=6)


def with_factors(cases, **own):
    rng = np.random.default_rng(0)
    return tuple(
        replace(
            case,
            factors={
                "area_share": float(rng.random()),
                "intensity_difference": float(rng.random()),
                "holes": 0.0,
                **{name: float(rng.random()) for name in own},
            },
        )
        for case in cases
    )


CASES = with_factors(planned_cases(12, 2))


def dice_of(cases, effect=1.0):
    rng = np.random.default_rng(1)
    level = np.array([case.factors["intensity_difference"] for case in cases])
    top = 0.5 + 0.3 * effect * level + 0.05 * rng.random(len(cases))
    return np.clip(top[:, None] * (1 - 0.5 ** np.arange(1, 7)), 0, 1)


def study_of(*paths):
    section = load_sections(open_runs(paths))[0]
    return factors_study(section, looks(list(section.entrants.values())))


def test_a_factor_that_matters_stands_out(tmp_path):
    study = study_of(
        write_run(tmp_path / "one", "one", cases=CASES, protocol=SMALL, dice=dice_of(CASES)),
        write_run(tmp_path / "two", "two", cases=CASES, protocol=SMALL, dice=dice_of(CASES, -1)),
        write_run(tmp_path / "bound", AgentInfo("oracle", uses_truth=True), cases=CASES, protocol=SMALL),
        write_run(tmp_path / "random", AgentInfo("net", random_weights=True), cases=CASES, protocol=SMALL),
    )
    assert study.kind == "small-v1_factors"
    table = study.tables["small-v1_factors"]
    assert set(table["agent"]) == {"one", "two"}
    assert set(table["outcome"]) == {"area", "final_dice"}

    frame = pd.DataFrame([{**c.factors, "group": c.group, "modality": c.modality} for c in CASES])
    frame["area"] = dice_of(CASES).mean(axis=1)
    expected = factor_table(frame, "area", ["area_share", "intensity_difference", "holes"], resamples=999)
    mine = table[(table["agent"] == "one") & (table["outcome"] == "area")][list(expected.columns)]
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), expected)

    (grid,) = study.grids
    rows = {row.name: row.values for row in grid.rows}
    assert list(rows) == ["size (share of the image)", "difference of intensity"]  # holes say nothing
    assert rows["difference of intensity"]["one"].strong
    assert rows["difference of intensity"]["one"].value > 0.8
    assert rows["difference of intensity"]["two"].value < -0.8
    assert "Holes: the same in all cases." in grid.notes
    assert study.words[0].startswith(
        "On toy, of the measured factors, one's mean Dice rises with difference of intensity (+0."
    )
    assert "two's mean Dice falls with difference of intensity (\N{MINUS SIGN}0." in study.words[1]
    (picture,) = study.pictures
    assert "one: difference of intensity (+" in picture.alt
    assert b"<svg" in svg_bytes(picture.figure)


def test_planted_factors_stand_apart(tmp_path):
    cases = with_factors(planned_cases(12, 3), planted_contrast=1, contrast=1)
    study = study_of(write_run(tmp_path / "one", "one", cases=cases, protocol=SMALL, dice=dice_of(cases)))
    assert [grid.name for grid in study.grids] == [
        "small-v1_factors_toy_measured",
        "small-v1_factors_toy_planted",
    ]
    table = study.tables["small-v1_factors"]
    assert set(table.loc[table["set"] == "planted", "factor"]) == {"planted_contrast"}
    assert "contrast" not in set(table["factor"])
    assert "Held fixed: the other factors of the table, the modality and the target." in " ".join(
        study.grids[1].notes
    )
    assert study.words[1] == "On toy, none of the planted factors (1) clearly goes with one's mean Dice."


def test_the_lowest_level_counts(tmp_path):
    path = write_run(tmp_path / "n", "one", cases=CASES, protocol=NOISY, dice=dice_of(CASES))
    plain = write_run(tmp_path / "p", "one", cases=CASES, protocol=SMALL, dice=dice_of(CASES))
    noisy, clean = (study_of(p).tables for p in (path, plain))
    pd.testing.assert_frame_equal(noisy["noisy-v1_factors"], clean["small-v1_factors"])


def test_no_study_under_eight_groups(tmp_path):
    dice = dice_of(CASES)[:14]
    assert study_of(write_run(tmp_path / "one", "one", cases=CASES[:14], protocol=SMALL, dice=dice)) is None


def test_it_says_so_where_no_factor_has_an_interval(tmp_path):
    # One group alone differs: many resamples lack it.
    rare = tuple(replace(case, factors={"area_share": 0.1 + 0.2 * (k < 2)}) for k, case in enumerate(CASES))
    study = study_of(write_run(tmp_path / "one", "one", cases=rare, protocol=SMALL, dice=dice_of(CASES)))
    assert study.words == (
        "On toy it cannot be said which of the measured factors matter: too few cases tell them apart.",
    )


def test_old_runs_are_told_of(tmp_path):
    old = planned_cases(12, 2)
    path = write_run(tmp_path / "old", "one", cases=old, protocol=SMALL, dice=dice_of(CASES))
    study = study_of(path)
    assert (study.tables, study.grids, study.pictures) == ({}, [], [])
    (said,) = study.words
    assert said.startswith("The runs on toy hold no measured factors of their cases: an earlier version")
    # What the data set itself names like a measured factor is shown, and it is still an old run.
    part = [replace(case, factors={"components": float(k % 5)}) for k, case in enumerate(old)]
    path_of_part = write_run(tmp_path / "part", "one", cases=part, protocol=SMALL, dice=dice_of(CASES))
    study = study_of(path_of_part)
    assert [row.name for row in study.grids[0].rows] == ["components"]
    assert study.words[-1].startswith("The runs on toy hold no measured factors")
    # Another run of the same cases knows them: they hold for both agents.
    other = write_run(tmp_path / "new", "two", cases=CASES, protocol=SMALL, dice=dice_of(CASES))
    both = study_of(path, other)
    assert "earlier version" not in " ".join(both.words)
    rows = both.tables["small-v1_factors"]
    assert set(rows.loc[rows["partial_rho"].notna(), "agent"]) == {"one", "two"}


def test_no_study_of_bounds_alone(tmp_path):
    assert (
        study_of(write_run(tmp_path / "b", AgentInfo("o", uses_truth=True), cases=CASES, protocol=SMALL))
        is None
    )
