"""Figure 2: what happens inside while static scales fail, image by image over the first epoch.

Every training step is traced, so every logit, error and weight is seen as the device made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.device.backends import open_device
from picotrain.device.interface import Device, state_sha256
from picotrain.learn import methods, models
from picotrain.learn.adapt import AdaptOptions, epoch_order, prepare
from picotrain.learn.calibration import calibrated_by
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network
from picotrain_golden.numerics import LIMIT

TARGET = "host"
ANGLE = 30.0
FIRST_WINDOW = 8
"""Images of the first window. Later ones end at 12, 16, 24, 32, 48 and so on: a collapse takes few
images, and what comes after it changes little."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
KINDS = ("forward", "error", "update")


@dataclass(frozen=True)
class Run:
    """One run of the figure: a method with a constant step size under a calibration rule."""

    name: str
    label: str
    method: str
    mu: int
    calibration: str


RUNS = (
    Run("fair", "NITI static, mu 3, fair", "niti-static", 3, "fair"),
    Run("naive", "NITI static, mu 3, naive", "niti-static", 3, "naive"),
    Run("step", "NITI static, mu 7, turned", "niti-static", 7, "turned"),
    Run("priot-naive", "PRIOT, mu 3, naive", "priot", 3, "naive"),
    Run("priot-step", "PRIOT, mu 7, turned", "priot", 7, "turned"),
)


def measure(run: Run, dataset_name: str, images: int | None, seed: int = 0) -> dict[str, Any]:
    """One epoch of one run: a curve of everything, and the accuracy before and after.

    `images` for training and as many for evaluation; None: 1,024 or what there is.
    """
    dataset = datasets.load(dataset_name)
    shipped, _ = models.load_backbone(models.backbone_path("tinycnn", dataset_name))
    network = calibrated_by(shipped, dataset, run.calibration)
    method = methods.make(run.method, mu=run.mu, seed=seed)
    options = AdaptOptions(
        angle=ANGLE,
        method=method,
        epochs=1,
        seed=seed,
        train_samples=images,
        test_samples=images,
        evaluate_on="validation",
    )
    task = prepare(dataset, options)
    order = epoch_order(len(task.train.labels), seed, 1)
    train = replace(task.train, images=task.train.images[order], labels=task.train.labels[order])
    device = open_device(TARGET)
    try:
        device.load_model(network)
        device.set_method(Method("infer"))
        before = device.evaluate(task.test.images, task.test.labels).correct(task.test.labels)
        device.set_method(method)
        curve = list(_windows(device, network, method, train.images, train.labels))
        done = device.evaluate(task.test.images, task.test.labels)
        state = state_sha256(device, network)
    finally:
        device.close()
    classes = np.bincount(done.predictions, minlength=network.classes)
    count = len(task.test.labels)
    return {
        "name": run.name,
        "label": run.label,
        "method": run.method,
        "mu": run.mu,
        "calibration": run.calibration,
        "dataset": dataset_name,
        "model": network.name,
        "angle": ANGLE,
        "seed": seed,
        "split": "validation",
        "images": len(train.labels),
        "quantiles": list(QUANTILES),
        "layers": [index for index, layer in enumerate(network.layers) if layer.has_weights],
        "static_numbers": _static_numbers(network),
        "accuracy_before": before / count,
        "accuracy_after": done.correct(task.test.labels) / count,
        "most_predicted_after": float(classes.max()) / count,
        "windows": curve,
        "state_sha256": state,
    }


def _static_numbers(network: Network) -> dict[str, list[int]]:
    held = [one for one in network.parameters if one is not None]
    names = ("forward_shift", "error_shift", "gradient_bits", "score_bits")
    return {name: [int(getattr(one, name)) for one in held] for name in names}


def _windows(
    device: Device,
    network: Network,
    method: Method,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
) -> Iterator[dict[str, Any]]:
    """What each window of training steps looked like; shares of 1 unless it says otherwise."""
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    elements = _elements(device, network, method)
    last = len(network.layers) - 1
    with progress_bar("collapse", len(labels)) as advance:
        for start, end in pairwise((0, *_window_ends(len(labels)))):
            window = _Window(last)
            device.clear_saturation()
            for image, label in zip(images[start:end], labels[start:end], strict=True):
                for tensor in device.trace(image, int(label)):
                    window.add(tensor.kind, tensor.layer, tensor.values, int(label))
                advance(1)
            counts = device.saturation()
            yield {
                "images": end,
                **window.summary(),
                "saturated": {
                    kind: [
                        _share(counts[index, place], elements[index][place] * len(window.logits))
                        for index in weighted
                    ]
                    for place, kind in enumerate(KINDS)
                },
                **_state(device, weighted, method),
            }


def _window_ends(images: int) -> list[int]:
    """After how many images each window ends; the last one after all."""
    ends, end = [], FIRST_WINDOW
    while end < images:
        ends += [end, end + end // 2]
        end *= 2
    return [*(one for one in ends if one < images), images]


def _elements(device: Device, network: Network, method: Method) -> dict[int, tuple[int, int, int]]:
    """Elements of each layer that one step could clamp: forward, error, update."""
    found = {}
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            error = int(np.prod(layer.in_shape)) if index > network.first_weighted else 0
            state = len(device.scored_edges(index)) if method.scored else layer.weight_count
            found[index] = (int(np.prod(layer.out_shape)), error, state)
    return found


def _share(count: int, of: int) -> float:
    return round(int(count) / of, 6) if of else 0.0


class _Window:
    """The logits, loss errors and updates of some steps."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.logits: list[NDArray[Any]] = []
        self._right: list[bool] = []
        self._norms: list[int] = []
        self._moved: dict[int, list[float]] = {}
        self._silent: dict[int, list[float]] = {}

    def add(self, kind: str, layer: int, values: NDArray[Any], label: int) -> None:
        if kind == "activation" and layer == self._last:
            self.logits.append(values)
            self._right.append(int(values.argmax()) == label)
        elif kind == "activation" and layer >= 0:
            self._silent.setdefault(layer, []).append(float((values == 0).mean()))
        elif kind == "error" and layer == self._last:
            self._norms.append(int(np.abs(values.astype(np.int64)).sum()))
        elif kind == "update":
            self._moved.setdefault(layer, []).append(float((values != 0).mean()))

    def summary(self) -> dict[str, Any]:
        logits = np.stack(self.logits).astype(np.int64)
        classes = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
        return {
            "accuracy": float(np.mean(self._right)),
            "most_predicted": float(classes.max() / len(logits)),
            "logits": [float(value) for value in np.quantile(logits, QUANTILES)],
            "logits_at_limit": float((np.abs(logits) == LIMIT).mean()),
            "zero_errors": float(np.mean([norm == 0 for norm in self._norms])),
            "loss_norm": float(np.mean(self._norms)),
            "moved": [round(float(np.mean(self._moved[at])), 6) for at in sorted(self._moved)],
            "silent": {
                str(at): round(float(np.mean(shares)), 6)
                for at, shares in sorted(self._silent.items())
            },
        }


def _state(device: Device, weighted: list[int], method: Method) -> dict[str, list[float]]:
    """Of each layer the share of weights (or scores) at the limit, and of edges that are pruned."""
    limit, pruned = [], []
    for index in weighted:
        held = device.scores(index) if method.scored else device.weights(index)
        limit.append(round(float((np.abs(held.astype(np.int16)) == LIMIT).mean()), 6))
        below = float((held < method.theta).mean()) if method.scored else 0.0
        pruned.append(round(below, 6))
    return {"at_limit": limit, "pruned": pruned}
