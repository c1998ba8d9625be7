"""Pieces of the main job: schedules, orders, the draw of images."""

from __future__ import annotations

import numpy as np
import pytest

from golden import Method
from harness import datasets
from harness.adapt import (
    CYCLE_MODEL,
    DEVICE_CLOCK,
    AdaptOptions,
    _CycleMeter,
    epoch_order,
    mu_at,
    prepare,
)
from harness.cycles import BlockCount
from harness.device import BatchResult
from harness.errors import UserError


def options(**changes: object) -> AdaptOptions:
    values: dict[str, object] = {
        "target": "host",
        "dataset": "digits",
        "angle": 30.0,
        "method": Method("priot"),
        "epochs": 3,
        "mu": (3,),
        "seed": 5,
        "train_samples": 50,
        "test_samples": 20,
    }
    return AdaptOptions(**{**values, **changes})  # type: ignore[arg-type]


def test_a_schedule_is_spread_over_the_epochs() -> None:
    assert [mu_at((5, 4, 3), epoch, 9) for epoch in range(1, 10)] == [5, 5, 5, 4, 4, 4, 3, 3, 3]
    assert [mu_at((5, 4, 3), epoch, 4) for epoch in range(1, 5)] == [5, 5, 4, 3]
    assert [mu_at((5, 4, 3), epoch, 2) for epoch in range(1, 3)] == [5, 4]
    assert mu_at((2,), 7, 7) == 2


def test_every_epoch_shows_every_image_in_another_order() -> None:
    first, second = epoch_order(100, 1, 1), epoch_order(100, 1, 2)
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(100, 1, 1))
    assert not np.array_equal(first, epoch_order(100, 2, 1))


def test_training_and_evaluation_images_come_from_their_own_splits() -> None:
    data = datasets.load("digits")
    task = prepare(data, options(angle=0.0))
    assert (task.train.images.shape, task.test.images.shape) == ((50, 28, 28, 1), (20, 28, 28, 1))
    train = {image.tobytes() for image in data.train.images}
    test = {image.tobytes() for image in data.test.images}
    assert all(image.tobytes() in train for image in task.train.images)
    assert all(image.tobytes() in test for image in task.test.images)
    validation = {image.tobytes() for image in data.validation.images}
    held_out = prepare(data, options(angle=0.0, evaluate_on="validation")).test
    assert all(image.tobytes() in validation for image in held_out.images)


def test_images_are_rotated() -> None:
    data = datasets.load("digits")
    upright, turned = prepare(data, options(angle=0.0)), prepare(data, options(angle=180.0))
    assert np.array_equal(upright.train.images[:, ::-1, ::-1], turned.train.images)


def test_too_many_images_are_refused() -> None:
    with pytest.raises(UserError, match="the split has 1197"):
        prepare(datasets.load("digits"), options(train_samples=1198))


class _Clocked:
    """Trains by saying how long it took."""

    def __init__(self, spent: int | None, counted: list[int] | None) -> None:
        self._spent, self._counted = spent, counted

    def blocks(self) -> list[BlockCount] | None:
        return [BlockCount(0, 1, self._counted.pop(0), 1, 0)] if self._counted else None

    def train(self) -> BatchResult:
        none = np.zeros(4, np.int64)
        return BatchResult(none, none, none, self._spent)


@pytest.mark.parametrize(
    ("spent", "counted", "each", "by"),
    [
        (None, None, None, CYCLE_MODEL),
        (400, None, 100.0, DEVICE_CLOCK),
        (400, [1000, 1200], 50.0, CYCLE_MODEL),
    ],
)
def test_cycles_are_counted_or_else_clocked(
    spent: int | None, counted: list[int] | None, each: float | None, by: str
) -> None:
    device = _Clocked(spent, counted)
    meter = _CycleMeter(device)  # type: ignore[arg-type]
    meter.run(device.train)
    assert (meter.per_image, meter.by) == (each, by)
