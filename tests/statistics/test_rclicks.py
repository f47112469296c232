from __future__ import annotations

import numpy as np
import pytest

from simclick.statistics.rclicks import rclicks_table


def test_by_hand(make):
    """NoC@0.80 is the step at which Dice jumps to 0.82."""

    def episode(protocol, case, noc):
        return {
            "protocol": protocol,
            "case_id": f"c{case}",
            "group": f"g{case}",
            "dice": [0.1] * (noc - 1) + [0.82],
        }

    clicks = {case: [5 + case % 2, 5, 5, 4, 4, 4, 3, 3, 3, 2] for case in range(9)}
    rows = [episode("noc-v1", case, 4) for case in clicks]
    rows += [
        episode(f"rclicks-g{g}-v1", case, noc[g - 1]) for case, noc in clicks.items() for g in range(1, 11)
    ]
    table = rclicks_table(*make(rows), 20)
    found = table[table["at"] == 0.80].set_index("statistic")["value"]
    g = np.array(list(clicks.values()), dtype=float)
    assert found["delta_sb"] == pytest.approx(((g.mean(axis=1) - 4) / 4).mean())
    assert found["delta_gr"] == pytest.approx(((g[:, 0] - 2) / 2).mean())
    assert found["nsr"] == pytest.approx((g.std(axis=1) / g.mean(axis=1)).mean())
    never = table[table["at"] == 0.90].set_index("statistic")["value"]
    assert never.tolist() == [0, 0, 0]  # all censored at the budget alike


def test_an_agent_without_all_trajectories_has_no_row(make):
    rows = [{"protocol": p, "dice": [0.9]} for p in ("noc-v1", "rclicks-g1-v1")]
    assert rclicks_table(*make(rows), 20).empty
