"""What makes cases hard: how an outcome goes with each factor of a case, the others held fixed.

Spearman's partial correlation of an outcome y with a factor x is the correlation of two residuals: of the
ranks of y, and of the ranks of x, each after least squares on the ranks of the other factors and on one
column per value of every covariate. Ranks are mean ranks over all cases. (Rank-transform, then Pearson's
partial correlation: what COSMOS reports, and what R's ``ppcor`` and ``pingouin`` compute.)

The unit of chance is the group. The interval is a studentised bootstrap on Fisher's scale, z = atanh(r):
whole groups are resampled, cases are ranked anew, and in each resample ``t* = (z* - z) / s*``, with s* the
cluster-robust standard error ``sqrt(sum_g psi_g^2) / n / (1 - r^2)``, where psi_g is the group's sum of
``u v - r (u^2 + v^2) / 2`` over the standardised residuals u and v. As for means, s* is not taken below
``s / sqrt(G)``. The interval is ``tanh(z ± q s)``, q being the 95 % point of ``|t*|``. (s leaves out that
ranks and residuals are estimated, so a plain t interval would be too narrow; t* does not.) A resample that
cannot tell a factor from the others counts as an infinite ``|t*|``: more than 5 % of them, and there is no
interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import MIN_GROUPS
from simclick.statistics.resampling import RESAMPLES, resampled_groups
from simclick.statistics.summary import DECIMALS

__all__ = ["factor_table"]

_COLUMNS = ("factor", "rho", "partial_rho", "low", "high", "n_cases", "n_groups", "note")
_MISSING = 0.2
_SINGULAR = 1e-9
_ENTRIES = 2**20  # of a block of resamples, cases and columns

_Float = NDArray[np.float64]


@dataclass
class _Data:
    """Cases without gaps.

    Attributes:
        ranks: Float64[n, 1 + K], ranks of the outcome and of the factors that can be told apart.
        controls: Float64[n, C], what is held fixed; their span has the constant.
        group: Int64[n], the number of each case's group, ascending.
        notes: Why a factor has no number.
        kept: Names of the factors of `ranks`.
    """

    ranks: _Float
    controls: _Float
    group: NDArray[np.int64]
    notes: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1 if len(self.group) else 0


def factor_table(
    cases: pd.DataFrame,
    outcome: str,
    factors: Sequence[str],
    *,
    covariates: Sequence[str] = ("modality",),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Return how an outcome goes with every factor, alone and with all else held fixed.

    Args:
        cases: One row per case: column ``group`` (within ``dataset``, where there is such a column), the
            outcome, the factors, the covariates.
        outcome: Name of its column.
        factors: Names of theirs; a name without a column is missing everywhere.
        covariates: Columns of names that are held fixed as well.
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        One row per factor, in the order given: ``factor``; ``rho``, Spearman's correlation with the
        outcome; ``partial_rho``, with the other factors and the covariates held fixed; ``low``, ``high``, its
        95 % interval; ``n_cases``, ``n_groups`` that both rest on; ``note``, why a number is missing. Of
        factors missing in more than a fifth of cases, constant ones, and ones whose ranks follow from
        the earlier factors and the covariates, ``partial_rho`` is NaN, and they are not held fixed for
        the others. Of what is left, cases with a missing number are left out.
    """
    data = _prepare(cases, outcome, factors, covariates)
    n, g = len(data.group), data.n_groups
    plain, partial, low, high, why = _estimate(data, seed, resamples)
    rows = []
    for name in factors:
        row = dict.fromkeys(("rho", "partial_rho", "low", "high"), math.nan)
        note = data.notes.get(name, why)
        if name in data.kept:
            k = data.kept.index(name)
            row = {"rho": plain[k], "partial_rho": partial[k], "low": low[k], "high": high[k]}
            if not note and math.isnan(low[k]):
                note = "not defined in more than 5 % of resamples"
        rows.append({"factor": name, **row, "n_cases": n, "n_groups": g, "note": note})
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = ["rho", "partial_rho", "low", "high"]
    table[numbers] = table[numbers].astype(np.float64).round(DECIMALS)
    return table


