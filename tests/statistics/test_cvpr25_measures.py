from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid

from simclick.errors import ConfigError
from simclick.statistics.cvpr25 import STATISTICS, cvpr25_cases, cvpr25_table

COSTS = [2, 3, 4, 5, 6, 7]


def by_their_formula(dice, nsd):
    """AUC and final values as the challenge's script has them: n_clicks = 5, scipy's trapezoids."""
    dscs, nsds = list(dice), [n if d > 0.2 else 0.0 for d, n in zip(dice, nsd, strict=True)]
    auc, other = (cumulative_trapezoid(np.array(v[-5:]), np.arange(5))[-1] for v in (dscs, nsds))
    return auc, dscs[-1], other, nsds[-1]


def test_equal_to_the_challenges_formula(make):
    rng = np.random.default_rng(0)
    rows, expected = [], []
    for c in range(12):
        dice, nsd = rng.uniform(0, 0.9, 6).tolist(), rng.uniform(0, 1, 6).tolist()
        rows.append({"case_id": f"c{c:02d}", "group": f"g{c}", "costs": COSTS, "dice": dice, "nsd": nsd,
                     "hd95": [1.0] * 6})  # fmt: skip
        expected.append(by_their_formula(dice, nsd))
    cases = cvpr25_cases(*make(rows), 7)
    found = cases[["dsc_auc", "dsc_final", "nsd_auc", "nsd_final"]].to_numpy()
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(cases["dsc_auc/4"], cases["dsc_auc"] / 4)
    table = cvpr25_table(*make(rows), 7).set_index("statistic")
    assert list(table.index) == list(STATISTICS)
    assert table.loc["dsc_auc", "value"] == pytest.approx(np.mean([e[0] for e in expected]))
    assert table.loc["dsc_auc", "low"] < table.loc["dsc_auc", "value"] < table.loc["dsc_auc", "high"]
    assert table["largest"].to_list() == [4, 1, 1, 4, 1, 1]


def test_by_hand(make):
    perfect = {"case_id": "a", "group": "a", "costs": [2, 3], "dice": [0.5, 1.0]}  # ends early
    failed = {"case_id": "b", "group": "b", "costs": [2, 3, 4], "dice": [0.5, 0.8, 0.0], "status": "failed",
              "nsd": [0.4, 0.6, np.nan], "hd95": [9.0, 5.0, np.nan]}  # fmt: skip
    poor = {"case_id": "c", "group": "c", "costs": COSTS, "dice": [0.9, *[0.2] * 5],
            "nsd": [0.9, *[0.7] * 5], "hd95": [1.0] * 6}  # fmt: skip
    blank = {"case_id": "d", "group": "d", "costs": COSTS, "dice": [0.6] * 6}  # no surfaces
    cases = cvpr25_cases(*make([perfect, failed, poor, blank]), 7).set_index("case_id")
    assert cases.loc["a", ["dsc_auc", "dsc_final", "nsd_auc", "nsd_final"]].to_list() == [4, 1, 4, 1]
    # 0.8 after click 1, then nothing: half a trapezoid.
    assert cases.loc["b", ["dsc_auc", "dsc_final", "nsd_auc"]].to_list() == pytest.approx([0.4, 0, 0.3])
    # The box's 0.9 does not count; NSD is 0 at a Dice of 0.2.
    assert cases.loc["c", ["dsc_auc", "nsd_auc", "nsd_final"]].to_list() == pytest.approx([0.8, 0, 0])
    assert cases.loc["d", "dsc_auc"] == pytest.approx(2.4)
    assert np.isnan(cases.loc["d", ["nsd_auc", "nsd_final"]].to_numpy(float)).all()


def test_repeats_are_averaged_and_clicks_may_cost_more(make):
    costs = [2, 4, 6, 8, 10, 12]
    rows = [
        {"case_id": "a", "group": "a", "repeat": r, "costs": costs, "dice": [0.1, *[d] * 5]}
        for r, d in enumerate((0.4, 0.8))
    ]
    cases = cvpr25_cases(*make(rows), 12, click=2)
    assert cases["dsc_auc"].to_list() == pytest.approx([4 * 0.6])


@pytest.mark.parametrize(("budget", "click"), [(5, 1), (10, 2), (7, 0)])
def test_a_budget_without_room(make, budget, click):
    with pytest.raises(ConfigError, match="a start and 5 clicks"):
        cvpr25_cases(*make([{"dice": [0.5]}]), budget, click=click)
