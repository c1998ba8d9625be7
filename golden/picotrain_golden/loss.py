"""NITI's integer cross-entropy: docs/numerics.md section 4."""

from __future__ import annotations

import numpy as np

from picotrain_golden.numerics import Int8, Int32, clamp, rhu


def loss_error(logits: Int8, exponent: int, target: int) -> Int8:
    """The error of the logits: int8 [classes] with an exponent, and the label -> int8 [classes]."""
    z: Int32 = (logits.astype(np.int32) * 47274) >> 15
    z = z << min(exponent, 15) if exponent >= 0 else z >> min(-exponent, 31)
    z = np.maximum(z - z.max() + 10, 0)
    p = (np.int32(1) << z) - 1
    p = (p << 11) // p.sum(dtype=np.int32)
    p[target] -= p.sum()
    return clamp(rhu(p, 4))
