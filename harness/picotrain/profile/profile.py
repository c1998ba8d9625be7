"""Where the cycles go: per image, per layer and phase, from the emulator's counters."""

from __future__ import annotations

from dataclasses import dataclass

from picotrain.datasets import Split
from picotrain.device import cycles
from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.interface import BatchResult, cycles_spent, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.meter import CLOCK_HZ
from picotrain.errors import DeviceFailure, UserError
from picotrain.progress import progress_bar
from picotrain_golden import Layer, Method, Network

FLOOR = 1.25
"""Cycles per MAC that dense arithmetic cannot beat, up to 1.5 by shape: docs/cycle-model.md."""

COUNTING = ("qemu", "renode")
"""Backends that count by block of code, and so by layer."""

_PHASES = {"PT_FORWARD": "forward", "PT_LOSS": "loss", "PT_ERROR": "error", "PT_UPDATE": "update"}


@dataclass(frozen=True)
class PhaseCycles:
    """Mean cycles per image of one operation, without the mailbox's."""

    layer: int
    kind: str
    phase: str
    cycles: float
    macs: int
    """Multiply-accumulates of the dense operation; 0 where it has none."""
    cycles_per_mac: float | None
    floor_ratio: float | None
    """`cycles_per_mac` over the floor; skipped terms can make it less than 1."""


@dataclass(frozen=True)
class Profile:
    """Mean cycles per image.

    `train` skips the backward pass of images without a loss error, as the device does;
    `train_with_error` is the mean over the `images_with_error` that have one. `phases` come from
    steps run one operation a command, where no operation is skipped.
    """

    images: int
    train: float | None
    train_with_error: float | None
    images_with_error: int
    infer: float
    phases: list[PhaseCycles]
    predictions: list[int]
    """Of the images before any training."""
    state_sha256: str
    """The weights and scores after training on all images once."""
    dispatch: float
    """Cycles of one empty command: the mailbox's own."""
    ram_bytes: dict[str, int | None]
    model_in_flash: int = 0
    """Bytes of weights and table that stay in flash; no RAM."""

    @staticmethod
    def milliseconds(cycle_count: float) -> float:
        return cycle_count / CLOCK_HZ * 1000

    @property
    def all_operations(self) -> float:
        return sum(entry.cycles for entry in self.phases)

    def macs(self, train: bool) -> int:
        """The dense multiply-accumulates of a training step, or of an inference."""
        return sum(entry.macs for entry in self.phases if train or entry.phase == "forward")


@dataclass(frozen=True)
class Samples:
    """What ran during the training (or, by `infer`, the prediction), for the finer views.

    Without `calls` where the target does not follow them.
    """

    blocks: list[BlockCount]
    calls: list[CallNode]


def _phase(layer: Layer, index: int, phase: str, spent: float) -> PhaseCycles:
    # Forward, input error and gradient multiply the same pairs, in another order.
    macs = 0 if phase == "loss" or not layer.has_weights else layer.macs
    each = spent / macs if macs else None
    return PhaseCycles(index, layer.kind, phase, spent, macs, each, floor_ratio(spent, macs))


def floor_ratio(spent: float, macs: int) -> float | None:
    """Cycles per MAC over the floor; None without MACs."""
    return spent / macs / FLOOR if macs else None


def require_same_results(skipping: Profile, dense: Profile) -> None:
    """Raise DeviceFailure unless both predict and learn the same, by the same operations."""
    for what, one, other in (
        ("operations", _operations(skipping), _operations(dense)),
        ("predictions", skipping.predictions, dense.predictions),
        ("weights and scores", skipping.state_sha256, dense.state_sha256),
    ):
        if one != other:
            raise DeviceFailure(
                f"with and without skipped zeros the device has other {what}: {one} and {other}; "
                "compare both with `picotrain verify`"
            )


def _operations(profile: Profile) -> list[tuple[int, str]]:
    return [(entry.layer, entry.phase) for entry in profile.phases]


