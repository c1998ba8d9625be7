"""Device and golden side by side, tensor by tensor; tolerance 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from picotrain.device.interface import Device, TraceTensor, UInt8
from picotrain.errors import LinkFailure, MismatchFailure
from picotrain_golden import Network


@dataclass
class VerifyReport:
    """What was compared and found equal."""

    steps: int = 0
    batches: int = 0
    tensors: int = 0
    elements: int = 0

    def count(self, values: NDArray[np.int64] | NDArray[np.int8]) -> None:
        self.tensors += 1
        self.elements += values.size


class Comparison:
    """Two devices that were given the same network and method, and are fed the same images.

    Each method raises MismatchFailure naming the first differing element in the order of
    computation.
    """

    def __init__(self, golden: Device, device: Device, network: Network) -> None:
        self._golden = golden
        self._device = device
        self._network = network
        self.report = VerifyReport()

    def state(self, step: int) -> None:
        """Compare everything that can learn."""
        for index, layer in enumerate(self._network.layers):
            if not layer.has_weights:
                continue
            for kind in ("weights", "scores"):
                expected = TraceTensor(kind, index, getattr(self._golden, kind)(index))
                actual = TraceTensor(kind, index, getattr(self._device, kind)(index))
                self._compare(step, expected, actual)
            expected_edges = self._golden.scored_edges(index)
            self._equal(
                step, index, "scored edge", expected_edges, self._device.scored_edges(index)
            )

    def traced_step(self, step: int, image: UInt8, label: int) -> None:
        """One step of the method with every tensor of it, then the saturation counts."""
        pairs = zip_longest(self._golden.trace(image, label), self._device.trace(image, label))
        for expected, actual in pairs:
            if expected is None or actual is None:
                raise LinkFailure(
                    f"step {step}: the device made {'more' if expected is None else 'fewer'} "
                    "tensors than golden"
                )
            self._compare(step, expected, actual)
        self._saturation(step)
        self.report.steps += 1

    def batch(self, step: int, images: UInt8, labels: UInt8, train: bool) -> None:
        """A whole command: results of each image, the saturation counts and the state after it."""
        run = "train" if train else "evaluate"
        expected = getattr(self._golden, run)(images, labels)
        actual = getattr(self._device, run)(images, labels)
        for name in ("predictions", "loss_norms") + (("saturated",) if train else ()):
            self._equal(step, -1, f"{run} {name}", getattr(expected, name), getattr(actual, name))
        self._saturation(step)
        if train:
            self.state(step)
        self.report.batches += 1

    def _saturation(self, step: int) -> None:
        expected, actual = self._golden.saturation(), self._device.saturation()
        self._equal(step, -1, "saturation", expected, actual)

    def _compare(self, step: int, expected: TraceTensor, actual: TraceTensor) -> None:
        name = (expected.kind, expected.layer)
        if name != (actual.kind, actual.layer) or expected.values.size != actual.values.size:
            raise LinkFailure(
                f"step {step}: expected {expected.kind}[{expected.layer}] with "
                f"{expected.values.size} elements, the device made {actual.kind}[{actual.layer}] "
                f"with {actual.values.size}"
            )
        different = np.flatnonzero(expected.values != actual.values)
        if different.size:
            at = int(different[0])
            index = self._index(expected.kind, expected.layer, at)
            want, have = int(expected.values[at]), int(actual.values[at])
            raise MismatchFailure(step, expected.layer, expected.kind, index, want, have)
        self.report.count(expected.values)

    def _equal(
        self,
        step: int,
        layer: int,
        name: str,
        expected: NDArray[np.int64],
        actual: NDArray[np.int64],
    ) -> None:
        if expected.shape != actual.shape:
            raise MismatchFailure(step, layer, f"{name} count", (), expected.size, actual.size)
        different = np.argwhere(expected != actual)
        if len(different):
            index = tuple(int(i) for i in different[0])
            want, have = int(expected[index]), int(actual[index])
            raise MismatchFailure(step, layer, name, index, want, have)
        self.report.count(expected)

    def _index(self, kind: str, layer: int, flat: int) -> tuple[int, ...]:
        """[y, x, channel] of an activation or error, [row, k] of an edge."""
        if kind in ("activation", "error"):
            shape: tuple[int, ...] = (
                self._network.input_shape if layer < 0 else self._network.layers[layer].out_shape
            )
        else:
            geometry = self._network.layers[layer]
            shape = (geometry.rows, geometry.row_length)
            edges = self._golden.scored_edges(layer)
            if edges.size:
                flat = int(edges[flat])
        return tuple(int(i) for i in np.unravel_index(flat, shape))


def verify(
    comparison: Comparison,
    images: UInt8,
    labels: UInt8,
    steps: int,
    train: bool,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """`steps` traced steps over the images in turn, then the same images as whole batches.

    Without `train` (method `infer`) a step is a forward pass.
    """
    for step in range(steps):
        at = step % len(images)
        comparison.traced_step(step, images[at], int(labels[at]))
        if progress is not None:
            progress(1)
    if train:
        comparison.batch(steps, images, labels, train=True)
    comparison.batch(steps, images, labels, train=False)
    comparison.state(steps)
    return comparison.report
