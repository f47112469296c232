"""An annotator that replays prompts from a log: of a run, or of people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.perception import is_right
from simclick.annotators.tracing import skeleton, vertices, walk
from simclick.case import Case
from simclick.errors import DataError
from simclick.geometry import connected_components
from simclick.prompts import Kind, Prompt, Round, scribble
from simclick.seeding import Draws

__all__ = ["Grouping", "Recorded", "scribbles_of"]

Mask = NDArray[np.bool_]
Grouping = Literal["once", "each"]
Rounds = tuple[Round, ...]
Log = dict[tuple[str, str, float, int], Rounds]

_COLUMNS = ("dataset", "case_id", "level", "repeat")
_PROMPT = ("step", "index", "kind", "positive", "meant_positive", "landed", "meant", "text")


@dataclass(frozen=True)
class Recorded:
    """Give the prompts of a log again, round by round, whatever the mask.

    The n-th round of an episode is the n-th of the log; after its last one, and where the mask is right
    already, nothing is left to give. A case that is not in the log is an error, never an empty
    episode; so is a prompt outside the case's image. Prompts keep both what was meant and where they
    landed; as they landed already, a protocol should put no noise on them. Labels are as they were
    given, which need not be the truth's.

    ``path`` is one of two things.

    **A run directory** (it holds ``run.json``): the ``prompts`` of its committed episodes, of the data
    set and case by their names, of one noise level. With ``repeat=None`` an episode's own repeat is
    replayed (chance plays a part then if the log has several), else always the given one.

    **MedScribble's folder** (see `simclick.datasets.medscribble`): the scribbles that person ``rater``
    drew for an example, known by the case's id. They were drawn as masks, without seeing an answer.
    How one becomes prompts: ``scribble_R.npy`` is [2, H, W], positive and negative; the brush covers
    the pixels ``>= 0.5``; each 8-connected component of each of the two becomes its skeleton (Zhang and
    Suen), and that one polyline, by the walk of `simclick.annotators.tracing.walk`: along all of it,
    back from the ends of branches. The brush's width is lost. Positive ones in descending order of
    their skeleton's pixels (then by the component's first pixel in row-major order) alternate with
    negative ones in theirs, a positive one first; when one kind is used up the other goes on.
    ``rounds="once"``: all in the first round, as they were drawn (so a budget below their joint cost
    gives nothing); ``rounds="each"``: one a round.

    The log is read once per process. Its content, not its path, is what must be equal for two runs to
    be comparable: see `fingerprint`.

    Attributes:
        path: The run directory or MedScribble's folder.
        rater: Whose scribbles, from 0.
        rounds: For scribbles: see above.
        repeat: For a run: see above.
        level: For a run: the noise level.
        kinds: The kinds of prompt in the log.

    Raises:
        ValueError: When there is no log at `path`, or an option has no meaning.
        DataError: When the log cannot be read.
    """

    name: ClassVar[str] = "recorded"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    truthful: ClassVar[bool] = False
    needs_options: ClassVar[bool] = True

    path: str = ""
    rater: int = 0
    rounds: Grouping = "once"
    repeat: int | None = None
    level: float = 0.0
    kinds: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path or ""))
        self._check()
        if not self._of_a_run:
            _folders(self.path)
            object.__setattr__(self, "kinds", frozenset({"scribble"}))
            return
        log = [rounds for key, rounds in _read_run(self.path).items() if self._replays(key)]
        if not log:
            raise ValueError(f"path={self.path!r}: no episode has level {self.level}, repeat {self.repeat}")
        kinds = {p.kind for rounds in log for round_ in rounds for p in round_.prompts}
        object.__setattr__(self, "kinds", frozenset(kinds))
        repeats = {key[3] for key in _read_run(self.path) if self._replays(key)}
        object.__setattr__(self, "draws_chance", len(repeats) > 1)

    def _check(self) -> None:
        if not self.path or not Path(self.path).is_dir():
            raise ValueError(f"path={self.path!r} must be a run directory or MedScribble's folder")
        if self.rounds not in get_args(Grouping):
            raise ValueError(f"rounds={self.rounds!r} must be one of {', '.join(get_args(Grouping))}")
        if not _is_whole(self.rater):
            raise ValueError(f"rater={self.rater!r} must be a whole number ≥ 0")
        if self.repeat is not None and not _is_whole(self.repeat):
            raise ValueError(f"repeat={self.repeat!r} must be a whole number ≥ 0, or None")
        if not isinstance(self.level, int | float) or not self.level >= 0:
            raise ValueError(f"level={self.level!r} must be a number ≥ 0")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is replayed: every prompt that these options can give, and of which case.

        It does not depend on where the log lies nor on how its files are written. Of a run: the rounds
        of its episodes with this level (and repeat); of MedScribble: the polylines of this person.
        """
        if self._of_a_run:
            log = [(key, rounds) for key, rounds in _read_run(self.path).items() if self._replays(key)]
            content = [[*key[:2], float(key[2]).hex(), key[3], _plain(rounds)] for key, rounds in log]
        else:
            names = _folders(self.path)
            content = [[name, _plain(_drawn(str(names[name]), self.rater))] for name in sorted(names)]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the log's next round per episode, or None.

        Raises:
            DataError: When the log has no such episode, or it does not fit the image.
        """
        return [
            self._next(case, mask, len(history), draw.repeat)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    @property
    def _of_a_run(self) -> bool:
        return (Path(self.path) / "run.json").is_file()

    def _replays(self, key: tuple[str, str, float, int]) -> bool:
        return key[2] == self.level and self.repeat in (None, key[3])

    def _next(self, case: Case, mask: Mask, given: int, repeat: int) -> Round | None:
        if is_right(case, mask):
            return None
        rounds = self._rounds(case, repeat)
        return rounds[given] if given < len(rounds) else None

    def _rounds(self, case: Case, repeat: int) -> Rounds:
        where = f"{case.dataset}/{case.case_id}"
        if self._of_a_run:
            repeat = repeat if self.repeat is None else self.repeat
            found = _read_run(self.path).get((case.dataset, case.case_id, float(self.level), repeat))
            if found is None:
                what = f"{where}, level {self.level}, repeat {repeat}"
                raise DataError(f"{self.path}: the run has no finished episode of {what}")
            rounds = found
        else:
            folder = _folders(self.path).get(case.case_id)
            if folder is None:
                raise DataError(f"{self.path}: there is no example {case.case_id!r} (case {where})")
            rounds = _drawn(str(folder), self.rater)
            if rounds and self.rounds == "once":
                rounds = (Round(tuple(p for round_ in rounds for p in round_.prompts)),)
        if not all(_is_inside(p, case.size) for round_ in rounds for p in round_.prompts):
            raise DataError(
                f"{self.path}: a prompt of {where} lies outside its image; recorded on another one?"
            )
        return rounds


def scribbles_of(brushed: NDArray[np.bool_]) -> list[Prompt]:
    """Return the scribbles in masks of a brush, in the order in which `Recorded` gives them.

    Args:
        brushed: Bool[2, H, W], the pixels of positive and of negative scribbles.
    """
    sorts = [_polylines(mask, positive) for mask, positive in zip(brushed, (True, False), strict=True)]
    return [p for p in chain.from_iterable(zip_longest(*sorts)) if p is not None]


def _polylines(brushed: Mask, positive: bool) -> list[Prompt]:
    labels, n = connected_components(brushed)
    thin = [skeleton(labels == k) for k in range(1, n + 1)]
    thin.sort(key=lambda pixels: -int(np.count_nonzero(pixels)))
    return [scribble(vertices(walk(pixels)), positive) for pixels in thin]


@lru_cache(maxsize=64)
def _drawn(folder: str, rater: int) -> Rounds:
    """Return a person's scribbles of an example, one a round."""
    from simclick.datasets.medscribble import read_npy

    path = Path(folder) / f"scribble_{rater}.npy"
    values = read_npy(path, 3)
    if values.shape[0] != 2:
        raise DataError(f"{path}: has the shape {list(values.shape)}; [2, H, W] is expected")
    return tuple(Round((prompt,)) for prompt in scribbles_of(values >= 0.5))


