"""The counter-based generator and what is drawn from it: docs/numerics.md sections 6 and 7."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from picotrain_golden.numerics import Int8, Int64, clamp, rhu

Select = Literal["random", "weight"]
UInt32 = NDArray[np.uint32]

SCORES, SELECTION, WEIGHTS = 0, 1, 2
HARNESS_STREAMS = 0xFFFFFF00

_MASK = 0xFFFFFFFF


def stream(layer: int, purpose: int) -> int:
    """The stream of a layer; `purpose` is SCORES, SELECTION or WEIGHTS."""
    return 4 * layer + purpose


@overload
def mix(x: int) -> int: ...
@overload
def mix(x: UInt32) -> UInt32: ...
def mix(x: Any) -> Any:
    """Section 7's 32-bit mixer, of one integer or of a uint32 array."""
    # The masks are for Python integers; uint32 arrays wrap by themselves.
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def key(seed: int, stream: int) -> int:
    return mix((mix(seed & _MASK) + stream) & _MASK)


def words(seed: int, stream: int, index: int | Int64) -> UInt32:
    """Words 0..index-1 of a stream, or with an array the words at those indices; uint32."""
    indices = np.arange(index) if isinstance(index, int) else index
    counters = indices.astype(np.uint32) * np.uint32(0x9E3779B9)
    return mix(counters + np.uint32(key(seed, stream)))


def normal_scores(seed: int, stream: int, n: int) -> Int8:
    """The first `n` normal elements of a stream, standard deviation 32; int8 [n]."""
    # A sum of bytes does not ask for their order, so neither for the machine's.
    octets = words(seed, stream, 3 * n).view(np.uint8).reshape(n, 12)
    return clamp(rhu(octets.sum(axis=1, dtype=np.int32) - np.int32(1530), 3))


def scored_counts(edges: Sequence[int], permille: int) -> tuple[int, ...]:
    """How many edges PRIOT-S scores in each layer, of which these are the numbers of edges.

    No more in all than if each scored its share, `permille`. Up to three quarters of them are
    spread evenly, as far as layers have edges; a smaller share of the large layers is the rest.
    """

    def counts(share: int, least: int) -> tuple[int, ...]:
        return tuple(min(n, max(least, n * share // 1000)) for n in edges)

    budget = sum(counts(permille, 1))
    even = range(1, max(edges, default=0) + 1)
    spread = budget - budget // 4
    least = max(1, bisect_right(even, spread, key=lambda least: sum(counts(0, least))))
    fits = bisect_right(range(permille + 1), budget, key=lambda share: sum(counts(share, least)))
    return counts(fits - 1, least)


def select_edges(weights: Int8, n: int, select: Select, seed: int, layer: int) -> Int64:
    """PRIOT-S's scored edges: flat indices `o*K + k`, ascending; int64 [n].

    The `n` edges with the largest key, ties to the lower index.
    """
    flat = weights.reshape(-1)
    if select == "weight":
        keys = np.abs(flat).astype(np.uint16)
    else:
        keys = (words(seed, stream(layer, SELECTION), flat.size) >> 16).astype(np.uint16)
    # Sorting the complement ascending and stably gives ties to the lower index.
    order = np.argsort(~keys, kind="stable")[:n]
    return np.sort(order).astype(np.int64)
