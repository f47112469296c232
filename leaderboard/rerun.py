"""Running a method again on a sample of a submission's prompts, without showing it the truth.

The method runs in a process of its own that gets images, the recorded prompts and the recorded
previous masks, and nothing else: no truth, no data set. (A method that knows where public truth lies
can still read it there: only data that nobody has seen shows that.)

Three rules decide:

* Every mask must have a Dice of at least `LEAST_DICE` with the recorded one, or differ from it in at most
  `FEW_PIXELS` pixels.
* Where the record says that the method failed, it must fail again, for whatever reason: a failure in the last
  step costs nearly nothing, so a forger would end every forged episode with one.
* Recorded masks may not be systematically better than those of the rerun, or the room that the first rule
  leaves could be used to move every mask towards the truth, or into it: `simclick.leaderboard.leaning`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simclick.episode import Ground
from simclick.errors import AgentError
from simclick.harness.select import Selection, select
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.leaning import Leaning, Witnesses
from simclick.leaderboard.remote import TOLD, GoneError, Remote
from simclick.metrics.overlap import dice
from simclick.runlength import decode
from simclick.seeding import Draws, words_of

if TYPE_CHECKING:
    from simclick.leaderboard.opening import Opened, OpenedRun
    from simclick.leaderboard.suites import Suite

__all__ = ["FEW_PIXELS", "LEAST_DICE", "TOLD", "Rerun", "rerun", "sampled"]

LEAST_DICE = 0.99
"""What a mask must have with the recorded one: machines round differently. `leaning` watches what is left."""
FEW_PIXELS = 2
"""So many differing pixels pass all the same: of a mask of under 50 pixels one is more than a hundredth."""
_FEW_EQUAL = 0.5
"""Where a smaller share of the masks is equal bit by bit, the line says so."""


@dataclass(frozen=True)
class Rerun:
    """What a rerun found.

    Attributes:
        episodes: Episodes run again.
        steps: Their steps.
        equal: Steps whose masks are the recorded ones, bit by bit.
        failures: Steps at which the method failed, recorded and again.
        least: The least Dice of a mask with the recorded one.
        leaning: Whether the recorded masks are closer to the truth.
        mismatch: The first mismatch, or None.
        mismatches: Mismatches.
        words: What the method printed last, to be added to a line; shown where the rerun failed.
    """

    episodes: int
    steps: int
    equal: int
    failures: int
    least: float
    leaning: Leaning
    mismatch: str | None
    mismatches: int
    words: str = ""

    @property
    def passed(self) -> bool:
        """Whether something was run again, and all of it matches."""
        return self.mismatch is None and self.steps > 0

    @property
    def detail(self) -> str:
        """One line."""
        if self.mismatch is not None:
            return f"{self.mismatch} ({self.mismatches} mismatches in {self.steps} steps){self.words}"
        if not self.steps:
            return "no episode has a step: nothing could be run again"
        said = [f"{self.episodes} episodes, {self.steps} steps"]
        if masks := self.steps - self.failures:
            said.append(f"masks equal bit by bit in {self.equal} of {masks}, least Dice {self.least:.4f}")
        if self.failures:
            said.append(f"{self.failures} recorded failures came again")
        doubt = [", ".join(said), self.leaning.detail]
        if self.equal < _FEW_EQUAL * masks:
            doubt.append(
                "WARNING: few masks are equal; another machine may do that, and so does retouching: ask why"
            )
        return "; ".join(part for part in doubt if part)


def sampled(opened: Opened, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield `n` random episodes, dealt evenly over the protocols, as plain values.

    Episodes that failed on the way are in the draw like all others. Those without a step are left out (a
    worker that died, or nothing to correct): there is nothing to run again, and they have no mask.
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
        "error": _text(mine(claimed.episodes)["error"].iloc[0]),
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

    A process that ends or hangs matches nothing, not even a recorded failure, and ends the rerun. (A run
    records what a dying worker held as failed before the first step; such episodes are in no sample.)

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
    with Remote(spec, seconds) as remote:
        if remote.digest != digest:
            compared.note(f"the agent has the digest {remote.digest[:12]}, the submission's {digest[:12]}")
        for name, value in (told or {}).items():
            if remote.told.get(name) != value:
                compared.note(f"the agent's {name} is {remote.told.get(name)}, the submission says {value}")
        for episode in sorted(episodes, key=lambda e: places[e["case_id"]]):
            place = places[episode["case_id"]]
            case = next(suite.loaded(local, slice(place, place + 1)))
            if not compared.episode(remote, case, episode):
                break
    return compared.result(remote.last_words)


class _Compared:
    """Gathers what the comparison found."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._episodes = self._steps = self._equal = self._failures = self._wrong = 0
        self._least = 1.0
        self._first: str | None = None
        self._witnesses = Witnesses()

    def note(self, mismatch: str) -> None:
        self._wrong += 1
        if self._first is None:
            self._first = mismatch

    def episode(self, remote: Remote, case: Any, episode: Mapping[str, Any]) -> bool:
        """Run one episode again from the recorded state before each step; return whether it can go on."""
        self._episodes += 1
        protocol = self._suite.protocol(episode["protocol"])
        ground, rounds, previous, chosen = Ground(case), [], None, None
        pairs, same = [], True
        for number, step in enumerate(episode["steps"], 1):
            self._steps += 1
            where = (
                f"case {case.case_id}, level {episode['level']:g}, repeat {episode['repeat']}, step {number}"
            )
            rounds.append(step["prompts"])
            seed = Draws(self._suite.seed, case.dataset, case.case_id, episode["repeat"], number).agent_seed()
            found: Selection | AgentError
            try:
                answer = remote.answer(case.image, rounds, previous, chosen, seed)
                found = select(answer, protocol.select, ground)
            except AgentError as error:
                found = error
            except GoneError as error:
                self.note(f"{where}: {error}; the rerun ended here")
                return False
            failed = step["chosen"] < 0
            if failed or isinstance(found, AgentError):
                self._failure(where, failed, found, episode["error"])
                break
            recorded = [decode(counts, case.size) for counts in step["candidates"]]
            previous, chosen = recorded[step["chosen"]], step["chosen"]
            if len(found.masks) != len(recorded):
                self.note(f"{where}: {len(found.masks)} candidates, not {len(recorded)}")
                break
            same &= self._pairs(where, [(found.mask, previous), *zip(found.masks, recorded, strict=True)])
            pairs.append((ground.dice(previous), ground.dice(found.mask)))
        if not same:
            self._witnesses.take(case.case_id, pairs)
        return True

    def _failure(self, where: str, failed: bool, found: Selection | AgentError, reason: str | None) -> None:
        """Compare a step at which the method failed: when it was recorded (`failed`), or now, or both."""
        if not failed:
            self.note(f"{where}: {found}; the submission holds a mask")
        elif isinstance(found, AgentError):
            self._failures += 1
        else:
            self.note(
                f"{where}: the submission says that the method failed ({reason}), but run again it gives a "
                "mask: a failure that does not come again is not reproduced"
            )

    def _pairs(self, where: str, pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]]) -> bool:
        """Compare the masks of a step; return whether they are the same bit by bit."""
        equal = all(np.array_equal(a, b) for a, b in pairs)
        self._equal += equal
        for a, b in pairs:
            alike = dice(a, b)
            self._least = min(self._least, alike)
            if alike < LEAST_DICE and np.count_nonzero(a != b) > FEW_PIXELS:
                self.note(
                    f"{where}: Dice {alike:.4f} with the recorded mask; at least {LEAST_DICE} is needed"
                )
                break
        return equal

    def result(self, words: str = "") -> Rerun:
        lean = self._witnesses.leaning()
        if lean.leans:
            self.note(f"{lean.detail}: chance does not do that, retouching does")
        counts = (self._episodes, self._steps, self._equal, self._failures)
        return Rerun(*counts, self._least, lean, self._first, self._wrong, words)
