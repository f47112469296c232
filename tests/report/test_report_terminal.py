from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import planned_cases, write_run

from simclick.agent import AgentInfo
from simclick.errors import StoreError
from simclick.protocol import Protocol
from simclick.report.terminal import final_table

THREE = Protocol("three-v1", "center-click", budget=3)
A = np.array([[0.5, 0.8, 0.9], [0.2, 0.6, 0.7]])


def test_the_numbers_with_what_they_rest_on(tmp_path: Path) -> None:
    cases = planned_cases(1, 2)
    path = write_run(
        tmp_path / "run", AgentInfo("a", random_weights=True), cases=cases, protocol=THREE, dice=A
    )
    text = final_table(path)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "a (random weights) on toy"
    assert lines[1].startswith("2 cases, 1 group, 2 episodes, 0 failed, seed 0, protocol three-v1 (")
    assert "≥ 0.80 2.50 50.0 % 1 click 0.350" in lines
    assert "≥ 0.85 3.00 50.0 % 3 clicks 0.800" in lines
    assert "≥ 0.90 3.00 50.0 % mean 1…3 0.617" in lines
    assert "1 group: an interval needs 8" in lines
    assert "20.0 ms per interaction (median)" in lines


def test_intervals_failures_and_at_most_100_columns(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", "a" * 150, "d" * 90, failures={1: (2, "ValueError: " + "long " * 50)})
    text = final_table(path)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "[low, high]: 95 % interval over groups" in text
    assert "failed: 1 x ValueError: long long" in text
    assert "72 cases, 24 groups, 72 episodes, 1 failed" in text


def test_a_row_per_noise_level(tmp_path: Path) -> None:
    noisy = dataclasses.replace(THREE, noise="gaussian-click", levels=(0.0, 5.0), repeats=2)
    text = final_table(write_run(tmp_path / "run", "a", cases=planned_cases(2, 1), protocol=noisy, dice=A))
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["0"], ["5"])]
    assert [row[0] for row in rows] == ["0", "5"]
    assert rows[0][-3:] == ["0.350", "0.800", "0.617"]
    assert rows[1][-3:] == ["0.250", "0.700", "0.517"]  # made rows lose 0.02 per unit of level
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_run_without_an_episode_yet(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", "a", only=0, seal=False)
    assert final_table(path).splitlines()[-1] == "no episode is done yet"
    with pytest.raises(StoreError, match="no run directory"):
        final_table(tmp_path)


def test_it_needs_no_matplotlib() -> None:
    code = "import sys, simclick.report.terminal as t; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
