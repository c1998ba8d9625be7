"""What the gates are compared with: the same share of every group, and the largest weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from picotrain.learn.architectures.architecture import Architecture
from picotrain.quantise.graph import Real
from picotrain.shrink.groups import Groups, Kept, counts_of
from picotrain.shrink.limits import Limits, met
from picotrain.shrink.pruning.settling import settled

_SHARES = 512


def magnitudes(
    architecture: Architecture, groups: Groups, weights: Sequence[tuple[Real, Real] | None]
) -> list[NDArray[np.float64]]:
    """Of each group, the mean magnitude of the weights that make a channel, as a share of that of
    its layer, so that layers can be compared; a mean over the layers of the group. `weights` are
    those with the norms within them."""
    found = [np.zeros(size) for size in groups.sizes]
    makers = [0] * len(groups.sizes)
    for index, held in enumerate(weights):
        if held is None or architecture.layers[index].kind == "depthwise":
            continue
        number = groups.made(index)
        each = np.abs(np.asarray(held[0], np.float64)).mean(axis=1)
        found[number] += each / max(float(each.mean()), 1e-30)
        makers[number] += 1
    return [one / max(1, count) for one, count in zip(found, makers, strict=True)]


def by_magnitude(
    architecture: Architecture,
    groups: Groups,
    limits: Limits,
    worth: Sequence[NDArray[np.float64]],
) -> Kept:
    """The channels of the least weights go, wherever they are, until the limits are met."""
    return settled(architecture, groups, limits, groups.all(), worth, priced=False)


def uniform(groups: Groups, limits: Limits, worth: Sequence[NDArray[np.float64]]) -> Kept:
    """The largest share, one for all groups, that meets the limits; of each group the channels of
    the largest weights."""
    for step in range(_SHARES, -1, -1):
        kept = _share(groups, worth, step / _SHARES)
        if met(limits, counts_of(kept)):
            return kept
    raise AssertionError("limits were met with the fewest channels")


def _share(groups: Groups, worth: Sequence[NDArray[np.float64]], share: float) -> Kept:
    kept = groups.all()
    for number in groups.free_numbers:
        count = max(1, round(share * groups.sizes[number]))
        order = np.argsort(-worth[number], kind="stable")
        kept[number][order[count:]] = False
    return kept
