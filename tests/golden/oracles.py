"""What tests give to golden's trainer and to a slow one beside it, of either form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_slow import Event
from picotrain_golden import Method, Network, normal_scores, scored_counts, select_edges


def named(method: Method) -> str:
    return f"{method.name} mu {method.mu} {method.select} easy {method.easy}"


def samples(network: Network, count: int, seed: int = 8) -> list[tuple[NDArray[np.uint8], int]]:
    random = np.random.default_rng(seed)
    return [
        (
            random.integers(0, 256, network.input_shape).astype(np.uint8),
            int(random.integers(network.classes)),
        )
        for _ in range(count)
    ]


def starts(network: Network, method: Method) -> list[dict[int, int]]:
    """The scores that each layer begins with, by edge: from sections 6 and 7, and not from what a
    trainer holds."""
    counts = scored_counts([layer.weight_count for layer in network.layers], method.permille)
    found: list[dict[int, int]] = []
    for index, held in enumerate(network.parameters):
        if held is None or not method.scored:
            found.append({})
            continue
        edges = np.arange(held.weights.size)
        if method.name == "priot-s":
            edges = select_edges(held.weights, counts[index], method.select, method.seed, index)
        drawn = normal_scores(method.seed, 4 * index, edges.size).reshape(-1)
        scores = drawn if method.start == "normal" else np.zeros(edges.size, np.int8)
        found.append(dict(zip(edges.tolist(), scores.tolist(), strict=True)))
    return found


class Recorder:
    """A trace that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.shapes: dict[tuple[str, int], tuple[int, ...]] = {}

    def __call__(self, kind: str, layer: int, tensor: NDArray[Any]) -> None:
        assert tensor.dtype == np.int8
        self.events.append((kind, layer, tensor.reshape(-1).tolist()))
        self.shapes[kind, layer] = tensor.shape
