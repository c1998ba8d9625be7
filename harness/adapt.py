"""The main job: a pre-trained network adapts to rotated images on a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import Method, Network
from harness import cycles, plans
from harness.datasets import Dataset, Split, permutation, rotate, sample
from harness.device import BatchResult, Device, state_sha256
from harness.errors import UserError
from harness.progress import progress_bar
from harness.versions import versions

CYCLE_MODEL = "cycle model"
DEVICE_CLOCK = "the device's own clock"

TRAIN_STREAM = 0xFFFFFF01
TEST_STREAM = 0xFFFFFF02
ORDER_STREAM = 0xFFFFFF03
CLOCK_HZ = 125_000_000


@dataclass(frozen=True)
class AdaptOptions:
    """What to adapt to. Samples of None: 1,024, or as many as the data set has.

    `mu` is a schedule: its values are spread evenly over the epochs. `kernels` is for the record,
    `plan` one of `harness.plans`.
    """

    target: str
    dataset: str
    angle: float
    method: Method
    epochs: int
    mu: tuple[int, ...]
    seed: int
    train_samples: int | None = None
    test_samples: int | None = None
    evaluate_on: str = "test"
    kernels: str | None = None
    plan: str = "fast"


@dataclass
class Task:
    """The rotated images of one run."""

    train: Split
    test: Split


@dataclass
class AdaptResult:
    """What `adapt` writes as JSON; `complete` is false while it runs or when it was interrupted."""

    target: str
    dataset: str
    model: str
    angle: float
    method: str
    options: dict[str, Any]
    seed: int
    epochs: int
    train_samples: int
    test_samples: int
    evaluated_on: str
    kernels: str | None = None
    plan: str = "fast"
    plan_note: str = ""
    accuracy_before: float | None = None
    accuracy_best: float | None = None
    accuracy_final: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    saturation: list[list[dict[str, float]]] = field(default_factory=list)
    cycles_per_train_image: float | None = None
    cycles_per_infer_image: float | None = None
    cycles_by: str = ""
    ms_per_train_image_125mhz: float | None = None
    ms_per_infer_image_125mhz: float | None = None
    ram_bytes: dict[str, int | None] = field(default_factory=dict)
    model_in_flash: int = 0
    code_bytes: int | None = None
    state_sha256: str = ""
    wall_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    units: str = (
        "accuracy: share of the evaluated images; saturation[layer][epoch]: share of the elements "
        "that were clamped; cycles: by cycles_by, milliseconds of them at 125 MHz"
    )
    complete: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prepare(dataset: Dataset, options: AdaptOptions) -> Task:
    """Draw and rotate the images. Raises UserError where the data set has too few."""
    splits = {"test": dataset.test, "validation": dataset.validation}
    if options.evaluate_on not in splits:
        raise UserError(f"unknown split {options.evaluate_on!r}; use {', '.join(splits)}")
    held_out = splits[options.evaluate_on]
    train_count = options.train_samples or min(1024, len(dataset.train.labels))
    test_count = options.test_samples or min(1024, len(held_out.labels))
    train = sample(dataset.train, train_count, options.seed, TRAIN_STREAM)
    test = sample(held_out, test_count, options.seed, TEST_STREAM)
    return Task(
        Split(rotate(train.images, options.angle), train.labels),
        Split(rotate(test.images, options.angle), test.labels),
    )


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch (from 1) shows the training images."""
    return permutation(count, (seed * 0x10001 + epoch) & 0xFFFFFFFF, ORDER_STREAM)


