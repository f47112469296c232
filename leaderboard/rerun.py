"""Running a method again on a sample of a submission's prompts, without showing it the truth.

The method runs in a process of its own that gets images, the recorded prompts and the recorded
previous masks, and nothing else: no truth, no data set. (A method that knows where public truth lies
can still read it there: only data that nobody has seen shows that.)

Three rules decide:

* Every mask must have a Dice of at least `LEAST_DICE` with the recorded one.
* Where the record says that the method failed, it must fail again: a failure in the last step costs nearly
  nothing, so a forger would end every forged episode with one.
* Recorded masks may not be systematically better than those of the rerun, or the room that the first rule
  leaves could be used to move every mask towards the truth. Over the episodes in which any Dice with the
  truth differs, the exact one-sided sign test of the mean difference per episode must not fall below
  `LEAST_P`: ten episodes that all gain do, twenty of which fifteen gain do not.
"""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Embedding, Prediction, Request
from simclick.episode import Ground
from simclick.errors import AgentError, SimclickError
from simclick.harness.select import select
from simclick.harness.specs import AgentSpec
from simclick.metrics.overlap import dice
from simclick.prompts import Prompt, Round
from simclick.runlength import decode
from simclick.seeding import Draws, words_of

if TYPE_CHECKING:
    from simclick.leaderboard.opening import Opened, OpenedRun
    from simclick.leaderboard.suites import Suite

__all__ = ["LEAST_DICE", "LEAST_P", "TOLD", "Rerun", "rerun", "sampled"]

TOLD = ("name", "accepts", "parameters", "uses_truth", "uses_previous")
"""What an agent says of itself beside its digest."""
LEAST_DICE = 0.99
"""What a mask must have with the recorded one."""
LEAST_P = 0.001
"""Probability under which gains of the recorded masks are no chance."""


@dataclass(frozen=True)
class Rerun:
    """What a rerun found.

    Attributes:
        episodes: Episodes run again.
        steps: Their steps.
        least: The least Dice of a mask with the recorded one.
        mismatch: The first mismatch, or None.
        mismatches: Steps that do not match.
        equal: Steps whose masks are the recorded ones, pixel by pixel.
        failures: Recorded failures that came again.
    """

    episodes: int
    steps: int
    least: float
    mismatch: str | None
    mismatches: int
    equal: int = 0
    failures: int = 0

    @property
    def detail(self) -> str:
        """One line."""
        whole = (
            f"{self.episodes} episodes, {self.steps} steps, masks equal in {self.equal}, least Dice "
            f"{self.least:.4f}"
        )
        if self.failures:
            whole += f", {self.failures} recorded failures came again"
        return (
            whole if self.mismatch is None else f"{self.mismatch} ({self.mismatches} of {self.steps} steps)"
        )