def _prepare(cases: pd.DataFrame, outcome: str, factors: Sequence[str], covariates: Sequence[str]) -> _Data:
    """Return the cases without gaps, sorted by group, and the factors that can be told apart."""
    cases = cases[cases[outcome].notna()]
    known = cases.reindex(columns=list(factors)).astype(np.float64)
    missing = known.isna().sum()
    notes = {
        name: f"missing in {missing[name]} of {len(cases)} cases"
        for name in factors
        if missing[name] > _MISSING * len(cases)
    }
    tried = [name for name in factors if name not in notes]
    whole = known[tried].notna().all(axis=1).to_numpy()
    cases, known = cases[whole], known.loc[whole, tried]
    keys = [cases[c] for c in ("dataset", "group") if c in cases.columns]
    number = cases.groupby(keys, sort=True, dropna=False).ngroup().to_numpy(dtype=np.int64)
    order = np.argsort(number, kind="stable")
    cases, known, group = cases.iloc[order], known.iloc[order], np.asarray(number[order], dtype=np.int64)
    values = np.column_stack([cases[outcome].to_numpy(dtype=np.float64), known.to_numpy()])
    ranks = _ranks(values, np.ones((1, len(values))))[0] if len(values) else values
    data = _Data(ranks, _controls(cases, covariates), group, notes)
    _sieve(data, tried)
    return data


def _controls(cases: pd.DataFrame, covariates: Sequence[str]) -> _Float:
    """Return the columns to hold fixed: where it spans the same, one per combination of values."""
    columns = [np.ones((len(cases), 1))]
    columns += [pd.get_dummies(cases[name].astype(str)).to_numpy(dtype=np.float64) for name in covariates]
    controls: _Float = np.concatenate(columns, axis=1)
    if len(cases) == 0:
        return controls
    rows, cell = np.unique(controls, axis=0, return_inverse=True)
    if np.linalg.matrix_rank(controls) == len(rows):
        controls = (cell.reshape(-1, 1) == np.arange(len(rows))).astype(np.float64)
    return controls


def _sieve(data: _Data, tried: Sequence[str]) -> None:
    """Drop factors that are constant or follow from the controls and the factors before them."""
    columns = [0]
    held = data.controls
    for k, name in enumerate(tried, start=1):
        own = data.ranks[:, k] - data.ranks[:, k].mean() if len(data.ranks) else data.ranks[:, k]
        total = float(own @ own)
        left = own - held @ np.linalg.lstsq(held, own, rcond=None)[0] if total > 0 else own
        if total == 0:
            data.notes[name] = "the same in all cases"
        elif float(left @ left) < 1e-6 * total:
            data.notes[name] = "its ranks follow from the covariates and the factors before it"
        else:
            columns.append(k)
            data.kept.append(name)
            held = np.column_stack([held, own])
    data.ranks = data.ranks[:, columns]


def _estimate(data: _Data, seed: int, resamples: int) -> tuple[_Float, _Float, _Float, _Float, str]:
    """Return rho, partial rho, low and high, Float64[K] each, and why there is no interval."""
    blank = np.full(len(data.kept), math.nan)
    n, g = len(data.group), data.n_groups
    used = int(np.linalg.matrix_rank(data.controls)) + len(data.kept) if n else 0
    if not data.kept or float(np.ptp(data.ranks[:, 0])) == 0:
        return blank, blank, blank, blank, "the outcome is the same in all cases" if data.kept else ""
    plain = np.atleast_2d(np.corrcoef(data.ranks, rowvar=False))[0, 1:]
    if n - used < 2:
        return plain, blank, blank, blank, f"{n} cases are too few for {used} columns"
    r, error = _partial(data, np.ones((1, g)))
    if g < MIN_GROUPS:
        return plain, r[0], blank, blank, f"{g} group{'s' * (g != 1)}: an interval needs {MIN_GROUPS}"
    low, high = _interval(data, r[0], error[0], seed, resamples)
    return plain, r[0], low, high, ""


def _interval(data: _Data, r: _Float, error: _Float, seed: int, resamples: int) -> tuple[_Float, _Float]:
    z, g = np.arctanh(r), data.n_groups
    pivots = []
    for weights in _blocks(data, seed, resamples):
        r_star, error_star = _partial(data, weights)
        spread = np.maximum(error_star, error / math.sqrt(g))
        with np.errstate(divide="ignore", invalid="ignore"):
            pivots.append((np.arctanh(r_star) - z) / spread)
    t = np.abs(np.concatenate(pivots))
    # A resample may lack what tells a factor from the others: it says nothing of it, for or against.
    t = np.where(np.isnan(t), np.inf, t)
    q = np.sort(t, axis=0)[round((len(t) + 1) * 0.95) - 1]
    q = np.where(np.isinf(q), math.nan, q)
    return np.tanh(z - q * error), np.tanh(z + q * error)