def mu_at(schedule: tuple[int, ...], epoch: int, epochs: int) -> int:
    """The schedule's value for an epoch (from 1)."""
    return schedule[(epoch - 1) * len(schedule) // epochs]


class _CycleMeter:
    """Cycles per image of batches: counted by the target, else by the device's own clock."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._cycles = 0
        self._images = 0
        self.by = CYCLE_MODEL

    def run(self, batch: Callable[[], BatchResult]) -> BatchResult:
        before = self._device.blocks()
        done = batch()
        after = self._device.blocks()
        spent = done.cycles
        if before is not None and after is not None:
            spent = cycles.total(after) - cycles.total(before)
        elif spent is not None:
            self.by = DEVICE_CLOCK
        if spent is not None:
            self._cycles += spent
            self._images += len(done.predictions)
        return done

    @property
    def per_image(self) -> float | None:
        return self._cycles / self._images if self._images else None


def _saturated_shares(
    counts: NDArray[np.int64], network: Network, images: int, method: Method, scored: list[int]
) -> list[dict[str, float]]:
    shares = []
    for index, layer in enumerate(network.layers):
        elements = {
            "forward": int(np.prod(layer.out_shape)),
            "error": int(np.prod(layer.in_shape)) if index > network.first_weighted else 0,
            "update": scored[index] if method.scored else layer.weight_count,
        }
        shares.append(
            {
                name: float(count) / (images * elements[name])
                if layer.has_weights and elements[name]
                else 0.0
                for name, count in zip(elements, counts[index], strict=True)
            }
        )
    return shares


def adapt(
    device: Device,
    network: Network,
    task: Task,
    options: AdaptOptions,
    report: Callable[[AdaptResult], None],
) -> AdaptResult:
    """Adapt `network` on `device`; `report` is called before the first epoch and after each.

    Batch size 1. `accuracy_before` is the backbone's own, without any method;
    `accuracy_best` the best after any epoch, which looks at the evaluated images to choose the
    epoch, as the papers do; `accuracy_final` that after the last.
    """
    start = time.monotonic()
    method, train, test = options.method, task.train, task.test
    result = AdaptResult(
        target=options.target,
        dataset=options.dataset,
        model=network.name,
        angle=options.angle,
        method=method.name,
        options={**asdict(method), "mu": list(options.mu)},
        seed=options.seed,
        epochs=options.epochs,
        train_samples=len(train.labels),
        test_samples=len(test.labels),
        evaluated_on=options.evaluate_on,
        kernels=options.kernels,
        plan=options.plan,
        plan_note=plans.note(options.plan),
        versions=versions(options.target),
    )
    training, inference = _CycleMeter(device), _CycleMeter(device)

    def accuracy(label: str) -> float:
        count = len(test.labels)
        with progress_bar(label, count) as advance:
            done = inference.run(partial(device.evaluate, test.images, test.labels, advance))
        return float(done.correct(test.labels)) / len(test.labels)

    def update() -> None:
        accuracies = [epoch["accuracy"] for epoch in result.history]
        result.accuracy_best = max(accuracies, default=None)
        result.accuracy_final = accuracies[-1] if accuracies else None
        result.cycles_by = inference.by
        result.cycles_per_train_image = training.per_image
        result.cycles_per_infer_image = inference.per_image
        result.ms_per_train_image_125mhz = _milliseconds(training.per_image)
        result.ms_per_infer_image_125mhz = _milliseconds(inference.per_image)
        memory = device.memory()
        result.ram_bytes = memory.by_part()
        result.model_in_flash = memory.model_in_flash
        result.code_bytes = memory.code
        result.state_sha256 = state_sha256(device, network)
        result.wall_seconds = round(time.monotonic() - start, 3)
        report(result)

    device.load_model(network, frozen=options.plan == "lean")
    device.set_method(Method("infer"))
    result.accuracy_before = accuracy("before")
    device.set_method(method)
    inference = _CycleMeter(device)
    scored = [
        len(device.scored_edges(index)) if layer.has_weights else 0
        for index, layer in enumerate(network.layers)
    ]
    result.saturation = [[] for _ in network.layers]
    update()
    for epoch in range(1, options.epochs + 1):
        mu = mu_at(options.mu, epoch, options.epochs)
        device.set_mu(mu)
        device.clear_saturation()
        order = epoch_order(len(train.labels), options.seed, epoch)
        images, labels = train.images[order], train.labels[order]
        label = f"epoch {epoch}/{options.epochs}"
        with progress_bar(label, len(labels)) as advance:
            done = training.run(partial(device.train, images, labels, advance))
        counts = device.saturation()
        for layer, shares in zip(
            result.saturation,
            _saturated_shares(counts, network, len(labels), method, scored),
            strict=True,
        ):
            layer.append(shares)
        result.history.append(
            {
                "epoch": epoch,
                "mu": mu,
                "train_accuracy": float(done.correct(labels)) / len(labels),
                "loss_norm": float(done.loss_norms.mean()),
                "accuracy": accuracy(f"{label} test"),
            }
        )
        result.complete = epoch == options.epochs
        update()
    return result


def _milliseconds(cycle_count: float | None) -> float | None:
    return None if cycle_count is None else cycle_count / CLOCK_HZ * 1000
