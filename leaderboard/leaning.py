"""Whether recorded masks lie closer to the truth than a rerun's: what a forger's retouching leaves behind.

A rerun on another machine may give slightly other masks, so a rerun tolerates a difference. Who knows the
truth could move every mask towards it by as much. Rounding errors do not know where the truth is: a method
that is run twice is as often better the second time.

Rule. A case whose masks differ anywhere has one difference d:

* Where in some step exactly one of both masks is the truth: Dice(recorded, truth) - Dice(rerun, truth) of the
  first such step of the case's sampled episodes, in their order. (Only the first: a recorded mask that is the
  truth ends its episode, so later steps would be chosen by what is compared.)
* Otherwise the mean over its sampled episodes with a difference of the mean over their steps of the same.
  Steps in which either mask is the truth are left out, for both are.

Three exact one-sided tests: of the d that are not 0 the sign test (Dixon and Mood 1946) and the signed-rank
test (Wilcoxon 1945; with mid-ranks for ties, over all 2ⁿ patterns of signs), which many small steps back do
not deceive; and the sign test of the d of the first kind alone, so that masks replaced by the truth are seen
even where honest noise makes all others differ. The recorded masks *lean* where p < `LEVEL` / 3 in any of
them, so that an honest submission is refused with probability < `LEVEL`, as far as what is assumed holds. The
case is the unit, since episodes of one case share an image and are not independent.

What is assumed: of each case, recorded and new masks may be exchanged. Of one step that holds for any two
runs of one program, since both start from the recorded mask before it; so it holds for d of the first kind:
the steps before the first such one were alike for both. Of the mean over several steps it holds as far as the
size of a difference does not hang on whether the recorded masks before it fell well or badly. (Of made-up
methods whose noise in each of 20 steps is a hundredth of the error that is left, 0.9 in a thousand are
refused; with a tenth 2.7, with three tenths 8.1.) A machine whose arithmetic gives worse masks in nearly all
cases breaks it.

Power. n cases that are all better give p = 2⁻ⁿ: eleven (`ENOUGH`) are needed, and a suite of fewer cases is
never refused. 32 sampled episodes of phantoms-v1 (126 cases) are 29 cases on average: where every mask of a
share of the cases is retouched, a little or all the way to the truth, at least eleven of these are among
them with probability 0.94 for a half, 0.33 for a third and 0.06 for a quarter; that finds the forgery where
nothing else differs, and masks replaced by the truth also where all others differ by noise that never meets
it.

What it cannot see: fewer retouched cases than that; candidates that were not chosen; a change that is random
in both directions and better by little on average (over n cases with standard deviation s: less than about
3.3 s/√n); masks retouched by a method that does so itself whenever it is run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["ENOUGH", "LEVEL", "Leaning", "Witnesses", "leaning"]

LEVEL = 0.0015
"""How often an honest submission may be refused, by all tests together."""
_EACH = LEVEL / 3
ENOUGH = math.floor(-math.log2(_EACH)) + 1
"""Fewer cases than this never lean, whatever they say."""
_SAME = 1e-12
"""Differences of Dice below this are rounding of the mean."""


@dataclass(frozen=True)
class Leaning:
    """What was found.

    Attributes:
        better: Cases whose recorded masks are closer to the truth.
        worse: Cases whose recorded masks are further from it.
        mean: Mean difference over these, in Dice.
        p: The smallest of the tests' p.
        flawless: Of `better`, cases in which a recorded mask is the truth where the rerun's is not.
        flawed: Of `worse`, cases in which it is the other way round.
    """

    better: int
    worse: int
    mean: float
    p: float
    flawless: int = 0
    flawed: int = 0

    @property
    def leans(self) -> bool:
        """Whether the recorded masks are better than chance allows."""
        return self.p < _EACH

    @property
    def detail(self) -> str:
        """In words; nothing where no case differs."""
        n = self.better + self.worse
        if not n:
            return ""
        alone = f", in {self.flawless} the truth itself where the rerun's is not" if self.flawless else ""
        few = "" if n >= ENOUGH else f"; too few to tell: {ENOUGH} are needed"
        return (
            f"the recorded masks are nearer to the truth than the rerun's in {self.better} of {n} cases"
            f"{alone} (on average {self.mean:+.4f} Dice, p = {self.p:.1g}{few})"
        )


@dataclass
class Witnesses:
    """Gathers what the cases of a rerun say."""

    _first: dict[str, float] = field(default_factory=dict)
    _means: dict[str, list[float]] = field(default_factory=dict)

    def take(self, case_id: str, pairs: Sequence[tuple[float, float]]) -> None:
        """Take an episode whose masks differ somewhere.

        Args:
            case_id: Its case.
            pairs: Per step, Dice of the recorded mask with the truth, and of the rerun's.
        """
        told = next((was - now for was, now in pairs if (was == 1) != (now == 1)), None)
        if told is not None:
            self._first.setdefault(case_id, told)
        if short := [was - now for was, now in pairs if was < 1 and now < 1]:
            self._means.setdefault(case_id, []).append(float(np.mean(short)))

    def leaning(self) -> Leaning:
        """Return what they say together."""
        means = [float(np.mean(d)) for case, d in self._means.items() if case not in self._first]
        return leaning(means, list(self._first.values()))


def leaning(means: Sequence[float], first: Sequence[float] = ()) -> Leaning:
    """Test whether differences, one per case, lie above 0.

    Args:
        means: Dice of the recorded masks less Dice of the rerun's; those that are 0 do not count.
        first: The same of the cases in which exactly one of both is the truth somewhere: of the first such
            step.
    """
    d = np.array([x for x in (*means, *first) if abs(x) > _SAME], dtype=np.float64)
    better = int((d > 0).sum())
    flawless = sum(x > 0 for x in first)
    flawed = len(first) - flawless
    if not len(d):
        return Leaning(0, 0, 0.0, 1.0)
    p = min(_sign(better, len(d)), _signed_rank(d), _sign(flawless, len(first)))
    return Leaning(better, len(d) - better, float(d.mean()), p, flawless, flawed)


def _sign(better: int, n: int) -> float:
    """Return the probability of at least so many heads in n throws of a coin."""
    return sum(math.comb(n, k) for k in range(better, n + 1)) / (1 << n)


def _signed_rank(d: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the share of all patterns of signs whose sum of ranks above 0 is at least the one seen."""
    from scipy.stats import rankdata

    ranks = np.rint(2 * rankdata(np.round(np.abs(d), 12))).astype(np.int64)  # twice: mid-ranks become whole
    share = np.zeros(int(ranks.sum()) + 1)
    share[0] = 1.0
    for rank in ranks:  # share[w]: of the patterns of the ranks so far, those whose sum is w
        moved = np.zeros_like(share)
        moved[rank:] = share[: len(share) - rank]
        share = (share + moved) / 2
    return float(share[int(ranks[d > 0].sum()) :].sum())
