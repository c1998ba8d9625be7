"""Deterministic order, from the generator that the firmware has too (docs/numerics.md, 7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from picotrain_golden import generator

# Splits datasets; the other streams of the harness are for sampling and shuffling.
SPLIT_STREAM = generator.HARNESS_STREAMS + 0


def permutation(count: int, seed: int, stream: int) -> NDArray[np.intp]:
    """The numbers 0..count-1 in the order of their words in `stream`: intp [count]."""
    return np.argsort(generator.words(seed, stream, count), kind="stable")
