"""The memory plan: one by hand, and the properties that every plan must have."""

from __future__ import annotations

import numpy as np
import pytest

import golden_slow as slow
from picotrain_golden import (
    Layer,
    Method,
    MethodName,
    Network,
    Parameters,
    Plan,
    conv2d,
    linear,
    maxpool2,
    operations,
    plan,
    validate,
)
from slow_affine import affine
from trainable_affine import trainable_network

NAMES: tuple[MethodName, ...] = ("infer", "niti-dynamic", "niti-static", "priot", "priot-s")


def small() -> Network:
    layers = (
        conv2d((4, 4, 1), 2, (3, 3), 1, (1, 1), True),
        maxpool2((4, 4, 2)),
        linear((2, 2, 2), 3, False),
    )
    return Network(
        "small",
        (4, 4, 1),
        layers,
        (Parameters(np.ones((2, 9), np.int8), 0), None, Parameters(np.ones((3, 8), np.int8), 0)),
    )


def listed(result: Plan) -> dict[str, tuple[int, int, int]]:
    return {b.name: (b.size, b.first, b.last) for b in result.buffers}


def test_priot_by_hand() -> None:
    """Operations: forward 0 1 2, loss 3, error(2) 4, update(2) 5, error(1) 6, update(0) 7."""
    result = plan(small(), Method("priot"), 101)
    # (size, first, last, offset), in the order of section 11.
    expected = {
        "activation[-1]": (16, 0, 7, 2452),
        "activation[0]": (32, 0, 6, 476),
        "activation[1]": (8, 1, 5, 44),
        "activation[2]": (4, 2, 3, 40),
        "error[2]": (4, 3, 5, 60),
        "error[1]": (8, 4, 6, 52),
        "error[0]": (32, 6, 7, 2420),
        # Three rows of 8 + 4 + 2 + 2 words and 9 weights of 8 channels; 4 sums of 8 channels.
        "scratch forward(0)": (192 + 144 + 128 + 12, 0, 0, 0),
        "scratch forward(2)": (32 + 8, 2, 2, 0),
        "scratch error(2)": (32 + 8, 4, 4, 0),
        "scratch update(2)": (8 + 36, 5, 5, 0),
        # The padded input has 6 * 6 pixels of one channel.
        "scratch update(0)": (36 + 12 + 144 + 32 + 128 + 2068, 7, 7, 0),
    }
    found = {b.name: (b.size, b.first, b.last, b.offset) for b in result.buffers}
    assert list(found.items()) == list(expected.items())
    assert (result.blob, result.transient, result.io_minimum) == (104, 2468, 20 + 8)
    # 18 and 24 scores, each layer's rounded up to 4.
    assert (result.score_bytes, result.scores) == ((20, 0, 24), 44)
    assert result.total == 104 + 44 + 2468 + 28
    assert result.largest().name == "scratch update(0)"
    assert [b.layer for b in result.buffers] == [-1, 0, 1, 2, 2, 1, 0, 0, 2, 2, 2, 0]


def test_other_methods_by_hand() -> None:
    infer = plan(small(), Method("infer"), 100)
    assert listed(infer) == {
        "activation[-1]": (16, 0, 0),
        "activation[0]": (32, 0, 1),
        "activation[1]": (8, 1, 2),
        "activation[2]": (4, 2, 3),
        "scratch forward(0)": (476, 0, 0),
        "scratch forward(2)": (40, 2, 2),
    }
    assert (infer.scores, infer.score_bytes, infer.blob) == (0, (0, 0, 0), 104)
    static = listed(plan(small(), Method("niti-static"), 0))
    assert static == listed(plan(small(), Method("priot"), 101))
    dynamic = listed(plan(small(), Method("niti-dynamic"), 0))
    assert dynamic["scratch forward(0)"] == (476 + 128, 0, 0)
    assert dynamic["scratch forward(2)"] == (40 + 12, 2, 2)
    assert dynamic["scratch update(0)"] == (2420 + 36, 7, 7)
    assert dynamic["scratch update(2)"] == (8 + 36, 5, 5)
    # A budget of 4 + 6: 4 scores and 2 rows of 2 bytes; 6 or fewer scores, 3 rows of 1 byte.
    chosen = plan(small(), Method("priot-s", permille=250), 0)
    assert chosen.score_bytes == (4 + 4, 0, 8 + 4)
    assert plan(small(), Method("priot-s", permille=1), 0).score_bytes == (8, 0, 8)
    assert listed(chosen) == listed(plan(small(), Method("priot"), 0))
    # Of 45 and 160 edges 4 + 16 scores in all, so 7 at least; 5 rows of 2 bytes, rounded up to 12.
    layers = (conv2d((4, 4, 1), 5, (3, 3), 1, (1, 1), True), linear((4, 4, 5), 2, False))
    wider = slow.random_network(np.random.default_rng(0), "wider", *layers)
    assert plan(wider, Method("priot-s"), 0).score_bytes[0] == 8 + 12


def test_first_layer_without_weights() -> None:
    """Operations: forward 0 1 2, loss 3, error(2) 4, update(2) 5, update(1) 6."""
    network = slow.pool_first_network(np.random.default_rng(0))
    found = listed(plan(network, Method("niti-static"), 0))
    assert found["activation[-1]"] == (52, 0, 0)
    assert found["activation[0]"] == (8, 0, 6)
    assert found["activation[1]"] == (8, 1, 5)
    assert found["error[1]"] == (8, 4, 6)
    assert "error[0]" not in found and "scratch error(1)" not in found


