"""Layers against plain loops, and at the extremes of their ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import golden_slow as slow
from picotrain_golden import Layer, conv2d, layers, linear, maxpool2
from picotrain_golden.passes import score_gradient

WEIGHTED = [
    conv2d((5, 7, 3), 4, (3, 3), 1, (1, 1), True),
    conv2d((5, 7, 3), 2, (3, 3), 2, (1, 1), True),
    conv2d((6, 5, 3), 2, (3, 2), 2, (0, 1), False),
    conv2d((4, 6, 1), 3, (2, 3), 1, (1, 2), True),
    conv2d((3, 3, 2), 5, (1, 1), 1, (0, 0), False),
    # The stride leaves a last row and column that no window reaches.
    conv2d((6, 6, 2), 2, (3, 3), 2, (0, 0), True),
    linear((2, 3, 5), 4, True),
    linear((1, 1, 7), 3, False),
]


def random_int8(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return rng.integers(-127, 128, shape).astype(np.int8)


def listed(array: NDArray[Any]) -> list[int]:
    return [int(value) for value in array.reshape(-1)]


@pytest.mark.parametrize("layer", WEIGHTED)
def test_forward(layer: Layer) -> None:
    rng = np.random.default_rng(1)
    weights = random_int8(rng, layer.rows, layer.row_length)
    batch = random_int8(rng, 2, *layer.in_shape)
    acc = layers.forward(layer, weights, batch)
    assert acc.dtype == np.int32 and acc.shape == (2, *layer.out_shape)
    for image, sums in zip(batch, acc, strict=True):
        expected = slow.forward(layer, weights.tolist(), slow.pixels(image))
        assert listed(sums) == slow.flat(expected)


@pytest.mark.parametrize("layer", WEIGHTED)
def test_backward(layer: Layer) -> None:
    rng = np.random.default_rng(2)
    weights = random_int8(rng, layer.rows, layer.row_length)
    error = random_int8(rng, *layer.out_shape)
    acc = layers.backward(layer, weights, error)
    assert acc.dtype == np.int32 and acc.shape == layer.in_shape
    expected = slow.backward(layer, weights.tolist(), slow.pixels(error))
    assert listed(acc) == slow.flat(expected)


@pytest.mark.parametrize("layer", WEIGHTED)
def test_gradient(layer: Layer) -> None:
    rng = np.random.default_rng(3)
    image = random_int8(rng, *layer.in_shape)
    error = random_int8(rng, *layer.out_shape)
    result = layers.gradient(layer, error, layers.columns(layer, image[np.newaxis])[0])
    assert result.dtype == np.int32
    assert result.tolist() == slow.gradient(layer, slow.pixels(error), slow.pixels(image))


def test_conv2d_by_hand() -> None:
    layer = conv2d((2, 2, 1), 1, (2, 2), 1, (1, 1), False)
    image = np.array([[[1], [2]], [[3], [4]]], np.int8)[np.newaxis]
    weights = np.array([[1, 10, 100, -1]], np.int8)
    acc = layers.forward(layer, weights, image)[0, :, :, 0]
    # Top left: only the last tap meets the image. Centre: 1 + 20 + 300 - 4.
    assert acc.tolist() == [[-1, 98, 200], [7, 317, 402], [30, 43, 4]]


@pytest.mark.parametrize("shape", [(4, 6, 3), (5, 7, 2), (2, 3, 1)])
def test_maxpool2(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    layer = maxpool2(shape)
    # Few values, so that most windows have ties.
    batch = rng.integers(0, 3, (2, *shape)).astype(np.int8)
    outputs = layers.maxpool2_forward(batch)
    assert outputs.shape == (2, *layer.out_shape)
    for image, output in zip(batch, outputs, strict=True):
        assert listed(output) == slow.flat(slow.pool(layer, slow.pixels(image)))
        error = random_int8(rng, *layer.out_shape)
        before = error.copy()
        routed = layers.maxpool2_backward(image, output, error)
        expected = slow.unpool(layer, slow.pixels(image), slow.pixels(error))
        assert listed(routed) == slow.flat(expected)
        assert np.array_equal(error, before)


def test_maxpool2_routes_to_the_first_maximum() -> None:
    image = np.array([[1, 5, 0], [5, 5, 9]], np.int8).reshape(2, 3, 1)
    output = layers.maxpool2_forward(image[np.newaxis])[0]
    routed = layers.maxpool2_backward(image, output, np.array([[[-7]]], np.int8))
    assert routed[:, :, 0].tolist() == [[0, -7, 0], [0, 0, 0]]


def test_product_type_at_its_bound() -> None:
    # 1040 * 127 * 127 <= 2^24 < 1041 * 127 * 127.
    assert layers.product_dtype(linear((1, 1, 1040), 2, False)) is np.float32
    assert layers.product_dtype(linear((1, 1, 1041), 2, False)) is np.float64
    # Each of the three sums counts: the gradient's over positions, the error's over the rows.
    positions = conv2d((33, 32, 1), 1, (1, 1), 1, (0, 0), False)
    rows = conv2d((4, 4, 1), 116, (3, 3), 1, (0, 0), False)
    assert layers.product_dtype(positions) is np.float64
    assert layers.product_dtype(rows) is np.float64


@pytest.mark.parametrize("terms", [1040, 1041, 1 << 17])
@pytest.mark.parametrize("sign", [1, -1])
def test_longest_sums_are_exact(terms: int, sign: int) -> None:
    layer = linear((1, terms // 8, 8) if terms % 8 == 0 else (1, 1, terms), 2, False)
    image = np.full((1, *layer.in_shape), 127, np.int8)
    weights = np.full((2, terms), sign * 127, np.int8)
    weights[1, 0] = sign * 126
    acc = layers.forward(layer, weights, image)[0, 0, 0]
    assert acc.tolist() == [sign * 127 * 127 * terms, sign * (127 * 127 * terms - 127)]
    assert abs(int(acc[0])) + 2**23 < 2**31


@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_and_error_at_the_extremes(sign: int) -> None:
    layer = conv2d((256, 512, 1), 1, (1, 1), 1, (0, 0), False)
    assert layer.positions == 1 << 17
    image = np.full(layer.in_shape, 127, np.int8)
    error = np.full(layer.out_shape, sign * 127, np.int8)
    result = layers.gradient(layer, error, layers.columns(layer, image[np.newaxis])[0])
    assert result.tolist() == [[sign * 127 * 127 << 17]]
    layer = conv2d((1, 1, 1), 1024, (3, 3), 1, (1, 1), False)
    weights = np.full((1024, 9), 127, np.int8)
    acc = layers.backward(layer, weights, np.full(layer.out_shape, sign * 127, np.int8))
    # Of the 3x3 taps only the middle one meets the single pixel.
    assert acc.tolist() == [[[sign * 127 * 127 * 1024]]]


@pytest.mark.parametrize(
    ("shape", "g"), [((8, 131, 1), 0), ((1, 1049, 1), 1), ((16, 131, 1), 1), ((1, 2097, 1), 2)]
)
def test_score_gradient_fits_int32(shape: tuple[int, int, int], g: int) -> None:
    layer = conv2d(shape, 1, (1, 1), 1, (0, 0), False)
    assert 1048 * 2**g >= layer.positions > (1048 * 2**g // 2 if g else 0)
    largest = 127 * 127 * layer.positions
    rows = np.array([[largest], [-largest], [3]], np.int32)
    weights = np.array([[127], [127], [-127]], np.int8)
    pairs = zip(rows[:, 0], weights[:, 0], strict=True)
    expected = [[slow.rhu(int(value), g) * int(weight)] for value, weight in pairs]
    assert all(abs(value) < 2**31 for (value,) in expected)
    assert score_gradient(layer, rows, weights).tolist() == expected
