"""All that a site shows, computed from the entries: suites with their boards, and methods over suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from simclick.errors import ConfigError
from simclick.leaderboard.boards import Board, Method, SuiteFacts, make_board
from simclick.leaderboard.entries import Entry
from simclick.leaderboard.frames import failure_marks, suite_frames
from simclick.leaderboard.one_method import check_one_method
from simclick.leaderboard.suites import Suite
from simclick.leaderboard.tables import turned
from simclick.report.grid import Value
from simclick.report.runs import Entrant
from simclick.report.style import Look, looks
from simclick.statistics.ranking import Sensitivity, ranking_sensitivity

__all__ = ["Standing", "compute_standings", "facts_of"]


@dataclass(frozen=True, eq=False)
class Standing:
    """A suite with all its boards.

    Attributes:
        suite: The suite.
        methods: Its methods, by label.
        boards: Over all cases, by role.
        parts: By role, the boards of single modalities; empty with one modality.
        robust: Per role of noise, the average change of Dice by slug.
        stability: How the ranking changes over protocols and levels, or None with too little to compare.
    """

    suite: SuiteFacts
    methods: tuple[Method, ...]
    boards: Mapping[str, Board]
    parts: Mapping[str, Sequence[Board]]
    robust: Mapping[str, Mapping[str, Value]]
    stability: Sensitivity | None

    def marks(self, method: Method) -> tuple[str, ...]:
        """Return what must be said beside a method's name where all boards count."""
        counts = [board.failed(method.slug) for board in self.boards.values()]
        failed, n = (sum(count[k] for count in counts) for k in (0, 1))
        return (*method.marks, *failure_marks(failed, n))


def facts_of(suite: Suite) -> SuiteFacts:
    """Return what the site says of a suite.

    Raises:
        ConfigError: When this version of simclick holds other protocols than the suite.
    """
    return SuiteFacts(
        suite.name, suite.title, suite.description, suite.digest, len(suite.cases), suite.groups,
        {role: suite.protocol(name) for role, name in suite.roles.items()},
    )  # fmt: skip


def compute_standings(
    entries: Sequence[Entry],
    suites: Mapping[str, SuiteFacts],
    progress: Callable[[str], None] = lambda _: None,
) -> list[Standing]:
    """Compute all boards.

    Args:
        entries: The accepted submissions.
        suites: The suites that they name.
        progress: Called with each board's name before it is computed.

    Raises:
        ConfigError: When a suite is not known or has another digest, an entry lacks episodes, or two entries
            of one slug are of different methods.
    """
    for entry in entries:
        if entry.suite not in suites:
            known = ", ".join(sorted(suites)) or "none"
            raise ConfigError(f"{entry.folder}: suite {entry.suite!r} is not known here (known: {known})")
        digest = suites[entry.suite].digest
        if entry.submission["suite"].get("digest") != digest:
            raise ConfigError(
                f"{entry.folder}: made for another {entry.suite} (its digest is not {digest[:12]})"
            )
    check_one_method(entries)
    slugs = sorted({entry.slug for entry in entries})
    truthful = {e.slug: not e.oracle for e in sorted(entries, key=lambda e: e.suite, reverse=True)}
    drawn = looks(
        [Entrant(slug, {"uses_truth": not truthful[slug], "random_weights": False}) for slug in slugs]
    )
    numbers = {slug: i for i, slug in enumerate(slugs)}
    return [
        _standing(suites[name], [e for e in entries if e.suite == name], drawn, numbers, progress)
        for name in sorted({entry.suite for entry in entries})
    ]


def _standing(
    suite: SuiteFacts, entries: Sequence[Entry], drawn: Mapping[str, Look], numbers: Mapping[str, int],
    progress: Callable[[str], None],
) -> Standing:  # fmt: skip
    labels = _labels(entries)
    methods = [Method(e, labels[e.slug], drawn[e.slug], numbers[e.slug]) for e in entries]
    methods.sort(key=lambda m: (m.label, m.slug))
    boards: dict[str, Board] = {}
    parts: dict[str, list[Board]] = {}
    frames = []
    for role, protocol in suite.roles.items():
        # A method that takes no boxes stands on no board of boxes.
        taking = [m for m in methods if protocol.id in m.entry.protocols]
        if not taking:
            continue
        progress(f"{suite.name}, {protocol.id}")
        mine = suite_frames(taking, protocol)
        frames.append((mine, protocol.budget))
        boards[role] = make_board(suite, role, taking, mine)
        modalities = boards[role].subsets("modality")
        parts[role] = [make_board(suite, role, taking, mine, m) for m in modalities if len(modalities) > 1]
    robust: dict[str, Mapping[str, Value]] = {
        role: {slug: turned(boards[role].robust(slug, "dose_area")) for slug in boards[role].methods}
        for role in ("click_noise", "box_noise")
        if role in boards
    }
    progress(f"{suite.name}, stability of ranks")
    return Standing(suite, tuple(methods), boards, parts, robust, _stability(methods, frames))


def _labels(entries: Sequence[Entry]) -> dict[str, str]:
    """Return a label for each slug: the name; with version, then slug, where two would be the same."""
    found = {e.slug: e.card.name for e in entries}
    versions = {e.slug: f"{e.card.name} {e.card.version}" for e in entries}
    for finer in (versions, {slug: f"{text} ({slug})" for slug, text in versions.items()}):
        count = Counter(found.values())
        found = {slug: label if count[label] == 1 else finer[slug] for slug, label in found.items()}
    return found


def _stability(
    methods: Sequence[Method], frames: Sequence[tuple[tuple[pd.DataFrame, pd.DataFrame], int]]
) -> Sensitivity | None:
    if not frames:
        return None
    # Those that stand under every protocol: else a rank would hang on who else took part.
    everywhere = set.intersection(*(set(mine[0]["agent"]) for mine, _ in frames))
    ranked = [m.slug for m in methods if m.ranked and m.slug in everywhere]
    if len(ranked) < 2:
        return None
    episodes, steps = (
        pd.concat([mine[k][mine[k]["agent"].isin(ranked)] for mine, _ in frames], ignore_index=True)
        for k in (0, 1)
    )
    budgets = {str(mine[0]["protocol"].iloc[0]): budget for mine, budget in frames}
    found = ranking_sensitivity(episodes, steps, budgets)
    return found if found is not None and len(found.swaps) > 1 else None
