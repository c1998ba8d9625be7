"""Shapes, and the limits that `validate` guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import golden_slow as slow
from picotrain_golden import Layer, Network, Parameters, conv2d, linear, maxpool2, validate


def simple(*layers: Layer, **numbers: int) -> Network:
    rng = np.random.default_rng(0)
    numbers = {"exponent": 0, **numbers}
    parameters = tuple(
        slow.random_parameters(rng, layer, **numbers) if layer.has_weights else None
        for layer in layers
    )
    return Network("simple", layers[0].in_shape, layers, parameters)


def good() -> Network:
    return simple(
        conv2d((7, 6, 2), 3, (3, 3), 2, (1, 1), True),
        maxpool2((4, 3, 3)),
        linear((2, 1, 3), 4, False),
        forward_shift=9,
    )


def test_shapes_and_counts() -> None:
    conv, pool, last = good().layers
    assert (conv.out_shape, pool.out_shape, last.out_shape) == ((4, 3, 3), (2, 1, 3), (1, 1, 4))
    assert (conv.rows, conv.row_length, conv.weight_count) == (3, 18, 54)
    assert (conv.positions, conv.macs) == (12, 648)
    assert (pool.has_weights, pool.rows, pool.row_length, pool.macs) == (False, 0, 0, 0)
    assert (last.rows, last.row_length, last.positions, last.macs) == (4, 6, 1, 24)
    assert conv2d((9, 8, 3), 4, (3, 2), 2, (1, 0), True).out_shape == (5, 4, 4)
    assert maxpool2((5, 7, 2)).out_shape == (2, 3, 2)


def test_network_properties() -> None:
    network = good()
    validate(network)
    assert (network.classes, network.first_weighted) == (4, 0)
    assert network.logits_exponent == -7 + 9 + 9
    assert slow.pool_first_network(np.random.default_rng(0)).first_weighted == 1


def test_copy_shares_no_weights() -> None:
    network = good()
    other = network.copy()
    other.of(0).weights[0, 0] ^= 1
    other.of(2).exponent = 5
    assert other.of(0).weights[0, 0] != network.of(0).weights[0, 0]
    assert network.of(2).exponent == 0


def altered(index: int, **changes: Any) -> Network:
    network = good()
    layers = list(network.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(network, layers=tuple(layers))


def held(index: int, **changes: Any) -> Network:
    network = good()
    for name, value in changes.items():
        setattr(network.of(index), name, value)
    return network


def with_weight(value: int) -> Network:
    network = good()
    network.of(0).weights[1, 1] = value
    return network


def with_parameters(*parameters: Parameters | None) -> Network:
    return replace(good(), parameters=parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(good(), layers=(), parameters=()), "1 to 24 layers"),
        (lambda: simple(*[linear((1, 1, 2), 2, False)] * 25, forward_shift=1), "1 to 24 layers"),
        (lambda: with_parameters(None), "parameter sets"),
        (lambda: replace(good(), input_shape=(7, 6, 1)), "layer 0 takes"),
        (lambda: altered(1, in_shape=(4, 4, 3)), "layer 1 takes"),
        (lambda: altered(0, out_shape=(4, 4, 3)), "its fields ask"),
        (lambda: altered(0, stride=(3, 3)), "stride"),
        (lambda: altered(0, stride=(0, 0)), "stride"),
        (lambda: altered(0, stride=(2, 1)), "both axes"),
        (lambda: altered(2, inputs=(0,)), "names what it reads"),
        (lambda: altered(0, kind="depthwise"), "only the affine form"),
        (lambda: altered(0, padding=(3, 1)), "padding"),
        (lambda: altered(0, padding=(1, -1)), "padding"),
        (lambda: altered(0, kernel=(3, 16)), "kernel"),
        (lambda: altered(1, relu=True), "its fields ask"),
        (lambda: altered(1, kind="avgpool2"), "unknown kind"),
        (lambda: altered(2, relu=True), "last layer"),
        (lambda: simple(maxpool2((2, 2, 2))), "last layer"),
        (lambda: simple(linear((1, 1, 2), 257, False)), "classes"),
        (lambda: simple(linear((1, 1, 2), 1, False)), "classes"),
        (lambda: simple(linear((1, 4097, 1), 2, False)), "dimension"),
        (lambda: simple(maxpool2((1, 4, 1)), linear((0, 2, 1), 2, False)), "dimension"),
        (lambda: simple(linear((1, 4096, 5), 205, True), linear((1, 1, 205), 2, False)), "weights"),
        (lambda: simple(linear((4, 4096, 9), 2, False)), "terms"),
        (lambda: simple(conv2d((362, 363, 1), 1, (1, 1), 1, (0, 0), True)), "terms"),
        (lambda: simple(conv2d((15, 15, 1), 583, (15, 15), 1, (0, 0), True)), "terms"),
        (lambda: with_weight(-128), "-128"),
        (lambda: with_parameters(good().of(0), good().of(0), good().of(2)), "layer 1, maxpool2"),
        (lambda: with_parameters(None, None, good().of(2)), "layer 0, conv2d"),
        (lambda: held(0, weights=np.zeros((3, 17), np.int8)), "shape"),
        (lambda: held(0, weights=np.zeros((3, 18), np.int16)), "int8 weights"),
        (lambda: held(0, exponent=9), "exponent 9"),
        (lambda: held(2, exponent=-25), "exponent -25"),
        (lambda: held(0, forward_shift=25), "forward_shift"),
        (lambda: held(0, error_shift=-1), "error_shift"),
        (lambda: held(0, gradient_bits=32), "gradient_bits"),
        (lambda: held(0, score_bits=32), "score_bits"),
        (lambda: held(0, exponent=-21), "exponent -10, -9 is the least"),
    ],
)
def test_refusals(make: Callable[[], Network], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        validate(make())
    assert "\n" not in str(caught.value)


def test_limits_are_allowed() -> None:
    validate(with_weight(-127))
    validate(held(0, exponent=-20))
    validate(held(0, exponent=-21), dynamic=True)
    validate(
        simple(linear((8, 4096, 4), 32, True), linear((1, 1, 32), 256, False), forward_shift=9)
    )
    validate(simple(*[linear((1, 1, 2), 2, False)] * 24, forward_shift=1))
