"""Prompts and masks that no run writes are refused without replay; honest odd ones are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submission_support import found, made, with_rows

from simclick.errors import ConfigError
from simclick.leaderboard.possible import check_answers, fits_kind
from simclick.leaderboard.verify import verify
from simclick.prompts import KINDS, box, click, everything, mask, scribble, text

NOC = "noc-v1"
Tables = dict[str, pd.DataFrame]
Change = Callable[[Tables], None]


def unread(tmp_path: Path, change: Change, target: str | None = None, protocol: str = NOC) -> dict[str, str]:
    """Return what is found wrong, without replay, in a submission with changed rows."""
    it = made("disc" if target is None else "custom", target)
    path = it.write(tmp_path, with_rows(it.data, protocol, change))
    findings: dict[str, str] = found(path, it.suite_file, replay=False)["findings"]
    return findings


def first(name: str, value: object) -> Change:
    def apply(t: Tables) -> None:
        t["prompts"].at[0, name] = value

    return apply


def no_masks(t: Tables) -> None:
    t["masks"] = t["masks"].iloc[:0]


def one_mask_less(t: Tables) -> None:
    t["masks"] = t["masks"].drop(index=4)


def one_mask_more(t: Tables) -> None:
    t["masks"] = pd.concat([t["masks"], t["masks"].iloc[:1].assign(candidate=1)], ignore_index=True)


def candidates_from_one(t: Tables) -> None:
    t["masks"].loc[0, "candidate"] = 1


def unasked(t: Tables) -> None:
    t["prompts"] = t["prompts"].drop(index=3)


def index_from_one(t: Tables) -> None:
    t["prompts"].loc[0, "index"] = 1


def with_answers_to_nothing(t: Tables) -> None:
    """Give a step without an answer a mask."""
    lost = t["steps"][t["steps"]["chosen"] < 0].iloc[0]
    more = t["masks"].iloc[:1].assign(**{n: lost[n] for n in ("case_id", "level", "repeat", "step")})
    t["masks"] = pd.concat([t["masks"], more], ignore_index=True)


IMPOSSIBLE: list[tuple[Change, str]] = [
    (no_masks, "n_candidates is 1, there are 0 masks"),
    (one_mask_less, "n_candidates is 1, there are 0 masks"),
    (one_mask_more, "n_candidates is 1, there are 2 masks"),
    (candidates_from_one, "candidate does not count from 0"),
    (unasked, "no prompt asked for it"),
    (index_from_one, "index does not count from 0"),
    (first("kind", "é" * 700), "kind is none of click"),
    (first("kind", "box"), "kind is none of click"),
    (first("landed", np.zeros(4000, np.int32)), "landed has not the coordinates"),
    (first("landed", np.zeros(0, np.int32)), "landed has not the coordinates"),
    (first("meant", np.zeros(4, np.int32)), "meant has not the coordinates"),
    (first("text", "liver"), "a text belongs to a prompt of text"),
    (first("cost", 0), "its cost is not the protocol's"),
]


@pytest.mark.parametrize(
    ("change", "said"), IMPOSSIBLE, ids=[f"{i}-{s[:30]}" for i, (_, s) in enumerate(IMPOSSIBLE)]
)
def test_tables_that_no_run_writes_are_refused(change: Change, said: str, tmp_path: Path) -> None:
    findings = unread(tmp_path, change)
    assert list(findings) == ["episodes"]
    assert said in findings["episodes"]
    assert findings["episodes"].startswith("noc-v1: ")
    assert "case dermoscopy-" in findings["episodes"]


def test_a_box_has_four_coordinates(tmp_path: Path) -> None:
    said = unread(tmp_path, first("landed", np.zeros(2, np.int32)), protocol="cosmos-s5-v1")
    assert "landed has not the coordinates" in said["episodes"]


def test_failed_episodes_have_prompts_without_masks(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Fumbles")
    assert found(it.write(tmp_path), it.suite_file, replay=False)["findings"] == {}
    said = unread(tmp_path, with_answers_to_nothing, "rerun_methods:Fumbles")
    assert "n_candidates is 0, there are 1 masks" in said["episodes"]


def test_what_no_run_writes_is_not_accepted(tmp_path: Path) -> None:
    it = made()
    path = it.write(tmp_path, with_rows(it.data, NOC, first("kind", "é" * 700)))
    verdict = verify(path, suite=it.suite_file, replay=False, accept=True)
    assert verdict.tier is None
    assert verdict.files == {}
    assert [check.name for check in verdict.checks if check.verdict == "fail"] == ["episodes"]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9))
@settings(deadline=None, max_examples=20)
def test_every_prompt_that_can_be_made_fits_its_kind(points: list[tuple[int, int]]) -> None:
    made_of = [click(1, 2), box(1, 2, 3, 4), scribble(points), mask(), text("liver"), everything()]
    assert {prompt.kind for prompt in made_of} == set(KINDS)
    for prompt in made_of:
        assert fits_kind(prompt.kind, len(prompt.landed))
        assert not fits_kind(prompt.kind, len(prompt.landed) + 1)
    assert not fits_kind("scribble", 0)
    assert not fits_kind("telepathy", 0)


def test_steps_have_as_many_masks_as_they_count() -> None:
    def rows(**columns: list[int]) -> pd.DataFrame:
        return pd.DataFrame({"case_id": "a", "level": 0.0, "repeat": 0, **columns})

    steps = rows(step=[1, 2, 3], n_candidates=[3, 1, 0])
    check_answers(rows(step=[1, 1, 1, 2], candidate=[0, 1, 2, 0]), steps, "x")
    with pytest.raises(ConfigError, match="step 1: n_candidates is 3, there are 2 masks"):
        check_answers(rows(step=[1, 1, 2], candidate=[0, 1, 0]), steps, "x")
    with pytest.raises(ConfigError, match="there is no such step"):
        check_answers(rows(step=[1, 1, 1, 2, 4], candidate=[0, 1, 2, 0, 0]), steps, "x")
    check_answers(rows(step=[], candidate=[]), rows(step=[], n_candidates=[]), "x")
