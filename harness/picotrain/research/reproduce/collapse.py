"""Figure 2: what happens inside while the logits of a run clamp, window by window of its images.

Every image trains as in `adapt`. Some in each window are traced: of those every logit, error and
update is seen as the device made it, and the sums behind the logits are worked out from the inputs
and the weights that it held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.datasets import Split
from picotrain.device.backends import open_device
from picotrain.device.interface import Device, state_sha256
from picotrain.learn import methods, models
from picotrain.learn.adapt import AdaptOptions, configured, epoch_order, prepare
from picotrain.learn.field.state import pruned
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network
from picotrain_golden.layers import forward
from picotrain_golden.loss import loss_error
from picotrain_golden.network import INPUT_EXPONENT
from picotrain_golden.numerics import LIMIT, Int8, Int32, dynamic_shift

TARGET = "host"
ANGLE = 30.0
FIRST_WINDOW = 8
"""Images of the first window. Later ones end at 16, 32 and so on, from 256 on four times an octave:
the first changes take few images, the later ones many."""
FINER_FROM = 256
TRACED = 32
"""Images of a window that are traced, spread evenly; all where it has no more."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
KINDS = ("forward", "error", "update")


@dataclass(frozen=True)
class Run:
    """One run of the figure: a constant step size at an exponent of the logits.

    `headroom`: so many bits more for the shift of the last layer than calibration gives. A unit of
    a sum stays as many nats, and the clamp is 2^headroom times as far away.
    """

    name: str
    label: str
    method: str
    mu: int
    exponent: int
    images: int
    calibration: str = "fair"
    headroom: int = 0


LONG = 60 * 1024
RUNS = (
    Run("quiet", "NITI static, mu 3, -2", "niti-static", 3, -2, LONG),
    Run("niti-4", "NITI static, mu 3, -4", "niti-static", 3, -4, LONG),
    Run("niti-5", "NITI static, mu 3, -5", "niti-static", 3, -5, LONG),
    Run("niti-room", "NITI static, mu 3, -5, 3 bits", "niti-static", 3, -5, LONG, headroom=3),
    Run("dynamic-5", "NITI dynamic, mu 3, -5", "niti-dynamic", 3, -5, LONG),
    Run("priot-4", "PRIOT, mu 3, -4", "priot", 3, -4, LONG),
    Run("priot-5", "PRIOT, mu 3, -5", "priot", 3, -5, LONG),
    Run("priot-room", "PRIOT, mu 3, -5, 3 bits", "priot", 3, -5, LONG, headroom=3),
    Run("naive", "NITI static, mu 3, -2, naive", "niti-static", 3, -2, 1024, "naive"),
)


