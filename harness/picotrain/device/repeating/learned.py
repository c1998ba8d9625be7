"""What a device has learned, to be put back; and batches in the parts that a device takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from picotrain.device.interface import BatchResult, Device, Int8
from picotrain_golden import Method, Network, Selection

Tensors = list[Int8 | None]
"""One for each layer, None for one without weights."""


@dataclass(frozen=True)
class Learned:
    """What a method changes; empty where it changes none of these."""

    weights: Tensors = field(default_factory=list)
    scores: Tensors = field(default_factory=list)

    @classmethod
    def of(cls, device: Device, network: Network, method: Method) -> Learned:
        """What a device has, that trains the network by the method."""

        def every(read: Callable[[int], Int8]) -> Tensors:
            layers = enumerate(network.layers)
            return [read(index) if layer.has_weights else None for index, layer in layers]

        return cls(
            every(device.weights) if method.changes_weights else [],
            every(device.scores) if method.scored else [],
        )

    def put(self, device: Device) -> None:
        """Back, under the method that they are of."""
        for write, tensors in (
            (device.put_weights, self.weights),
            (device.put_scores, self.scores),
        ):
            for layer, values in enumerate(tensors):
                if values is not None:
                    write(layer, values)


def unreturnable(method: Method | None, selection: Selection | None, head: bool) -> str | None:
    """What such a device has that cannot be put back."""
    if selection is not None:
        return "its selection of rows"
    if head:
        return "the head that was made on it"
    if method is not None and method.name in ("fisher", "prototype"):
        return f"what method {method.name} gathered"
    return None


def parts_of(images: int, most: int) -> list[slice]:
    """As a device cuts them itself; at least one."""
    return [slice(at, at + most) for at in range(0, max(1, images), most)]


def joined(parts: list[BatchResult]) -> BatchResult:
    spent = [part.cycles for part in parts if part.cycles is not None]
    return BatchResult(
        np.concatenate([part.predictions for part in parts]),
        np.concatenate([part.loss_norms for part in parts]),
        np.concatenate([part.saturated for part in parts]),
        sum(spent) or None,
    )
