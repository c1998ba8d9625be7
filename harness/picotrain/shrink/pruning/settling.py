"""The last channels go, and those that still fit come back, until limits are met exactly.

The memory plan is no sum: where tensors that follow each other have different sizes, buffers may
lie so that one channel less takes more RAM; and kernels take channels in fours, so that one less
may take more time. So what fits is tried, never concluded: also with groups of equal images at one
level, and all channels at such multiples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from picotrain.learn.architectures.architecture import Architecture
from picotrain.shrink.groups import Groups, Kept, counts_of
from picotrain.shrink.limits import Limits, met

Worth = Sequence[NDArray[np.float64]]
"""Of each group, what its channels are worth: the least goes first."""

_HELPS = 0.01
"""Of the largest slope: a group below it does nothing for a cost."""
_STEPS = (2, 4, 8)
_LEVELS = 8
"""Between the fewest and the most channels of some groups."""


def settled(
    architecture: Architecture,
    groups: Groups,
    limits: Limits,
    kept: Kept,
    worth: Worth,
    priced: bool,
) -> Kept:
    """`kept` with so many channels less that all limits are met, then with all that still fit.

    `priced`: what a channel is worth counts by what it costs, so that dear channels go first.
    Limits that the fewest channels meet (`limits.check`) are met.
    """
    planes = _planes(architecture, groups)
    now = tuple(one.copy() for one in kept)
    while True:
        found = _fitting(groups, limits, now, worth, planes)
        if found is not None:
            return _refilled(groups, limits, found, worth, priced)
        price = _price(limits, counts_of(now))
        goes = _least(groups, now, worth, price, priced)
        if goes is None:
            raise AssertionError("limits were met with the fewest channels")
        now[goes[0]][goes[1]] = False


def _planes(architecture: Architecture, groups: Groups) -> list[list[int]]:
    """Free groups whose largest images have one size."""
    sizes = [0] * len(groups.sizes)
    for index, layer in enumerate(architecture.layers):
        number = groups.made(index)
        sizes[number] = max(sizes[number], layer.positions)
    free = groups.free_numbers
    return [[one for one in free if sizes[one] == size] for size in {sizes[one] for one in free}]


def _fitting(
    groups: Groups, limits: Limits, kept: Kept, worth: Worth, planes: list[list[int]]
) -> Kept | None:
    """`kept` if it meets the limits, or else with groups of equal images at one level."""
    counts = counts_of(kept)
    if met(limits, counts):
        return kept
    for level in _levelled(groups, counts, planes):
        if met(limits, level):
            return _with(kept, worth, level)
    return None


def _levelled(
    groups: Groups, counts: Sequence[int], planes: list[list[int]]
) -> Iterator[tuple[int, ...]]:
    """At a level within some groups, and at multiples of what kernels take at a time."""
    for step in _STEPS:
        yield _rounded(groups, counts, step)
    everywhere = list(counts)
    for plane in planes:
        least, most = (end(counts[one] for one in plane) for end in (min, max))
        for level in sorted({round(x) for x in np.linspace(least, most, _LEVELS)}, reverse=True):
            changed = list(counts)
            for one in plane:
                changed[one] = min(level, groups.sizes[one])
            if level == most:
                for one in plane:
                    everywhere[one] = changed[one]
            if changed != list(counts):
                yield tuple(changed)
    if everywhere != list(counts):
        yield tuple(everywhere)


def _rounded(groups: Groups, counts: Sequence[int], step: int) -> tuple[int, ...]:
    """Down, where there are so many."""
    return tuple(
        count - count % step if free and count > step else count
        for count, free in zip(counts, groups.free, strict=True)
    )


def _with(kept: Kept, worth: Worth, counts: Sequence[int]) -> Kept:
    """So many channels of each group: those that are there first, and of each the best."""
    found = []
    for there, values, count in zip(kept, worth, counts, strict=True):
        order = np.lexsort((-values, ~there))
        chosen = np.zeros(len(there), np.bool_)
        chosen[order[:count]] = True
        found.append(chosen)
    return tuple(found)


def _price(limits: Limits, counts: Sequence[int]) -> NDArray[np.float64]:
    """Of a channel of each group, what it takes of the limits that are exceeded, as a share of
    what is too much."""
    total = np.zeros(len(counts))
    for limit in limits:
        excess = limit.excess(counts)
        if excess:
            total += limit.cost.slope(counts) / excess
    return total


def _least(
    groups: Groups, kept: Kept, worth: Worth, price: NDArray[np.float64], priced: bool
) -> tuple[int, int] | None:
    """Group and channel that go next."""
    able = [number for number in groups.free_numbers if kept[number].sum() > 1]
    helping = [number for number in able if price[number] > _HELPS * price.max(initial=0)]
    best: tuple[float, int, int] | None = None
    for number in helping or able:
        there = np.flatnonzero(kept[number])
        channel = int(there[np.argmin(worth[number][there])])
        value = float(worth[number][channel])
        if priced and helping:
            value /= price[number]
        if best is None or value < best[0]:
            best = (value, number, channel)
    return None if best is None else best[1:]


def _refilled(groups: Groups, limits: Limits, kept: Kept, worth: Worth, priced: bool) -> Kept:
    """With channels put back, the best first, while the limits stay met."""
    now = kept
    open_ = {number for number in groups.free_numbers if not now[number].all()}
    while open_ and limits:
        number = _best(limits, now, worth, priced, open_)
        more = _most(groups, limits, counts_of(now), number)
        if more is None:
            open_.discard(number)
            continue
        now = _with(now, worth, more)
        # What did not fit before may do now.
        open_ = {one for one in groups.free_numbers if not now[one].all()}
    return now


def _best(limits: Limits, kept: Kept, worth: Worth, priced: bool, open_: set[int]) -> int:
    """The group whose next channel is worth most."""
    counts = counts_of(kept)
    price = np.full(len(counts), 1e-12)
    for limit in limits:
        price += limit.cost.slope(counts) / limit.most
    value = {
        number: float(worth[number][~kept[number]].max()) / (price[number] if priced else 1.0)
        for number in open_
    }
    return max(sorted(open_), key=lambda number: value[number])


def _most(
    groups: Groups, limits: Limits, counts: tuple[int, ...], number: int
) -> tuple[int, ...] | None:
    """One channel more in a group, or where that does not fit the next number that does."""
    for more in range(counts[number] + 1, groups.sizes[number] + 1):
        tried = (*counts[:number], more, *counts[number + 1 :])
        if met(limits, tried):
            return tried
    return None
