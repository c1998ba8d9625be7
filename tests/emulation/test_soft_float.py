"""soft_float.c, beside which docs/performance.md puts our steps, does what a training step is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from performance.yardsticks import COMPILER, FLOATS, build_float
from picotrain import datasets
from picotrain.datasets import rotated_sample
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn import models
from picotrain.profile.foreign.machines import QemuProgram
from picotrain.profile.foreign.program import Program
from support import require

Floats = NDArray[np.float64]
RATE = 0.01


def windows(maps: Floats) -> Floats:
    """[row, column, window row, window column, channel] of 3x3 windows, 0 outside."""
    padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.moveaxis(found, 2, 4)


def pooled(maps: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Maxima of 2x2, and which of the four came first."""
    side, _, channels = maps.shape
    four = maps.reshape(side // 2, 2, side // 2, 2, channels).transpose(0, 2, 1, 3, 4)
    four = four.reshape(side // 2, side // 2, 4, channels)
    return four.max(axis=2), four.argmax(axis=2)


def spread(error: Floats, most: Floats, places: NDArray[np.intp]) -> Floats:
    """Errors of the maxima at their places; none where ReLU made the maximum 0."""
    side, _, channels = error.shape
    four = np.zeros((side, side, 4, channels))
    np.put_along_axis(four, places[:, :, None], (error * (most > 0))[:, :, None], axis=2)
    four = four.reshape(side, side, 2, 2, channels).transpose(0, 2, 1, 3, 4)
    return four.reshape(2 * side, 2 * side, channels)


def stepped(image: Floats, label: int, weights: list[Floats]) -> tuple[Floats, list[Floats]]:
    """Logits, and the weights after a step."""
    one, two, three, four = weights
    seen = windows(image)
    first = np.maximum(np.einsum("yxabi,cabi->yxc", seen, one), 0)
    small, places = pooled(first)
    seen_2 = windows(small)
    second = np.maximum(np.einsum("yxabi,cabi->yxc", seen_2, two), 0)
    flat, places_2 = pooled(second)
    hidden = np.maximum(three @ flat.ravel(), 0)
    logits = four @ hidden

    likely = np.exp(logits - logits.max())
    error = likely / likely.sum() - np.eye(10)[label]
    error_hidden = (four.T @ error) * (hidden > 0)
    error_2 = spread((three.T @ error_hidden).reshape(flat.shape), flat, places_2)
    back = np.einsum("yxabc,cabi->yxi", windows(error_2), two[:, ::-1, ::-1])
    error_1 = spread(back, small, places)
    gradients = [
        np.einsum("yxc,yxabi->cabi", error_1, seen),
        np.einsum("yxc,yxabi->cabi", error_2, seen_2),
        np.outer(error_hidden, flat.ravel()),
        np.outer(error, hidden),
    ]
    moved = [was - RATE * by for was, by in zip(weights, gradients, strict=True)]
    return logits, moved


@pytest.mark.parametrize("name", FLOATS)
def test_a_step_is_that_of_numpy(name: str, tmp_path: Path) -> None:
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    plugin = require(firmware.CYCLE_PLUGIN)
    network = models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]
    split = rotated_sample(datasets.load("digits").train, 4, 0, 30.0)
    elf = build_float(network, split, tmp_path, FLOATS[name])

    held = [one for one in network.parameters if one is not None]
    shapes = [(8, 3, 3, 1), (16, 3, 3, 8), (64, 784), (10, 64)]
    weights = [
        one.weights.astype(np.float64).reshape(shape) / 2**one.forward_shift
        for one, shape in zip(held, shapes, strict=True)
    ]
    image = (split.images[0] >> 1).reshape(28, 28, 1) / 128
    logits, moved = stepped(image, int(split.labels[0]), weights)

    def of(symbol: str, read: Callable[[int, int], bytes], shape: tuple[int, ...]) -> Any:
        address, size = open_elf(elf).symbol(symbol), 4 * int(np.prod(shape))
        return np.frombuffer(read(address, size), np.float32).reshape(shape)

    machine = QemuProgram(Program(elf), plugin)
    try:
        machine.power_on()
        end = open_elf(elf).symbol("stepped") & ~1
        assert machine.run([end], time.monotonic() + 60) == end
        np.testing.assert_allclose(of("logits", machine.read, (10,)), logits, atol=1e-4)
        for at, (was, now) in enumerate(zip(weights, moved, strict=True), 1):
            found = of(f"weights_{at}", machine.read, now.shape)
            np.testing.assert_allclose(found - was, now - was, atol=1e-6)
            assert np.abs(now - was).max() > 1e-4
    finally:
        machine.close()