def _blocks(data: _Data, seed: int, resamples: int) -> Iterator[_Float]:
    step = max(1, _ENTRIES // data.ranks.size)
    for weights in resampled_groups(data.n_groups, resamples, seed):
        for start in range(0, len(weights), step):
            yield weights[start : start + step]


def _partial(data: _Data, weights: _Float) -> tuple[_Float, _Float]:
    """Return partial correlations and their standard errors on Fisher's scale.

    Args:
        data: The cases.
        weights: Float64[B, G], how often each group was drawn.

    Returns:
        Float64[B, K] twice; NaN where a resample cannot tell a factor from the others.
    """
    w = weights[:, data.group]
    n = w.sum(axis=1)
    x = _ranks(data.ranks, w)
    x -= (np.einsum("bn,bnp->bp", w, x) / n[:, None])[:, None]
    x = _without(x, data.controls, w)
    scale = np.sqrt(np.einsum("bn,bnp->bp", w, x * x) / n[:, None])
    defined = (scale > 1e-6 * len(data.group)).all(axis=1)
    x /= np.where(scale > 0, scale, 1.0)[:, None]
    moments = np.einsum("bnp,bnq->bpq", x * w[:, :, None], x, optimize=True) / n[:, None, None]
    values, vectors = np.linalg.eigh(moments)
    defined &= values[:, 0] > _SINGULAR
    values = np.where(values > _SINGULAR, values, 1.0)
    precision = np.einsum("bpk,bk,bqk->bpq", vectors, 1 / values, vectors, optimize=True)
    r, error = _from_precision(x @ precision, precision, data.group, weights, n)
    r[~defined], error[~defined] = math.nan, math.nan
    return r, error


def _from_precision(
    q: _Float, precision: _Float, group: NDArray[np.int64], weights: _Float, n: _Float
) -> tuple[_Float, _Float]:
    """Return correlations and errors of column 0 with each other one, given all the rest.

    The residuals of a pair A given the rest are ``inv(P_AA) (P x)_A``, with P the inverse of the matrix of
    moments; their correlation is ``-P_01 / sqrt(P_00 P_11)``.
    """
    yy = precision[:, :1, 0]
    vv = np.diagonal(precision, axis1=1, axis2=2)[:, 1:]
    yv = precision[:, 0, 1:]
    r = -yv / np.sqrt(yy * vv)
    # Up to factors that standardising takes away again: inv(P_AA) ~ [[vv, -yv], [-yv, yy]].
    u = vv[:, None] * q[:, :, :1] - yv[:, None] * q[:, :, 1:]
    v = yy[:, None] * q[:, :, 1:] - yv[:, None] * q[:, :, :1]
    # Residuals have variance inv(P_AA) on its diagonal.
    det = yy * vv - yv * yv
    u /= np.sqrt(vv * det)[:, None]
    v /= np.sqrt(yy * det)[:, None]
    psi = u * v - r[:, None] * (u * u + v * v) / 2
    sums = np.add.reduceat(psi, np.flatnonzero(np.diff(group, prepend=-1)), axis=1)
    variance = np.einsum("bg,bgk->bk", weights, sums * sums)
    return r, np.sqrt(variance) / n[:, None] / np.maximum(1 - r * r, 1e-12)


def _without(x: _Float, controls: _Float, w: _Float) -> _Float:
    """Return the residuals of x, Float64[B, n, P], after weighted least squares on the controls."""
    cross = controls.T @ (x * w[:, :, None])
    if (controls.sum(axis=1) == 1).all():  # disjoint columns: residuals from means
        counts = w @ controls
        fitted: _Float = (cross / np.maximum(counts, 1.0)[:, :, None])[:, np.argmax(controls, axis=1)]
    else:
        pairs = (controls[:, :, None] * controls[:, None, :]).reshape(len(controls), -1)
        gram = (w @ pairs).reshape(len(w), controls.shape[1], -1)
        fitted = controls @ (np.linalg.pinv(gram, hermitian=True) @ cross)
    return x - fitted


def _ranks(values: _Float, w: _Float) -> _Float:
    """Return the mean ranks of each column where case i stands w times, up to a constant.

    Args:
        values: Float64[n, P].
        w: Float64[B, n].

    Returns:
        Float64[B, n, P]; of a case that a resample lacks, the rank that it would have.
    """
    out = np.empty((*w.shape, values.shape[1]))
    for p in range(values.shape[1]):
        order = np.argsort(values[:, p], kind="stable")
        inverse = np.unique(values[:, p], return_inverse=True)[1]
        counts = np.bincount(inverse)
        ends = np.cumsum(counts)
        below = np.concatenate([np.zeros((len(w), 1)), np.cumsum(w[:, order], axis=1)], axis=1)
        out[:, :, p] = ((below[:, ends - counts] + below[:, ends]) / 2)[:, inverse]
    return out