def measure(
    run: Run, dataset_name: str, images: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """One run: a curve of everything, and the accuracy before and after.

    `images`: at most so many to train on, all of one epoch, and as many for evaluation. None: the
    run's own number, in epochs of 1,024 or what there is.
    """
    dataset = datasets.load(dataset_name)
    shipped, _ = models.load_backbone(models.backbone_path("tinycnn", dataset_name))
    method = methods.make(run.method, mu=run.mu, seed=seed)
    options = AdaptOptions(
        angle=ANGLE,
        method=method,
        epochs=1,
        seed=seed,
        train_samples=images,
        test_samples=images,
        evaluate_on="validation",
        calibration=run.calibration,
        logits_exponent=run.exponent,
    )
    task = prepare(dataset, options)
    network = configured(shipped, task, options)
    last = network.of(len(network.layers) - 1)
    clamp = clamp_limit(last.forward_shift)
    last.forward_shift += run.headroom
    count = len(task.train)
    total = run.images if images is None else min(run.images, count)
    epochs = range(1, -(-total // count) + 1)
    order = np.concatenate([epoch_order(count, seed, epoch) for epoch in epochs])[:total]
    shipped_last = shipped.of(len(network.layers) - 1)
    device = open_device(TARGET)
    try:
        device.load_model(network)
        device.set_method(Method("infer"))
        before = device.evaluate(task.test.images, task.test.labels).correct(task.test.labels)
        device.set_method(method)
        curve = list(_windows(device, network, method, task.train, order, task.test))
        state = state_sha256(device, network)
    finally:
        device.close()
    return {
        "name": run.name,
        "label": run.label,
        "method": run.method,
        "mu": run.mu,
        "calibration": run.calibration,
        "headroom": run.headroom,
        "logits_exponent": network.logits_exponent,
        "dataset": dataset_name,
        "model": network.name,
        "angle": ANGLE,
        "seed": seed,
        "split": "validation",
        "images": total,
        "epoch_images": count,
        "traced": TRACED,
        "quantiles": list(QUANTILES),
        "layers": [index for index, layer in enumerate(network.layers) if layer.has_weights],
        "static_numbers": _static_numbers(network),
        "gap_without_error": gap_without_error(network.classes, network.logits_exponent),
        # Of the calibrated shift: one unit for all runs.
        "clamp": clamp,
        "reach_in_principle": LIMIT * LIMIT * network.layers[-1].row_length,
        "reach_before": reach(shipped_last.weights),
        "magnitude_before": magnitude(shipped_last.weights),
        "accuracy_before": before / len(task.test),
        "accuracy_after": curve[-1]["accuracy"],
        "most_predicted_after": curve[-1]["most_predicted"],
        "windows": curve,
        "state_sha256": state,
    }


def gap_without_error(classes: int, exponent: int) -> int | None:
    """How far ahead of all others the right logit must be to leave no error; None: no int8 ones
    are so far apart."""
    for gap in range(1, 2 * LIMIT + 1):
        logits = np.full(classes, LIMIT - gap, np.int8)
        logits[0] = LIMIT
        if not loss_error(logits, exponent, 0).any():
            return gap
    return None


def clamp_limit(shift: int) -> int:
    """127.5 * 2^shift, rounded down: a larger sum is clamped to 127."""
    return (2 * LIMIT + 1 << shift) >> 1


def reach(weights: Int8) -> int:
    """The largest |sum| that rows of weights [rows, K] can make of inputs after a ReLU, 0 to 127:
    all weights of one sign at work, and none of the other.

    Of all weights it is the limit under any mask, because a mask keeps a weight or drops it.
    """
    wide = weights.astype(np.int64)
    positive, negative = wide.clip(min=0).sum(axis=1), -wide.clip(max=0).sum(axis=1)
    return LIMIT * int(max(positive.max(), negative.max()))


def magnitude(weights: Int8) -> int:
    """127 times the largest sum of |w| of a row: the same for inputs of either sign."""
    return LIMIT * int(np.abs(weights.astype(np.int64)).sum(axis=1).max())


def effective_weights(device: Device, network: Network, method: Method, index: int) -> Int8:
    """The weights [rows, K] that the next step of the device multiplies with."""
    layer = network.layers[index]
    weights = device.weights(index)
    if method.scored:
        scores, edges = device.scores(index), device.scored_edges(index)
        weights = pruned(weights, scores, method.theta, edges)
    return weights.reshape(layer.rows, layer.row_length)


@dataclass(frozen=True)
class Sums:
    """The last layer's accumulators of one image, the shift of each layer with weights, and the
    exponent of the logits."""

    accumulators: Int32
    shifts: tuple[int, ...]
    exponent: int


def last_sums(
    network: Network, weights: dict[int, Int8], inputs: dict[int, Int8], dynamic: bool
) -> Sums:
    """From the input of each layer with weights, by layer; static scales need the last one's."""
    last = len(network.layers) - 1
    accumulators = _sums(network, last, weights, inputs)
    held = [(index, one) for index, one in enumerate(network.parameters) if one is not None]
    if dynamic:
        hidden = [_sums(network, index, weights, inputs) for index, _ in held[:-1]]
        shifts = [dynamic_shift(one) for one in (*hidden, accumulators)]
    else:
        shifts = [one.forward_shift for _, one in held]
    exponents = [one.exponent for _, one in held]
    return Sums(
        accumulators.reshape(-1), tuple(shifts), INPUT_EXPONENT + sum(exponents) + sum(shifts)
    )


def _sums(network: Network, index: int, weights: dict[int, Int8], inputs: dict[int, Int8]) -> Int32:
    layer = network.layers[index]
    return forward(layer, weights[index], inputs[index].reshape(1, *layer.in_shape))


def _static_numbers(network: Network) -> dict[str, list[int]]:
    held = [one for one in network.parameters if one is not None]
    names = ("forward_shift", "error_shift", "gradient_bits", "score_bits")
    return {name: [int(getattr(one, name)) for one in held] for name in names}


def _windows(
    device: Device,
    network: Network,
    method: Method,
    train: Split,
    order: NDArray[np.integer[Any]],
    test: Split,
) -> Iterator[dict[str, Any]]:
    """What each window of training steps looked like; shares of 1 unless it says otherwise."""
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    elements = _elements(device, network, method)
    with progress_bar("collapse", len(order)) as advance:
        for start, end in pairwise((0, *_window_ends(len(order)))):
            window = _Window(device, network, method)
            device.clear_saturation()
            for first, traced in pairwise((start - 1, *_traced(start, end))):
                window.train(train.take(order[first + 1 : traced]))
                window.trace(train.take(order[traced : traced + 1]))
                advance(traced - first)
            counts = device.saturation()
            done = device.evaluate(test.images, test.labels)
            yield {
                "images": end,
                "accuracy": _rounded(done.correct(test.labels) / len(test)),
                "most_predicted": _rounded(_most(done.predictions, network.classes)),
                **window.summary(),
                "saturated": {
                    kind: [
                        _share(counts[index, place], elements[index][place] * (end - start))
                        for index in weighted
                    ]
                    for place, kind in enumerate(KINDS)
                },
                **_state(device, network, method, weighted),
            }


def _window_ends(images: int) -> list[int]:
    """After how many images each window ends; the last one after all."""
    ends, end = [], FIRST_WINDOW
    while end < images:
        parts = 4 if end >= FINER_FROM else 1
        ends += [end + end * part // parts for part in range(parts)]
        end *= 2
    return [*(one for one in ends if one < images), images]


def _traced(start: int, end: int) -> list[int]:
    """Which images of a window are traced: the last one always."""
    count = min(TRACED, end - start)
    return [start + (end - start) * (number + 1) // count - 1 for number in range(count)]


def _elements(device: Device, network: Network, method: Method) -> dict[int, tuple[int, int, int]]:
    """Elements of each layer that one step could clamp: forward, error, update."""
    found = {}
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            error = int(np.prod(layer.in_shape)) if index > network.first_weighted else 0
            state = len(device.scored_edges(index)) if method.scored else layer.weight_count
            found[index] = (int(np.prod(layer.out_shape)), error, state)
    return found


def _rounded(share: float) -> float:
    return round(float(share), 4)


def _share(count: int, of: int) -> float:
    return _rounded(int(count) / of) if of else 0.0


def _most(predictions: NDArray[np.integer[Any]], classes: int) -> float:
    return float(np.bincount(predictions, minlength=classes).max()) / len(predictions)


class _Window:
    """Trains on the images of a window, and keeps what it saw of them."""

    def __init__(self, device: Device, network: Network, method: Method) -> None:
        self._device, self._network, self._method = device, network, method
        self._last = len(network.layers) - 1
        self._looked_at = (
            [index for index, layer in enumerate(network.layers) if layer.has_weights]
            if method.dynamic
            else [self._last]
        )
        self._right: list[NDArray[np.bool_]] = []
        self._norms: list[NDArray[np.int64]] = []
        self._logits: list[Int8] = []
        self._hidden: list[Int8] = []
        self._sums: list[Sums] = []
        self._moved: dict[int, list[float]] = {}

    def train(self, images: Split) -> None:
        if len(images):
            done = self._device.train(images.images, images.labels)
            self._right.append(done.predictions == images.labels)
            self._norms.append(done.loss_norms)

    def trace(self, images: Split) -> None:
        """A step on the one image."""
        weights = {
            index: effective_weights(self._device, self._network, self._method, index)
            for index in self._looked_at
        }
        inputs: dict[int, Int8] = {}
        label = int(images.labels[0])
        for tensor in self._device.trace(images.images[0], label):
            if tensor.kind == "activation":
                inputs[tensor.layer + 1] = tensor.values
            elif tensor.kind == "error" and tensor.layer == self._last:
                norm = np.abs(tensor.values.astype(np.int64)).sum()
                self._norms.append(np.array([norm], np.int64))
            elif tensor.kind == "update":
                moved = float((tensor.values != 0).mean())
                self._moved.setdefault(tensor.layer, []).append(moved)
        logits = inputs[self._last + 1]
        self._right.append(np.array([logits.argmax() == label]))
        self._logits.append(logits)
        self._hidden.append(inputs[self._last])
        self._sums.append(last_sums(self._network, weights, inputs, self._method.dynamic))

    def summary(self) -> dict[str, Any]:
        """`ties`: images whose largest logit more than one class has; `loss_of_right`: how much of
        the loss norm comes from images that are answered right; `hidden`: the mean input of the
        last layer; `dead`: those that are 0 in every traced image."""
        right, norms = np.concatenate(self._right), np.concatenate(self._norms)
        logits, hidden = np.stack(self._logits).astype(np.int64), np.stack(self._hidden)
        largest = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1)
        return {
            "train_accuracy": _rounded(right.mean()),
            "logits": [round(value) for value in np.quantile(logits, QUANTILES)],
            "logits_at_limit": _rounded((np.abs(logits) == LIMIT).mean()),
            "ties": _rounded((largest > 1).mean()),
            "zero_errors": _rounded((norms == 0).mean()),
            "loss_norm": round(float(norms.mean()), 1),
            "loss_of_right": _share(int(norms[right].sum()), int(norms.sum())),
            "accumulator": max(int(np.abs(one.accumulators).max()) for one in self._sums),
            "hidden": round(float(hidden.mean()), 1),
            "dead": _rounded((hidden == 0).all(axis=0).mean()),
            "moved": [_rounded(float(np.mean(self._moved[at]))) for at in sorted(self._moved)],
            **(self._scales() if self._method.dynamic else {}),
        }

    def _scales(self) -> dict[str, Any]:
        """Means over the traced images; static scales do not change."""
        shifts = np.mean([one.shifts for one in self._sums], axis=0)
        return {
            "shifts": [round(float(one), 2) for one in shifts],
            "exponent": round(float(np.mean([one.exponent for one in self._sums])), 2),
        }


def _state(device: Device, network: Network, method: Method, weighted: list[int]) -> dict[str, Any]:
    """Of each layer the share of weights (or scores) at the limit, and of edges that are pruned;
    how far the last layer's sums can go as it stands."""
    held = [device.scores(at) if method.scored else device.weights(at) for at in weighted]
    last = effective_weights(device, network, method, weighted[-1])
    return {
        "at_limit": [_rounded((np.abs(one.astype(np.int16)) == LIMIT).mean()) for one in held],
        **(
            {"pruned": [_rounded((one < method.theta).mean()) for one in held]}
            if method.scored
            else {}
        ),
        "reach": reach(last),
    }
