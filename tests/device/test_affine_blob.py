"""Damaged and forged blobs of affine networks, as test_blob_fuzz.py does it: what reads what, zero
points, bounds and factors."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import slow_affine
import support
import trainable_affine
from picotrain.device.blob import encode, seal
from picotrain.image.elf import Elf
from picotrain_golden import Layer, Network
from slow_affine import drawn_layers, one_layer
from support import FACTOR, NETWORK_INPUT, NO_LAYER, layer_entry
from test_blob_fuzz import (
    ABSURD_16,
    ABSURD_32,
    CLASSES,
    FORM,
    INPUTS,
    LOGITS_EXPONENT,
    OFFSET,
    SHAPE,
    Fuzzer,
    anywhere,
    flip,
    fuzzer,
    put,
    resized,
    sanitized,
    table_end,
    u16,
    u32,
)

__all__ = ["fuzzer", "sanitized"]

ZERO_IN, ZERO_OUT, LOW, HIGH, FACTORS, FACTORS_OFFSET = 7, 9, 10, 11, 14, 44


def graph() -> Network:
    """Every kind once, a fork that an add closes, and few bytes."""

    def layer(kind: str, shape: tuple[int, int, int], out: tuple[int, int, int], *reads: int,
              kernel: tuple[int, int] = (1, 1), stride: tuple[int, int] = (1, 1),
              padding: tuple[int, int] = (0, 0)) -> Layer:  # fmt: skip
        return Layer(kind, shape, out, kernel, stride, padding, False, reads)  # type: ignore[arg-type]

    four, two = (4, 4, 2), (2, 2, 2)
    layers = (
        layer("conv2d", (4, 4, 1), four, -1, kernel=(3, 2), padding=(1, 1)),
        layer("depthwise", four, four, 0, kernel=(3, 3), padding=(1, 1)),
        layer("add", four, four, 1, 0),
        layer("maxpool", four, two, 2, kernel=(2, 2), stride=(2, 2)),
        layer("avgpool", two, (1, 1, 2), 3, kernel=(2, 2)),
        layer("linear", (1, 1, 2), (1, 1, 3), 4),
    )
    parts = drawn_layers(layers, 8)
    # No weight of -128, so that it trains.
    held = tuple(
        one and replace(one, weights=np.maximum(one.weights, -127), error_shift=5, score_bits=14)
        for one in (part.parameters[0] for part in parts)
    )
    affine = tuple(part.affine[0] for part in parts)
    return Network("graph", (4, 4, 1), layers, held, affine, (40000, -4))


@pytest.fixture
def network() -> Network:
    return graph()


@pytest.fixture
def good(network: Network, host_elf: Elf) -> bytes:
    blob = encode(network, host_elf)
    support.decode(blob)
    return blob


def refused(fuzzer: Fuzzer, blob: bytes) -> tuple[str, tuple[int, ...]]:
    refusal = fuzzer.offer(seal(blob, fuzzer.elf))
    assert refusal is not None
    return refusal.name, refusal.detail


def factor_at(good: bytes, layer: int, row: int = 0) -> int:
    at = layer_entry(layer).start + FACTORS_OFFSET
    return int.from_bytes(good[at : at + 4], "little") + FACTOR.size * row


def test_the_second_reading_is_the_network(network: Network, good: bytes) -> None:
    read = support.decode(good)
    assert read.layers == network.layers
    for have, want in zip(read.affine, network.affine, strict=True):
        for name, value in vars(want).items():
            assert np.array_equal(getattr(have, name), value), name


@anywhere
def test_cut_and_extended(fuzzer: Fuzzer, good: bytes) -> None:
    for length in range(table_end(good), len(good)):
        assert refused(fuzzer, resized(good[:length], fuzzer.elf))[0] == "PT_ERR_BLOB_SIZE"
    for count in (1, 2, 4, 12, 100):
        blob = resized(good + bytes(count), fuzzer.elf)
        assert refused(fuzzer, blob) == ("PT_ERR_BLOB_SIZE", (len(blob), len(good), 0, 0))


@pytest.mark.parametrize(
    ("layer", "place", "found"),
    [
        (0, 0, 0),  # itself
        (0, 0, 1),  # a later one
        (0, 0, NO_LAYER),
        (0, 1, 0),  # one too many
        (1, 0, 1),
        (1, 0, 5),
        (1, 0, 6),  # none
        (1, 0, NETWORK_INPUT),  # of another shape
        (2, 1, 2),
        (2, 1, NO_LAYER),  # one too few
        (2, 0, NETWORK_INPUT),
        (3, 1, NETWORK_INPUT),
        (4, 0, 2),
        (5, 0, 3),
        (5, 1, 4),
    ],
)
def test_reads_what_it_must_not(
    fuzzer: Fuzzer, good: bytes, layer: int, place: int, found: int
) -> None:
    """Cycles, tensors that are not made yet or do not exist, other shapes, other numbers."""
    blob = put(good, layer_entry(layer).start + INPUTS + place, bytes([found]))
    assert refused(fuzzer, blob) == ("PT_ERR_LAYER_INPUT", (layer, place, found, 0))


def test_every_pair_of_inputs(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    for layer in range(len(network.layers)):
        for first in (*range(7), NO_LAYER, NETWORK_INPUT):
            for second in (*range(7), NO_LAYER, NETWORK_INPUT):
                at = layer_entry(layer).start + INPUTS
                fuzzer.offer(seal(put(good, at, bytes([first, second])), fuzzer.elf))
    # (0, 0), (0, 1) and (1, 1) of the add, all but the one that it has; and what leaves it unread.
    assert fuzzer.outcomes["accepted"] >= 6


def test_an_output_that_nobody_reads(fuzzer: Fuzzer, good: bytes) -> None:
    add = layer_entry(2).start + INPUTS
    assert refused(fuzzer, put(good, add, bytes([0, 0]))) == (
        "PT_ERR_LAYER_UNREAD",
        (1, 0, 0, 0),
    )
    # 1 x 1, so that the shapes are the input's too.
    layers = [
        Layer("linear", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False, (-1,)),
        Layer("linear", (1, 1, 2), (1, 1, 2), (1, 1), (1, 1), (0, 0), False, (0,)),
    ]
    parts = [one_layer(layer) for layer in layers]
    held = tuple(part.parameters[0] for part in parts)
    pair = Network("pair", (1, 1, 2), tuple(layers), held, tuple(p.affine[0] for p in parts))
    blob = encode(pair, fuzzer.elf)
    at = layer_entry(1).start + INPUTS
    assert refused(fuzzer, put(blob, at, bytes([NETWORK_INPUT]))) == (
        "PT_ERR_LAYER_UNREAD",
        (0, 0, 0, 0),
    )


def test_shapes_of_an_add(fuzzer: Fuzzer, good: bytes) -> None:
    at = layer_entry(2).start + SHAPE
    for field in range(12):
        width, here = (2, at + 2 * field) if field < 6 else (1, at + 6 + field)
        right = int.from_bytes(good[here : here + width], "little")
        for value in {0, 1, 2, 3, 4, 5} - {right}:
            blob = put(good, here, value.to_bytes(width, "little"))
            assert refused(fuzzer, blob)[0] in ("PT_ERR_LAYER_SHAPE", "PT_ERR_LAYER_INPUT")


def test_shapes_of_windows(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    draw = random.Random(7)
    for _ in range(600):
        blob = good
        for _ in range(draw.choice((1, 1, 2, 4))):
            entry = layer_entry(draw.randrange(len(network.layers))).start + SHAPE
            if draw.random() < 0.4:
                blob = put(blob, entry + 2 * draw.randrange(6), u16(draw.choice(ABSURD_16)))
            else:
                value = draw.choice((0, 1, 2, 3, 4, 15, 16, 254, 255))
                blob = put(blob, entry + 12 + draw.randrange(6), bytes([value]))
        fuzzer.offer(seal(blob, fuzzer.elf))
    assert fuzzer.outcomes["PT_ERR_LAYER_SHAPE"] > 200
    assert fuzzer.outcomes["accepted"] > 20


def test_tensors_that_are_too_large(fuzzer: Fuzzer) -> None:
    """2^22 elements, and one row more."""
    for height, name in ((2048, "PT_ERR_HEAD"), (2049, "PT_ERR_LAYER_SHAPE")):
        shape = (height, 2048, 1)
        layer = Layer("maxpool", shape, shape, (1, 1), (1, 1), (0, 0), False, (-1,))
        blob = encode(one_layer(layer), fuzzer.elf)
        assert refused(fuzzer, put(blob, CLASSES, u16(2)))[0] == name


def test_bounds_and_zero_points(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    for index, layer in enumerate(network.layers):
        entry = layer_entry(index).start
        blob = put(put(good, entry + LOW, b"\x05"), entry + HIGH, b"\x04")
        assert refused(fuzzer, blob) == ("PT_ERR_LAYER_BOUNDS", (index, 5, 4, 0))
        for low, high in ((5, 5), (-128, -128), (127, 127)):
            bounds = bytes([low & 255, high & 255])
            assert fuzzer.offer(seal(put(good, entry + LOW, bounds), fuzzer.elf)) is None
        blob = put(good, entry + ZERO_OUT, b"\xff")
        if layer.kind in ("maxpool", "avgpool"):
            minus = 0xFFFFFFFF
            assert refused(fuzzer, blob) == ("PT_ERR_LAYER_ZERO", (index, 0, minus, 0))
        else:
            assert fuzzer.offer(seal(blob, fuzzer.elf)) is None
        if layer.kind != "add":
            blob = put(good, entry + ZERO_IN + 1, b"\x01")
            assert refused(fuzzer, blob)[0] == "PT_ERR_LAYER_ZERO"
        for at in (1, 2, 3, 34):
            name = refused(fuzzer, put(good, entry + at, b"\x01"))[0]
            assert name == "PT_ERR_LAYER_KIND"
        for at, most in ((4, 24), (5, 31), (6, 31)):
            for value in (1, most, most + 1, 255):
                blob = put(good, entry + at, bytes([value]))
                if not layer.has_weights:
                    assert refused(fuzzer, blob)[0] == "PT_ERR_LAYER_KIND"
                elif value > most:
                    detail = (index, value, 0, 0)
                    assert refused(fuzzer, blob) == ("PT_ERR_LAYER_SCALE", detail)
                else:
                    assert fuzzer.offer(seal(blob, fuzzer.elf)) is None
    blob = put(good, FORM, bytes(4))  # and no scale of logits
    assert refused(fuzzer, blob)[0] == "PT_ERR_LAYER_KIND"


def test_scale_of_the_logits(fuzzer: Fuzzer, good: bytes) -> None:
    for multiplier in (0, 1, 32767, 32768, 65535):
        for exponent in (-128, -17, -16, 8, 9, 127):
            blob = put(good, LOGITS_EXPONENT, bytes([exponent & 255]) + u16(multiplier))
            if multiplier >= 32768 and -16 <= exponent <= 8:
                assert fuzzer.offer(seal(blob, fuzzer.elf)) is None
            else:
                detail = (multiplier, exponent & 0xFFFFFFFF, 0, 0)
                assert refused(fuzzer, blob) == ("PT_ERR_BLOB_LOGITS", detail)


@anywhere
def test_numbers_and_places_of_factors(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    for index, layer in enumerate(network.layers):
        at = layer_entry(index).start + FACTORS
        right = int.from_bytes(good[at : at + 2], "little")
        for value in {*ABSURD_16, right - 1 & 0xFFFF, right + 1} - {right}:
            name, detail = refused(fuzzer, put(good, at, u16(value)))
            # A mean of the whole input may have one; then the next bytes are looked for there.
            if layer.kind == "avgpool" and value == 1:
                assert name == "PT_ERR_LAYER_OFFSET"
            else:
                assert (name, detail) == ("PT_ERR_LAYER_FACTORS", (index, value, 0, 0))
        at = layer_entry(index).start + FACTORS_OFFSET
        right = int.from_bytes(good[at : at + 4], "little")
        for value in {*ABSURD_32, right - 4 & 0xFFFFFFFF, right + 4} - {right}:
            detail = (index, value, right, 0)
            assert refused(fuzzer, put(good, at, u32(value))) == ("PT_ERR_LAYER_OFFSET", detail)
        at = layer_entry(index).start + OFFSET
        assert refused(fuzzer, put(good, at, u32(4)))[0] == "PT_ERR_LAYER_OFFSET"


def test_factors_out_of_range(fuzzer: Fuzzer, good: bytes) -> None:
    for layer, row in ((0, 1), (1, 0), (2, 0), (2, 1), (2, 2), (5, 2)):
        at = factor_at(good, layer, row)
        for multiplier in (1, 2**30 - 1, 2**31, 2**32 - 1):
            name, detail = refused(fuzzer, put(good, at + 4, u32(multiplier)))
            assert (name, detail[:3]) == ("PT_ERR_FACTOR", (layer, row, multiplier))
        for multiplier in (0, 2**30, 2**31 - 1):
            assert fuzzer.offer(seal(put(good, at + 4, u32(multiplier)), fuzzer.elf)) is None
        for shift in (-32, 31, -(2**31), 2**31 - 1):
            word = shift & 0xFFFFFFFF
            name, detail = refused(fuzzer, put(good, at + 8, u32(word)))
            assert name == "PT_ERR_FACTOR" and detail[:2] == (layer, row) and detail[3] == word
        assert fuzzer.offer(seal(put(good, at + 8, u32(-31 & 0xFFFFFFFF)), fuzzer.elf)) is None
        if layer == 2:
            assert refused(fuzzer, put(good, at + 8, u32(1)))[0] == "PT_ERR_FACTOR"
            assert refused(fuzzer, put(good, at, u32(1)))[0] == "PT_ERR_FACTOR"


def test_sums_that_could_overflow(fuzzer: Fuzzer, network: Network, good: bytes) -> None:
    """The bias and the shift at the bound, and one past it."""
    for layer in (0, 1, 5):
        held = network.of(layer).weights
        for row in range(len(held)):
            at = factor_at(good, layer, row)
            weighted = 255 * int(np.abs(held[row].astype(int)).sum())
            for left in (0, 3):
                most = (2**31 - 1 - 128 >> left) - weighted
                blob = put(good, at + 8, u32(left))
                for sign in (1, -1):
                    fits = put(blob, at, u32(sign * most & 0xFFFFFFFF))
                    assert fuzzer.offer(seal(fits, fuzzer.elf)) is None
                    over = put(blob, at, u32(sign * (most + 1) & 0xFFFFFFFF))
                    detail = (layer, row, weighted + most + 1, left)
                    assert refused(fuzzer, over) == ("PT_ERR_LAYER_RANGE", detail)
            over = put(good, at, u32(2**31))
            assert refused(fuzzer, over) == ("PT_ERR_LAYER_RANGE", (layer, row, 2**31, 0))


def test_flipped_bits(fuzzer: Fuzzer, good: bytes) -> None:
    for bit in range(8 * 16, 8 * len(good)):
        fuzzer.offer(seal(flip(good, bit), fuzzer.elf))
    assert fuzzer.outcomes["accepted"] > 300
    assert fuzzer.trained > 60
    assert len(fuzzer.outcomes) >= 10


@anywhere
@pytest.mark.parametrize(
    "make",
    [
        graph,
        lambda: slow_affine.random_network(3),
        lambda: trainable_affine.trainable_network(5),
    ],
)
def test_random_bytes(fuzzer: Fuzzer, make: Callable[[], Network]) -> None:
    draw = random.Random(13)
    good = encode(make(), fuzzer.elf)
    for _ in range(400):
        blob = good
        for _ in range(draw.randrange(1, 8)):
            at = draw.randrange(16, len(good))
            blob = put(blob, at, draw.randbytes(min(draw.choice((1, 1, 2, 4)), len(good) - at)))
        fuzzer.offer(seal(blob, fuzzer.elf))
