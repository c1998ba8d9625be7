"""A feature extractor in floating point: it learns classes first, then tasks of few samples.

A task is ProtoNet's (arXiv 1703.05175) with a cosine: the logits of a query are `TEMPERATURE` times
its cosine with the mean of each class. Without the loss of the classes beside it, what was learnt
before is worth less on classes that are new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import SAMPLE_STREAM, Dataset, permutation
from picotrain.datasets.fewshot import Episode, Rule
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.pixels import real
from picotrain.learn.architectures.untrained import float_graph
from picotrain.learn.floating.graph import GraphTraining
from picotrain.learn.floating.training import FloatOptions
from picotrain.quantise.graph import FloatGraph, Real, TensorScale
from picotrain.quantise.quantise import Quantised, quantise

TEMPERATURE = 20.0
"""Of 5, 10, 15, 20, 30 and 40, 20 and 30 had the least loss over tasks of validation classes."""
_CLASSES = 0.3
"""What the loss of the classes counts beside that of the task."""
_LOGIT = TensorScale(TEMPERATURE / 100, 0)
"""Of an int8 head: a cosine of 1 is 100, and so TEMPERATURE nats."""
_IMAGES = 512
"""That the scales are chosen for."""
_BATCH = 256


LEARNT = Rule(most_ways=20, support=200, query=10, per_class=20)
"""Tasks to learn from: smaller than those of the test, so that there are more of them."""


@dataclass(frozen=True)
class TaskOptions:
    """`rate` is the largest step size, over one cycle of `tasks` steps; our choice, like `rule`."""

    tasks: int = 1_000
    rate: float = 0.005
    decay: float = 1e-4
    rule: Rule = LEARNT
    seed: int = 0


class TaskTraining(GraphTraining):
    """`epoch` learns the classes of a data set, however many the architecture has outputs; then
    `step` learns tasks of the same classes."""

    _half = False

    def __init__(
        self, architecture: Architecture, dataset: Dataset, options: FloatOptions, torch: Any
    ) -> None:
        super().__init__(with_outputs(architecture, dataset.classes), dataset, options, torch)
        self._shipped = architecture
        layer = self._layers[-1]
        self._last = (layer.inputs or (len(self._layers) - 2,))[0]

    def begin(self, options: TaskOptions) -> None:
        """Before the first task."""
        torch = self._torch
        weights, others = self._trained()
        self._random = torch.Generator().manual_seed(options.seed)
        self._optimiser = torch.optim.SGD(
            [
                {"params": weights, "weight_decay": options.decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=options.rate,
            momentum=0.9,
            nesterov=True,
        )
        self._optimiser.zero_grad(set_to_none=True)
        # As for the classes: with few steps OneCycleLR divides by 0.
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, options.rate, total_steps=max(8, options.tasks), pct_start=0.1
        )

    def step(self, task: Episode) -> tuple[float, float]:
        """Learn a task; its loss, and the share of queries that was right before."""
        torch = self._torch
        functional = torch.nn.functional
        images = [self._augmented(split) for split in (task.support, task.query)]
        found = self._output_of(self._last, torch.cat(images), learn=True)
        support, query = found[: len(task.support)], found[len(task.support) :]
        ways = torch.from_numpy(task.support.labels.astype(np.int64))
        labels = torch.from_numpy(task.query.labels.astype(np.int64))
        means = torch.zeros(task.ways, found.shape[1]).index_add(0, ways, support)
        # A sum has the cosines of a mean.
        logits = functional.normalize(query, dim=1) @ functional.normalize(means, dim=1).T
        loss = functional.cross_entropy(TEMPERATURE * logits, labels)
        classes = torch.tensor(task.classes)[torch.cat([ways, labels])]
        known = functional.linear(found, self._weights[-1], self._biases[-1])
        loss = loss + _CLASSES * functional.cross_entropy(known, classes)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        self._schedule.step()
        return loss.item(), float((logits.argmax(1) == labels).float().mean())

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What the last layer reads: float64 [N, F]."""
        found = []
        with self._torch.no_grad():
            for start in range(0, len(images), _BATCH):
                x = self._input(images[start : start + _BATCH])
                found.append(self._output_of(self._last, x, learn=False).double().numpy())
        return np.concatenate(found)

    def with_prototypes(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Quantised:
        """The affine network of the architecture, its head made of the class means of these images.

        A row is so long that a feature of median length has logits of TEMPERATURE times its cosine.
        """
        seen = self.features(images)
        length = float(np.median(np.linalg.norm(seen, axis=1)))
        rows = np.zeros((self._shipped.classes, seen.shape[1]))
        for label in np.unique(labels):
            mean = seen[labels == label].mean(axis=0)
            rows[label] = TEMPERATURE * mean / max(float(np.linalg.norm(mean)) * length, 1e-12)
        return quantise(self._graph(rows), real(self._images()))

    def _graph(self, rows: Real) -> FloatGraph:
        weights = [*self.folded()[:-1], (rows, np.zeros(len(rows)))]
        graph = float_graph(self._shipped, weights)
        head = replace(graph.layers[-1], scale=_LOGIT)
        return replace(graph, layers=(*graph.layers[:-1], head))

    def _images(self) -> NDArray[np.uint8]:
        """Of the training images, which may be sorted, some of all."""
        train = self._dataset.train
        order = permutation(len(train), self._options.seed, SAMPLE_STREAM)
        return train.images[order[:_IMAGES]]


def with_outputs(architecture: Architecture, count: int) -> Architecture:
    """The architecture with so many outputs of its last layer."""
    *layers, last = architecture.layers
    assert math.prod(last.out_shape[:2]) == 1
    return replace(architecture, layers=(*layers, replace(last, out_shape=(1, 1, count))))
