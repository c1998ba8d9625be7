"""Convolution, ReLU and pooling as one operation, against the three one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import golden_slow as slow
from oracles import Recorder, named, samples
from picotrain_golden import Method, Network, Trainer, conv2d, fused, linear, maxpool2, plan
from picotrain_golden.layers import packed, pool_sums, unpacked, unpool
from test_golden_plan import listed, small
from test_golden_trainer import learned, prepared, tightened
from trainable_affine import trainable_network

Make = Callable[[np.random.Generator], Network]

METHODS = [
    Method("niti-static", mu=3),
    Method("niti-static", mu=7, easy=80),
    Method("priot", mu=5, theta=0, start="normal", seed=3),
    Method("priot", mu=7, theta=-16),
    Method("priot-s", mu=5, permille=300, seed=4, start="normal"),
    Method("priot-s", mu=7, permille=300, select="random", theta=1, seed=9),
]


def two_pairs_network(rng: np.random.Generator) -> Network:
    """A pair behind a pair, then a pool that is none's, as its convolution has no ReLU."""
    return slow.random_network(
        rng,
        "two pairs",
        conv2d((14, 13, 2), 3, (3, 3), 1, (1, 1), True),
        maxpool2((14, 13, 3)),
        conv2d((7, 6, 3), 5, (2, 3), 1, (1, 0), True),
        maxpool2((8, 4, 5)),
        conv2d((4, 2, 5), 4, (3, 3), 1, (1, 1), False),
        maxpool2((4, 2, 4)),
        linear((2, 1, 4), 6, True),
        linear((1, 1, 6), 4, False),
    )


def pool_after_pair_network(rng: np.random.Generator) -> Network:
    """A pair that is pooled once more; the first layer has no weights."""
    return slow.random_network(
        rng,
        "pool after a pair",
        maxpool2((18, 17, 2)),
        conv2d((9, 8, 2), 4, (3, 3), 1, (1, 1), True),
        maxpool2((9, 8, 4)),
        maxpool2((4, 4, 4)),
        linear((2, 2, 4), 4, False),
    )


NETWORKS: list[Make] = [slow.odd_network, two_pairs_network, pool_after_pair_network]


@pytest.mark.parametrize("method", METHODS, ids=named)
@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("tighter", [0, 2])
def test_steps_are_those_of_separate_operations(make: Make, method: Method, tighter: int) -> None:
    network = tightened(prepared(make), tighter)
    one, other = Trainer(network, replace(method, fused=True)), Trainer(network, method)
    pairs = [index for index, is_one in enumerate(fused(network, one.method)) if is_one]
    assert pairs
    routed = 0
    for image, label in samples(network, 12, seed=21):
        traces = Recorder(), Recorder()
        results = [t.train_step(image, label, r) for t, r in zip((one, other), traces, strict=True)]
        assert results[0] == results[1]
        assert one.saturation.tolist() == other.saturation.tolist()
        found, expected = ({(e[0], e[1]): e[2] for e in r.events} for r in traces)
        for index in pairs:
            layer, pool = network.layers[index], network.layers[index + 1]
            assert ("activation", index) not in found and ("error", index) not in found
            places = np.array(found.pop(("places", index)), np.int8).reshape(pool.out_shape)
            output = np.array(found["activation", index + 1])
            error = np.array(found.pop(("error", index + 1)))
            before = np.array(expected.pop(("error", index + 1)))
            assert (error == before * (output > 0)).all()
            spread = unpool(layer, error.astype(np.int8).reshape(pool.out_shape), places)
            assert spread.reshape(-1).tolist() == expected.pop(("error", index))
            routed += np.count_nonzero(spread)
            del expected["activation", index]
        assert found == expected
    assert routed > 5
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            assert (learned(one, index) == learned(other, index)).all()


@pytest.mark.parametrize("make", NETWORKS)
def test_predictions_are_those_of_separate_operations(make: Make) -> None:
    network = tightened(prepared(make), 2)
    one, other = Trainer(network, Method("infer", fused=True)), Trainer(network, Method("infer"))
    images = np.stack([image for image, _ in samples(network, 20)])
    assert (one.predict(images) == other.predict(images)).all()
    assert one.saturation.tolist() == other.saturation.tolist()
    assert one.saturation[:, 0].any()