def sampled(opened: Opened, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield `n` random episodes, dealt evenly over the protocols, as plain values.

    Episodes without a step are left out: there is nothing to run again.
    """
    pools = [_shuffled(run, seed) for run in opened.runs]
    turn = taken = 0
    while taken < n and any(pools):
        pool = pools[turn % len(pools)]
        if pool:
            yield _episode(opened.runs[turn % len(pools)], *pool.pop())
            taken += 1
        turn += 1


def _shuffled(run: OpenedRun, seed: int) -> list[tuple[str, float, int]]:
    frame = run.claimed.episodes
    frame = frame[frame["steps"] > 0]
    keys = sorted(
        zip(frame["case_id"].tolist(), frame["level"].tolist(), frame["repeat"].tolist(), strict=True)
    )
    order = np.argsort(words_of("rerun", seed, run.protocol.id).words(len(keys)), kind="stable")
    return [keys[i] for i in order]


def _episode(run: OpenedRun, case_id: str, level: float, repeat: int) -> dict[str, Any]:
    claimed = run.claimed

    def mine(frame: Any) -> Any:
        return frame[(frame["case_id"] == case_id) & (frame["level"] == level) & (frame["repeat"] == repeat)]

    prompts, masks = mine(claimed.prompts), mine(claimed.masks.rows)
    steps = []
    for row in mine(claimed.steps).sort_values("step").to_dict("records"):
        given = prompts[prompts["step"] == row["step"]].sort_values("index")
        candidates = masks[masks["step"] == row["step"]].sort_values("candidate")
        steps.append(
            {
                "chosen": int(row["chosen"]),
                "candidates": [claimed.masks.runs(int(i)).tolist() for i in candidates.index],
                "prompts": [
                    [p["kind"], [int(v) for v in p["landed"]], bool(p["positive"]), _text(p["text"])]
                    for p in given.to_dict("records")
                ],
            }
        )
    return {
        "protocol": run.protocol.id,
        "case_id": case_id,
        "level": level,
        "repeat": repeat,
        "steps": steps,
    }


def _text(value: object) -> str | None:
    """Return a text or None: a column of nulls alone comes back as NaN."""
    return value if isinstance(value, str) else None


def rerun(
    spec: AgentSpec,
    episodes: Sequence[Mapping[str, Any]],
    suite: Suite,
    local: Mapping[str, Any],
    digest: str,
    told: Mapping[str, Any] | None = None,
    *,
    seconds: float = 600.0,
) -> Rerun:
    """Run a method again on recorded prompts and compare its masks with the recorded ones.

    Args:
        spec: The method, chosen by whoever verifies.
        episodes: What `sampled` gave.
        suite: The suite.
        local: Options of the data set that depend on the machine.
        digest: Digest of the submission's agent: another agent is a mismatch.
        told: What else the submission's ``run.json`` says of it, by name (`TOLD`): a method that takes boxes
            may not be submitted as one that takes none.
        seconds: The most that one answer may take.

    Raises:
        SimclickError: When the method cannot be made, or the data not be loaded.
    """
    places = {case.case_id: place for place, case in enumerate(suite.cases)}
    compared = _Compared(suite)
    with _Remote(spec, seconds) as remote:
        if remote.digest != digest:
            compared.note(f"the agent has the digest {remote.digest[:12]}, the submission's {digest[:12]}")
        for name, value in (told or {}).items():
            if remote.told.get(name) != value:
                compared.note(f"the agent's {name} is {remote.told.get(name)}, the submission says {value}")
        for episode in sorted(episodes, key=lambda e: places[e["case_id"]]):
            place = places[episode["case_id"]]
            case = next(suite.loaded(local, slice(place, place + 1)))
            compared.episode(remote, case, episode)
    return compared.result()


class _Compared:
    """Gathers what the comparison found."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._episodes = self._steps = self._wrong = self._equal = self._failures = 0
        self._gains: list[float] = []
        self._least = 1.0
        self._first: str | None = None

    def note(self, mismatch: str) -> None:
        self._wrong += 1
        if self._first is None:
            self._first = mismatch

    def episode(self, remote: _Remote, case: Any, episode: Mapping[str, Any]) -> None:
        """Run one episode again, step by step, from the recorded state before each."""
        self._episodes += 1
        protocol = self._suite.protocol(episode["protocol"])
        ground, rounds, previous, chosen = Ground(case), [], None, None
        gains: list[float] = []
        for number, step in enumerate(episode["steps"], 1):
            self._steps += 1
            where = (
                f"case {case.case_id}, level {episode['level']:g}, repeat {episode['repeat']}, step {number}"
            )
            recorded = [decode(counts, case.size) for counts in step["candidates"]]
            rounds.append(step["prompts"])
            seed = Draws(self._suite.seed, case.dataset, case.case_id, episode["repeat"], number).agent_seed()
            failed = step["chosen"] < 0
            try:
                answer = remote.answer(case.image, rounds, previous, chosen, seed)
                selection = select(answer, protocol.select, ground)
            except AgentError as error:
                if failed:
                    self._equal += 1
                    self._failures += 1
                else:
                    self.note(f"{where}: {error}")
                break
            if failed:
                self.note(f"{where}: a failure is recorded, and the method did not fail again")
                break
            previous, chosen = recorded[step["chosen"]], step["chosen"]
            if len(selection.masks) != len(recorded):
                self.note(f"{where}: {len(selection.masks)} candidates, not {len(recorded)}")
                break
            pairs = [(selection.mask, previous), *zip(selection.masks, recorded, strict=True)]
            least = min(dice(a, b) for a, b in pairs)
            self._least = min(self._least, least)
            self._equal += all(np.array_equal(a, b) for a, b in pairs)
            gains.append(ground.dice(previous) - ground.dice(selection.mask))
            if least < LEAST_DICE:
                self.note(
                    f"{where}: Dice {least:.4f} with the recorded mask; at least {LEAST_DICE} is needed"
                )
        if any(gains):
            self._gains.append(sum(gains) / len(gains))

    def result(self) -> Rerun:
        better, n = sum(gain > 0 for gain in self._gains), len(self._gains)
        if n and sum(math.comb(n, k) for k in range(better, n + 1)) / 2**n < LEAST_P:
            self.note(
                f"the recorded masks are nearer to the truth than the method's in {better} of {n} episodes "
                "in which they differ: too many for chance"
            )
        return Rerun(
            self._episodes,
            self._steps,
            self._least,
            self._first,
            self._wrong,
            self._equal,
            self._failures,
        )


class _Remote:
    """The method in its own process."""

    def __init__(self, spec: AgentSpec, seconds: float) -> None:
        self._spec = spec
        self._seconds = seconds
        self._image: Any = None

    def __enter__(self) -> _Remote:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, self._spec), daemon=True)
        self._process.start()
        there.close()
        hello = self._receive()
        if "error" in hello:
            self.__exit__()
            raise SimclickError(hello["error"])
        self.digest = str(hello["digest"])
        self.told = dict(hello["told"])
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()

    def answer(
        self,
        image: NDArray[np.uint8],
        rounds: Sequence[Any],
        previous: NDArray[np.bool_] | None,
        chosen: int | None,
        seed: int,
    ) -> Prediction:
        """Return the method's answer to the last of some rounds."""
        h, w = image.shape[:2]
        if self._image is not image:
            self._pipe.send_bytes(json.dumps({"image": [h, w]}).encode())
            self._pipe.send_bytes(image.tobytes())
            self._image = image
        head = {"rounds": list(rounds), "seed": seed, "chosen": chosen, "previous": previous is not None}
        self._pipe.send_bytes(json.dumps(head).encode())
        if previous is not None:
            self._pipe.send_bytes(np.packbits(previous).tobytes())
        reply = self._receive()
        if "error" in reply:
            raise AgentError(reply["error"])
        bits = np.frombuffer(self._bytes(), dtype=np.uint8)
        masks = np.unpackbits(bits, count=reply["n"] * h * w).reshape(reply["n"], h, w).astype(np.bool_)
        return Prediction(masks, reply["scores"])

    def _receive(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._bytes())
        return content

    def _bytes(self) -> bytes:
        try:
            if not self._pipe.poll(self._seconds):
                raise AgentError(f"no answer within {self._seconds:g} s")
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise AgentError("the method's process ended") from None


