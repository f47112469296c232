"""Runs sorted into what may be compared: one section per protocol and seed.

Rows are comparable only under the same protocol digest and the same seed (the draws are keyed by
it), and on the same cases. A `Section` holds the runs that share the first two; what each agent
did of the section's cases is counted, so that a table can say who covers them all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from simclick.errors import DataError, StoreError
from simclick.harness.reading import Run, read_run
from simclick.harness.records import KEY
from simclick.report.rounds import Rounds, first_cost, prompt_word, single_round

__all__ = ["Entrant", "Section", "load_sections", "may_rank", "open_run", "open_runs"]

_CASE = ["group", "modality", "target"]
_EPISODES = [*KEY, *_CASE, "status", "error", "steps", "final_dice", "seconds_encode"]
_STEPS = [*KEY, "step", "cost", "dice", "iou", "hd95", "nsd", "oracle_dice", "seconds_predict", *_CASE]
_REQUIRED = ("agent", "dataset", "protocol", "marks", "seed", "episodes", "specs")


@dataclass(frozen=True)
class Entrant:
    """An agent as it shows in a report.

    Attributes:
        label: Its name; with the first letters of its digest where two agents share the name.
        info: What ``run.json`` says of it.
    """

    label: str
    info: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Digest of name, version, settings and weights."""
        return str(self.info["digest"])

    @property
    def bound(self) -> bool:
        """Whether it uses the truth: then it bounds the others and is ranked with none."""
        return bool(self.info["uses_truth"])

    @property
    def random_weights(self) -> bool:
        """Whether its weights are random: its masks prove a code path, no quality."""
        return bool(self.info["random_weights"])


@dataclass(frozen=True)
class Section:
    """Runs under one protocol digest and one seed.

    Attributes:
        protocol: The protocol as ``run.json`` holds it, with its digest.
        seed: Seed of all draws.
        runs: The runs, with the label of each one's agent.
        entrants: The agents, by label.
        stem: Its part of file names: the protocol's id, with digest and seed where these are needed to
            tell it from the report's other sections.
    """

    protocol: Mapping[str, Any]
    seed: int
    runs: tuple[tuple[str, Run], ...]
    entrants: Mapping[str, Entrant]
    stem: str

    @property
    def budget(self) -> int:
        """The protocol's budget, in clicks."""
        return int(self.protocol["budget"])

    @property
    def name(self) -> str:
        """Protocol id with the first letters of its digest."""
        return f"{self.protocol['id']} ({str(self.protocol['digest'])[:8]})"

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that have an episode: those with most groups first, then by name."""
        groups = self.episodes.groupby("dataset")["group"].nunique()
        return sorted((str(name) for name in groups.index), key=lambda name: (-int(groups[name]), name))

    @property
    def levels(self) -> list[float]:
        """Noise levels, ascending."""
        return sorted(float(level) for level in self.protocol["levels"])

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """The episodes of all runs; column ``agent`` holds labels, ``agent_digest`` full digests."""
        return self._joined("episodes", _EPISODES)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """The steps of all runs, likewise."""
        return self._joined("steps", _STEPS)

    @cached_property
    def rounds(self) -> Rounds:
        """Where its numbers begin, and how costs are named."""
        first = first_cost(self.steps, self.budget)
        single = single_round(self.episodes, first, self.budget)
        if first == 1 and not single:
            return Rounds(first, self.budget)
        word = prompt_word(self._joined("prompts", ["step", "index", "kind"]))
        return Rounds(first, self.budget, single, word)

    def _joined(self, table: str, columns: list[str]) -> pd.DataFrame:
        frames = []
        for label, run in self.runs:
            frame = run.table(table, columns)
            frame["agent"] = label
            if table == "episodes":
                frame["agent_digest"] = self.entrants[label].digest
                frame["protocol_digest"] = str(self.protocol["digest"])
            frames.append(frame)
        filled = [frame for frame in frames if len(frame)]
        return pd.concat(filled or frames, ignore_index=True)

    @cached_property
    def planned(self) -> Mapping[str, frozenset[str]]:
        """The cases of every data set: those that any run planned."""
        found: dict[str, set[str]] = defaultdict(set)
        for _, run in self.runs:
            found[run.dataset] |= set(run.cases()["case_id"])
        return {name: frozenset(cases) for name, cases in found.items()}

    @cached_property
    def covered(self) -> Mapping[tuple[str, str], int]:
        """Number of cases that an agent did, by ``(label, dataset)``."""
        cases = self.episodes[["agent", "dataset", "case_id"]].drop_duplicates()
        return Counter(zip(cases["agent"], cases["dataset"], strict=True))

    @cached_property
    def unsealed(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """Episodes done and planned of the runs that are not sealed, by ``(label, dataset)``."""
        done = self.episodes.groupby(["agent", "dataset"]).size()
        return {
            (label, run.dataset): (int(done.get((label, run.dataset), 0)), int(run.description["episodes"]))
            for label, run in self.runs
            if not run.sealed
        }

    @cached_property
    def units(self) -> Mapping[str, str]:
        """Unit of distances per data set: ``mm``, ``px``, or ``mixed``."""
        units: dict[str, set[str]] = defaultdict(set)
        for _, run in self.runs:
            units[run.dataset] |= {"px" if s is None else "mm" for s in run.cases()["spacing"]}
        return {name: found.pop() if len(found) == 1 else "mixed" for name, found in units.items()}


def may_rank(section: Section) -> set[str]:
    """Return the agents that may be ranked: no bound, real weights, finished on every case."""
    return {
        label
        for label, entrant in section.entrants.items()
        if not (entrant.bound or entrant.random_weights)
        and all(
            section.covered[label, name] == len(section.planned[name])
            and (label, name) not in section.unsealed
            for name in section.datasets
        )
    }


def open_run(path: str | Path) -> Run:
    """Open a run for a report.

    Raises:
        StoreError: When it is no run directory, was changed after sealing, or its ``run.json``
            lacks what a report needs.
    """
    run = read_run(path)
    description = run.description
    missing = [key for key in _REQUIRED if not isinstance(description, dict) or key not in description]
    if missing:
        raise StoreError(f"{run.path / 'run.json'} lacks {', '.join(missing)}: no run of simclick wrote it")
    return run


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Open runs, each folder once.

    Raises:
        StoreError: As `open_run`; when two folders hold the same agent, protocol, data set and seed.
        DataError: When two runs disagree on the content of a case.
    """
    runs = [open_run(path) for path in dict.fromkeys(Path(path).resolve() for path in paths)]
    seen: dict[tuple[Any, ...], Run] = {}
    for run in runs:
        about = run.description
        key = (about["agent"]["digest"], about["protocol"]["digest"], run.dataset, about["seed"])
        if key in seen:
            raise StoreError(
                f"{seen[key].path} and {run.path} hold the same agent, protocol, data set and seed "
                f"({run.agent}, {about['protocol']['id']}, {run.dataset}, {about['seed']}); give one of them"
            )
        seen[key] = run
    _check_content(runs)
    return runs


