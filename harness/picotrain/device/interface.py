"""A picotrain device as the main job sees it: networks, methods, batches, tensors.

Two things implement `Device`: `picotrain.device.mailbox.MailboxDevice` on any `Target` with a
memory, and `picotrain.device.golden_device.GoldenDevice`, the NumPy twin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from picotrain.device.cycles import BlockCount, total
from picotrain.errors import UserError
from picotrain_golden import (
    Information,
    Method,
    MethodName,
    Network,
    Selected,
    Selection,
    Solver,
)

Int8 = NDArray[np.int8]
UInt8 = NDArray[np.uint8]
Progress = Callable[[int], None]
"""Called with the number of images that were just finished."""


@dataclass(frozen=True)
class BatchResult:
    """What came of each image, in order; arrays [N].

    `cycles` is what all of them took by the device's own clock; None where it has none.
    """

    predictions: NDArray[np.int64]
    loss_norms: NDArray[np.int64]
    saturated: NDArray[np.int64]
    cycles: int | None = None

    def correct(self, labels: UInt8) -> int:
        return int((self.predictions == labels).sum())


@dataclass(frozen=True)
class TraceTensor:
    """One tensor of a step, flat, as the device made it.

    `kind` is "activation", "places", "error", "update", "weights" or "scores"; activation -1 is the
    input.
    """

    kind: str
    layer: int
    values: NDArray[Any]


@dataclass(frozen=True)
class Memory:
    """Where the RAM goes, in bytes. None: this backend cannot tell.

    `scratch` is what training adds to the activations (errors, accumulators, rows of gradients),
    after buffers that never live together were overlapped. `stack` is the painted high-water mark.
    `model_in_flash` is no RAM: weights and table of a frozen model, whose other two are 0.
    """

    code: int | None
    statics: int | None
    stack: int | None
    weights: int
    model_table: int
    scores: int
    activations: int
    scratch: int
    batch: int
    model_in_flash: int = 0

    @property
    def network(self) -> int:
        """What network and method take: the same on every target."""
        network = (self.weights, self.model_table, self.scores, self.activations)
        return sum(network) + self.scratch + self.batch

    @property
    def total(self) -> int | None:
        """All that the device takes; None where its code, static data and stack are not known."""
        on_chip = (self.code, self.statics, self.stack)
        known = [size for size in on_chip if size is not None]
        return self.network + sum(known) if len(known) == len(on_chip) else None

    def by_part(self) -> dict[str, int | None]:
        """`total`, its parts `code`, `statics`, `stack` and `network`, and the parts of that."""
        parts: dict[str, int | None] = dict(vars(self))
        del parts["model_in_flash"]
        on_chip = {name: parts.pop(name) for name in ("code", "statics", "stack")}
        return {"total": self.total, **on_chip, "network": self.network, **parts}


def split_transient(transient: int, activations: int) -> tuple[int, int]:
    """Of the transient bytes, those that the activations take and those that come on top.

    Inference overlaps activations too, so that together they take less than their sum.
    """
    taken = min(transient, activations)
    return taken, transient - taken


class Device(Protocol):
    """What `adapt`, `verify` and `profile` drive. Raises DeviceFailure and its subclasses.

    As a context manager it is closed at the end.
    """

    name: str
    kernels: str | None
    """Which set of kernels it runs; None: it has none, or this was not said when it was opened."""

    def load_model(self, network: Network, frozen: bool = False) -> None:
        """Forget everything and load `network`.

        `frozen`: its weights stay in flash, and methods that train them are refused.
        """

    def set_method(self, method: Method) -> None:
        """Plan memory and initialise the state that learns; weights stay as trained."""

    def set_mu(self, mu: int) -> None:
        """Change the step size only."""

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        """Train on images uint8 [N, H, W, C], labels uint8 [N], one at a time, in order."""

    def evaluate(
        self, images: UInt8, labels: UInt8, progress: Progress | None = None
    ) -> BatchResult:
        """Predict; `loss_norms` are 0."""

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        """One step, tensor by tensor in the order of computation; exhaust it.

        With methods `infer` and `prototype` it is the forward pass alone.
        """

    def weights(self, layer: int) -> Int8:
        """int8, flat."""

    def scores(self, layer: int) -> Int8:
        """int8, flat: one per scored edge in ascending index; empty where the method has none."""

    def put_weights(self, layer: int, values: Int8) -> None:
        """Weights that were read before, under a method that trains them."""

    def put_scores(self, layer: int, values: Int8) -> None:
        """Scores that were read before, under the method that they are of."""

    @property
    def has_made_head(self) -> bool:
        """Since the model was loaded, `make_head` made its last layer anew."""

    def scored_edges(self, layer: int) -> NDArray[np.int64]:
        """Flat indices of the scored edges, ascending; empty where the method has no scores."""

    def set_selection(self, selection: Selection | None) -> None:
        """Which rows learn, or None for all, under the method that is set next: set one."""

    def selection(self) -> Selection | None:
        """What was given or selected last."""

    def fisher(self) -> Information:
        """Of each layer with weights uint64 [rows], as method `fisher` gathered it."""

    def make_head(self) -> None:
        """The last layer anew, from what method `prototype` gathered; set a method afterwards."""

    def select(
        self,
        solver: Solver,
        permille: int,
        budget_bytes: int,
        budget_macs: int,
        method: MethodName,
    ) -> Selected:
        """Rows for `method` within the budgets, from what `fisher` gathered; that goes on, and
        the selection is for the method that is set next."""

    def saturation(self) -> NDArray[np.int64]:
        """Clamped elements [layers, 3] (forward, error, update) since the last clear."""

    def clear_saturation(self) -> None: ...

    def memory(self) -> Memory: ...

    def check_memory(self) -> None:
        """Raise DamageFailure where memory that must not change by itself has changed: code, the
        network, its plan, what was learned since the last step."""

    def blocks(self) -> list[BlockCount] | None:
        """Executed blocks since the start, waiting excluded; None where nothing counts them."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None:
        """Close it."""


def cycles_spent(device: Device) -> int:
    """Since the start; what something took is the difference. UserError where nothing counts."""
    blocks = device.blocks()
    if blocks is None:
        raise UserError(f"target {device.name} does not count cycles; use --target qemu")
    return total(blocks)


def state_sha256(device: Device, network: Network) -> str:
    """Digest of everything that can learn: per layer the weights, then the scores, if any."""
    digest = hashlib.sha256()
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            digest.update(device.weights(index).tobytes())
            digest.update(device.scores(index).tobytes())
    return digest.hexdigest()