@pytest.mark.parametrize(
    ("sums", "k", "output", "place", "saturated"),
    [
        # Of equal outputs the first, whatever the sums were: 24, 25 and 39 all become 2.
        ((24, 25, 39, 38), 4, 2, 0, 0),
        ((23, 25, 39, 24), 4, 2, 1, 0),
        ((-8, 23, 23, 24), 4, 2, 3, 0),
        ((7, 6, 8, 9), 0, 9, 3, 0),
        # At the end of int8: 127 is the output of all that saturate, and of what just does not.
        ((2039, 9000, 2040, 5), 4, 127, 0, 2),
        ((2023, 9000, 9001, 9002), 4, 127, 1, 3),
        ((2024, 0, 0, 2039), 4, 127, 0, 0),
        # Nothing is left by ReLU.
        ((-9, -8, -1, 7), 4, 0, 0, 0),
        ((-9, -9000, -1, -2), 0, 0, 0, 0),
    ],
)
def test_a_window_by_hand(
    sums: tuple[int, ...], k: int, output: int, place: int, saturated: int
) -> None:
    acc = np.array(sums, np.int32).reshape(1, 2, 2, 1)
    outputs, places, count = pool_sums(acc, k)
    assert (outputs.tolist(), places.tolist(), count) == ([[[[output]]]], [[[[place]]]], saturated)


def test_what_no_window_has_counts_when_it_saturates() -> None:
    acc = np.zeros((1, 3, 5, 1), np.int32)
    acc[0, 2, 0], acc[0, 1, 4], acc[0, 0, 3] = 900, 800, 128
    outputs, _, saturated = pool_sums(acc, 0)
    assert (outputs.reshape(-1).tolist(), saturated) == ([0, 127], 3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63])
def test_places_are_packed_in_two_bits(count: int) -> None:
    places = np.random.default_rng(count).integers(0, 4, count).astype(np.int8)
    data = packed(places)
    assert data.size == -(-count // 4)
    for index, place in enumerate(places):
        assert data[index // 4] >> 2 * (index % 4) & 3 == place
    assert data[-1] >> 2 * ((count - 1) % 4 + 1) == 0
    assert (unpacked(data, count) == places).all()


def test_which_layers_are_one_operation() -> None:
    rng = np.random.default_rng(0)
    network = two_pairs_network(rng)
    pairs = (True, False, True, *[False] * 5)
    assert fused(network, Method("priot", fused=True)) == pairs
    assert fused(network, Method("infer", fused=True)) == pairs
    assert not any(fused(network, Method("priot")))
    assert not any(fused(network, Method("niti-dynamic", fused=True)))
    assert not any(fused(trainable_network(3), Method("priot", fused=True)))
    after = pool_after_pair_network(rng)
    assert fused(after, Method("priot", fused=True)) == (False, True, False, False, False)
    with pytest.raises(ValueError, match="fused is 1; give True or False"):
        Method("priot", fused=1)  # type: ignore[arg-type]


def test_plan_by_hand() -> None:
    """Operations: forward 0 2, loss 2, error(2) 3, update(2) 4, update(0) 5."""
    found = listed(plan(small(), Method("priot", fused=True), 0))
    assert found == {
        "activation[-1]": (16, 0, 5),
        # Two bits for each of 2 x 2 x 2 outputs.
        "places[0]": (4, 0, 5),
        "activation[1]": (8, 0, 4),
        "activation[2]": (4, 1, 2),
        "error[2]": (4, 2, 4),
        "error[1]": (8, 3, 5),
        # Three rows of 8 + 4 + 2 + 2 words, 9 weights of 8 channels, 4 sums and 2 x 4 outputs of 8.
        "scratch forward(0)": (192 + 144 + 128 + 64 + 12, 0, 0),
        "scratch forward(2)": (32 + 8, 1, 1),
        "scratch error(2)": (32 + 8, 3, 3),
        "scratch update(2)": (8 + 36, 4, 4),
        # Four positions, and room for as many errors of a channel.
        "scratch update(0)": (36 + 12 + 144 + 32 + 32 + 36, 5, 5),
    }
    infer = listed(plan(small(), Method("infer", fused=True), 0))
    assert infer["places[0]"] == (4, 0, 0) and infer["activation[1]"] == (8, 0, 1)
    dynamic = Method("niti-dynamic", fused=True)
    assert plan(small(), dynamic, 0) == plan(small(), replace(dynamic, fused=False), 0)


def test_plan_of_an_error_by_hand() -> None:
    """The error of a pair's input has no accumulators but those of a row."""
    rng = np.random.default_rng(1)
    found = listed(plan(two_pairs_network(rng), Method("priot", fused=True), 0))
    # Two rows of the error, [8, 4, 5], as lists: at most 10 values of 20, 4 + 1 index words.
    lists = 4 * 2 * (2 * 10 + 4 + 2 * 2 + 2)
    lanes = 16 * 2 * 3 * 5
    assert found["scratch error(2)"][0] == lists + lanes + 4 * 6 * 8 + 20
    # Two bits for 7 * 6 * 3 and for 4 * 2 * 5 outputs.
    assert (found["places[0]"][0], found["places[2]"][0]) == (32, 12)
