"""What the prompts and masks of an archive must be by themselves, without truth and without replay.

This proves no row true. It refuses rows that no run of the protocol could have written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from simclick.errors import ConfigError
from simclick.protocol import Protocol

__all__ = ["check_answers", "check_prompts", "fits_kind"]

_STEP = ["case_id", "level", "repeat", "step"]
_PLACES: Mapping[str, int] = {"click": 2, "box": 4, "mask": 0, "text": 0, "everything": 0}
"""Coordinates of a prompt, by its kind; a scribble has as many pairs as it likes, but one."""


def fits_kind(kind: str, n: int) -> bool:
    """Return whether a prompt of a kind may hold so many coordinates (see `simclick.prompts.Prompt`)."""
    return n >= 2 and n % 2 == 0 if kind == "scribble" else _PLACES.get(kind) == n


def check_prompts(prompts: pd.DataFrame, steps: pd.DataFrame, protocol: Protocol, where: str) -> None:
    """Refuse prompts that the protocol's annotator cannot give.

    Every step has at least one, numbered from 0, and every prompt is of a step. Kinds are the annotator's,
    with their coordinates and their cost; a text belongs to a prompt of text, and to no other.

    Args:
        prompts: The rows of the prompts, sorted by step and index.
        steps: The rows of the steps.
        protocol: The protocol.
        where: What to call them in an error.

    Raises:
        ConfigError: Naming the first row that does not fit.
    """
    kinds = prompts["kind"]
    given = protocol.make_annotator().kinds
    number = prompts.groupby(_STEP, sort=False).cumcount()
    rules = {
        f"kind is none of {', '.join(sorted(given))}": ~kinds.isin(list(given)),
        "landed has not the coordinates of its kind": _misplaced(kinds, prompts["landed"]),
        "meant has not the coordinates of its kind": _misplaced(kinds, prompts["meant"]),
        "a text belongs to a prompt of text": prompts["text"].notna() != (kinds == "text"),
        "its cost is not the protocol's": prompts["cost"] != kinds.map(dict(protocol.costs)),
        "index does not count from 0": prompts["index"].to_numpy() != number.to_numpy(),
        "there is no such step": ~_keys(prompts).isin(_keys(steps)),
    }
    for words, bad in rules.items():
        _refuse(prompts, bad, f"{where}: prompts", words)
    _refuse(steps, ~_keys(steps).isin(_keys(prompts)), f"{where}: steps", "no prompt asked for it")


def check_answers(masks: pd.DataFrame, steps: pd.DataFrame, where: str) -> None:
    """Refuse masks that are not exactly the candidates which the steps count.

    A step without an answer counts none, and has none.

    Args:
        masks: The rows of the masks without their run lengths, sorted by step and candidate.
        steps: The rows of the steps.
        where: What to call them in an error.

    Raises:
        ConfigError: Naming the first row that does not fit.
    """
    number = masks.groupby(_STEP, sort=False).cumcount()
    odd = masks["candidate"].to_numpy() != number.to_numpy()
    _refuse(masks, odd, f"{where}: masks", "candidate does not count from 0")
    _refuse(masks, ~_keys(masks).isin(_keys(steps)), f"{where}: masks", "there is no such step")
    held = masks.groupby(_STEP, sort=False).size()
    have = held.reindex(_keys(steps), fill_value=0).to_numpy() if len(held) else np.zeros(len(steps), int)
    wrong = have != steps["n_candidates"].to_numpy()
    if wrong.any():
        at = int(np.argmax(wrong))
        words = f"n_candidates is {steps['n_candidates'].iloc[at]}, there are {have[at]} masks"
        _refuse(steps, wrong, f"{where}: steps", words)


def _misplaced(kinds: pd.Series, places: pd.Series) -> list[bool]:
    """Return where a prompt has a number of coordinates that none of its kind has."""
    return [not fits_kind(kind, len(place)) for kind, place in zip(kinds, places, strict=True)]


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[_STEP])


def _refuse(frame: pd.DataFrame, bad: Any, where: str, words: str) -> None:
    bad = np.asarray(bad, dtype=bool)
    if bad.any():
        row = frame.iloc[int(np.argmax(bad))]
        case, level, repeat, step = (row[name] for name in _STEP)
        at = f"case {str(case)[:120]}, level {level:g}, repeat {repeat}, step {step}"
        raise ConfigError(f"{where}: {at}: {words}: no run writes that")
