"""Pieces of the main job: schedules, orders, the draw of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import Dataset, Split
from picotrain.device.cycles import BlockCount
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult
from picotrain.device.meter import CYCLE_MODEL, DEVICE_CLOCK, CycleMeter
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.adapt import (
    AdaptOptions,
    AdaptResult,
    Task,
    adapt,
    configured,
    epoch_order,
    mu_at,
    prepare,
)
from picotrain_golden import Method


def options(**changes: object) -> AdaptOptions:
    values: dict[str, object] = {
        "angle": 30.0,
        "method": Method("priot", mu=3, theta=0),
        "epochs": 3,
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


def numbered(name: str = "numbered", count: int = 40, **more: int) -> Dataset:
    """Splits whose images say where they are from: pixel 0 the split, pixel 1 the index."""
    splits = {}
    sizes = {"train": count, "validation": 10, "test": 12, **more}
    for number, (split, size) in enumerate(sizes.items()):
        images = np.zeros((size, 2, 2, 1), np.uint8)
        images[:, 0, 0, 0] = number
        images[:, 0, 1, 0] = np.arange(size)
        splits[split] = Split(images, np.zeros(size, np.uint8))
    return Dataset(name, splits, 2, "made here", {})


def origins(split: Split) -> list[tuple[int, int]]:
    return [(int(image[0, 0, 0]), int(image[0, 1, 0])) for image in split.images]


def test_images_are_drawn_by_the_seed_and_evaluated_ones_apart() -> None:
    task = prepare(numbered(count=12), options(angle=0.0, train_samples=12, test_samples=12))
    drawn = [[index for _, index in origins(split)] for split in (task.train, task.test)]
    assert drawn == [
        [8, 5, 11, 6, 2, 7, 3, 10, 0, 1, 9, 4],
        [8, 11, 5, 10, 6, 0, 3, 4, 1, 9, 2, 7],
    ]


def test_replayed_images_are_others_while_there_are_enough() -> None:
    data = numbered()
    few = {"train_samples": 16, "test_samples": 5, "angle": 0.0}
    task = prepare(data, options(replay=0.5, **few))
    assert (len(task.train), task.replayed) == (24, 8)
    seen = origins(task.train)
    assert len(set(seen)) == 24 and {split for split, _ in seen} == {0}
    assert [index for _, index in seen[16:]] == [1, 10, 15, 20, 13, 16, 4, 32]
    assert seen[:16] == origins(prepare(data, options(**few)).train)
    # A smaller share is the beginning of a larger one, in every run; a seed draws others.
    assert origins(prepare(data, options(replay=0.25, **few)).train)[16:] == seen[16:20]
    assert origins(prepare(data, options(replay=0.5, **few)).train) == seen
    assert origins(prepare(data, options(replay=0.5, seed=6, **few)).train)[16:] != seen[16:]
    # 30 of 40 leave ten others, and then those that were drawn before.
    many = prepare(data, options(replay=1.0, train_samples=30, angle=0.0, test_samples=5))
    drawn, again = origins(many.train)[:30], origins(many.train)[30:]
    assert not set(drawn) & set(again[:10]) and set(again[10:]) <= set(drawn)
    assert len(set(again)) == 30


def test_replayed_images_are_upright() -> None:
    data = datasets.load("digits")
    task = prepare(data, options(replay=0.1, angle=180.0))
    upright = {image.tobytes() for image in data.train.images}
    assert [image.tobytes() in upright for image in task.train.images] == [False] * 50 + [True] * 5
    assert prepare(data, options()).replayed == 0


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_replay_is_a_share(share: float) -> None:
    with pytest.raises(UserError, match=f"replay {share} is no share"):
        prepare(numbered(), options(replay=share))


def test_the_device_has_images_of_its_own() -> None:
    data = numbered(**{"device-train": 20, "device-validation": 6, "device-test": 8})
    choice = options(angle=0.0, train_samples=None, test_samples=None, replay=0.25)
    task = prepare(data, choice)
    assert {split for split, _ in origins(task.train)[:20]} == {3}
    # Upright: what the backbone was trained for, and evaluated on.
    assert {split for split, _ in origins(task.train)[20:]} == {0}
    assert (len(task.train), task.replayed) == (25, 5)
    assert set(origins(task.test)) == {(5, index) for index in range(8)}
    assert task.upright is not None
    assert {split for split, _ in origins(task.upright)} == {2} and len(task.upright) == 8
    held_out = prepare(data, replace(choice, evaluate_on="validation"))
    assert set(origins(held_out.test)) == {(4, index) for index in range(6)}
    assert held_out.upright is not None
    assert {split for split, _ in origins(held_out.upright)} == {1}
    with pytest.raises(UserError, match=r"the angle is 30, .* which are not turned; use 0"):
        prepare(data, options())
    with pytest.raises(UserError, match="asks for 20 upright images, but there are 9"):
        small = numbered(count=9, **{"device-train": 20, "device-validation": 6, "device-test": 8})
        prepare(small, options(angle=0.0, train_samples=20, test_samples=4, replay=1.0))


def test_layers_have_a_mu_of_their_own() -> None:
    network, info = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    task = prepare(datasets.load("digits"), options())
    result = configured(network, task, options(layer_mu=(-20, 0, 1, 20)))
    held = [result.of(index) for index in (0, 2, 4, 5)]
    # Shipped: 15, 14, 13, 14 and 23, 20, 16, 18.
    assert [one.gradient_bits for one in held] == [31, 14, 12, 0]
    assert [one.score_bits for one in held] == [31, 20, 15, 0]
    assert [one.error_shift for one in held] == [0, 9, 9, 8]
    assert network.of(0).gradient_bits == info["static"]["gradient_bits"][0] == 15
    for wrong in ((1,), (0, 0, 0, 0, 0)):
        with pytest.raises(UserError, match=f"has {len(wrong)} numbers, but tinycnn has 4 layers"):
            configured(network, task, options(layer_mu=wrong))
    with pytest.raises(UserError, match="does not work with niti-dynamic"):
        configured(network, task, options(layer_mu=(0, 0, 0, 0), method=Method("niti-dynamic")))


def test_a_rule_makes_the_numbers() -> None:
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    task = prepare(datasets.load("digits"), options(calibration="naive", calibration_samples=20))
    naive = configured(network, task, options(calibration="naive", calibration_samples=20))
    assert [naive.of(index).gradient_bits for index in (0, 2, 4, 5)] == [0, 0, 0, 0]
    assert configured(network, task, options()).of(0).gradient_bits == 15
    with pytest.raises(UserError, match="unknown calibration rule 'best'"):
        prepare(datasets.load("digits"), options(calibration="best"))
    with pytest.raises(UserError, match="needs a data set"):
        configured(network, Task(task.train, task.test), options(calibration="naive"))


def test_history(reference: GoldenDevice) -> None:
    """What an epoch says, against a device that is driven by hand."""
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    method = Method("priot", mu=4, later_mu=(7,), theta=-16)
    choice = options(method=method, epochs=2, replay=0.2, retention=True, test_samples=30)
    task = prepare(datasets.load("digits"), choice)
    first = epoch_order(60, choice.seed, 1)[:1]
    reference.load_model(network)
    reference.set_method(method)
    easy = int(reference.train(task.train.images[first], task.train.labels[first]).loss_norms[0])
    assert easy > 0
    method = replace(method, easy=easy)  # at most, so the first image is skipped
    choice = replace(choice, method=method)
    reports: list[int] = []

    def report(result: AdaptResult) -> None:
        reports.append(len(result.history))

    result = adapt(reference, network, task, choice, report)
    assert reports == [0, 1, 2] and result.complete
    assert (result.train_samples, result.replay_samples, result.test_samples) == (50, 10, 30)
    assert result.options["replay"] == 0.2 and result.options["calibration"] == "shipped"
    assert task.upright is not None

    reference.load_model(network)
    reference.set_method(method)

    def correct(split: Split) -> float:
        return reference.evaluate(split.images, split.labels).correct(split.labels) / len(split)

    assert result.upright_before == correct(task.upright)
    for epoch, entry in enumerate(result.history, start=1):
        reference.set_mu((4, 7)[epoch - 1])
        reference.clear_saturation()
        order = epoch_order(60, choice.seed, epoch)
        norms = reference.train(task.train.images[order], task.train.labels[order]).loss_norms
        assert entry["zero_errors"] == np.count_nonzero(norms == 0) / 60
        assert entry["skipped"] == np.count_nonzero(norms <= easy) / 60 > entry["zero_errors"]
        # Of this epoch alone: of these two only the first clamps activations.
        counts = reference.saturation()
        assert counts[:, 0].any() == (epoch == 1)
        for index, inputs, outputs in ((4, 784, 64), (5, 64, 10)):
            elements = {"forward": outputs, "error": inputs, "update": inputs * outputs}
            assert result.saturation[index][epoch - 1] == {
                name: count / (60 * elements[name])
                for name, count in zip(elements, counts[index], strict=True)
            }
        assert entry["accuracy"] == correct(task.test)
        assert entry["upright_accuracy"] == correct(task.upright)
    best, final = (entry["accuracy"] for entry in result.history)
    assert (result.accuracy_best, result.accuracy_final) == (best, final)
    assert best > final  # as so large a step ends
    quiet = adapt(reference, network, task, replace(choice, retention=False), report)
    assert quiet.upright_before is None
    assert [entry["upright_accuracy"] for entry in quiet.history] == [None, None]
    assert quiet.state_sha256 == result.state_sha256


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
    meter = CycleMeter(device)  # type: ignore[arg-type]
    meter.run(device.train)
    assert (meter.per_image, meter.by) == (each, by)
