"""Backbones for tasks of few samples: pre-trained on classes, and meta-trained on tasks as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from picotrain.datasets import Dataset, Split
from picotrain.datasets.fewshot import Domain, sample_episode
from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.calibration import calibrate
from picotrain.learn.fewshot.prototypes import Interval, accuracies
from picotrain.learn.float_pretrain import FloatOptions, one_thread, ready
from picotrain.learn.floating.tasks import TaskOptions, TaskTraining
from picotrain.progress import progress_bar
from picotrain.quantise.quantise import Quantised
from picotrain_golden import Histograms, Network, calibrated

_REPORT = 250
"""Tasks between two entries of the history."""
_WATCHED = 100
"""Tasks that watch, of the domain that is tuned on."""
_CALIBRATED = 512
"""Images that the static scales are taken from."""

Entry = dict[str, Any]
Report = Callable[[Entry], None]


@dataclass(frozen=True)
class MetaOptions:
    """First classes, then tasks; the defaults were chosen on validation classes."""

    classes: FloatOptions = field(
        default_factory=lambda: FloatOptions(epochs=40, int8_epochs=0, batch=128, decay=1e-4)
    )
    tasks: TaskOptions = field(default_factory=TaskOptions)


@dataclass(frozen=True, eq=False)
class Backbone:
    """An affine network whose head is made of prototypes of validation classes, calibrated on them;
    `accuracy` is that of the nearest class mean over tasks of validation classes, in float."""

    quantised: Quantised
    network: Network
    histograms: Histograms
    accuracy: Interval
    sha256: dict[str, str]


class MetaTraining:
    """The two stages of one network, on classes `dataset` and on tasks of `learnt`; `tuned` has the
    classes that watch.

    Raises UserError without PyTorch.
    """

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        learnt: Domain,
        tuned: Domain,
        options: MetaOptions,
    ) -> None:
        torch = ready(dataset, options.classes)
        self._architecture, self._options = architecture, options
        self._learnt, self._tuned = learnt, tuned
        self.training = TaskTraining(architecture, dataset, options.classes, torch)
        self._torch = torch

    def classes(self, report: Report) -> list[Entry]:
        """Stage 1; the history of its epochs."""
        history = []
        with one_thread(self._torch, self._architecture):
            for number in range(1, self._options.classes.epochs + 1):
                entry = self.training.epoch(number)
                history.append(entry)
                report(entry)
        return history

    def tasks(self, report: Report) -> list[Entry]:
        """Stage 2; the mean loss and accuracy of so many tasks each."""
        options = self._options.tasks
        history: list[Entry] = []
        results: list[tuple[float, float]] = []
        with one_thread(self._torch, self._architecture):
            self.training.begin(options)
            with progress_bar("tasks", options.tasks, "task") as advance:
                for number in range(options.tasks):
                    task = sample_episode(self._learnt, options.seed, number, options.rule)
                    results.append(self.training.step(task))
                    if not isfinite(results[-1][0]):
                        raise UserError(
                            f"the loss of task {number + 1} is not a finite number; use a smaller "
                            "step size (--task-rate)"
                        )
                    advance(1)
                    if (number + 1) % _REPORT == 0 or number + 1 == options.tasks:
                        loss, accuracy = np.mean(results, axis=0).tolist()
                        watched = self.accuracy()
                        history.append(
                            {
                                "task": number + 1,
                                "loss": loss,
                                "train_accuracy": accuracy,
                                "validation_accuracy": watched.mean,
                            }
                        )
                        report(history[-1])
                        results = []
        return history

    def accuracy(self) -> Interval:
        """Of the nearest class mean, in float, over tasks of validation classes."""
        seen = self.training.features(self._tuned.images)
        return Interval.of(accuracies(self._tuned, seen, _WATCHED))

    def backbone(self) -> Backbone:
        """What was learnt so far, as integers."""
        with one_thread(self._torch, self._architecture):
            kept = np.flatnonzero(self._tuned.labels < self._architecture.classes)
            split = Split(self._tuned.images[kept], self._tuned.labels[kept])
            made = self.training.with_prototypes(split.images, split.labels)
            watched = self.accuracy()
        dataset = Dataset(
            name=self._tuned.name,
            splits=dict.fromkeys(("train", "validation", "test"), split),
            classes=self._architecture.classes,
            source=self._tuned.source,
            sha256=self._tuned.sha256,
        )
        seed = self._options.classes.seed
        histograms = calibrate(made.network, dataset, _CALIBRATED, 0, seed)
        return Backbone(
            made,
            calibrated(made.network, histograms),
            histograms,
            watched,
            dict(self._tuned.sha256),
        )
