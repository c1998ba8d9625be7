"""The model blob: what the encoder writes, read a second time, and what a device makes of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

import slow_affine
import support
from picotrain.device.blob import blob_size, encode, seal
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import CommandError
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain_golden import Layer, Network

NAMES = ["tinycnn", "oddnet", *range(12)]


@pytest.fixture(scope="module")
def shared_device(host_elf: Elf) -> Iterator[MailboxDevice]:
    target = HostTarget(host_elf.path, 1 << 20)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


def network_of(name: str | int) -> Network:
    return support.shipped(name) if isinstance(name, str) else support.random_network(name)


def same(first: Network, second: Network) -> None:
    assert first.layers == second.layers
    assert first.input_shape == second.input_shape
    for ours, theirs in zip(first.parameters, second.parameters, strict=True):
        if ours is None or theirs is None:
            assert ours is theirs
            continue
        assert ours.weights.dtype == theirs.weights.dtype == np.int8
        assert np.array_equal(ours.weights, theirs.weights)
        for name in ("exponent", "forward_shift", "error_shift", "gradient_bits", "score_bits"):
            assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("name", NAMES)
def test_reads_back_as_the_same_network(host_elf: Elf, name: str | int) -> None:
    network = network_of(name)
    blob = encode(network, host_elf)
    assert len(blob) == blob_size(network, host_elf)
    same(network, support.decode(blob))


@pytest.mark.parametrize("name", NAMES)
def test_is_the_same_for_every_board(host_elf: Elf, microbit_elf: Elf, name: str | int) -> None:
    network = network_of(name)
    assert encode(network, host_elf) == encode(network, microbit_elf)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # Header, 36 bytes a layer, and the weights of each layer rounded up to 4.
        ("tinycnn", 24 + 6 * 48 + 72 + 1152 + 50176 + 640),
        ("oddnet", 24 + 5 * 48 + 376 + 272 + 1756 + 92),
    ],
)
def test_size(host_elf: Elf, name: str, size: int) -> None:
    assert blob_size(support.shipped(name), host_elf) == size


def test_layout_of_the_header(host_elf: Elf) -> None:
    """Byte for byte, so that a change of the format shows here before it shows in the field."""
    blob = encode(support.shipped("oddnet"), host_elf)
    assert blob[:4] == b"PTM1"
    assert blob[4:8] == (3).to_bytes(4, "little")
    assert blob[8:12] == len(blob).to_bytes(4, "little")
    assert blob[12:16] == zlib.crc32(blob[16:]).to_bytes(4, "little")
    assert blob[16:24] == bytes([5, 0, 7, 0, 0, 0, 0, 0])


def test_layout_of_a_layer(host_elf: Elf) -> None:
    network = support.shipped("oddnet")
    network.of(0).exponent = -6
    blob = encode(network, host_elf)
    entry = blob[24:72]
    assert entry[:16] == bytes([1, 1, 250, 9, 7, 14, 20, 0, 0, 0, 0, 0, 255, 254, 0, 0])
    shape = np.frombuffer(entry[16:28], "<u2")
    assert shape.tolist() == [21, 19, 3, 11, 9, 5]
    assert entry[28:36] == bytes([5, 5, 2, 2, 2, 1, 0, 0])
    assert np.frombuffer(entry[36:48], "<u4").tolist() == [24 + 5 * 48, 375, 0]
    pool = blob[72:120]
    assert pool[:16] == bytes([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254, 0, 0])
    assert pool[28:36] == bytes([2, 2, 2, 2, 0, 0, 0, 0])
    assert pool[36:48] == bytes(12)


def test_layout_of_an_affine_layer(host_elf: Elf) -> None:
    """An add of the input and of layer 0, and its factors."""
    conv = Layer("conv2d", (2, 3, 1), (2, 3, 1), (1, 2), (1, 1), (0, 1), False)
    add = Layer("add", (2, 3, 1), (2, 3, 1), (1, 1), (1, 1), (0, 0), False, (-1, 0))
    parts = [slow_affine.one_layer(conv), slow_affine.one_layer(add)]
    numbers = replace(
        parts[1].affine[0], zero_in=(-128, 3), zero_out=-4, low=-5, shift=np.int32([-1, -2, -31])
    )
    held = (parts[0].parameters[0], None)
    affine = (parts[0].affine[0], numbers)
    network = Network("two", (2, 3, 1), (conv, add), held, affine, (0xABCD, -5))
    blob = encode(network, host_elf)
    assert len(blob) == blob_size(network, host_elf) == 24 + 2 * 48 + 4 + 12 + 3 * 12
    assert blob[16:24] == bytes([2, 0, 6, 0, 1, 251, 0xCD, 0xAB])
    entry = blob[72:120]
    assert entry[:16] == bytes([7, 0, 0, 0, 0, 0, 0, 128, 3, 252, 251, 127, 255, 0, 3, 0])
    assert entry[28:36] == bytes([1, 1, 1, 1, 0, 0, 0, 0])
    assert np.frombuffer(entry[36:48], "<u4").tolist() == [0, 0, 24 + 2 * 48 + 4 + 12]
    factors = np.frombuffer(blob[-36:], "<i4").reshape(3, 3)
    assert factors.tolist() == [[0, 1 << 30, shift] for shift in (-1, -2, -31)]


def test_an_affine_layer_without_factors_points_to_none(host_elf: Elf) -> None:
    pool = Layer("maxpool", (2, 3, 1), (1, 2, 1), (2, 2), (1, 1), (0, 0), False)
    entry = encode(slow_affine.one_layer(pool), host_elf)[24:72]
    assert entry[14:16] == bytes(2)
    assert np.frombuffer(entry[36:48], "<u4").tolist() == [0, 0, 0]


def test_padding_is_zero(host_elf: Elf) -> None:
    blob = encode(support.shipped("oddnet"), host_elf)
    first = 24 + 5 * 48
    assert blob[first + 375] == 0
    assert blob[first + 376 + 270 : first + 376 + 272] == bytes(2)


def test_seal(host_elf: Elf) -> None:
    blob = encode(support.shipped("oddnet"), host_elf)
    assert seal(blob, host_elf) == blob
    damaged = blob[:-1] + bytes([blob[-1] ^ 1])
    sealed = seal(damaged, host_elf)
    assert sealed != damaged
    assert sealed[12:16] == zlib.crc32(sealed[16:]).to_bytes(4, "little")
    assert sealed[:12] + sealed[16:] == damaged[:12] + damaged[16:]
    # Short of the field that is sealed, the CRC is that of nothing.
    assert seal(blob[:16], host_elf)[12:] == bytes(4)


@pytest.mark.parametrize("name", NAMES)
def test_device_accepts_and_keeps_the_weights(
    shared_device: MailboxDevice, name: str | int
) -> None:
    network = network_of(name)
    shared_device.load_model(network)
    shared_device.set_method(support.METHODS["niti-dynamic"])
    for index, layer in enumerate(network.layers):
        if layer.has_weights:
            held = network.of(index).weights.reshape(-1)
            assert np.array_equal(shared_device.weights(index), held)


def test_device_finds_the_same_crc(shared_device: MailboxDevice, host_elf: Elf) -> None:
    blob = encode(support.shipped("oddnet"), host_elf)
    wrong = blob[:12] + bytes(4) + blob[16:]
    with pytest.raises(CommandError) as caught:
        shared_device.load_blob(wrong)
    assert (caught.value.name, caught.value.detail) == (
        "PT_ERR_BLOB_CRC",
        (0, zlib.crc32(blob[16:]), 0, 0),
    )


def test_minus_128_is_refused_by_the_device(shared_device: MailboxDevice) -> None:
    network = support.shipped("oddnet")
    network.of(3).weights[2, 4] = -128
    with pytest.raises(CommandError) as caught:
        shared_device.load_model(network)
    assert (caught.value.name, caught.value.detail) == ("PT_ERR_WEIGHT", (3, 2 * 135 + 4, 0, 0))


def test_largest_network(host_device: Callable[..., MailboxDevice], host_elf: Elf) -> None:
    """VGG11: no number of the table is cut."""
    network = models.initial_network(models.resolve("vgg11"), seed=3)
    blob = encode(network, host_elf)
    same(network, support.decode(blob))
    device = host_device()
    device.load_blob(blob)
    assert device.command("INFO")["error"] == 0
