from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simclick.datasets.phantoms import Phantoms
from simclick.statistics import factors as module
from simclick.statistics.factors import factor_table


def made_cases(seed=0, groups=20, per_group=4, effects=(0.9, 0.0, -0.5), ties=False):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), per_group)
    n = len(group)
    x = rng.normal(size=(groups, 3))[group] + rng.normal(size=(n, 3))
    x[:, 1] += 0.7 * x[:, 0]
    modality = group % 3
    y = x @ np.array(effects) + 0.5 * modality + rng.normal(size=groups)[group] + rng.normal(size=n)
    frame = pd.DataFrame(np.round(x) if ties else x, columns=["a", "b", "c"])
    return frame.assign(group=group, modality=[f"m{k}" for k in modality], y=np.exp(y))


def residual_formula(cases, outcome, name, others, covariates):
    """Partial Spearman as it is defined: the correlation of two least-squares residuals of ranks."""
    held = [np.ones(len(cases))]
    held += [stats.rankdata(cases[other]) for other in others]
    for covariate in covariates:
        held += [(cases[covariate] == value).to_numpy(float) for value in cases[covariate].unique()[1:]]
    held = np.column_stack(held)
    left = []
    for column in (outcome, name):
        ranks = stats.rankdata(cases[column])
        left.append(ranks - held @ np.linalg.lstsq(held, ranks, rcond=None)[0])
    return stats.pearsonr(*left).statistic


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([(), ("modality",), ("modality", "target")]))
def test_it_is_the_correlation_of_residuals(seed, ties, covariates):
    cases = made_cases(seed, groups=9, ties=ties)
    cases["target"] = np.array(["liver", "lesion"])[np.arange(len(cases)) % 2]
    table = factor_table(cases, "y", ["a", "b", "c"], covariates=covariates, resamples=39)
    for k, name in enumerate("abc"):
        others = [other for other in "abc" if other != name]
        assert table["rho"][k] == pytest.approx(stats.spearmanr(cases[name], cases["y"]).statistic)
        assert table["partial_rho"][k] == pytest.approx(
            residual_formula(cases, "y", name, others, covariates), abs=1e-8
        )


def test_a_resample_is_the_data_with_groups_repeated():
    cases = made_cases(3, groups=9, ties=True)
    data = module._prepare(cases, "y", ["a", "b", "c"], ["modality"])
    weights = np.array([[2, 0, 1, 1, 3, 0, 1, 1, 0]], dtype=float)
    parts = [
        cases[cases["group"] == g].assign(group=100 * g + k)
        for g in range(9)
        for k in range(int(weights[0, g]))
    ]
    repeated = pd.concat(parts, ignore_index=True)
    r, error = module._partial(data, weights)
    for k, name in enumerate("abc"):
        others = [other for other in "abc" if other != name]
        assert r[0, k] == pytest.approx(residual_formula(repeated, "y", name, others, ["modality"]))
    whole = module._prepare(repeated, "y", ["a", "b", "c"], ["modality"])
    again, again_error = module._partial(whole, np.ones((1, whole.n_groups)))
    assert again[0] == pytest.approx(r[0])
    assert again_error[0] == pytest.approx(error[0])


def test_intervals_exclude_0_for_what_matters_alone():
    table = factor_table(made_cases(1, groups=40), "y", ["a", "b", "c"]).set_index("factor")
    assert table.loc["a", "low"] > 0
    assert table.loc["c", "high"] < 0
    assert table.loc["b", "low"] < 0 < table.loc["b", "high"]
    assert table.loc["b", "rho"] > 0.3  # it goes with a, so alone it seems to matter
    assert (table["low"] <= table["partial_rho"]).all()
    assert (table["partial_rho"] <= table["high"]).all()
    assert (table["n_cases"] == 160).all()
    assert (table["n_groups"] == 40).all()
    assert (table["note"] == "").all()


def test_dependent_cases_make_intervals_wider():
    cases = made_cases(2, groups=12, per_group=8)
    own = cases.assign(group=np.arange(len(cases)))
    wide, narrow = (factor_table(c, "y", ["a", "b", "c"]) for c in (cases, own))
    assert (wide["partial_rho"] == narrow["partial_rho"]).all()
    assert (wide["high"] - wide["low"]).sum() > 1.2 * (narrow["high"] - narrow["low"]).sum()


def test_rows_in_any_order_and_any_rising_scale_give_the_same():
    cases = made_cases(4)
    table = factor_table(cases, "y", ["a", "b", "c"], resamples=199)
    mixed = cases.sample(frac=1, random_state=1).assign(y=lambda c: np.log(c["y"]) * 5 - 2)
    pd.testing.assert_frame_equal(factor_table(mixed, "y", ["a", "b", "c"], resamples=199), table)
    other = factor_table(cases, "y", ["a", "b", "c"], resamples=199, seed=1)
    assert (other["partial_rho"] == table["partial_rho"]).all()
    assert (other["low"] != table["low"]).all()


