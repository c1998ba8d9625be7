"""Cycles of each operation of a step, counted on the emulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from picotrain.datasets import Split
from picotrain.device.backends import open_device
from picotrain.device.interface import cycles_spent
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain_golden import Method, Network, Selection

TARGET = "qemu"
_PHASES = {"PT_FORWARD": "forward", "PT_LOSS": "loss", "PT_ERROR": "error", "PT_UPDATE": "update"}

Operation = tuple[str, int]
"""Its phase and its layer."""


@dataclass(frozen=True)
class Measured:
    """Of each image: cycles of each operation of a step that was run one by one, without those of
    its command, and of a whole inference or training step."""

    operations: list[dict[Operation, int]]
    infer: list[int]
    train: list[int]
    losses: list[int]
    """Loss norms of the training steps; a step with 0 ends at the loss."""


def open_counter(large: bool) -> MailboxDevice:
    """`large`: with more memory than a Pico has."""
    device = open_device(TARGET, kernels="large" if large else None)
    if not isinstance(device, MailboxDevice):
        raise UserError(f"target {TARGET} does not count cycles")
    return device


def measure(
    device: MailboxDevice,
    network: Network,
    method: Method,
    images: Split,
    selection: Selection | None = None,
) -> Measured:
    """Every image meets the state that the method begins with."""
    found = Measured([], [], [], [])
    pairs = list(zip(images.images, images.labels, strict=True))
    for image, label in pairs:
        _begin(device, network, method, selection)
        found.operations.append(_operations(device, image.tobytes() + bytes([int(label)])))
        _begin(device, network, method, selection)
        run = device.train if method.trains else device.evaluate
        start = cycles_spent(device)
        done = run(image[np.newaxis], np.array([label], np.uint8))
        (found.train if method.trains else found.infer).append(cycles_spent(device) - start)
        found.losses.append(int(done.loss_norms[0]))
    return found


def _begin(
    device: MailboxDevice, network: Network, method: Method, selection: Selection | None
) -> None:
    device.load_model(network)
    if selection is not None:
        device.set_selection(selection)
    device.set_method(method)


def _operations(device: MailboxDevice, step: bytes) -> dict[Operation, int]:
    device.write_window("IO", step)
    device.command("TRACE_BEGIN")
    spent: dict[Operation, int] = {}
    while True:
        start = cycles_spent(device)
        event = device.trace_next(bare=True)
        taken = cycles_spent(device) - start
        name = device.operation_name(event)
        if name == "PT_DONE":
            # Nothing was left to run, so that was the command alone.
            return {operation: cost - taken for operation, cost in spent.items()}
        key = _PHASES[name], int(event["layer"])
        spent[key] = spent.get(key, 0) + taken