@lru_cache(maxsize=4)
def _folders(path: str) -> dict[str, Path]:
    """Return the folder of each example of MedScribble by its case's id."""
    from simclick.datasets.medscribble import example_folders

    return dict(example_folders(Path(path)))


@lru_cache(maxsize=4)
def _read_run(path: str) -> Log:
    """Return the rounds of every finished episode of a run, in order of their keys."""
    # Parquet is read here and not by the harness, which lies above annotators.
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = sorted((Path(path) / "episodes").glob("part-*.parquet"))
    log: dict[tuple[Any, ...], dict[int, list[tuple[int, Prompt]]]] = {}
    try:
        for shard in shards:
            episodes = pq.read_table(shard, columns=[*_COLUMNS, "status"], partitioning=None).to_pylist()
            log.update({_key(row): {} for row in episodes if row["status"] == "ok"})
            file = Path(path) / "prompts" / shard.name
            prompts = pq.read_table(file, columns=[*_COLUMNS, *_PROMPT], partitioning=None).to_pylist()
            for row in prompts:
                if _key(row) in log:
                    log[_key(row)].setdefault(row["step"], []).append((row["index"], _prompt(row)))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: its prompts cannot be read: {str(error).splitlines()[0]}") from None
    return {key: _in_order(path, log[key]) for key in sorted(log)}


def _in_order(path: str, steps: dict[int, list[tuple[int, Prompt]]]) -> Rounds:
    if sorted(steps) != list(range(1, len(steps) + 1)):
        raise DataError(f"{path}: an episode lacks a round: its steps are {sorted(steps)}")
    by_index = (sorted(steps[step], key=lambda pair: pair[0]) for step in sorted(steps))
    return tuple(Round(tuple(prompt for _, prompt in pairs)) for pairs in by_index)


def _key(row: dict[str, Any]) -> tuple[str, str, float, int]:
    return str(row["dataset"]), str(row["case_id"]), float(row["level"]), int(row["repeat"])


def _prompt(row: dict[str, Any]) -> Prompt:
    landed, meant = (tuple(int(v) for v in row[name]) for name in ("landed", "meant"))
    kind = cast("Kind", str(row["kind"]))
    return Prompt(kind, landed, bool(row["positive"]), meant, bool(row["meant_positive"]), row["text"])


def _plain(rounds: Rounds) -> list[Any]:
    """Return rounds as JSON-able lists."""
    return [
        [[p.kind, p.landed, p.positive, p.meant, p.meant_positive, p.label] for p in round_.prompts]
        for round_ in rounds
    ]


def _is_inside(prompt: Prompt, size: tuple[int, int]) -> bool:
    height, width = size
    xs, ys = prompt.landed[::2], prompt.landed[1::2]
    return all(0 <= x < width for x in xs) and all(0 <= y < height for y in ys)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
