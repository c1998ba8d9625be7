"""How well a network does, class by class, as it is or with what a state has learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Split
from picotrain.device.given import images_for
from picotrain.device.interface import Device
from picotrain.device.meter import CycleMeter
from picotrain.learn.field.state import State
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network


@dataclass(frozen=True, eq=False)
class Inference:
    """Predictions and labels int64 [N], what they cost, and the RAM that they took."""

    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    classes: int
    cycles_per_image: float | None
    cycles_by: str
    ms_per_image_125mhz: float | None
    ram_bytes: dict[str, int | None]
    model_in_flash: int

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.predictions == self.labels))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [classes, classes]: images of a class, by the class that was predicted."""
        counts = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts

    def by_class(self) -> list[dict[str, Any]]:
        """Of each class how many images it has, how many are right, and how many were said to be
        of it; an accuracy of None where it has no images."""
        counts = self.confusion
        return [
            {
                "class": number,
                "images": int(row.sum()),
                "correct": int(row[number]),
                "accuracy": float(row[number] / row.sum()) if row.sum() else None,
                "predicted": int(counts[:, number].sum()),
            }
            for number, row in enumerate(counts)
        ]


def infer(
    device: Device,
    network: Network,
    split: Split,
    state: State | None = None,
    frozen: bool = False,
    fused: bool = False,
) -> Inference:
    """Predict all images of a split, pixels 0..255, as the state's method does, or by `infer`, then
    with convolution and pool as one operation where `fused`."""
    if state is None:
        device.load_model(network, frozen=frozen)
        device.set_method(Method("infer", fused=fused))
    else:
        network = state.restore(device, network, frozen)
    meter, images = CycleMeter(device), images_for(network, split.images)
    with progress_bar("infer", len(split), alive=True) as advance:
        done = meter.run(partial(device.evaluate, images, split.labels, advance))
    memory = device.memory()
    return Inference(
        split.labels.astype(np.int64),
        done.predictions,
        network.classes,
        meter.per_image,
        meter.by,
        meter.milliseconds,
        memory.by_part(),
        memory.model_in_flash,
    )
