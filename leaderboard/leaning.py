"""Whether recorded masks lie closer to the truth than a rerun's: what a forger's retouching leaves behind.

A rerun on another machine may give slightly other masks, so a rerun tolerates a difference. Who knows the
truth could move every mask towards it by as much. Rounding errors do not know where the truth is: a method
that is run twice is as often better the second time.

Rule. Per case whose masks differ anywhere, d = the mean over its sampled episodes with a difference of the
mean over their steps of Dice(recorded, truth) - Dice(rerun, truth). Steps in which either mask is the truth
are left out: an episode ends at the first recorded one, so the record would gain there by chance what it
cannot lose. Of the d that are not 0, two exact
one-sided tests: the sign test (Dixon and Mood 1946), and the signed-rank test (Wilcoxon 1945; with mid-ranks
for ties, over all 2ⁿ patterns of signs), which many small steps back do not deceive. The recorded masks
*lean* where p < `LEVEL` / 2 in either, so that an honest submission is refused with probability < `LEVEL`,
as far as what is assumed holds. The case is the unit, since episodes of one case share an image and are not
independent.

What is assumed: of each case, recorded and new masks may be exchanged. Of one step that holds for any two
runs of one program. Of the mean over several it holds as far as the size of a difference does not hang on
whether the recorded masks before it fell well or badly: each step starts from the recorded mask. (Of made-up
methods whose noise in each of 20 steps is a hundredth of the error that is left, 0.9 in a thousand are
refused; with a tenth 2.7, with three tenths 8.1.) A machine whose arithmetic gives worse masks in nearly all
cases breaks it.

Power. n cases that are all better give p = 2⁻ⁿ: eleven are needed, and a suite of fewer cases is never
refused. 32 sampled episodes of phantoms-v1 (126 cases) are 29 cases on average: where every mask of a share
of the cases is retouched, at least eleven of these are among them with probability 0.94 for a half, 0.33 for
a third and 0.06 for a quarter; that finds the forgery where nothing else differs.

What it cannot see: fewer retouched cases than that; candidates that were not chosen; a change that is random
in both directions and better by little on average (over n cases with standard deviation s: less than about
3.3 s/√n); masks retouched by a method that does so itself whenever it is run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LEVEL", "Leaning", "leaning"]

LEVEL = 0.001
"""How often an honest submission may be refused."""
_SAME = 1e-12
"""Differences of Dice below this are rounding of the mean."""


@dataclass(frozen=True)
class Leaning:
    """What was found.

    Attributes:
        better: Cases whose recorded masks are closer to the truth.
        worse: Cases whose recorded masks are further from it.
        mean: Mean difference over these, in Dice.
        p: The smaller of the two tests' p.
    """

    better: int
    worse: int
    mean: float
    p: float

    @property
    def leans(self) -> bool:
        """Whether the recorded masks are better than chance allows."""
        return self.p < LEVEL / 2


def leaning(differences: Sequence[float]) -> Leaning:
    """Test whether differences, one per case, lie above 0.

    Args:
        differences: Dice of the recorded masks less Dice of the rerun's; those that are 0 do not count.
    """
    d = np.array([x for x in differences if abs(x) > _SAME], dtype=np.float64)
    better = int((d > 0).sum())
    if not len(d):
        return Leaning(0, 0, 0.0, 1.0)
    return Leaning(better, len(d) - better, float(d.mean()), min(_sign(better, len(d)), _signed_rank(d)))


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
