"""Keyed chance: every draw is a function of what it is for, never of when it was asked.

A draw's key is the SHA-256 of ``(seed, dataset, case, repeat, step, prompt index, stream, try)``.
Level, protocol, agent, order, worker and batch are not in the key, so two agents, or two noise
levels, meet the same draws (*common random numbers*: paired comparisons).

NumPy promises the raw output of its bit generators but not of its distributions, so variates are
made here from raw 64-bit words by transforms that are written down and do not change.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Draws", "Stream", "Words", "words_of"]

Stream: TypeAlias = Literal["annotator", "noise", "agent"]


class Words:
    """A stream of raw 64-bit words, with the transforms that make variates of them.

    The words are those of NumPy's ``Philox`` counter generator, keyed with the first 128 bits of
    the SHA-256 key.
    """

    def __init__(self, key: bytes) -> None:
        self._bits = np.random.Philox(key=int.from_bytes(key[:16], "little"))

    def words(self, n: int) -> NDArray[np.uint64]:
        """Return the next ``n`` words, UInt64[n]."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def uniform(self, n: int) -> NDArray[np.float64]:
        """Return ``n`` numbers in [0, 1): the top 53 bits of a word times 2^-53. Float64[n]."""
        return np.asarray((self.words(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53, dtype=np.float64)

    def integer(self, high: int) -> int:
        """Return an integer in [0, high): ``floor(word * high / 2^64)`` in exact arithmetic.

        Raises:
            ValueError: When ``high`` is not positive.
        """
        if high <= 0:
            raise ValueError(f"high must be positive, not {high}")
        return (int(self.words(1)[0]) * int(high)) >> 64

    def normal(self, n: int) -> NDArray[np.float64]:
        """Return ``n`` standard normal numbers by the inverse distribution function. Float64[n].

        One word gives one number: the inverse normal distribution function (Wichura 1988,
        algorithm AS 241, PPND16) at ``(top 53 bits + 0.5) / 2^53``, rounded to nine decimals so
        that the last bits of a platform's logarithm never show.
        """
        u = ((self.words(n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        return np.array([round(_inverse_normal(float(p)), 9) for p in u], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one step of one episode.

    Attributes:
        seed: The run's seed.
        dataset: Name of the data set.
        case_id: The case.
        repeat: Which repeat of the cell, from 0.
        step: Which round, from 1.
    """

    seed: int
    dataset: str
    case_id: str
    repeat: int
    step: int

    def key(self, stream: Stream, index: int = 0, attempt: int = 0) -> bytes:
        """Return the 32-byte key of a stream.

        Args:
            stream: Who draws: the annotator, the noise or the agent.
            index: Which prompt of the round, from 0.
            attempt: Which try, where draws may be rejected.
        """
        head = _head(self.seed, self.dataset, self.case_id, self.repeat)
        fields = f'{head}, {self.step}, {index}, "{stream}", {attempt}]'  # the list, as JSON
        return hashlib.sha256(fields.encode()).digest()

    def stream(self, stream: Stream, index: int = 0, attempt: int = 0) -> Words:
        """Return the words under `key`."""
        return Words(self.key(stream, index, attempt))

    def agent_seed(self) -> int:
        """Return a seed in [0, 2^31) for an agent that draws at random."""
        return int.from_bytes(self.key("agent")[:4], "little") >> 1


@lru_cache(maxsize=1024, typed=True)
def _head(*fields: int | str) -> str:
    """Return a JSON list without its closing bracket: what the keys of an episode have in common."""
    return json.dumps(fields, ensure_ascii=True)[:-1]


def words_of(*fields: object) -> Words:
    """Return the words keyed by any JSON-able fields (for generators outside an episode)."""
    return Words(hashlib.sha256(json.dumps(fields, ensure_ascii=True).encode()).digest())


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    total = 0.0
    for c in coefficients:
        total = total * x + c
    return total


_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
     4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
     2.05319162663775882187e0, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
     2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e0,
     5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
     7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def _inverse_normal(p: float) -> float:
    """Return the standard normal quantile at 0 < p < 1 (Wichura, Applied Statistics 37, 1988)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _polynomial(_CENTRE[0], r) / _polynomial(_CENTRE[1], r)
    r = math.sqrt(-math.log(min(p, 1.0 - p)))
    table, shift = (_MIDDLE, 1.6) if r <= 5.0 else (_TAIL, 5.0)
    value = _polynomial(table[0], r - shift) / _polynomial(table[1], r - shift)
    return value if q > 0 else -value
