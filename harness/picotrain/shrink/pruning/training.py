"""Training with gates, and without them."""

from __future__ import annotations

import math
import warnings
from typing import Any

from picotrain.datasets import Dataset
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.graph import GraphTraining
from picotrain.learn.floating.training import FloatOptions
from picotrain.shrink.groups import Groups
from picotrain.shrink.pruning.gates import Gates
from picotrain_golden.network import Layer


class GatedTraining(GraphTraining):
    """A gate follows every layer that has weights: what adds and pools read is shut already."""

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        options: FloatOptions,
        torch: Any,
        groups: Groups,
        gates: Gates | None = None,
        skipped: int = 0,
    ) -> None:
        """`skipped`: epochs of the cycle of the step size that are over."""
        super().__init__(architecture, dataset, options, torch)
        self._groups, self.gates, self._skipped = groups, gates, skipped

    def _forward(self, x: Any, learn: bool) -> Any:
        if self.gates is not None:
            self.gates.leaves(self._torch, len(x))
        return super()._forward(x, learn)

    def _made(self, index: int, layer: Layer, reads: list[Any], learn: bool) -> Any:
        made = super()._made(index, layer, reads, learn)
        if self.gates is None or not layer.has_weights:
            return made
        # The channel of a depthwise layer is that of its input, whose gate has counted already.
        counts = learn and layer.kind != "depthwise"
        gate = self.gates.of(self._groups.made(index), counts)
        return made if gate is None else made * gate.to(made.dtype)[:, :, None, None]

    def _optimise(self, rate: float, epochs: int) -> None:
        super()._optimise(rate, epochs)
        with warnings.catch_warnings():
            # Of steps before the first one of the optimiser, which are meant.
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(self._skipped * self._batches):
                self._schedule.step()

    def _step(self, loss: Any) -> None:
        super()._step(loss)
        if self.gates is not None:
            self.gates.learn()

    def loss(self, images: int) -> float:
        """The mean loss of so many training images, as they are."""
        torch = self._torch
        split, total = self._dataset.train, 0.0
        count, size = min(images, len(split)), self._options.batch
        with torch.no_grad():
            for start in range(0, count, size):
                end = min(start + size, count)
                logits = self._forward(self._input(split.images[start:end]), learn=False)
                labels = torch.from_numpy(split.labels[start:end].astype("int64"))
                loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
                total += loss.item()
        mean = total / count
        return mean if math.isfinite(mean) else 0.0
