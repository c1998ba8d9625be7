"""Exercises that nobody did, for the small version, which needs no download; and networks that know
them without PyTorch."""

from __future__ import annotations

import numpy as np

from picotrain.datasets import watch
from picotrain.datasets.dataset import Dataset
from picotrain.datasets.watch import Recording
from picotrain.device.backends import open_device
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.pretrain import PretrainOptions, pretrain
from picotrain_golden import Network

_SAMPLES = 250
_LEARNT = 300
_OPTIONS = PretrainOptions(epochs=2, mu=(2, 1), calibration_samples=32)


def recordings() -> list[Recording]:
    """Each exercise swings in its own way, with a person's own speed and reach."""
    random = np.random.default_rng(0)
    swing, phase = random.normal(size=(7, 6)), random.uniform(0, 2 * np.pi, (7, 6))
    found = []
    for person in watch.PEOPLE:
        speed, reach = random.uniform(2, 4), random.uniform(0.5, 1.5)
        for exercise in range(7):
            for right in (False, True):
                angles = speed * np.arange(_SAMPLES)[:, np.newaxis] / watch.RATE_HZ
                samples = reach * swing[exercise] * np.sin(angles + phase[exercise])
                samples[:, 0] *= 1 if right else -1
                noise = random.normal(0, 0.2, samples.shape)
                found.append(Recording(person, exercise, right, samples + noise))
    return found


def in_integers(architecture: Architecture, dataset: Dataset) -> Network:
    """Trained a little by NITI, on the host."""
    some = np.linspace(0, len(dataset.train) - 1, _LEARNT).astype(np.int64)
    train = dataset.train.take(some)
    splits = {"train": train, "validation": train.take(np.arange(32)), "test": train}
    few = Dataset(dataset.name, splits, dataset.classes, "", {})
    with open_device("host") as device:
        return pretrain(device, architecture, few, _OPTIONS, lambda _: None)[0]
