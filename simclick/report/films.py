"""Episodes as they can be shown: the image again, the prompts in order, and the masks if kept.

The image and the truth are not in a run directory: they are loaded again from the data set that
``run.json`` names, and checked against the hash that was planned. Nothing is computed anew.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from numpy.typing import NDArray

from simclick.case import Case
from simclick.datasets.base import Dataset
from simclick.errors import DataError, SimclickError, StoreError
from simclick.harness.reading import Run
from simclick.harness.specs import DatasetSpec
from simclick.prompts import Prompt, Round
from simclick.runlength import decode

__all__ = ["CaseLoader", "Film", "Shot", "load_films"]


@dataclass(frozen=True, eq=False)
class Shot:
    """One step of an episode.

    Attributes:
        step: From 1.
        cost: Cumulative cost in clicks.
        dice: Dice of the mask.
        mask: Bool[H, W], the chosen mask; None where masks were not kept.
    """

    step: int
    cost: int
    dice: float
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Film:
    """One episode.

    Attributes:
        case_id: The case.
        level: Noise level.
        repeat: Repeat.
        target: Name of the object.
        shots: Its answered steps.
        rounds: The rounds, as meant and as landed; one per step, and one more where the agent
            failed to answer the last.
        error: Why it failed, or "".
    """

    case_id: str
    level: float
    repeat: int
    target: str
    shots: tuple[Shot, ...]
    rounds: tuple[Round, ...]
    error: str

    @property
    def has_masks(self) -> bool:
        """Whether every step's mask was kept."""
        return all(shot.mask is not None for shot in self.shots)

    @property
    def final_dice(self) -> float:
        """Dice at the end; 0 for a failure."""
        return 0.0 if self.error or not self.shots else self.shots[-1].dice

    def at_cost(self, cost: int) -> Shot | None:
        """Return the last step with at most this cost, or None before the first."""
        found = [shot for shot in self.shots if shot.cost <= cost]
        return found[-1] if found else None


class CaseLoader:
    """Loads the cases of runs again, by id; runs over the same data share one data set."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self._planned: dict[Path, dict[str, tuple[int, str]]] = {}

    def load(self, run: Run, case_id: str) -> Case:
        """Return a case of a run.

        Raises:
            DataError: When it cannot be loaded, or is no longer what was planned; says why.
        """
        if run.path not in self._planned:
            cases = run.cases()
            places = zip(range(len(cases)), cases["sha256"], strict=True)
            self._planned[run.path] = dict(zip(cases["case_id"], places, strict=True))
        place, sha256 = self._planned[run.path][case_id]
        try:
            case = self._source(run).find(case_id, place)
        except SimclickError as error:
            raise DataError(f"its image cannot be loaded again: {error}") from None
        except Exception as error:  # a data set may be gone in any way: a report goes on without it
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"its image cannot be loaded again: {reason}") from error
        if case is None:
            raise DataError("its image cannot be loaded again: the data set has no such case any more")
        if case.sha256() != sha256:
            raise DataError("its image or mask changed since the run")
        return case

    def _source(self, run: Run) -> _Source:
        spec = run.description["specs"]["dataset"]
        key = json.dumps(spec, sort_keys=True)
        if key not in self._sources:
            self._sources[key] = _Source(DatasetSpec(str(spec["name"]), dict(spec["options"])).make())
        return self._sources[key]


class _Source:
    """A data set in which cases are found by id."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def find(self, case_id: str, place: int) -> Case | None:
        """Return a case: from its planned place, else by looking through the data set once."""
        references = self._dataset.references()
        if place < len(references):
            case = self._dataset.load(references[place])
            if case.case_id == case_id:
                return case
        if case_id not in self._references:
            return None
        return self._dataset.load(self._references[case_id])

    @cached_property
    def _references(self) -> dict[str, Any]:
        return {case.case_id: reference for reference, case in self._dataset.items()}


def load_films(run: Run, wanted: Sequence[tuple[str, float, int]]) -> list[Film]:
    """Return episodes of a run, in the order asked for.

    Args:
        run: The run.
        wanted: ``(case_id, level, repeat)`` of each; all must exist.

    Raises:
        StoreError: When rows cannot be read, or a kept mask does not fit its image.
    """
    ids = sorted({case_id for case_id, _, _ in wanted})
    tables = {name: _read(run, name, ids) for name in ("episodes", "steps", "prompts")}
    tables["masks"] = _read(run, "masks", ids) if run.description.get("save_masks") else pd.DataFrame()
    cases = run.cases()
    sizes = dict(zip(cases["case_id"], zip(cases["height"], cases["width"], strict=True), strict=True))
    films = []
    for case_id, level, repeat in wanted:
        height, width = sizes[case_id]
        rows = {name: _of(table, case_id, level, repeat) for name, table in tables.items()}
        films.append(_film(run, rows, (int(height), int(width))))
    return films


def _read(run: Run, table: str, case_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of some cases, from committed shards only."""
    files = [str(file) for file in run.files(table)]
    if not files:
        return pd.DataFrame()
    try:
        rows = ds.dataset(files, format="parquet").to_table(filter=ds.field("case_id").isin(list(case_ids)))
    except (OSError, ValueError) as error:
        raise StoreError(f"{run.path / table}: {str(error).splitlines()[0]}") from None
    frame: pd.DataFrame = rows.to_pandas()
    return frame


def _of(table: pd.DataFrame, case_id: str, level: float, repeat: int) -> pd.DataFrame:
    if not len(table):
        return table
    chosen = (table["case_id"] == case_id) & (table["level"] == level) & (table["repeat"] == repeat)
    rows = table[chosen]
    order = [c for c in ("step", "index", "candidate") if c in rows.columns]
    found: pd.DataFrame = rows.sort_values(order, kind="stable") if order else rows
    return found


def _film(run: Run, rows: dict[str, pd.DataFrame], size: tuple[int, int]) -> Film:
    episode = rows["episodes"].iloc[0]
    masks = _masks(run, rows, size)
    shots = tuple(
        Shot(int(r["step"]), int(r["cost"]), float(r["dice"]), masks.get((int(r["step"]), int(r["chosen"]))))
        for r in rows["steps"].to_dict("records")
        if r["chosen"] >= 0  # the step at which an agent failed has no mask
    )
    return Film(
        str(episode["case_id"]),
        float(episode["level"]),
        int(episode["repeat"]),
        str(episode["target"]),
        shots,
        tuple(_rounds(rows["prompts"])),
        str(episode["error"] or "no reason was recorded") if episode["status"] == "failed" else "",
    )


def _masks(
    run: Run, rows: dict[str, pd.DataFrame], size: tuple[int, int]
) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """Return the kept masks by ``(step, candidate)``."""
    if not len(rows["masks"]):
        return {}
    try:
        return {
            (int(r["step"]), int(r["candidate"])): decode(np.asarray(r["counts"]), size)
            for r in rows["masks"].to_dict("records")
        }
    except ValueError as error:
        raise StoreError(
            f"{run.path / 'masks'}: a mask of case {rows['masks'].iloc[0]['case_id']}: {error}"
        ) from None


def _rounds(prompts: pd.DataFrame) -> Iterator[Round]:
    if not len(prompts):
        return
    for _, rows in prompts.groupby("step", sort=True):
        yield Round(tuple(_prompt(r) for r in rows.to_dict("records")))


def _prompt(row: Mapping[Hashable, Any]) -> Prompt:
    return Prompt(
        row["kind"],
        tuple(int(v) for v in row["landed"]),
        bool(row["positive"]),
        tuple(int(v) for v in row["meant"]),
        bool(row["meant_positive"]),
        row["text"],
    )
