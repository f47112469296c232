"""One block, in lockstep: all its episodes take their next step together.

Every image of the block is encoded once, however many cases, levels and repeats share it. Each
step asks the annotators, sends the questions to the agent in plan order in batches of its size,
chooses among the candidates and scores. An agent that raises fails the episodes that make it raise
(a raising batch is tried again one by one), never its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, Embedding, Prediction, Request
from simclick.case import Case
from simclick.datasets.base import Dataset
from simclick.episode import Episode, Ground, Rules, ask
from simclick.errors import AgentError, DataError
from simclick.harness.encoding import Encoder
from simclick.harness.plan import Block
from simclick.harness.records import Rows, mask_sha256
from simclick.harness.select import select
from simclick.metrics.surface import SurfaceTruth
from simclick.prompts import Round
from simclick.runlength import encode as encode_runs
from simclick.texts import plain

__all__ = ["Lockstep"]

_ERROR_LENGTH = 500


@dataclass(eq=False)
class _Encoded:
    """An encoded image: the handle, or the reason why there is none."""

    embedding: Embedding | None
    error: str | None
    seconds: float


@dataclass(eq=False)
class _Track:
    """One episode under way, with what the harness adds to it: `seen` is what the agent may see."""

    episode: Episode
    encoded: _Encoded
    surface: SurfaceTruth | None
    key: tuple[Any, ...]
    memory: Any = None
    seen: tuple[Round, ...] = ()
    rows: Rows = field(default_factory=Rows)
    held: _Held | None = None


@dataclass(eq=False)
class _Held:
    """A step whose row waits until it is known up to which cost its mask holds."""

    cost: int
    head: tuple[Any, ...]
    tail: tuple[Any, ...]


class Lockstep:
    """Runs blocks with one agent.

    Args:
        agent: The agent.
        dataset: The data set that the plan's references belong to.
        rules: The protocol with its annotator and noise.
        save_masks: Whether to keep every candidate mask.
        on_step: Called after every step with (rounds answered, episodes ended).
        encoder: Encodes the agent's images; without a cache by default.
    """

    def __init__(
        self,
        agent: Agent,
        dataset: Dataset,
        rules: Rules,
        *,
        save_masks: bool = False,
        on_step: Callable[[int, int], None] | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.agent = agent
        self.dataset = dataset
        self.rules = rules
        self.save_masks = save_masks
        self.encoder = encoder or Encoder(agent)
        self._on_step = on_step
        self._surface_at = frozenset(rules.protocol.surface_at)

    def run(self, block: Block) -> Rows:
        """Run a block's episodes to their end; return their rows in plan order.

        Raises:
            DataError: When a case is no longer what was planned.
        """
        cases = [self._load(block, i) for i in range(len(block.cases))]
        hashes = [case.image_sha256 for case in block.cases]
        encoded = self._encode({h: case.image for h, case in zip(hashes, cases, strict=True)})
        tracks = [
            track
            for case, image in zip(cases, hashes, strict=True)
            for track in self._tracks(case, encoded[image])
        ]
        try:
            self._steps(tracks)
        finally:
            for image_ in encoded.values():
                if image_.embedding is not None:
                    image_.embedding.release()
        rows = Rows()
        for track in tracks:
            self._let_go(track, self.rules.protocol.budget + 1)
            self._episode_row(track)
            rows.extend(track.rows)
        return rows

    def _load(self, block: Block, index: int) -> Case:
        planned = block.cases[index]
        case = self.dataset.load(planned.reference)
        if case.sha256() != planned.sha256:
            raise DataError(
                f"case {case.dataset}/{case.case_id} changed on disk since the run was planned; "
                "restore it, or start a new run"
            )
        return case

    def _encode(self, images: dict[str, NDArray[np.uint8]]) -> dict[str, _Encoded]:
        """Encode every image once, or read it from the cache: together, or one by one where that raises."""
        start = time.perf_counter()
        try:
            embeddings = self.encoder.encode(images)
        except (Exception, SystemExit) as error:  # a method's sys.exit() must not end the run
            if len(images) == 1:
                return {name: _Encoded(None, _reason(error), 0.0) for name in images}
            return {n: e for name, image in images.items() for n, e in self._encode({name: image}).items()}
        seconds = (time.perf_counter() - start) / len(images)
        return {name: _Encoded(embedding, None, seconds) for name, embedding in embeddings.items()}

    def _tracks(self, case: Case, encoded: _Encoded) -> list[_Track]:
        protocol, info = self.rules.protocol, self.agent.info
        ground = Ground(case)
        surface = SurfaceTruth(case.truth, case.spacing, case.ignore) if self._surface_at else None
        head = (info.name, protocol.id, case.dataset, case.case_id, protocol.noise)
        return [
            _Track(Episode(ground, self.rules, level, repeat), encoded, surface, (*head, level, repeat))
            for level, repeat in protocol.cells()
        ]

    def _steps(self, tracks: Sequence[_Track]) -> None:
        active = [track for track in tracks if track.episode.status == "running"]
        self._report(0, len(tracks) - len(active))
        while active:
            asked: list[tuple[_Track, float]] = []
            for _, same_case in groupby(active, key=lambda track: id(track.episode.ground)):
                group = list(same_case)
                start = time.perf_counter()
                rounds = ask([track.episode for track in group])
                seconds = (time.perf_counter() - start) / len(group)
                for track, round_ in zip(group, rounds, strict=True):
                    if round_ is not None:
                        self._let_go(track, track.episode.cost)
                        track.seen += (round_.seen(),)
                        self._prompt_rows(track, round_)
                        asked.append((track, seconds))
            for i in range(0, len(asked), self.agent.batch):
                self._answer(asked[i : i + self.agent.batch])
            still = [track for track in active if track.episode.status == "running"]
            self._report(len(asked), len(active) - len(still))
            active = still

    def _report(self, rounds: int, ended: int) -> None:
        if self._on_step is not None and (rounds or ended):
            self._on_step(rounds, ended)

    def _answer(self, asked: Sequence[tuple[_Track, float]]) -> None:
        """Send one batch to the agent and take its answers."""
        ready = []
        for track, seconds in asked:
            if track.encoded.error is not None:
                self._fail(track, seconds, 0.0, f"encode: {track.encoded.error}")
            else:
                ready.append((track, seconds))
        start = time.perf_counter()
        answers = self._predict([track for track, _ in ready])
        spent = (time.perf_counter() - start) / max(1, len(ready))
        for (track, seconds), answer in zip(ready, answers, strict=True):
            if isinstance(answer, str):
                self._fail(track, seconds, spent, answer)
            else:
                self._take(track, seconds, spent, answer)

    def _predict(self, tracks: Sequence[_Track]) -> list[Prediction | str]:
        """Return a prediction for each track, or the reason why there is none."""
        if not tracks:
            return []
        try:
            answers: list[Prediction | str] = list(self.agent.predict([self._request(t) for t in tracks]))
            if len(answers) != len(tracks):
                raise AgentError(f"predict returned {len(answers)} predictions for {len(tracks)} requests")
        except (Exception, SystemExit) as error:  # a method's sys.exit() must not end the run
            if len(tracks) == 1:
                return [f"predict: {_reason(error)}"]
            return [answer for track in tracks for answer in self._predict([track])]
        return answers

    def _request(self, track: _Track) -> Request:
        episode = track.episode
        assert track.encoded.embedding is not None
        return Request(
            embedding=track.encoded.embedding,
            size=episode.case.size,
            rounds=track.seen,
            previous=episode.mask if episode.step > 1 else None,
            memory=track.memory,
            seed=episode.draws().agent_seed(),
            truth=episode.case.truth if self.agent.info.uses_truth else None,
        )

    def _take(self, track: _Track, annotate: float, predict: float, answer: Prediction) -> None:
        episode = track.episode
        try:
            selection = select(answer, self.rules.protocol.select, episode.ground)
        except AgentError as error:
            self._fail(track, annotate, predict, _reason(error))
            return
        track.memory = selection.memory
        episode.answer(selection.mask, selection.overlap)
        self._hold(track, selection.oracle_dice, selection.chosen, len(selection.masks), predict, annotate)
        if self.save_masks:
            for candidate, (mask, score) in enumerate(zip(selection.masks, selection.scores, strict=True)):
                counts = encode_runs(mask).counts
                track.rows.add("masks", *track.key, episode.step, candidate, counts, score)

    def _fail(self, track: _Track, annotate: float, predict: float, error: str) -> None:
        track.episode.fail(error)
        self._hold(track, 0.0, -1, 0, predict, annotate)

    def _hold(
        self,
        track: _Track,
        oracle_dice: float,
        chosen: int,
        n_candidates: int,
        predict: float,
        annotate: float,
    ) -> None:
        """Keep the row of the step just answered until its mask is replaced, or for good."""
        episode, case = track.episode, track.episode.case
        sha = None if chosen < 0 else mask_sha256(episode.mask)
        track.held = _Held(
            episode.cost,
            (*track.key, episode.step, episode.cost, episode.dice, episode.iou),
            (
                oracle_dice,
                chosen,
                n_candidates,
                predict,
                annotate,
                sha,
                case.group,
                case.modality,
                case.target,
            ),
        )

    def _let_go(self, track: _Track, until: int) -> None:
        """Write the row that was held: its mask holds from its cost up to, without, the cost `until`.

        Surfaces are measured where a cost that the protocol lists lies in between: a round that costs
        several clicks may jump over it, an episode may end before it.
        """
        held, episode = track.held, track.episode
        if held is None:
            return
        hd95 = nsd = None
        failed = held.tail[1] < 0
        if track.surface is not None and not failed and any(held.cost <= c < until for c in self._surface_at):
            measured = track.surface.measure(episode.mask, self.rules.protocol.nsd_tolerance)
            hd95, nsd = measured.hd95, measured.nsd
        track.rows.add("steps", *held.head, hd95, nsd, *held.tail)
        track.held = None

    def _prompt_rows(self, track: _Track, round_: Round) -> None:
        costs = self.rules.protocol.costs
        for index, p in enumerate(round_.prompts):
            where = (*track.key, track.episode.step, index, p.kind)
            label = (p.positive, p.meant_positive, p.landed, p.meant, p.label, costs[p.kind])
            track.rows.add("prompts", *where, *label)

    def _episode_row(self, track: _Track) -> None:
        episode, case = track.episode, track.episode.case
        status = "failed" if episode.status == "failed" else "ok"
        digests = (self.agent.info.digest, self.rules.protocol.digest)
        result = (status, episode.error, episode.step, episode.dice, track.encoded.seconds)
        track.rows.add("episodes", *track.key, case.group, case.modality, case.target, *result, *digests)


def _reason(error: BaseException) -> str:
    """Return an exception in one line."""
    name = "" if isinstance(error, AgentError) else f"{type(error).__name__}: "
    return plain(f"{name}{error}", _ERROR_LENGTH)
