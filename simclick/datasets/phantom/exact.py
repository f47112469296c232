"""Elementary functions whose last bit is the same on every machine.

IEEE 754 fixes the result of ``+ - * /``, the square root, ``floor`` and comparisons to the last
bit. NumPy's ``exp``, ``sin``, ``log`` and ``power`` are not so fixed: they differ between processor
feature levels, libraries and versions. Neither are float sums, means and products of matrices, whose
order of additions depends on the vector width. The phantoms are therefore made of the fixed
operations alone, in a written order, and the few elementary functions that they need are made of
them here. Nothing has to be rounded afterwards, because nothing differs.

Accuracy is a few units in the last place of float64; only reproducibility matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Field", "atan2_turns", "cos_turns", "exp", "log", "sin_turns"]

Field = NDArray[np.float64]
"""A float64 array, most often one value per pixel."""

_LOG2E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238  # the upper 32 bits of ln 2, so that k * _LN2_HIGH is exact
_LN2_LOW = 1.9082149292705877e-10
_TURN = 6.283185307179586


def _horner(coefficients: Sequence[float], x: Field) -> Field:
    """Return the polynomial with the given coefficients, highest power first."""
    total: Field = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total


def _inverse_factorials(n: int) -> list[float]:
    """Return ``1/0!, 1/1!, …, 1/n!``."""
    values = [1.0]
    for k in range(1, n + 1):
        values.append(values[-1] / k)
    return values


_EXP = _inverse_factorials(13)[::-1]
_SIN = [f if k % 4 == 1 else -f for k, f in enumerate(_inverse_factorials(19)) if k % 2 == 1][::-1]
_ATAN = [(1.0 if k % 2 == 0 else -1.0) / (2 * k + 1) for k in range(13)][::-1]
_LOG = [1.0 / (2 * k + 1) for k in range(12)][::-1]


def exp(x: ArrayLike) -> Field:
    """Return e to the x; arguments beyond ±700 are clipped to it."""
    x = np.clip(np.asarray(x, dtype=np.float64), -700.0, 700.0)
    k = np.floor(x * _LOG2E + 0.5)
    rest = (x - k * _LN2_HIGH) - k * _LN2_LOW
    result: Field = np.ldexp(_horner(_EXP, rest), k.astype(np.int32))
    return result


def log(x: ArrayLike) -> Field:
    """Return the natural logarithm of positive, normal numbers."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    small = mantissa < 0.7071067811865476
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    k = exponent.astype(np.float64) - small
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = _horner(_LOG, s * s)
    result: Field = k * _LN2_HIGH + (k * _LN2_LOW + 2.0 * s * series)
    return result


def sin_turns(turns: ArrayLike) -> Field:
    """Return the sine of an angle in turns (1 turn = 2π)."""
    t = np.asarray(turns, dtype=np.float64)
    t = t - np.floor(t + 0.5)
    fold = np.minimum(np.abs(t), 0.5 - np.abs(t))
    x = np.where(t < 0.0, -fold, fold) * _TURN
    result: Field = x * _horner(_SIN, x * x)
    return result


def cos_turns(turns: ArrayLike) -> Field:
    """Return the cosine of an angle in turns."""
    return sin_turns(np.asarray(turns, dtype=np.float64) + 0.25)


def atan2_turns(y: ArrayLike, x: ArrayLike) -> Field:
    """Return the angle of the point (x, y) in turns, in (-0.5, 0.5]; 0 at the origin."""
    y, x = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64))
    a, b = np.abs(y), np.abs(x)
    high, low = np.maximum(a, b), np.minimum(a, b)
    z = low / np.where(high > 0.0, high, 1.0)
    for _ in range(2):  # halving the angle twice brings z below 0.2, where the series is short
        z = z / (1.0 + np.sqrt(1.0 + z * z))
    angle = 4.0 / _TURN * z * _horner(_ATAN, z * z)
    angle = np.where(a > b, 0.25 - angle, angle)
    angle = np.where(x < 0.0, 0.5 - angle, angle)
    result: Field = np.where(y < 0.0, -angle, angle)
    return result