def test_few_groups_have_no_interval():
    table = factor_table(made_cases(groups=7), "y", ["a", "b", "c"])
    assert table["partial_rho"].notna().all()
    assert table["low"].isna().all()
    assert (table["note"] == "7 groups: an interval needs 8").all()
    two_sets = pd.concat([made_cases(k, groups=4).assign(dataset=f"d{k}") for k in range(2)])
    assert (factor_table(two_sets, "y", ["a", "b", "c"])["n_groups"] == 8).all()


def test_factors_that_say_nothing_get_a_note_and_disturb_nobody():
    cases = made_cases(5)
    plain = factor_table(cases, "y", ["a", "b", "c"], resamples=199)
    more = cases.assign(
        same=3.0, twin=np.exp(cases["a"]), coded=cases["modality"].str[1:].astype(float), gaps=np.nan
    )
    more.loc[: len(more) // 2, "gaps"] = 1.0
    names = ["a", "same", "b", "twin", "c", "coded", "gaps", "absent"]
    table = factor_table(more, "y", names, resamples=199).set_index("factor")
    pd.testing.assert_frame_equal(table.loc[["a", "b", "c"]].reset_index(), plain)
    assert table.loc[["same", "twin", "coded", "gaps", "absent"], "partial_rho"].isna().all()
    assert table.loc["same", "note"] == "the same in all cases"
    assert table.loc["twin", "note"].startswith("its ranks follow from")
    assert table.loc["coded", "note"].startswith("its ranks follow from")
    assert table.loc["gaps", "note"] == "missing in 39 of 80 cases"
    assert table.loc["absent", "note"] == "missing in 80 of 80 cases"


def test_a_case_with_a_gap_is_left_out():
    cases = made_cases(6)
    cases.loc[[3, 4], "a"] = np.nan
    cases.loc[7, "y"] = np.nan
    table = factor_table(cases, "y", ["a", "b", "c"], resamples=199)
    kept = factor_table(cases.drop(index=[3, 4, 7]), "y", ["a", "b", "c"], resamples=199)
    pd.testing.assert_frame_equal(table, kept)
    assert (table["n_cases"] == 77).all()


@pytest.mark.parametrize(
    ("cases", "note"),
    [
        (made_cases().assign(y=1.0), "the outcome is the same in all cases"),
        (made_cases(groups=3, per_group=2), "6 cases are too few for 6 columns"),
        (made_cases().iloc[:0], "the same in all cases"),
    ],
)
def test_nothing_to_say(cases, note):
    table = factor_table(cases, "y", ["a", "b", "c"])
    assert table[["partial_rho", "low", "high"]].isna().all(axis=None)
    assert set(table["note"]) == {note}


def test_a_factor_that_few_groups_tell_has_no_interval():
    cases = made_cases(7, groups=12)
    cases["rare"] = (cases["group"] == 0).astype(float)  # a resample lacks the group in a third of draws
    table = factor_table(cases, "y", ["a", "rare"]).set_index("factor")
    assert np.isfinite(table.loc["rare", "partial_rho"])
    assert np.isnan(table.loc["rare", "low"])
    assert table.loc["rare", "note"] == "not defined in more than 5 % of resamples"


def test_planted_effects_come_back():
    """An outcome made from what the phantoms plant, with the target's own hardness and noise on top."""
    rng = np.random.default_rng(0)
    rows = []
    hardness = {}
    for _, case in Phantoms(size=128, patients=3, slices=1).items():
        f = case.factors
        own = hardness.setdefault((case.family, case.target), rng.normal(0, 1))
        effect = 3.0 * f["planted_contrast"] - 1.5 * f["planted_raggedness"]
        dice = 1 / (1 + np.exp(-(effect + own + rng.normal(0, 0.3))))
        rows.append({**f, "dice": dice, "group": case.group, "modality": case.modality,
                     "target": f"{case.family}/{case.target}"})  # fmt: skip
    names = ["planted_contrast", "planted_raggedness", "planted_noise"]
    table = factor_table(pd.DataFrame(rows), "dice", names, covariates=["modality", "target"])
    contrast, raggedness, noise = table.to_dict("records")
    assert contrast["low"] > 0.2
    assert raggedness["high"] < -0.2
    assert noise["low"] < 0 < noise["high"]
    assert contrast["partial_rho"] > contrast["rho"]  # targets differ by more than what is planted
