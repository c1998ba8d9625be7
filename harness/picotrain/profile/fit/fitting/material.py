"""Networks with images to run them on: what the cost model is fitted to and checked on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Split
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.profile.fit.fitting.drawn import architecture, forked
from picotrain.profile.fit.prepare import INFER, calibrated, trains
from picotrain_golden import Method, Network, Selection

METHODS = (
    Method("niti-dynamic"),
    Method("niti-static"),
    Method("priot"),
    Method("priot-s"),
)


@dataclass(frozen=True)
class Case:
    network: Network
    method: Method
    images: Split
    selection: Selection | None = None


def images(network_shape: tuple[int, int, int], classes: int, seed: int, count: int) -> Split:
    """Noise, every second one within a part of a black image."""
    random = np.random.default_rng([seed, 21])
    pixels = random.integers(0, 256, (count, *network_shape), dtype=np.uint8)
    height, width, _ = network_shape
    for one in pixels[1::2]:
        inside = np.zeros((height, width), np.bool_)
        top, left = (int(random.integers(0, side // 2 + 1)) for side in (height, width))
        inside[top : top + height // 2 + 1, left : left + width // 2 + 1] = True
        one[~inside] = 0
        one[random.random(one.shape) < 0.3] = 0
    labels = random.integers(0, min(classes, 256), count).astype(np.uint8)
    return Split(pixels, labels)


def material(made: Architecture, seed: int, count: int) -> tuple[Network, Split]:
    """An untrained network, calibrated where it trains, and images."""
    network = models.initial_network(made, seed)
    split = images(network.input_shape, network.classes, seed, max(count, 4))
    return calibrated(network, split), Split(split.images[:count], split.labels[:count])


def some_rows(network: Network, seed: int, share: float = 0.25) -> Selection:
    """A selection of some rows of every second layer with weights, and of the last."""
    random = np.random.default_rng([seed, 22])
    weighted = [i for i, layer in enumerate(network.layers) if layer.has_weights]
    chosen = set(weighted[1::2]) | {weighted[-1]}
    rows: list[NDArray[np.bool_] | None] = []
    for index, layer in enumerate(network.layers):
        if not layer.has_weights:
            rows.append(None)
            continue
        count = max(1, round(layer.rows * share)) if index in chosen else 0
        bits = np.zeros(layer.rows, np.bool_)
        bits[random.permutation(layer.rows)[:count]] = True
        rows.append(bits)
    return Selection(tuple(rows))


def _cases(made: Architecture, seed: int) -> list[Case]:
    network, split = material(made, seed, 2)
    one = Split(split.images[seed % 2 :][:1], split.labels[seed % 2 :][:1])
    cases = [Case(network, INFER, one)]
    return cases + [Case(network, method, one) for method in METHODS if trains(network, method)]


def forked_cases(seed: int) -> list[Case]:
    return _cases(forked(seed), seed)


def drawn_cases(seed: int, affine: bool) -> list[Case]:
    """Of a drawn network an inference and a step of each method, on an image that is noise or part
    of a black one; of every third affine one steps of a selection too."""
    cases = _cases(architecture(seed, affine), seed)
    network, one = cases[0].network, cases[0].images
    if affine and seed % 3 == 0:
        chosen = some_rows(network, seed)
        cases += [Case(network, Method(name), one, chosen) for name in ("niti-dynamic", "priot")]
    return cases
