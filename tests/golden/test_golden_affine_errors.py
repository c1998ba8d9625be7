"""What errors do in an affine network (section 15), by hand: loss, scales, merging, kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slow_affine as forward
import slow_affine_training as slow
from picotrain_golden import Affine, Layer, Method, Network, Parameters, Trainer
from picotrain_golden.loss import affine_loss_error
from picotrain_golden.operators import OPERATORS
from picotrain_golden.operators.base import Contribution, Given
from picotrain_golden.operators.scales import (
    ONE,
    Scale,
    largest_factor,
    merge,
    over_count,
    row_weights,
    times_factor,
)
from picotrain_golden.passes import score_gradient

LEAST, MOST = 1 << 15, (1 << 16) - 1


def int8(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


# Loss


def test_loss_in_powers_of_two() -> None:
    # A step is 2^-3 nats: 60 * 47274 >> 18 = 10, 40 -> 7, 0 -> 0, -60 -> -11. As at exponent -3.
    # z = 10, 7, 0, 0 and p = 1023, 127, 0, 0 of 1150; 2048ths 1821, 226, 0, 0; the first is right.
    found = affine_loss_error(int32(60, 40, 0, -60), (LEAST, -3), 0)
    assert found.tolist() == [-14, 14, 0, 0]
    # With a mantissa of 1.5 a step is 0.1875 nats: 60 -> 16, 40 -> 10, so z = 10, 4, 0, 0.
    found = affine_loss_error(int32(60, 40, 0, -60), (3 << 14, -3), 1)
    # p = 1023, 15 of 1038: 2018 and 29, and 29 - 2047 = -2018.
    assert found.tolist() == [126, -126, 0, 0]


def test_loss_in_the_second_order() -> None:
    # E = -8: a step is 2^-8 nats, c = 0, u = 60, 40, 0, -60 and p = (u + 256)^2 + 65536:
    # 165392, 153152, 131072, 103952 of 553568; 2048ths 611, 566, 484, 384, in all 2045.
    found = affine_loss_error(int32(60, 40, 0, -60), (LEAST, -8), 0)
    assert found.tolist() == [-90, 35, 30, 24]
    # The centre goes to 0 first: 160 and 40 are as 60 and -60, and c rounds down.
    shifted = affine_loss_error(int32(160, 140, 100, 41), (LEAST, -8), 0)
    assert shifted.tolist() == affine_loss_error(int32(60, 40, 0, -59), (LEAST, -8), 0).tolist()


def test_loss_changes_its_formula_between_7_and_8() -> None:
    v = int32(100, 0)
    # 100 * 47274 >> 22 = 1: p = 1023, 511 of 1534.
    assert affine_loss_error(v, (LEAST, -7), 0).tolist() == [-43, 43]
    # u = 50, -50: 306^2 and 206^2, each + 65536: 159172, 107972 of 267144.
    assert affine_loss_error(v, (LEAST, -8), 0).tolist() == [-52, 52]


@pytest.mark.parametrize("scale", [(LEAST, -16), (MOST, -8), (MOST, 8), (LEAST, -7), (40000, 0)])
def test_loss_at_the_ends_of_what_logits_may_be(scale: Scale) -> None:
    random = np.random.default_rng(4)
    tables = [[-255, 255], [255, -255], [255] * 256, [-255] * 255 + [255], [0, 0]]
    tables += [random.integers(-255, 1, count).tolist() for count in (2, 10, 256)]
    for values in tables:
        # All 255 apart at most, as those of one tensor are.
        values = [max(one, max(values) - 255) for one in values]
        for target in (0, len(values) - 1):
            found = affine_loss_error(int32(*values), scale, target)
            assert found.tolist() == slow.loss(values, scale, target)


# Scales


@pytest.mark.parametrize(
    ("g", "m", "s", "result"),
    [
        # 2^15 * 2^15 = 2^30, so M = 2^15: times 1/2 is E - 1.
        (ONE, 1 << 30, 0, (LEAST, -1)),
        (ONE, 1 << 30, -5, (LEAST, -6)),
        # 3/4 * 3/2 = 9/8: 49152 * 49152 = 2^31 * 1.125.
        ((49152, 2), 3 << 29, 0, (36864, 2)),
        # 1 * 3/4
        (ONE, 3 << 29, 0, (49152, -1)),
        # The last 15 bits of m and of the product are lost: 65535^2 >> 16 = 65534.
        ((MOST, 0), (1 << 31) - 1, 0, (65534, 0)),
        # avgpool's multiplier may be below 2^30.
        (ONE, 1 << 29, 0, (LEAST, -2)),
        (ONE, 3 << 28, 1, (49152, -1)),
    ],
)
def test_a_scale_times_a_factor(g: Scale, m: int, s: int, result: Scale) -> None:
    assert times_factor(g, m, s) == result == slow.times(g, m, s)


@pytest.mark.parametrize(
    ("g", "n", "result"),
    [
        (ONE, 1, ONE),
        (ONE, 2, (LEAST, -1)),
        (ONE, 4, (LEAST, -2)),
        # 2^31 // 3 = 715827882 of 30 bits: >> 14 = 43690.
        (ONE, 3, (43690, -2)),
        ((MOST, 5), 9, (58253, 2)),
        # 2^31 // 65025 = 33025, of 16 bits as it is.
        (ONE, 255 * 255, (33025, -16)),
    ],
)
def test_a_scale_by_a_count(g: Scale, n: int, result: Scale) -> None:
    assert over_count(g, n) == result == slow.over(g, n)


@pytest.mark.parametrize(
    ("d", "g", "c", "h", "result", "scale"),
    [
        # Of equal scales the sum, clamped.
        (100, ONE, 20, ONE, 120, ONE),
        (100, ONE, 28, ONE, 127, ONE),
        (-100, ONE, -100, ONE, -127, ONE),
        # A quarter: 10 / 4 = 2.5, half up; -2.5 goes up too.
        (1, ONE, 10, (LEAST, -2), 4, ONE),
        (1, ONE, -10, (LEAST, -2), -1, ONE),
        # The larger scale is the contribution's: 10 + 7/2 = 13.5.
        (7, ONE, 10, (LEAST, 1), 14, (LEAST, 1)),
        # Of equal E the larger M: t = (32768 << 15) // 49152 = 21845, 30 * 21845 / 2^15 = 19.9995.
        (30, ONE, 5, (49152, 0), 25, (49152, 0)),
        # h is smaller, though its M is larger: t = 65535, / 2^16.
        (5, ONE, 127, (MOST, -1), 5 + 127, ONE),
        (0, ONE, 127, (MOST, -1), 127, ONE),
        # Too small to be seen, but for a half: k = 15 + 8 and 15 + 7.
        (3, ONE, 127, (LEAST, -8), 3, ONE),
        (3, ONE, 64, (LEAST, -7), 4, ONE),
        (3, ONE, 63, (LEAST, -7), 3, ONE),
        (3, ONE, -127, (MOST, -90), 3, ONE),
        (3, ONE, 127, (MOST, -90), 3, ONE),
    ],
)
def test_merging(d: int, g: Scale, c: int, h: Scale, result: int, scale: Scale) -> None:
    result = min(result, 127)
    values, kept = merge(int8(d), g, int8(c), h)
    assert (values.tolist(), kept) == ([result], scale)
    assert slow.merge(d, g, c, h) == result


def numbers(m: list[int], s: list[int]) -> Affine:
    layer = Layer("linear", (1, 1, 1), (1, 1, len(m)), (1, 1), (1, 1), (0, 0), False)
    return forward.affine(layer, multiplier=int32(*m), shift=int32(*s))


@pytest.mark.parametrize(
    ("m", "s", "largest", "weights"),
    [
        ([1 << 30], [-7], (1 << 30, -7), [128]),
        # A half, and three quarters.
        ([1 << 30, 1 << 30, 3 << 29], [-3, -4, -4], (1 << 30, -3), [128, 64, 96]),
        # By shift first; a multiplier is up to twice another one.
        ([(1 << 31) - 1, 1 << 30], [-4, -3], (1 << 30, -3), [128, 128]),
        ([1 << 30, (1 << 31) - 1], [-3, -3], ((1 << 31) - 1, -3), [64, 128]),
        # 1/256 is a half, which goes up, and less is 0.
        ([1 << 30, 1 << 30, 1 << 30], [0, -8, -9], (1 << 30, 0), [128, 1, 0]),
        ([1 << 30, 1 << 30], [0, -31], (1 << 30, 0), [128, 0]),
        # 0 is the least, whatever its shift.
        ([0, 1 << 30, 0], [30, -31, -31], (1 << 30, -31), [0, 128, 0]),
    ],
)
def test_weights_of_rows(
    m: list[int], s: list[int], largest: tuple[int, int], weights: list[int]
) -> None:
    affine = numbers(m, s)
    assert largest_factor(affine) == slow.largest(affine) == largest
    assert row_weights(affine).tolist() == weights
    assert [slow.row_weight(affine, row) for row in range(len(m))] == weights


# Kinds


def contribution(
    layer: Layer, error: np.ndarray, place: int = 0, static: int | None = 0, **given: Any
) -> Contribution:
    weights, inputs = given.pop("weights", None), given.pop("inputs", None)
    affine = forward.affine(layer, **given)
    shown = np.zeros(layer.in_shape, np.int8) if inputs is None else inputs
    asked = Given(weights, [shown] * 2, error.reshape(layer.out_shape), ONE, static)
    return OPERATORS[layer.kind].contribution(layer, affine, asked, place)


def layer(kind: Any, size: tuple[int, int], out: tuple[int, int], *windows: Any) -> Layer:
    kernel, stride, padding = windows or ((1, 1), (1, 1), (0, 0))
    return Layer(kind, (*size, 1), (*out, 1), kernel, stride, padding, False)


def test_a_convolution_hands_errors_down() -> None:
    # SAME with an even kernel: nothing before, one column behind; outputs 10 and -4.
    one = layer("conv2d", (1, 3), (1, 2), (1, 2), (1, 2), (0, 0))
    made = contribution(one, int8(10, -4), weights=np.array([[3, 7]], np.int8), static=1)
    # 30, 70, -12 by 2; the tap outside the input is lost. 1/2 * 2 is 1.
    assert made.values.reshape(-1).tolist() == [15, 35, -6]
    assert (made.scale, made.peak, made.saturated) == ((LEAST, 0), 70, 0)
    tight = contribution(one, int8(100, -4), weights=np.array([[3, -7]], np.int8))
    assert tight.values.reshape(-1).tolist() == [127, -127, -12]
    assert (tight.scale, tight.peak, tight.saturated) == ((LEAST, -1), 700, 2)
    # 700 has 10 bits: dynamic makes it 7.
    free = contribution(one, int8(100, -4), weights=np.array([[3, -7]], np.int8), static=None)
    assert free.values.reshape(-1).tolist() == [38, -87, -1]
    assert free.scale == (LEAST, 2)


def test_a_depthwise_layer_keeps_channels_apart() -> None:
    one = Layer("depthwise", (1, 2, 2), (1, 1, 2), (1, 3), (1, 2), (0, 1), False)
    weights = np.array([[1, 2, 3], [4, 5, 6]], np.int8)
    made = contribution(one, int8(10, -3), weights=weights)
    # The first tap lies outside.
    assert made.values.reshape(-1).tolist() == [20, -15, 30, -18]


def test_an_addition_hands_its_error_to_both() -> None:
    one = Layer("add", (1, 1, 3), (1, 1, 3), (1, 1), (1, 1), (0, 0), False, (-1, -1))
    factors = {"multiplier": int32(1 << 30, 3 << 29, 1 << 30), "shift": int32(0, -1, -18)}
    for place, scale in ((0, (LEAST, 0)), (1, (49152, -1))):
        made = contribution(one, int8(5, -6, 127), place, **factors)
        assert made.values.reshape(-1).tolist() == [5, -6, 127]
        # 1/2 * 2^-19 * 2^20 = 1, and 3/8 of 2.
        assert made.scale == scale


def test_a_maximum_takes_the_first_and_all_that_comes() -> None:
    one = layer("maxpool", (1, 4), (1, 3), (1, 2), (1, 1), (0, 0))
    inputs = int8(5, 9, 9, -3).reshape(1, 4, 1)
    made = contribution(one, int8(10, 20, 7), inputs=inputs)
    # 9 is the first maximum of two windows, and the other 9 of one.
    assert made.values.reshape(-1).tolist() == [0, 30, 7, 0]
    assert made.scale == ONE
    full = contribution(one, int8(100, 100, -7), inputs=inputs)
    assert full.values.reshape(-1).tolist() == [0, 127, -7, 0]
    assert (full.saturated, full.peak) == (0, None)
    # What lies outside is no maximum, not even of -128.
    edge = layer("maxpool", (1, 2), (1, 2), (1, 2), (1, 1), (0, 1))
    lowest = int8(-128, -128).reshape(1, 2, 1)
    assert contribution(edge, int8(3, 4), inputs=lowest).values.reshape(-1).tolist() == [7, 0]


def test_a_mean_shares_its_error() -> None:
    one = layer("avgpool", (1, 4), (1, 3), (1, 2), (1, 1), (0, 0))
    made = contribution(one, int8(10, 21, 7))
    # A position lies in two windows at most: by 2, 10 / 2, 31 / 2, 28 / 2, 7 / 2.
    assert made.values.reshape(-1).tolist() == [5, 16, 14, 4]
    # 2 / 2
    assert made.scale == ONE
    apart = layer("avgpool", (1, 5), (1, 2), (1, 2), (1, 2), (0, 0))
    found = contribution(apart, int8(10, -20))
    assert found.values.reshape(-1).tolist() == [10, 10, -20, -20, 0]
    assert found.scale == (LEAST, -1)
    # Three by three at stride 2, in fours: / 9.
    nine = layer("avgpool", (5, 5), (2, 2), (3, 3), (2, 2), (0, 0))
    assert contribution(nine, int8(1, 1, 1, 1)).scale == (58254, -2)
    # One window: all that a position can lie in, however far a kernel reaches.
    whole = layer("avgpool", (2, 2), (1, 1), (2, 2), (1, 1), (0, 0))
    alone = contribution(whole, int8(101))
    assert alone.values.reshape(-1).tolist() == [101] * 4
    assert alone.scale == (LEAST, -2)
    factor = {"multiplier": int32(3 << 29), "shift": int32(-4)}
    assert contribution(whole, int8(101), **factor).scale == (49152, -5)


# Finished errors, and updates


class Recorder:
    def __init__(self) -> None:
        self.errors: list[tuple[int, list[int]]] = []

    def __call__(self, kind: str, index: int, tensor: np.ndarray) -> None:
        if kind == "error":
            self.errors.append((index, tensor.reshape(-1).tolist()))


def test_the_last_layer_weights_its_rows_and_stops_nothing() -> None:
    """Its outputs are at a bound, and the second row has half of the factor."""
    last = Layer("linear", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    network = forward.one_layer(
        *(last, np.array([[100, 100], [1, 1]], np.int8)),
        shift=int32(1, 0),
        high=100,
    )
    recorder = Recorder()
    image = int8(100, 100).view(np.uint8).reshape(1, 1, 2)
    result = Trainer(network, Method("niti-static")).train_step(image, 1, recorder)
    # Logits 100 and 100: p = 1024 each of 2048, so 64 and -64; the norm is that before the rows'.
    assert (result.prediction, result.loss_norm) == (0, 128)
    assert recorder.errors == [(0, [64, -32])]


@pytest.mark.parametrize(
    ("bounds", "zero_out", "error"),
    [
        ({}, 0, [64, 64, 64]),
        # ReLU: low is the zero point. Tensors that merely end at -128 or 127 do not stop errors.
        ({"low": 0}, 0, [64, 0, 64]),
        ({"low": -128}, -128, [64, 0, 64]),
        ({"low": -20}, 0, [64, 0, 64]),
        ({"high": 10}, 0, [0, 64, 64]),
        ({"low": -128, "high": 127}, 0, [64, 64, 64]),
    ],
)
def test_bounds_stop_errors(bounds: dict[str, int], zero_out: int, error: list[int]) -> None:
    """Outputs of the first layer are 50, far below and 5 above the zero point, or at the bounds."""
    first = Layer("depthwise", (1, 1, 3), (1, 1, 3), (1, 1), (1, 1), (0, 0), False)
    head = Layer("linear", (1, 1, 3), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    held = Parameters(np.array([[1], [1], [1]], np.int8), 0)
    wide = Parameters(np.array([[1, 1, 1], [0, 0, 0]], np.int8), 0)
    affine = (
        forward.affine(first, shift=int32(1, 1, 1), zero_out=zero_out, **bounds),
        forward.affine(head, zero_in=(zero_out,)),
    )
    network = Network("stops", (1, 1, 3), (first, head), (held, wide), affine, (LEAST, -16))
    recorder = Recorder()
    image = int8(50, -128, 5).view(np.uint8).reshape(1, 1, 3)
    Trainer(network, Method("niti-static")).train_step(image, 1, recorder)
    assert recorder.errors[0] == (1, [64, -64])
    assert recorder.errors[1] == (0, error)


def test_a_tensor_that_is_added_to_itself() -> None:
    """Both contributions meet at once: 64 and half of it."""
    first = Layer("depthwise", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    twice = Layer("add", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False, (0, 0))
    held = Parameters(np.array([[1], [1]], np.int8), 0)
    affine = (
        forward.affine(first, shift=int32(1, 1)),
        forward.affine(twice, multiplier=np.full(3, 1 << 30, np.int32), shift=int32(0, -1, -19)),
    )
    network = Network("twice", (1, 1, 2), (first, twice), (held, None), affine, (LEAST, -16))
    recorder = Recorder()
    image = int8(4, 4).view(np.uint8).reshape(1, 1, 2)
    Trainer(network, Method("niti-static")).train_step(image, 0, recorder)
    assert recorder.errors == [(1, [-64, 64]), (0, [-96, 96])]


def test_scores_leave_room_for_inputs_that_reach_255() -> None:
    weights, gradient = np.array([[127]], np.int8), int32(127 * 255 * 518).reshape(1, 1)
    for positions, shift in ((518, 0), (519, 1), (1036, 1), (1037, 2)):
        one = Layer("conv2d", (1, positions, 1), (1, positions, 1), (1, 1), (1, 1), (0, 0), False)
        found = score_gradient(one, gradient, weights, affine=True)
        assert found[0, 0] == (gradient[0, 0] + (1 << shift >> 1) >> shift) * 127
