"""Replaying: the whole run again, with the archive's masks in place of the method.

The harness itself plays every episode: the annotator sees the truth and the mask that the archive
holds, and gives the next round; the archive's masks and scores answer it; one function chooses; one
function measures. What comes out are the rows that this submission must hold. They are then compared
with the rows that it does hold, column by column. So nothing is checked by a second set of rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.episode import Rules
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import Block, PlannedCase
from simclick.harness.records import SCHEMAS, TIMINGS, Rows
from simclick.leaderboard.limits import MAX_MISMATCHES
from simclick.leaderboard.parquet import ORDER, Masks

__all__ = ["Claimed", "Findings", "Replayer", "compare"]

_CHECK_OF = {
    "episodes": {
        **dict.fromkeys(("agent_digest", "protocol_digest"), "runs"),
        **dict.fromkeys(("group", "modality", "target"), "cases"),
        **dict.fromkeys(("status", "error", "steps", "final_dice"), "ends"),
    },
    "steps": {
        "cost": "prompts",
        **dict.fromkeys(("dice", "iou"), "overlap"),
        "oracle_dice": "overlap",
        **dict.fromkeys(("hd95", "nsd"), "surfaces"),
        **dict.fromkeys(("chosen", "n_candidates"), "selection"),
        "mask_sha256": "masks",
        **dict.fromkeys(("group", "modality", "target"), "cases"),
    },
    "prompts": dict.fromkeys(
        ("kind", "positive", "meant_positive", "landed", "meant", "text", "cost"), "prompts"
    ),
}
"""Which check a column belongs to."""
_KEYS_CHECK = {"episodes": "episodes", "steps": "prompts", "prompts": "prompts"}
_NO_MASK = "the archive holds no fitting mask for this step"


@dataclass
class Findings:
    """What was found to be wrong: per check the first mismatch, and how many there were.

    Attributes:
        first: The first mismatch, by check.
        count: How many there were, by check.
        stopped: Where nobody looked any further, in words; empty where everything was looked at.
    """

    first: dict[str, str] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    stopped: str = ""

    @property
    def full(self) -> bool:
        """Whether so much is wrong that more of it helps nobody."""
        return sum(self.count.values()) >= MAX_MISMATCHES

    def add(self, check: str, detail: str, times: int = 1) -> None:
        """Note a mismatch."""
        self.first.setdefault(check, detail)
        self.count[check] = self.count.get(check, 0) + times


@dataclass(frozen=True, eq=False)
class Claimed:
    """One run as the archive claims it.

    Attributes:
        info: The agent.
        episodes: Its rows of ``episodes``.
        steps: Its rows of ``steps``.
        prompts: Its rows of ``prompts``.
        masks: Its masks.
        cases: Its rows of ``cases``.
    """

    info: AgentInfo
    episodes: pd.DataFrame
    steps: pd.DataFrame
    prompts: pd.DataFrame
    masks: Masks
    cases: pd.DataFrame

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by name."""
        frame: pd.DataFrame = getattr(self, name)
        return frame


