"""NITI's integer cross-entropy: docs/numerics.md section 4, and section 15's for affine logits."""

from __future__ import annotations

import numpy as np

from picotrain_golden.network import Pair
from picotrain_golden.numerics import Int8, Int32, clamp, rhu

LEAST_LOGITS_EXPONENT = -9
"""Below it int32 does not hold the loss, and the logits would hardly matter."""

_LEAST_OF_POWERS = -6
_LEAST_AFFINE_OF_POWERS = -7
_LIMIT_OF_Z = 10


def loss_error(logits: Int8, exponent: int, target: int) -> Int8:
    """The error of the logits: int8 [classes] with an exponent, and the label -> int8 [classes]."""
    v = logits.astype(np.int32)
    if exponent >= _LEAST_OF_POWERS:
        return _error(_powers(v, exponent), target)
    return _error(_second_order(v, exponent), target)


def affine_loss_error(v: Int32, scale: Pair, target: int) -> Int8:
    """The same by section 15, of the logits without their zero point, int32 [outputs], at
    `scale`, M and E."""
    mantissa, exponent = scale
    if exponent >= _LEAST_AFFINE_OF_POWERS:
        octaves = (mantissa * 47274 + (1 << 14)) >> 15
        return _error(_powers_of(v * np.int32(octaves) >> (15 - exponent)), target)
    centre = (int(v.max()) + int(v.min())) >> 1
    u: Int32 = (v - np.int32(centre)) * np.int32(mantissa) >> (7 - exponent)
    return _error((u + 256) ** 2 + (1 << 16), target)


def _error(p: Int32, target: int) -> Int8:
    p = (p << 11) // p.sum(dtype=np.int32)
    p[target] -= p.sum()
    return clamp(rhu(p, 4))


def _powers(v: Int32, exponent: int) -> Int32:
    z: Int32 = (v * 47274) >> 15
    return _powers_of(z << min(exponent, 15) if exponent >= 0 else z >> -exponent)


def _powers_of(z: Int32) -> Int32:
    z = np.maximum(z - z.max() + _LIMIT_OF_Z, 0)
    return (np.int32(1) << z) - 1


def _second_order(v: Int32, exponent: int) -> Int32:
    n = min(-exponent, -LEAST_LOGITS_EXPONENT)
    u = v >> min(-exponent - n, 31)
    p: Int32 = 2 ** (1 + 2 * n) + u * 2 ** (1 + n) + u * u
    return p
