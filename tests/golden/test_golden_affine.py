"""Affine layers (section 14): values by hand, and random networks against slow loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import slow_affine as slow
from picotrain_golden import Layer, Method, Network, Parameters, Trainer, plan, validate
from picotrain_golden.fixedpoint import halves_away, rdp, scale, srdhm

LEAST, LARGEST = -(2**31), 2**31 - 1


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        (1, 2**30, 1),  # 1/2 is a tie: upwards
        (-1, 2**30, 0),
        (3, 2**30, 2),
        (-3, 2**30, -1),
        (-4, 2**30, -2),
        (5, 2**29, 1),  # 5/4
        (-7, 2**29, -2),
        (0, LARGEST, 0),
        (LARGEST, LARGEST, 2**31 - 2),
        (LEAST, LARGEST, -LARGEST),
        (LEAST, LEAST, LARGEST),
    ],
)
def test_srdhm(a: int, b: int, result: int) -> None:
    assert srdhm(int64(a), b).tolist() == [result]
    assert slow.srdhm(a, b) == result


@pytest.mark.parametrize(
    ("x", "n", "result"),
    [
        *((5, 1, 3), (-5, 1, -3), (6, 2, 2), (-6, 2, -2), (-5, 2, -1), (5, 2, 1)),
        *((7, 0, 7), (-7, 0, -7), (2**30, 31, 1), (-(2**30), 31, -1), (2**30 - 1, 31, 0)),
        *((LEAST, 31, -1), (LARGEST, 31, 1)),
    ],
)
def test_rdp(x: int, n: int, result: int) -> None:
    assert rdp(int64(x), n).tolist() == [result]
    assert slow.rdp(x, n) == result


@pytest.mark.parametrize(
    ("x", "m", "s", "result"),
    [
        (10, 2**30, 0, 5),
        (3, 2**30, 1, 3),
        (-3, 2**30, 0, -1),
        (5, 2**30, -1, 2),  # 5/4, rounded to 5/2 = 3 first: two roundings
        (-6, 2**30, -1, -2),
        (1000, 0, 0, 0),
        (LARGEST, LARGEST, 0, 2**31 - 2),
        (2**23, 2**30, -31, 0),
        (LARGEST, LARGEST, -31, 1),
    ],
)
def test_scale(x: int, m: int, s: int, result: int) -> None:
    assert scale(int64(x), m, s).tolist() == [result]
    assert slow.scale(x, m, s) == result


def test_scale_is_that_of_the_loops_for_many_numbers() -> None:
    random = np.random.default_rng(3)
    x = random.integers(-(2**23), 2**23, 4000)
    x[:200] = random.integers(-9, 9, 200)
    m = random.integers(2**30, 2**31, 4000)
    m[::3] = 2**30
    s = random.integers(-31, 8, 4000)
    found = scale(x, m.astype(np.int32), s.astype(np.int32))
    expected = [slow.scale(*three) for three in zip(*(v.tolist() for v in (x, m, s)), strict=True)]
    assert found.tolist() == expected


def test_a_mean_rounds_halves_away_from_zero() -> None:
    found = halves_away(int64(7, -7, -3, 1, 2, -2, 0), int64(2, 2, 2, 4, 4, 4, 4))
    assert found.tolist() == [4, -4, -2, 0, 1, -1, 0]
    assert halves_away(int64(5, 4, -4), 3).tolist() == [2, 1, -1]


def run(network: Network, *values: int) -> list[int]:
    validate(network)
    image = np.array(values, np.int8).view(np.uint8).reshape(network.input_shape)
    return Trainer(network, Method("infer")).forward(image)[0].tolist()


def window(kind: Any, size: tuple[int, int], out: tuple[int, int], **values: Any) -> Layer:
    shape = (*size, 1)
    fields = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "relu": False, **values}
    return Layer(kind, shape, (*out, 1), **fields)


def test_convolution_by_hand() -> None:
    # SAME with an even kernel: nothing above and left, one row and column below and right.
    layer = window("conv2d", (1, 3), (1, 2), kernel=(1, 2))
    weights = np.array([[-128, 3]], np.int8)
    network = slow.one_layer(
        *(layer, weights),
        zero_in=(-5,),
        zero_out=7,
        bias=np.array([11], np.int32),
        multiplier=np.array([2**30], np.int32),
        shift=np.array([-3], np.int32),
    )
    # -128 * (1 + 5) + 3 * (2 + 5) + 11 = -736, / 16 = -46; -128 * (-6 + 5) + 11 = 139 -> 8.69
    assert run(network, 1, 2, -6) == [-39, 16]
    bounded = replace(network, affine=(replace(network.affine[0], low=7, high=12),))
    assert run(bounded, 1, 2, -6) == [7, 12]


def test_depthwise_keeps_channels_apart() -> None:
    layer = Layer("depthwise", (1, 2, 2), (1, 2, 2), (1, 3), (1, 1), (0, 1), False)
    weights = np.array([[1, 2, 3], [-1, 0, 1]], np.int8)
    network = slow.one_layer(layer, weights, zero_in=(1,), shift=np.array([1, 1], np.int32))
    # channel 0: 10 then 20; channel 1: -4 then 6
    assert run(network, 11, -3, 21, 7) == [80, 6, 50, 4]


def test_linear_has_a_factor_for_each_row() -> None:
    layer = Layer("linear", (1, 1, 2), (1, 1, 3), (1, 1), (1, 1), (0, 0), False)
    weights = np.array([[1, 1], [1, 1], [127, 127]], np.int8)
    shift = np.array([1, 0, 0], np.int32)
    assert run(slow.one_layer(layer, weights, shift=shift), 4, 5) == [9, 5, 127]


def test_pools_by_hand() -> None:
    pool = window("maxpool", (3, 3), (2, 2))
    values = (-128, -7, 3, -100, -9, 2, 5, -128, -128)
    assert run(slow.one_layer(pool), *values) == [-7, 3, 5, -128]
    assert run(slow.one_layer(pool, low=0, high=4), *values) == [0, 3, 4, 0]
    mean = window("avgpool", (3, 3), (2, 2))
    # (-128 - 7 - 100 - 9) / 4 = -61; 5 / 2 and -123 / 2 are halves; one element alone
    assert run(slow.one_layer(mean), *values) == [-61, 3, -62, -128]
    # The zero points are those of the file, and do not enter.
    assert run(slow.one_layer(mean, zero_in=(5,), zero_out=5), *values) == [-61, 3, -62, -128]


def test_a_mean_with_a_multiplier() -> None:
    layer = window("avgpool", (2, 2), (1, 1), kernel=(2, 2), stride=(1, 1))
    head = Layer("linear", (1, 1, 1), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    factor = {"multiplier": np.array([2**30], np.int32), "shift": np.array([-1], np.int32)}
    one = slow.affine(layer, zero_in=(-10,), zero_out=3, **factor)
    both = slow.affine(head, shift=np.array([1, 1], np.int32))
    network = Network(
        *("mean", (2, 2, 1), (layer, head)),
        parameters=(None, Parameters(np.array([[1], [-1]], np.int8), 0)),
        affine=(one, both),
    )
    # (11 + 12 + 13 + 6) / 4 = 10.5: 42 / 2 = 21 is exact, and its half goes away from zero
    assert run(network, 1, 2, 3, -4) == [14, -14]


def test_add_by_hand() -> None:
    layer = Layer("add", (1, 1, 3), (1, 1, 3), (1, 1), (1, 1), (0, 0), False, (-1, -1))
    network = slow.one_layer(
        layer,
        zero_in=(0, -1),
        zero_out=4,
        multiplier=np.full(3, 2**30, np.int32),
        shift=np.array([0, -1, -18], np.int32),
    )
    # a / 2 + (a + 1) / 4, then * 2, as 20 - 1 - 18 bits
    assert run(network, 10, -9, 127) == [4 + 16, 4 - 13, 127]


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_are_those_of_the_loops(seed: int) -> None:
    network = slow.random_network(seed)
    validate(network)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (3, *network.input_shape), dtype=np.uint8)
    trainer = Trainer(network, Method("infer"))
    predictions = trainer.predict(images)
    for number, image in enumerate(images):
        traced: list[np.ndarray] = []
        trainer.trace_forward(image, lambda _kind, _layer, tensor, into=traced: into.append(tensor))
        expected = slow.forward(network, image)
        for index, (have, want) in enumerate(zip(traced, expected, strict=True)):
            assert np.array_equal(have, want), (index - 1, network.layers[index - 1])
        assert predictions[number] == int(expected[-1].argmax())
    assert trainer.saturation.sum() == 0


def test_random_networks_have_all_kinds() -> None:
    networks = [slow.random_network(seed) for seed in range(60)]
    layers = [layer for network in networks for layer in network.layers]
    kinds = {layer.kind for layer in layers}
    assert kinds == {"conv2d", "depthwise", "linear", "maxpool", "avgpool", "add"}
    means = [
        affine
        for network in networks
        for layer, affine in zip(network.layers, network.affine, strict=True)
        if layer.kind == "avgpool" and affine.multiplier.size
    ]
    assert len(means) >= 3
    forks = [
        n for network in networks for i in range(len(network.layers)) for n in network.reads(i)
    ]
    assert len(forks) > len(layers)


# What is refused


def fork() -> Network:
    """Input to conv to depthwise, and their sum."""
    conv = Layer("conv2d", (2, 2, 1), (2, 2, 2), (1, 1), (1, 1), (0, 0), False)
    depth = Layer("depthwise", (2, 2, 2), (2, 2, 2), (3, 3), (1, 1), (1, 1), False)
    add = Layer("add", (2, 2, 2), (2, 2, 2), (1, 1), (1, 1), (0, 0), False, (0, 1))
    weights = [np.full((2, 1), 3, np.int8), np.full((2, 9), -128, np.int8)]
    parameters = (*(Parameters(one, 0) for one in weights), None)
    layers = (conv, depth, add)
    return Network("fork", (2, 2, 1), layers, parameters, tuple(map(slow.affine, layers)))


def with_layer(index: int, **fields: Any) -> Network:
    network = fork()
    layers = list(network.layers)
    layers[index] = replace(layers[index], **fields)
    return replace(network, layers=tuple(layers))


def with_affine(index: int, **fields: Any) -> Network:
    network = fork()
    numbers = list(network.affine)
    numbers[index] = replace(numbers[index], **fields)
    return replace(network, affine=tuple(numbers))


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def held(index: int, **fields: Any) -> Network:
    network = fork()
    parameters = list(network.parameters)
    parameters[index] = replace(network.of(index), **fields)
    return replace(network, parameters=tuple(parameters))


def mean(**fields: Any) -> Network:
    values = {"kernel": (2, 2), "stride": (1, 1), **fields}
    layer = Layer("avgpool", (2, 2, 2), (1, 1, 2), padding=(0, 0), relu=False, **values)
    return slow.one_layer(layer, multiplier=int32(2**30), shift=int32(-2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(fork(), layers=fork().layers[:2]), "3 parameter sets for 2"),
        (lambda: replace(fork(), affine=fork().affine[:2]), "2 affine sets for 3"),
        (lambda: replace(fork(), layers=(), parameters=()), "1 to 48 layers"),
        (lambda: with_layer(0, kind="maxpool2"), "only the power-of-two form"),
        (lambda: with_layer(0, kind="tanh"), "unknown kind"),
        (lambda: slow.one_layer(window("maxpool", (2049, 2048), (1, 1))), "4194304"),
        (lambda: with_layer(2, inputs=(0,)), "reads 1 tensors"),
        (lambda: with_layer(2, inputs=(0, 2)), "reads layer 2, which is none before it"),
        (lambda: with_layer(2, inputs=(-2, 1)), "reads layer -2"),
        (lambda: with_layer(2, inputs=(-1, 1)), "takes"),
        (lambda: with_layer(2, inputs=(0, 0)), "output of layer 1 is read by no layer"),
        (lambda: with_layer(1, in_shape=(2, 2, 3)), "takes"),
        (lambda: with_layer(0, relu=True), "its bounds"),
        (lambda: with_layer(0, kernel=(16, 1)), "kernel outside 1..15"),
        (lambda: with_layer(0, stride=(3, 1)), "stride outside 1..2"),
        (lambda: with_layer(0, padding=(1, 0)), "padding that is not less"),
        (lambda: with_layer(0, stride=(2, 1)), "last windows miss"),
        (lambda: with_layer(2, kernel=(2, 1)), "kernel and stride are 1"),
        (lambda: held(1, weights=np.zeros((2, 8), np.int8)), r"shape \(2, 9\)"),
        (lambda: held(0, exponent=-3), "an exponent or a forward shift"),
        (lambda: held(0, forward_shift=1), "an exponent or a forward shift"),
        (lambda: held(0, error_shift=25), "error_shift 25, outside 0..24"),
        (lambda: held(0, gradient_bits=32), "gradient_bits 32, outside 0..31"),
        (lambda: held(0, score_bits=-1), "score_bits -1, outside 0..31"),
        (lambda: replace(fork(), logits_scale=(1 << 16, 0)), "scale M 65536, E 0"),
        (lambda: replace(fork(), logits_scale=((1 << 15) - 1, 0)), "scale M 32767, E 0"),
        (lambda: replace(fork(), logits_scale=(1 << 15, -17)), "scale M 32768, E -17"),
        (lambda: replace(fork(), logits_scale=(1 << 15, 9)), "scale M 32768, E 9"),
        (lambda: with_affine(0, zero_in=(0, 0)), "2 zero points"),
        (lambda: with_affine(0, zero_in=(128,)), "zero point 128"),
        (lambda: with_affine(0, zero_out=-129), "zero point -129"),
        (lambda: with_affine(0, low=5, high=4), "hold nothing"),
        (lambda: with_affine(0, bias=int32(0)), "bias int32 of 2"),
        (lambda: with_affine(0, multiplier=int32(2**30)), "multiplier int32 of 2"),
        (lambda: with_affine(2, shift=int32(0, 0)), "shift int32 of 3"),
        (lambda: with_affine(0, shift=np.zeros(2, np.int64)), "not int64"),
        (lambda: with_affine(0, multiplier=int32(2**30 - 1, 0)), "multiplier 1073741823"),
        (lambda: with_affine(0, shift=int32(-32, 0)), "shift -32"),
        (lambda: with_affine(2, shift=int32(0, 1, 0)), "shift above 0"),
        (lambda: with_affine(0, shift=int32(0, 22)), "row 1: a sum of up to 765 with shift 22"),
        (lambda: with_affine(0, bias=int32(2**31 - 765 - 128, 0)), "row 0: a sum"),
        (lambda: mean(stride=(2, 2)), "window is the whole input"),
        (lambda: slow.one_layer(window("maxpool", (2, 2), (1, 2)), zero_out=1), "misses?|miss"),
        (
            lambda: slow.one_layer(window("maxpool", (4, 4), (2, 2)), zero_out=1),
            "zero points that differ",
        ),
        (lambda: slow.one_layer(window("avgpool", (2, 2), (1, 1))), "2 to 4096 outputs, not 1"),
    ],
)
def test_refusals(make: Callable[[], Network], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        validate(make())
    assert "\n" not in str(caught.value)


def test_limits_are_allowed() -> None:
    validate(fork())
    validate(mean())
    validate(with_affine(0, shift=int32(0, 21)))
    validate(with_affine(0, bias=int32(2**31 - 765 - 129, 0)))
    validate(with_affine(0, multiplier=int32(0, 2**31 - 1), shift=int32(-31, 0)))
    validate(held(0, error_shift=24, gradient_bits=31, score_bits=31))
    for logits in ((1 << 15, -16), ((1 << 16) - 1, 8)):
        validate(replace(fork(), logits_scale=logits))


# What does not train, and infers all the same


def long_chain(count: int) -> Network:
    layers = [Layer("linear", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False)] * count
    parameters = tuple(Parameters(np.ones((2, 2), np.int8), 0) for _ in layers)
    return Network("chain", (1, 1, 2), tuple(layers), parameters, tuple(map(slow.affine, layers)))


def wide(outputs: int) -> Network:
    return slow.one_layer(
        Layer("linear", (1, 1, 1), (1, 1, outputs), (1, 1), (1, 1), (0, 0), False)
    )


def tall(height: int) -> Network:
    conv = Layer("conv2d", (height, 256, 1), (height, 256, 1), (1, 1), (1, 1), (0, 0), False)
    pool = Layer("avgpool", conv.out_shape, (1, 2, 1), (1, 1), (255, 255), (0, 0), False)
    layers = (conv, replace(pool, out_shape=(-(-height // 255), 2, 1)))
    parameters = (Parameters(np.ones((1, 1), np.int8), 0), None)
    return Network("tall", conv.in_shape, layers, parameters, tuple(map(slow.affine, layers)))


def deep(rows: int) -> Network:
    conv = Layer("conv2d", (1, 1, 1), (1, 1, rows), (15, 15), (1, 1), (7, 7), False)
    head = Layer("linear", conv.out_shape, (1, 1, 2), (1, 1), (1, 1), (0, 0), False)
    layers = (conv, head)
    parameters = tuple(
        Parameters(np.ones((one.rows, one.row_length), np.int8), 0) for one in layers
    )
    return Network("deep", (1, 1, 1), layers, parameters, tuple(map(slow.affine, layers)))


def light_fork(**fields: Any) -> Network:
    """`fork` without the weight of -128; `fields` replace the numbers of its depthwise."""
    network = fork()
    held = replace(network.of(1), weights=np.full((2, 9), -127, np.int8))
    numbers = (network.affine[0], replace(network.affine[1], **fields), network.affine[2])
    return replace(network, parameters=(network.parameters[0], held, None), affine=numbers)


TRAINING = ["niti-dynamic", "niti-static", "priot", "priot-s"]


@pytest.mark.parametrize("method", TRAINING)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: long_chain(33), "an affine network of 33 layers does not train, 32 are the most"),
        (lambda: wide(257), "an affine network of 257 outputs does not train, 256 are the most"),
        (
            lambda: slow.one_layer(window("maxpool", (2, 4), (1, 2))),
            "network one has no weights, so nothing in it trains",
        ),
        (fork, "layer 1 has a weight of -128, so it does not train"),
        (lambda: tall(257), "layer 0 has 65792 output positions, more than 65536, so it does not"),
        (lambda: deep(583), "layer 0 sums 131175 terms for the error of its input, more than 131"),
        (
            lambda: light_fork(multiplier=int32(0, 0)),
            "layer 1 has multipliers that are all 0, so it does not train",
        ),
        (
            lambda: with_affine(2, multiplier=int32(2**30, 2**30, 0)),
            "layer 2 has a multiplier of 0, so it does not train",
        ),
        (
            lambda: slow.one_layer(
                Layer("avgpool", (2, 2, 2), (1, 1, 2), (2, 2), (1, 1), (0, 0), False),
                multiplier=int32(0),
                shift=int32(0),
            ),
            "network one has no weights",
        ),
    ],
)
def test_what_does_not_train(make: Callable[[], Network], message: str, method: Any) -> None:
    network = make()
    if "layer 2" in message:
        network = replace(network, parameters=light_fork().parameters)
    validate(network)
    Trainer(network, Method("infer"))
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        Trainer(network, Method(method))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", TRAINING)
def test_limits_train(method: Any) -> None:
    for network in (long_chain(32), wide(256), tall(256), deep(582), light_fork()):
        Trainer(network, Method(method))
    # One row without a multiplier stays as it is.
    Trainer(light_fork(multiplier=int32(0, 2**30)), Method(method))


@pytest.mark.parametrize("method", TRAINING)
def test_weights_that_may_grow_need_room_for_all_that_they_may_become(method: Any) -> None:
    # 9 * 127 * 255 = 291465: with shift 12 and 127 of 128 it fits 32 bits, with 13 it does not.
    small = light_fork(shift=int32(0, 13))
    weights = np.full((2, 9), 3, np.int8)
    small.parameters[1].weights = weights  # type: ignore[union-attr]
    validate(small)
    if method.startswith("priot"):
        Trainer(small, Method(method))
    else:
        with pytest.raises(ValueError, match="layer 1, row 1: a sum of up to 291465 with shift 13"):
            Trainer(small, Method(method))
    Trainer(light_fork(shift=int32(0, 12)), Method(method))


def test_what_infers_keeps_its_weights() -> None:
    trainer = Trainer(fork(), Method("infer"))
    assert trainer.effective_weights(1).tolist() == [[-128] * 9] * 2
    with pytest.raises(ValueError, match="does not train"):
        trainer.train_step(np.zeros((2, 2, 1), np.uint8), 0)


def test_a_tensor_lives_until_its_last_reader() -> None:
    planned = plan(fork(), Method("infer"), blob_bytes=100)
    lives = {
        buffer.layer: (buffer.first, buffer.last, buffer.size)
        for buffer in planned.buffers
        if buffer.kind == "activation"
    }
    assert lives == {-1: (0, 0, 4), 0: (0, 2, 8), 1: (1, 2, 8), 2: (2, 3, 8)}
    scratches = [(b.name, b.size) for b in planned.buffers if b.kind == "scratch"]
    # Rows of 4 and 12 bytes, tiles of 4.
    assert scratches == [
        ("scratch forward(0)", 5 * 4 + 12 * 4),
        ("scratch forward(1)", 60 + 28 * 4),
    ]
    assert (planned.blob, planned.scores, planned.transient) == (104, 0, 172 + 16)


def test_a_network_without_weights_is_planned() -> None:
    network = slow.one_layer(Layer("maxpool", (2, 2, 2), (1, 1, 2), (2, 2), (2, 2), (0, 0), False))
    validate(network)
    assert plan(network, Method("infer"), 0).transient == 12