def _check_content(runs: Sequence[Run]) -> None:
    """Refuse runs in which a case of the same name has another content: pairs would be false."""
    first: dict[tuple[str, str], tuple[str, Run]] = {}
    for run in runs:
        cases = run.cases()
        for case_id, sha256 in zip(cases["case_id"], cases["sha256"], strict=True):
            known, other = first.setdefault((run.dataset, case_id), (sha256, run))
            if known != sha256:
                raise DataError(
                    f"case {run.dataset}/{case_id} is not the same in {other.path} and {run.path}: "
                    "their data differ; report these runs apart"
                )


def load_sections(runs: Sequence[Run]) -> list[Section]:
    """Sort runs into sections, by protocol id, digest and seed."""
    labels = _labels(runs)
    sorted_runs: dict[tuple[str, str, int], list[Run]] = defaultdict(list)
    for run in runs:
        protocol = run.description["protocol"]
        sorted_runs[str(protocol["id"]), str(protocol["digest"]), int(run.description["seed"])].append(run)
    sections = []
    for key in sorted(sorted_runs):
        pairs = [(labels[run.description["agent"]["digest"]], run) for run in sorted_runs[key]]
        pairs.sort(key=lambda pair: (pair[0], pair[1].dataset))
        entrants = {label: Entrant(label, run.description["agent"]) for label, run in pairs}
        protocol = pairs[0][1].description["protocol"]
        sections.append(Section(protocol, key[2], tuple(pairs), entrants, _stem(key, sorted_runs)))
    return sections


def _stem(key: tuple[str, str, int], keys: Iterable[tuple[str, str, int]]) -> str:
    protocol, digest, seed = key
    same = [other for other in keys if other[0] == protocol]
    digests, seeds = {other[1] for other in same}, {other[2] for other in same}
    return (
        protocol + (f"-{digest[:8]}" if len(digests) > 1 else "") + (f"-seed{seed}" if len(seeds) > 1 else "")
    )


def _labels(runs: Sequence[Run]) -> dict[str, str]:
    """Return the label of every agent digest."""
    names = {run.description["agent"]["digest"]: run.agent for run in runs}
    count = Counter(names.values())
    return {d: name if count[name] == 1 else f"{name} ({d[:6]})" for d, name in names.items()}