def _serve(pipe: Connection, spec: AgentSpec) -> None:
    """Answer requests until the pipe closes. Runs in the method's process."""
    from simclick.harness.engine import numeric_threads

    def reply(content: Mapping[str, Any]) -> None:
        pipe.send_bytes(json.dumps(content).encode())

    try:
        agent = spec.make()
    except SimclickError as error:
        reply({"error": str(error)})
        return
    told = {name: getattr(agent.info, name) for name in TOLD}
    reply({"digest": agent.info.digest, "told": {**told, "accepts": sorted(agent.info.accepts)}})
    embedding: Embedding | None = None
    size: tuple[int, int] = (0, 0)
    memories: Any = None
    with numeric_threads(1):
        while True:
            try:
                head = json.loads(pipe.recv_bytes())
            except EOFError:
                return
            try:
                if "image" in head:
                    size = (int(head["image"][0]), int(head["image"][1]))
                    image = np.frombuffer(pipe.recv_bytes(), dtype=np.uint8).reshape(*size, 3)
                    embedding = agent.encode([image])[0]
                    continue
                previous = pipe.recv_bytes() if head["previous"] else None
                assert embedding is not None
                memory = memories[head["chosen"]] if memories and head["chosen"] is not None else None
                request = Request(
                    embedding,
                    size,
                    tuple(Round(tuple(_prompt(p) for p in round_)) for round_ in head["rounds"]),
                    None if previous is None else _mask(previous, size),
                    memory,
                    head["seed"],
                )
                masks, scores, memories = _predicted(agent, request)
            except Exception as error:
                reply({"error": f"{type(error).__name__}: {error}"[:500]})
                continue
            reply({"n": len(masks), "scores": scores})
            pipe.send_bytes(np.packbits(masks).tobytes())


def _predicted(agent: Any, request: Request) -> tuple[NDArray[np.bool_], list[float], Any]:
    from simclick.harness.select import candidate_masks

    answer = agent.predict([request])[0]
    masks = candidate_masks(answer, request.size)
    return masks, [float(s) for s in answer.scores], answer.memories


def _mask(bits: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    flat = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size[0] * size[1])
    mask = flat.reshape(size).astype(np.bool_)
    mask.flags.writeable = False
    return mask


def _prompt(values: Sequence[Any]) -> Prompt:
    kind, landed, positive, label = values
    at = tuple(int(v) for v in landed)
    return Prompt(kind, at, positive, at, positive, label)
