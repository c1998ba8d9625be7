"""What a backbone is worth without any adapting: the nearest class mean, by cosine."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.fewshot import PUBLISHED, Domain, Rule, sample_episode
from picotrain.device.given import images_for
from picotrain.progress import progress_bar
from picotrain_golden import Network
from picotrain_golden.numerics import UInt8
from picotrain_golden.passes import forward_pass

Floats = NDArray[np.floating]

_BATCH = 64
_SPREAD = 1.96
"""Standard errors on either side: 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """Mean of some numbers, and the half width of its 95 % confidence interval."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: list[float]) -> Interval:
        spread = stdev(values) if len(values) > 1 else 0.0
        return cls(fmean(values), _SPREAD * spread / sqrt(len(values)))

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.half:.4f}"


def features(network: Network, images: UInt8) -> Floats:
    """What the last layer of an affine network reads, less its zero point: float64 [N, F]."""
    weights = [None if held is None else held.weights for held in network.parameters]
    number = network.reads(len(network.layers) - 1)[0]
    zero = network.affine[-1].zero_in[0]
    found = []
    with progress_bar("features", len(images)) as advance:
        for start in range(0, len(images), _BATCH):
            batch = images_for(network, images[start : start + _BATCH])
            made = forward_pass(network, weights, batch, dynamic=False).activations[number + 1]
            found.append(made.reshape(len(batch), -1).astype(np.float64) - zero)
            advance(len(batch))
    return np.concatenate(found)


def nearest(
    support: Floats, labels: NDArray[np.integer], query: Floats, ways: int
) -> NDArray[np.intp]:
    """The way of each query [M, F] whose mean of the support [N, F] is nearest by cosine."""
    means = np.stack([support[labels == way].mean(axis=0) for way in range(ways)])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    found: NDArray[np.intp] = (query @ means.T).argmax(axis=1)
    return found


def accuracies(
    domain: Domain, seen: Floats, episodes: int, seed: int = 0, rule: Rule = PUBLISHED
) -> list[float]:
    """Of tasks 0..episodes-1 the share of queries that is right; `seen` [N, F] are the features of
    all images of the domain."""
    results = []
    for number in range(episodes):
        task = sample_episode(domain, seed, number, rule)
        support, query = seen[task.support_images], seen[task.query_images]
        found = nearest(support, task.support.labels, query, task.ways)
        results.append(float((found == task.query.labels).mean()))
    return results