def no_counts(target: str) -> str:
    """Why nothing can be profiled there, even if it tells the time that a run took."""
    return f"target {target} has no counts by layer; use --target {' or '.join(COUNTING)}"


def _sample(device: MailboxDevice) -> Samples:
    blocks = device.blocks()
    if blocks is None:
        raise UserError(no_counts(device.name))
    return Samples(blocks, device.calls() or [])


def _record(device: MailboxDevice, images: Split, train: bool) -> tuple[Samples, BatchResult]:
    run = device.train if train else device.evaluate
    before = _sample(device)
    with progress_bar("train" if train else "predict", len(images), alive=True) as advance:
        result = run(images.images, images.labels, advance)
    after = _sample(device)
    samples = Samples(
        cycles.difference(after.blocks, before.blocks),
        cycles.call_difference(after.calls, before.calls),
    )
    return samples, result


def _train_one_by_one(device: MailboxDevice, images: Split, easy: int) -> list[int]:
    """Cycles of each training step whose loss norm is above `easy`, with its command's own."""
    spent = []
    with progress_bar("train, one by one", len(images), alive=True) as advance:
        for at in range(len(images)):
            start = cycles_spent(device)
            done = device.train(images.images[at : at + 1], images.labels[at : at + 1])
            cost = cycles_spent(device) - start
            if done.loss_norms[0] > easy:
                spent.append(cost)
            advance(1)
    return spent


def _operation_by_operation(
    device: MailboxDevice, images: Split
) -> tuple[dict[tuple[int, str], int], int]:
    """Cycles of each operation, by layer and phase, of all images together; and those of a command
    that has nothing left to run."""
    sums: dict[tuple[int, str], int] = {}
    dispatch = 0
    with progress_bar("operations", len(images), alive=True) as advance:
        for image, label in zip(images.images, images.labels, strict=True):
            device.write_window("IO", image.tobytes() + bytes([int(label)]))
            device.command("TRACE_BEGIN")
            dispatch = 0
            while dispatch == 0:
                start = cycles_spent(device)
                event = device.trace_next(bare=True)
                spent = cycles_spent(device) - start
                operation = device.operation_name(event)
                if operation == "PT_DONE":
                    dispatch = spent
                else:
                    key = (int(event["layer"]), _PHASES[operation])
                    sums[key] = sums.get(key, 0) + spent
            advance(1)
    return sums, dispatch


def profile(
    device: MailboxDevice, network: Network, method: Method, images: Split, frozen: bool = False
) -> tuple[Profile, Samples]:
    """Profile training and inference on rotated images; the device is left trained on them.

    `frozen`: with the weights in flash, which costs no cycles in this model.
    """
    count = len(images.labels)
    device.load_model(network, frozen)
    device.set_method(method)
    samples, predicted = _record(device, images, train=False)
    infer = cycles.total(samples.blocks) / count
    train = None
    steps: list[int] = []
    if method.trains:
        samples, _ = _record(device, images, train=True)
        train = cycles.total(samples.blocks) / count
    state = state_sha256(device, network)
    if method.trains:
        device.load_model(network, frozen)
        device.set_method(method)
        steps = _train_one_by_one(device, images, method.easy)

    device.load_model(network, frozen)
    device.set_method(method)
    sums, dispatch = _operation_by_operation(device, images)
    phases = [
        _phase(network.layers[layer], layer, phase, spent / count - dispatch)
        for (layer, phase), spent in sums.items()
    ]
    memory = device.memory()
    ram, in_flash = memory.by_part(), memory.model_in_flash
    predictions = [int(one) for one in predicted.predictions]
    empty = float(dispatch)
    with_error = sum(steps) / len(steps) - dispatch if steps else None
    result = Profile(
        count,
        train,
        with_error,
        len(steps),
        infer,
        phases,
        predictions,
        state,
        empty,
        ram,
        in_flash,
    )
    return result, samples
