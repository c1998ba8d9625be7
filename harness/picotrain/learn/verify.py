"""Device and golden side by side, tensor by tensor; tolerance 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from picotrain.device.interface import Device, TraceTensor, UInt8
from picotrain.errors import CommandError, LinkFailure, MismatchFailure
from picotrain_golden import (
    Method,
    MethodName,
    Network,
    Selected,
    Selection,
    Solver,
    operations,
    plan,
)


class Search(NamedTuple):
    """What `Device.select` is asked."""

    solver: Solver
    permille: int
    budget_bytes: int
    budget_macs: int
    method: MethodName


@dataclass
class VerifyReport:
    """What was compared and found equal."""

    steps: int = 0
    batches: int = 0
    tensors: int = 0
    elements: int = 0

    def count(self, values: NDArray[Any]) -> None:
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
        self.network = network
        self.report = VerifyReport()

    def state(self, step: int) -> None:
        """Compare everything that can learn."""
        for index, layer in enumerate(self.network.layers):
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
        for name in ("predictions", "loss_norms", "saturated"):
            # Of an inference every clamp is counted below, by layer: the images' add no tensor.
            counted = train or name != "saturated"
            want, have = getattr(expected, name), getattr(actual, name)
            self._equal(step, -1, f"{run} {name}", want, have, counted=counted)
        self._saturation(step)
        if train:
            self.state(step)
        self.report.batches += 1

    def check_memory(self) -> None:
        """Of the device: what was compared is what lies there still."""
        self._device.check_memory()

    def start(self, method: Method, selection: Selection | None = None) -> None:
        """The method on both, with a selection where one is given."""
        for one in (self._golden, self._device):
            if selection is not None:
                one.set_selection(selection)
            one.set_method(method)
        self.state(0)

    def information(self, images: UInt8, labels: UInt8) -> None:
        """Fisher information of every row, after one command with method `fisher`."""
        for one in (self._golden, self._device):
            one.set_method(Method("fisher"))
        self.batch(0, images, labels, train=True)
        pairs = zip(self._golden.fisher(), self._device.fisher(), strict=True)
        for layer, (expected, actual) in enumerate(pairs):
            if expected is not None and actual is not None:
                self._equal(0, layer, "fisher", expected, actual)
            elif expected is not actual:
                raise LinkFailure(
                    f"the device has no Fisher information where golden has it: {layer}"
                )

    def selected(self, search: Search) -> Selected | None:
        """The same selection of both, and its costs; None where both refuse the budgets alike."""
        answers: list[Selected | CommandError] = []
        for one in (self._golden, self._device):
            try:
                answers.append(one.select(*search))
            except CommandError as refusal:
                answers.append(refusal)
        expected, actual = answers
        if isinstance(expected, CommandError) or isinstance(actual, CommandError):
            words = [
                f"{one.name} {list(one.detail)}" if isinstance(one, CommandError) else "a selection"
                for one in answers
            ]
            if words[0] != words[1]:
                raise LinkFailure(
                    f"{search}: golden answers with {words[0]}, the device with {words[1]}"
                )
            return None
        self._selections(expected.selection, actual.selection)
        costs = [np.array([one.bytes, one.macs], np.int64) for one in (expected, actual)]
        self._equal(0, -1, "bytes and MACs", *costs)
        held = self._golden.selection(), self._device.selection()
        self._selections(*held)
        return expected

    def _selections(self, expected: Selection | None, actual: Selection | None) -> None:
        assert expected is not None
        if actual is None:
            raise LinkFailure("the device has no selection where golden has one")
        for layer, (rows, others) in enumerate(zip(expected.rows, actual.rows, strict=True)):
            if rows is not None and others is not None:
                self._equal(0, layer, "selected row", rows, others)

    def head(self, images: UInt8, labels: UInt8) -> None:
        """A head from prototypes of these images, of which every class has one: its weights, and
        what is predicted with it."""
        for one in (self._golden, self._device):
            one.set_method(Method("prototype"))
        self.batch(0, images, labels, train=True)
        for one in (self._golden, self._device):
            one.make_head()
            one.set_method(Method("infer"))
        self.state(0)
        self.batch(0, images, labels, train=False)

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
        expected: NDArray[Any],
        actual: NDArray[Any],
        *,
        counted: bool = True,
    ) -> None:
        """`counted`: in the report."""
        if expected.shape != actual.shape:
            raise MismatchFailure(step, layer, f"{name} count", (), expected.size, actual.size)
        different = np.argwhere(expected != actual)
        if len(different):
            index = tuple(int(i) for i in different[0])
            want, have = int(expected[index]), int(actual[index])
            raise MismatchFailure(step, layer, name, index, want, have)
        if counted:
            self.report.count(expected)

    def _index(self, kind: str, layer: int, flat: int) -> tuple[int, ...]:
        """[y, x, channel] of an activation or error, [row, k] of an edge."""
        if kind == "places":
            layer += 1  # of the pool's outputs
        if kind in ("activation", "places", "error"):
            shape: tuple[int, ...] = (
                self.network.input_shape if layer < 0 else self.network.layers[layer].out_shape
            )
        else:
            geometry = self.network.layers[layer]
            shape = (geometry.rows, geometry.row_length)
            edges = self._golden.scored_edges(layer)
            selection = self._golden.selection()
            rows = None if selection is None else selection.rows[layer]
            if edges.size:
                flat = int(edges[flat])
            elif kind == "update" and rows is not None:
                # NITI's, of the selected rows.
                row, k = divmod(flat, geometry.row_length)
                flat = int(np.flatnonzero(rows)[row]) * geometry.row_length + k
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
    comparison.check_memory()
    return comparison.report


BUDGETS = ((1, 1), (1, 2), (1, 4), (1, 10), (0.95, 1), (0.75, 2), (0.5, 1))
"""Shares of all bytes, and by what all MACs are divided: from all that there is to too little."""


def searches(
    network: Network, method: Method, permille: int, lean: bool, room: int
) -> list[Search]:
    """What both solvers are asked, with budgets from all, or the `room`, to nearly nothing."""
    planned = plan(network, method, 0 if lean else 1)
    weights = sum(layer.weight_count for layer in network.layers) if lean else 0
    most = 2 * planned.scores + planned.transient + weights + planned.io_minimum
    size = min(most, room)
    macs = sum(
        network.layers[index].macs
        for kind, index in operations(network, method)
        if kind in ("error", "update") and network.layers[index].has_weights
    )
    name = cast(MethodName, method.name)
    return [
        Search(solver, permille, max(1, int(size * share)), max(1, macs // divisor), name)
        for solver in get_args(Solver)
        for share, divisor in BUDGETS
    ]


def verify_selected(
    comparison: Comparison,
    method: Method,
    images: UInt8,
    labels: UInt8,
    steps: int,
    permille: int,
    lean: bool = False,
    room: int = 1 << 31,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Fisher information, what both solvers select by it, a head from prototypes where the last
    layer can be one, and a `verify` of the method, with `steps` steps, on the largest selection and
    on the smallest: the one before the head is made, the other with it.

    Both devices hold the network, `lean` or not, and have `room` bytes for what a plan has beside
    the blob and an image.
    """
    network = comparison.network
    comparison.information(images, labels)
    wanted = searches(network, method, permille, lean, room)
    found = [one for one in map(comparison.selected, wanted) if one is not None]
    found.sort(key=lambda one: one.macs)
    for one in found[-1:]:
        comparison.start(method, one.selection)
        verify(comparison, images, labels, steps, True, progress)
    if network.layers[-1].kind == "linear":
        # Every class has an image.
        count = max(network.classes, len(images))
        at, classes = np.arange(count) % len(images), np.arange(count) % network.classes
        comparison.head(images[at], classes.astype(np.uint8))
        comparison.information(images, labels)
        for search in wanted[::3]:
            comparison.selected(search)
    for one in found[:1]:
        comparison.start(method, one.selection)
        verify(comparison, images, labels, steps, True, progress)
    return comparison.report