class Replayer(Lockstep):
    """Plays the episodes of a run from the archive's masks, case by case.

    Args:
        claimed: The run.
        rules: The suite's protocol and seed.
        findings: Where masks that do not fit are noted.
    """

    def __init__(self, claimed: Claimed, rules: Rules, findings: Findings) -> None:
        super().__init__(_Tape(claimed.info), _Nothing(), rules)
        self._claimed = claimed
        self._findings = findings
        self._answers = _answers(claimed.masks)
        self._scores = claimed.masks.rows["score"].tolist()
        self._used = 0
        self._failed = _failures(claimed.episodes)
        self._case: Case | None = None
        self.rows = Rows()

    def play(self, case: Case) -> None:
        """Play all episodes of a case; their rows are added to `rows`."""
        self._case = case
        self._check_case(case)
        planned = PlannedCase(
            None,
            case.case_id,
            case.group,
            case.modality,
            case.target,
            case.family,
            *case.size,
            case.spacing,
            0,
            "",
            "",
            {},
        )
        self.rows.extend(self.run(Block(0, (planned,))))

    def _check_case(self, case: Case) -> None:
        rows = self._claimed.cases
        row = rows[rows["case_id"] == case.case_id].iloc[0]
        truth = {
            "modality": case.modality,
            "target": case.target,
            "height": case.size[0],
            "width": case.size[1],
        }
        for name, value in truth.items():
            if row[name] != value:
                where = f"case {case.case_id}: {name} is {str(row[name])[:40]!r}, the data say {value!r}"
                self._findings.add("cases", f"{self.rules.protocol.id}: {where}")

    def finish(self, cases: Sequence[str]) -> Rows:
        """Note masks that answer no step; return the rows of what was played, and forget them.

        Args:
            cases: The cases that were played since the last time.
        """
        mine = self._claimed.masks.rows["case_id"].isin(list(cases))
        left = int(mine.sum()) - self._used
        if left:
            self._findings.add("masks", f"{left} masks answer no step that the replay came to", left)
        rows, self.rows, self._used = self.rows, Rows(), 0
        return rows

    def _load(self, block: Block, index: int) -> Case:
        assert self._case is not None
        return self._case

    def _tracks(self, case: Case, encoded: Any) -> Any:
        """Leave out episodes that a dying worker never began: they have no step, and Dice 0."""
        tracks = []
        for track in super()._tracks(case, encoded):
            episode = track.episode
            steps, error = self._failed.get((case.case_id, episode.level, episode.repeat), (-1, ""))
            if steps == 0:
                episode.fail(error)
            tracks.append(track)
        return tracks

    def _predict(self, tracks: Any) -> list[Prediction | str]:
        return [self._recorded(track) for track in tracks]

    def _recorded(self, track: Any) -> Prediction | str:
        episode = track.episode
        key = (episode.case.case_id, episode.level, episode.repeat)
        found = self._answers.get((*key, episode.step))
        if found is None:
            steps, error = self._failed.get(key, (-1, ""))
            if steps == episode.step:
                return error
            self._findings.add("masks", f"{_place(*key, episode.step)}: no mask")
            return _NO_MASK
        start, n = found
        self._used += n
        masks, odd = self._decoded(start, n, episode.case.size)
        if masks is None:
            self._findings.add("masks", f"{_place(*key, episode.step)}: candidate {odd} {_UNFIT}")
            return _NO_MASK
        return Prediction(masks, self._scores[start : start + n])

    def _decoded(self, start: int, n: int, size: tuple[int, int]) -> tuple[NDArray[np.bool_] | None, int]:
        masks = []
        for candidate in range(n):
            mask = self._claimed.masks.mask(start + candidate, size)
            if mask is None:
                return None, candidate
            masks.append(mask)
        return (masks[0][None] if n == 1 else np.stack(masks)), -1


_UNFIT = "is not the one run-length form of a mask of the image's size"


class _Tape(Agent):
    """Stands for the agent: it is never asked."""

    def __init__(self, info: AgentInfo) -> None:
        self.info = info
        self.batch = 1 << 20

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        raise NotImplementedError


class _Nothing(Dataset):
    """Stands for the data set: cases are given one by one."""

    info = DatasetInfo("none")

    def references(self) -> Sequence[Any]:
        return ()

    def load(self, reference: Any) -> Case:
        raise NotImplementedError


def compare(claimed: Claimed, rows: Rows, cases: Sequence[str], findings: Findings) -> None:
    """Compare the rows that a run must have with those that it claims; times apart.

    Args:
        claimed: The run.
        rows: What the replay gave for these cases.
        cases: The cases that were replayed.
        findings: Where mismatches are noted, the first of each check with case and step.
    """
    for table in ("episodes", "steps", "prompts"):
        must = rows.table(table).to_pandas()
        frame = claimed.table(table)
        mine = frame[frame["case_id"].isin(list(cases))]
        _compare_table(table, must, mine, findings)


