"""NITI's integer cross-entropy: docs/numerics.md section 4."""

from __future__ import annotations

import numpy as np

from picotrain_golden.numerics import Int8, Int32, clamp, rhu

LEAST_LOGITS_EXPONENT = -9
"""Below it int32 does not hold the loss, and the logits would hardly matter."""

_LEAST_OF_POWERS = -6


def loss_error(logits: Int8, exponent: int, target: int) -> Int8:
    """The error of the logits: int8 [classes] with an exponent, and the label -> int8 [classes]."""
    v = logits.astype(np.int32)
    p = _powers(v, exponent) if exponent >= _LEAST_OF_POWERS else _second_order(v, exponent)
    p = (p << 11) // p.sum(dtype=np.int32)
    p[target] -= p.sum()
    return clamp(rhu(p, 4))


def _powers(v: Int32, exponent: int) -> Int32:
    z: Int32 = (v * 47274) >> 15
    z = z << min(exponent, 15) if exponent >= 0 else z >> -exponent
    z = np.maximum(z - z.max() + 10, 0)
    return (np.int32(1) << z) - 1


def _second_order(v: Int32, exponent: int) -> Int32:
    n = min(-exponent, -LEAST_LOGITS_EXPONENT)
    u = v >> min(-exponent - n, 31)
    p: Int32 = 2 ** (1 + 2 * n) + u * 2 ** (1 + n) + u * u
    return p
