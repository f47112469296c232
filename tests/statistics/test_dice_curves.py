import numpy as np
import pytest

from simclick.errors import StoreError
from simclick.statistics import area, dice_curves, noc, reach, timeline


def curve(make, budget, **episode):
    episodes, steps = make([episode])
    return dice_curves(steps, episodes, budget)[1][0].tolist()


def test_starts_empty_and_carries_the_last_mask_on(make):
    assert curve(make, 5, dice=[0.5, 0.75]) == [0, 0.5, 0.75, 0.75, 0.75, 0.75]


def test_between_two_costs_the_earlier_mask_holds(make):
    assert curve(make, 6, dice=[0.5, 0.6, 0.9], costs=[2, 3, 5]) == [0, 0, 0.5, 0.6, 0.6, 0.9, 0.9]


def test_of_two_rounds_at_one_cost_the_later_counts(make):
    assert curve(make, 2, dice=[0.3, 0.5, 0.4], costs=[0, 1, 1]) == [0.3, 0.4, 0.4]


def test_an_empty_truth_starts_at_one(make):
    assert curve(make, 3, dice=[], final_dice=1.0) == [1, 1, 1, 1]
    # No round fits into the budget: the empty mask of a truth that is not empty.
    assert curve(make, 1, dice=[], final_dice=0.0) == [0, 0]


def test_a_failure_is_zero_from_its_step_on(make):
    assert curve(make, 4, dice=[0.9, 0.95, 0.0], status="failed") == [0, 0.9, 0.95, 0, 0]
    assert curve(make, 5, dice=[0.9, 0.0], costs=[1, 3], status="failed") == [0, 0.9, 0.9, 0, 0, 0]
    assert curve(make, 2, dice=[], status="failed", final_dice=0.0) == [0, 0, 0]
    assert curve(make, 2, dice=[np.nan], status="failed") == [0, 0, 0]


def test_a_smaller_budget_cuts_the_axis(make):
    assert curve(make, 2, dice=[0.5, 0.6, 0.7]) == [0, 0.5, 0.6]
    assert curve(make, 2, dice=[0.5, 0.6, 0.0], status="failed") == [0, 0.5, 0.6]


def test_clicks_to_a_target():
    curves = np.array(
        [
            [0, 0.5, 0.9, 0.9],  # reached exactly, Dice equal to the target
            [0, 0.0, 0.0, 0.9],  # reached exactly at the budget
            [0, 0.0, 0.5, 0.89],  # never
            [0, 0.95, 0.2, 0.2],  # reached, then lost
            [1, 1.0, 1.0, 1.0],  # an empty truth: nothing to do
        ]
    )
    clicks, reached = noc(curves, 0.9)
    assert clicks.tolist() == [2, 3, 3, 1, 0]
    assert reached.tolist() == [True, True, False, True, True]
    assert reach(curves, 0.9).mean(axis=0).tolist() == [0.2, 0.4, 0.6, 0.8]
    assert area(curves)[0] == pytest.approx((0.5 + 0.9 + 0.9) / 3)
    assert area(curves)[4] == 1.0


def test_a_target_may_lie_inside_a_jump(make):
    episodes, steps = make([{"dice": [0.7, 0.92], "costs": [2, 4]}])
    _, curves = dice_curves(steps, episodes, 5)
    assert [noc(curves, tau)[0][0] for tau in (0.6, 0.8, 0.95)] == [2, 4, 5]


def test_a_quotient_that_equals_the_target_reaches_it():
    for n in range(1, 400):
        for tau, per_mille in ((0.8, 800), (0.85, 850), (0.9, 900), (0.95, 950)):
            k, rest = divmod(per_mille * n, 1000)
            if rest == 0:
                assert noc(np.array([[0.0, k / n]]), tau)[1][0]
                assert not noc(np.array([[0.0, (k - 1) / n]]), tau)[1][0]


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition_and_does_not_depend_on_row_order(make, random_run, naive, seed):
    given = random_run(seed)
    episodes, steps = make(given)
    shuffled = steps.sample(frac=1, random_state=seed)
    for value, name in (("dice", "dice"), ("oracle_dice", "oracle")):
        kept, curves = dice_curves(shuffled, episodes, 8, value)
        np.testing.assert_array_equal(curves, [naive(e, 8, name) for e in given])
    assert kept["case_id"].tolist() == episodes["case_id"].tolist()
    clicks, reached = noc(curves, 0.9)
    for row, n, r in zip(curves, clicks, reached, strict=True):
        hits = [c for c in range(9) if row[c] >= 0.9]
        assert (n, r) == ((hits[0], True) if hits else (8, False))


def test_no_steps_at_all(make):
    episodes, steps = make([{"dice": [], "final_dice": 1.0}, {"dice": [], "case_id": "c1"}])
    assert dice_curves(steps, episodes, 2)[1].tolist() == [[1, 1, 1], [0, 0, 0]]


def test_surfaces_at_a_cost(make):
    episodes, steps = make(
        [
            {"case_id": "measured", "dice": [0.5, 0.6], "hd95": [4.0, 2.0], "nsd": [0.1, 0.2]},
            {"case_id": "carried", "dice": [0.5], "hd95": [4.0], "nsd": [0.1]},
            {
                "case_id": "perfect, not measured",
                "dice": [0.5, 1.0],
                "hd95": [4.0, np.nan],
                "nsd": [0.1, np.nan],
            },
            {"case_id": "not measured", "dice": [0.5, 0.6], "hd95": [4.0, np.nan], "nsd": [0.1, np.nan]},
            {"case_id": "undefined", "dice": [0.5, 0.0], "hd95": [4.0, np.inf], "nsd": [0.1, 0.0]},
            {
                "case_id": "failed",
                "dice": [0.5, 0.0],
                "hd95": [4.0, np.nan],
                "nsd": [0.1, np.nan],
                "status": "failed",
            },
            {"case_id": "no mask yet", "dice": [0.5], "costs": [3], "hd95": [4.0], "nsd": [0.1]},
            {"case_id": "empty truth", "dice": [], "final_dice": 1.0},
        ]
    )
    laid = timeline(steps, episodes, 3)
    np.testing.assert_array_equal(laid.surface("hd95", 2), [2, 4, 0, np.nan, np.inf, np.inf, np.inf, 0])
    np.testing.assert_array_equal(laid.surface("nsd", 2), [0.2, 0.1, 1, np.nan, 0, 0, 0, 1])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda e, s: (e.loc[[0, 0]], s), "c0.*there twice"),
        (lambda e, s: (e, s.assign(case_id="other")), "steps without an episode.*other"),
        (lambda e, s: (e, s.iloc[:1]), "1 rows of steps and counts 2"),
        (lambda e, s: (e, s.assign(dice=np.nan)), "dice is missing"),
        (lambda e, s: (e, s.assign(cost=[2, 1])), "falls within"),
    ],
)
def test_tables_that_do_not_fit_are_refused(make, change, message):
    episodes, steps = change(*make([{"dice": [0.5, 0.6]}]))
    with pytest.raises(StoreError, match=message):
        dice_curves(steps, episodes, 3)