def fork() -> Network:
    """Input 4x4x2 to pool to conv to depthwise; conv and depthwise are added, and a head."""
    shape = (4, 4, 2)
    same = {"padding": (1, 1), "relu": False, "stride": (1, 1)}
    layers = (
        Layer("maxpool", shape, shape, (3, 3), **same),  # type: ignore[arg-type]
        Layer("conv2d", shape, (4, 4, 3), (3, 3), **same),  # type: ignore[arg-type]
        Layer("depthwise", (4, 4, 3), (4, 4, 3), (3, 3), **same),  # type: ignore[arg-type]
        Layer("add", (4, 4, 3), (4, 4, 3), (1, 1), (1, 1), (0, 0), False, (1, 2)),
        Layer("linear", (4, 4, 3), (1, 1, 2), (1, 1), (1, 1), (0, 0), False),
    )
    parameters = tuple(
        Parameters(np.ones((one.rows, one.row_length), np.int8), 0) if one.has_weights else None
        for one in layers
    )
    return Network("fork", shape, layers, parameters, tuple(map(affine, layers)))


def test_an_affine_fork_by_hand() -> None:
    """Operations: forward 0 to 4, loss 5, error(4) 6, update(4) 7, error(3) 8, error(2) 9,
    update(2) 10, update(1) 11: the pool does not learn, and conv has nothing to hand down."""
    network = fork()
    validate(network)
    assert operations(network, Method("priot"))[5:] == [
        *(("loss", 4), ("error", 4), ("update", 4), ("error", 3), ("error", 2)),
        *(("update", 2), ("update", 1)),
    ]
    expected = {
        "activation[-1]": (32, 0, 0),
        "activation[0]": (32, 0, 11),
        "activation[1]": (48, 1, 10),
        "activation[2]": (48, 2, 8),
        "activation[3]": (48, 3, 7),
        "activation[4]": (4, 4, 5),
        # Conv's error begins where the addition hands it down, and ends in its update.
        "error[4]": (4, 5, 7),
        "error[3]": (48, 6, 8),
        "error[2]": (48, 8, 10),
        "error[1]": (48, 8, 11),
        "scratch forward(1)": (5 * 20 + 44 * 16, 1, 1),
        "scratch forward(2)": (5 * 12 + 28 * 16, 2, 2),
        "scratch forward(4)": (5 * 48 + 100 * 2, 4, 4),
        "scratch error(4)": (192 + 48, 6, 6),
        "scratch update(4)": (192 + 48, 7, 7),
        "scratch error(2)": (192 + 12, 9, 9),
        "scratch update(2)": (36 + 12, 10, 10),
        "scratch update(1)": (72 + 20, 11, 11),
    }
    for name in ("priot", "niti-static", "niti-dynamic"):
        assert list(listed(plan(network, Method(name), 0)).items()) == list(expected.items())  # type: ignore[arg-type]
    infer = listed(plan(network, Method("infer"), 0))
    assert infer["activation[1]"] == (48, 1, 3)
    assert not any(name.startswith("error") for name in infer)


def random_networks() -> list[Network]:
    rng = np.random.default_rng(12)
    networks = [slow.odd_network(rng), slow.wide_network(rng), small()]
    networks += [fork(), *(trainable_network(seed) for seed in (3, 9, 12))]
    for _ in range(6):
        shape = (int(rng.integers(6, 20)), int(rng.integers(6, 20)), int(rng.integers(1, 4)))
        layers = [
            conv2d(shape, int(rng.integers(1, 9)), (3, 2), int(rng.integers(1, 3)), (1, 1), True)
        ]
        for kind in rng.integers(0, 3, 4):
            last = layers[-1].out_shape
            if kind == 0 and min(last[:2]) >= 2:
                layers.append(maxpool2(last))
            elif kind == 1:
                layers.append(conv2d(last, int(rng.integers(1, 9)), (1, 3), 1, (0, 1), False))
        layers.append(linear(layers[-1].out_shape, int(rng.integers(2, 30)), True))
        layers.append(linear(layers[-1].out_shape, 5, False))
        networks.append(slow.random_network(rng, "random", *layers))
    return networks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("network", random_networks())
def test_every_plan(network: Network, fused: bool, name: MethodName) -> None:
    result = plan(network, Method(name, permille=200, fused=fused), 1000)
    buffers = result.buffers
    for b in buffers:
        assert b.size > 0 and b.size % 4 == 0 and b.offset % 4 == 0 and b.first <= b.last
    assert result.transient == max(b.offset + b.size for b in buffers)
    assert result.largest().size == max(b.size for b in buffers)
    assert result.scores == sum(result.score_bytes)
    placed: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, i)):
        own = range(buffers[i].first, buffers[i].last + 1)
        blocked = set()
        for j in placed:
            if set(own) & set(range(buffers[j].first, buffers[j].last + 1)):
                blocked |= set(range(buffers[j].offset, buffers[j].offset + buffers[j].size))
        # Free at its offset, and at no lower one: first fit, byte by byte.
        size = buffers[i].size
        free = next(o for o in range(0, 10**7, 4) if blocked.isdisjoint(range(o, o + size)))
        assert buffers[i].offset == free
        placed.append(i)