def _compare_table(table: str, must: pd.DataFrame, claims: pd.DataFrame, findings: Findings) -> None:
    keys = list(ORDER[table])
    must, claims = (f.sort_values(keys, kind="stable", ignore_index=True) for f in (must, claims))
    if not _same_keys(must, claims, keys):
        must, claims = _common(table, must, claims, findings)
    for name in SCHEMAS[table].names:
        if name in TIMINGS or name in keys:
            continue
        wrong = np.flatnonzero(_differ(must[name], claims[name]))
        if len(wrong):
            at = int(wrong[0])
            detail = (
                f"{_place_of(must.iloc[at])}: {name} is {_shown(claims[name].iloc[at])}, "
                f"the replay gives {_shown(must[name].iloc[at])}"
            )
            findings.add(_CHECK_OF[table][name], detail, len(wrong))


def _same_keys(must: pd.DataFrame, claims: pd.DataFrame, keys: list[str]) -> bool:
    return len(must) == len(claims) and all(
        bool((must[key].to_numpy() == claims[key].to_numpy()).all()) for key in keys
    )


def _common(
    table: str, must: pd.DataFrame, claims: pd.DataFrame, findings: Findings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Note rows that are missing, double or of nothing; return those that both have."""
    keys = list(ORDER[table])
    double = claims.duplicated(keys)
    if double.any():
        row = claims[double].iloc[0]
        findings.add(_KEYS_CHECK[table], f"{_place_of(row)}: there twice in {table}", int(double.sum()))
        claims = claims[~double]
    both = must[keys].merge(claims[keys], on=keys, how="outer", indicator=True)
    for side, words in (("left_only", "missing in"), ("right_only", "not of the replay, but in")):
        odd = both[both["_merge"] == side]
        if len(odd):
            first = odd.sort_values(keys, kind="stable").iloc[0]
            findings.add(_KEYS_CHECK[table], f"{_place_of(first)}: {words} {table}", len(odd))
    common = both.loc[both["_merge"] == "both", keys]
    left, right = (
        common.merge(f, on=keys, how="left").sort_values(keys, kind="stable") for f in (must, claims)
    )
    return left.reset_index(drop=True), right.reset_index(drop=True)


def _differ(must: pd.Series, claims: pd.Series) -> NDArray[np.bool_]:
    """Return where two columns differ; two missing values are equal."""
    a, b = must.to_numpy(), claims.to_numpy()
    if a.dtype.kind in "biuf" and b.dtype.kind in "biuf":
        same = a == b
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            same |= np.isnan(a) & np.isnan(b)
        return np.asarray(~same, dtype=np.bool_)
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    return np.array([_plain(x) != _plain(y) for x, y in pairs], dtype=np.bool_)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return None if value is None or value != value else value


def _answers(masks: Masks) -> dict[tuple[str, float, int, int], tuple[int, int]]:
    """Return where the candidates of every step begin, and how many there are.

    Rows are sorted by key and candidate; steps whose candidates are not 0, 1, 2, … are left out.
    """
    rows = masks.rows
    found: dict[tuple[str, float, int, int], tuple[int, int]] = {}
    odd: set[tuple[str, float, int, int]] = set()
    columns = (rows[name].tolist() for name in ("case_id", "level", "repeat", "step", "candidate"))
    for row, (case_id, level, repeat, step, candidate) in enumerate(zip(*columns, strict=True)):
        key = (case_id, level, repeat, step)
        start, n = found.get(key, (row, 0))
        if candidate != n or row != start + n:
            odd.add(key)
        found[key] = (start, n + 1)
    return {key: place for key, place in found.items() if key not in odd}


def _failures(episodes: pd.DataFrame) -> dict[tuple[str, float, int], tuple[int, str]]:
    """Return the step at which episodes failed, and why, by case, level and repeat."""
    failed = episodes[episodes["status"] == "failed"]
    return {
        (str(r["case_id"]), float(r["level"]), int(r["repeat"])): (int(r["steps"]), str(r["error"]))
        for r in failed.to_dict("records")
    }


def _place_of(row: pd.Series) -> str:
    step = int(row["step"]) if "step" in row.index else None
    return _place(str(row["case_id"]), float(row["level"]), int(row["repeat"]), step)


def _place(case_id: str, level: float, repeat: int, step: int | None = None) -> str:
    where = f"case {case_id[:120]}, level {level:g}, repeat {repeat}"
    return where if step is None else f"{where}, step {step}"


def _shown(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, tuple):
        return f"{list(plain)[:8]}"
    return str(plain)[:80]
