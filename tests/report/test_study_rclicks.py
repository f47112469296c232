from __future__ import annotations

import numpy as np
import pytest
from made_runs import planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.protocol import load_protocol
from simclick.report.runs import load_sections, open_runs
from simclick.report.study_rclicks import rclicks_study
from simclick.report.style import looks, svg_bytes

CASES = planned_cases(9, 1)


def reached_at(clicks):
    """Dice of cases that are at 0.86 from a click on."""
    return np.array([[0.3] * (n - 1) + [0.86] * (20 - n + 1) for n in clicks])


def protocols():
    yield "noc-v1", 4
    for g in range(1, 11):
        yield f"rclicks-g{g}-v1", 14 - g  # G1 takes 13 clicks, G10 four


def write_all(root, agent, extra=0, skip=()):
    for name, clicks in protocols():
        if name in skip:
            continue
        values = reached_at([clicks + (k % 3) + (extra if "g1-" in name else 0) for k in range(9)])
        label = agent if isinstance(agent, str) else agent.name
        path = root / f"{label}-{name}"
        yield write_run(path, agent, cases=CASES, protocol=load_protocol(name), dice=values)


def study_of(paths):
    sections = load_sections(open_runs(paths))
    entrants = {label: e for section in sections for label, e in section.entrants.items()}
    return rclicks_study(sections, looks(list(entrants.values())))


def test_all_eleven_protocols_make_a_study(tmp_path):
    paths = [
        *write_all(tmp_path, "one"),
        *write_all(tmp_path, "two", extra=3),
        *write_all(tmp_path, AgentInfo("oracle", uses_truth=True)),
    ]
    study = study_of(paths)
    n = np.array([4 + k % 3 for k in range(9)])
    rows = {row.name: row.values for row in study.grids[0].rows}
    assert set(rows) == {"one", "two"}
    assert rows["one"]["delta_gr_noc@0.85"].value == pytest.approx((9 / n).mean())
    assert rows["two"]["delta_gr_noc@0.85"].value == pytest.approx((12 / n).mean())
    assert rows["one"]["delta_sb_noc@0.85"].value == pytest.approx((4.5 / n).mean())
    assert study.words[0].startswith(
        f"With the least likely clicks two takes {100 * (12 / n).mean():.0f} % ["
    )
    assert study.words[0].endswith("that is clear.")
    curve = study.tables["rclicks_trajectories"]
    mine = curve[(curve["agent"] == "one")].set_index("trajectory")["value"]
    assert mine.to_list() == pytest.approx([5.0, *(15.0 - g for g in range(1, 11))])
    assert b"<svg" in svg_bytes(study.pictures[0].figure)


def test_no_study_without_all_of_them(tmp_path):
    assert study_of(list(write_all(tmp_path, "one", skip=("rclicks-g7-v1",)))) is None
    assert study_of(list(write_all(tmp_path, AgentInfo("oracle", uses_truth=True)))) is None
