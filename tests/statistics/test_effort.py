from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from simclick.errors import ConfigError
from simclick.statistics.effort import TimeModel, effort_table, step_seconds, time_model

KEY = {
    "agent": "a",
    "protocol": "p",
    "dataset": "d",
    "case_id": "c0",
    "noise": "none",
    "level": 0.0,
    "repeat": 0,
}
MODEL = TimeModel(thinking=1, bits_per_second=2, target=10, pressing=0.25, drawing=100, latency=0.5)


def prompts(*rounds):
    return pd.DataFrame(
        [
            {**KEY, "step": step, "index": index, "kind": kind, "landed": landed}
            for step, given in enumerate(rounds, 1)
            for index, (kind, landed) in enumerate(given)
        ]
    )


def test_seconds_by_hand(make):
    _, steps = make([{"dice": [0.5, 0.7, 0.9]}])
    given = prompts([("click", [50, 20])], [("box", [50, 20, 80, 60])], [("scribble", [80, 60, 80, 160])])
    timed = step_seconds(steps, given, {("d", "c0"): (40, 100)}, MODEL)
    click = 1 + 0.25  # the hand is already at the middle: no bits
    box = 1 + 0.25 + math.log2(50 / 10 + 1) / 2
    stroke = 1 + 0.25 + 100 / 100
    expected = np.cumsum([click + 0.5, box + 0.5, stroke + 0.5])
    np.testing.assert_allclose(timed["seconds"], expected)


def test_measured_latency_and_a_prompt_without_a_place(make):
    _, steps = make([{"dice": [0.5], "seconds": [3.0]}])
    timed = step_seconds(steps, prompts([("everything", [])]), {("d", "c0"): (40, 100)})
    assert timed["seconds"].tolist() == [pytest.approx(1.35 + 3.0)]


def test_a_dice_that_is_never_reached_is_infinite(make):
    episodes, steps = make(
        [{"case_id": f"c{c}", "group": f"g{c}", "dice": [0.5, 0.9 if c < 2 else 0.6]} for c in range(3)]
    )
    timed = steps.assign(seconds=[1.0, 2.0, 1.0, 4.0, 1.0, 6.0])
    table = effort_table(timed, episodes, [0.8, 0.95]).set_index("at")
    assert table.loc[0.8, "value"] == 4.0
    assert table.loc[0.8, "reached"] == pytest.approx(2 / 3)
    assert np.isinf(table.loc[0.95, "value"])
    assert table["note"].str.contains("simulated").all()


def test_a_time_model_in_words() -> None:
    assert time_model([]) == TimeModel()
    model = time_model(["thinking=2", "latency=0"])
    assert (model.thinking, model.latency, model.pressing) == (2.0, 0.0, TimeModel().pressing)
    for word, said in (
        ("thinking", "not of the form"),
        ("thinkin=2", "did you mean 'thinking'"),
        ("thinking=-1", "above 0"),
        ("target=0", "above 0"),
        ("pressing=nan", "above 0"),
        ("pressing=soon", "above 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            time_model([word])
