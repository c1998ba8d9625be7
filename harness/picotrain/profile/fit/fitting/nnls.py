"""Least squares without negative coefficients, in NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def nnls(matrix: Real, wanted: Real, rounds: int = 10_000) -> Real:
    """The x >= 0 with the least |matrix x - wanted|: Lawson and Hanson's active set."""
    scale: Real = np.sqrt((matrix * matrix).sum(axis=0))
    scale[scale == 0] = 1
    a: Real = matrix / scale
    gram, right = a.T @ a, a.T @ wanted
    x: Real = np.zeros(a.shape[1])
    active = np.zeros(a.shape[1], np.bool_)
    tolerance = 1e-9 * float(np.abs(right).max(initial=1.0))
    for _ in range(rounds):
        slope = right - gram @ x
        slope[active] = -np.inf
        best = int(np.argmax(slope))
        if slope[best] <= tolerance:
            break
        active[best] = True
        x = _inside(gram, right, x, active)
    result: Real = x / scale
    return result


def _inside(gram: Real, right: Real, x: Real, active: NDArray[Any]) -> Real:
    """Towards the best of the active ones; those that would turn negative leave."""
    while True:
        at = np.flatnonzero(active)
        best = np.zeros_like(x)
        best[at] = np.linalg.lstsq(gram[np.ix_(at, at)], right[at], rcond=None)[0]
        low = at[best[at] <= 0]
        if not low.size:
            return best
        steps = x[low] / (x[low] - best[low])
        x = x + float(steps.min()) * (best - x)
        gone = low[x[low] <= 1e-12 * max(1.0, float(x.max()))]
        active[gone if gone.size else low[:1]] = False
        x[~active] = 0
