"""Affine networks: the device computes every activation of golden, in the plan of golden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import slow_affine
import support
import trainable_affine
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Layer, Network, plan
from slow_affine import affine, drawn_layers, one_layer
from support import INFER, METHODS, begin

RANDOM_NETWORKS = 240


def images(network: Network, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All bytes of uint8, and labels of the first 256 outputs."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, min(network.classes, 256), count, dtype=np.uint8)
    return random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8), labels


@pytest.mark.parametrize("seed", range(RANDOM_NETWORKS))
def test_random_graph(device: Device, reference: GoldenDevice, seed: int) -> None:
    network = slow_affine.random_network(seed)
    comparison = begin(device, reference, network, INFER)
    pixels, labels = images(network, 4, seed)
    before = comparison.report.tensors
    comparison.traced_step(0, pixels[0], int(labels[0]))
    # The input, every output, and the saturation counts.
    assert comparison.report.tensors - before == 1 + len(network.layers) + 1
    report = verify(comparison, pixels, labels, 2, train=False)
    assert (report.steps, report.batches) == (3, 1)
    assert not device.saturation().any()


def test_random_graphs_cover_what_they_should() -> None:
    networks = [slow_affine.random_network(seed) for seed in range(RANDOM_NETWORKS)]
    layers = [layer for network in networks for layer in network.layers]
    for kind in ("conv2d", "depthwise", "linear", "maxpool", "avgpool", "add"):
        assert sum(layer.kind == kind for layer in layers) > 60
    windows = [one for one in layers if one.kind in ("conv2d", "depthwise", "maxpool", "avgpool")]
    assert {layer.stride for layer in windows} >= {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert {layer.padding for layer in windows} >= {(0, 0), (1, 0), (0, 2), (3, 3)}
    readers = [
        [number for layer in range(len(one.layers)) for number in one.reads(layer)]
        for one in networks
    ]
    assert sum(len(read) > len(set(read)) for read in readers) > 60  # forks
    far = [
        index - number
        for one in networks
        for index in range(len(one.layers))
        for number in one.reads(index)
    ]
    assert max(far) >= 3
    numbers = [affine for network in networks for affine in network.affine]
    assert min(one.shift.min() for one in numbers if one.shift.size) < -18
    assert max(one.shift.max() for one in numbers if one.shift.size) > 0
    assert any(0 in one.multiplier for one in numbers)
    weights = [held.weights for one in networks for held in one.parameters if held is not None]
    assert min(held.min() for held in weights) == -128


@pytest.mark.parametrize("seed", range(40))
def test_plan(mailbox: MailboxDevice, reference: GoldenDevice, seed: int) -> None:
    """struct pt_plan against golden's plan: sizes, lives and places of all buffers."""
    network = slow_affine.random_network(seed)
    begin(mailbox, reference, network, INFER)
    planned = plan(network, INFER, reference.memory().model_table + reference.memory().weights)
    record = mailbox.plan()
    scratches = sum(layer.has_weights for layer in network.layers)
    assert int(record["buffers"]) == len(planned.buffers) == len(network.layers) + 1 + scratches
    assert int(record["transient_size"]) == planned.transient
    assert int(record["io_minimum"]) == planned.io_minimum
    for have, want in zip(record["buffer"], planned.buffers, strict=False):
        found = tuple(int(have[name]) for name in ("size", "first", "last", "offset"))
        assert found == (want.size, want.first, want.last, want.offset)
        assert int(have["layer"]) == want.layer & 0xFF


def chain(layers: int, channels: int) -> Network:
    """1x1 convolutions, one after the other, and adds that reach back to the first of them."""
    shape = (2, 2, channels)
    made: list[Layer] = []
    for index in range(layers):
        add = index % 5 == 4
        reads = (index - 1, 0) if add else (index - 1,)
        kind = "add" if add else "conv2d"
        made.append(Layer(kind, shape, shape, (1, 1), (1, 1), (0, 0), False, reads))
    networks = drawn_layers(made, layers)
    numbers = [
        replace(one.affine[0], shift=np.array([-1, -1, -19], np.int32))
        if one.layers[0].kind == "add"
        else replace(one.affine[0], shift=np.full(channels, -7, np.int32))
        for one in networks
    ]
    held = tuple(one.parameters[0] for one in networks)
    return Network("chain", shape, tuple(made), held, tuple(numbers))


def test_as_many_layers_as_there_may_be(device: Device, reference: GoldenDevice) -> None:
    network = chain(48, 6)
    comparison = begin(device, reference, network, INFER)
    pixels, labels = images(network, 4)
    verify(comparison, pixels, labels, 2, train=False)
    assert len(np.unique(reference.evaluate(pixels, labels).predictions)) > 1


def test_as_many_outputs_as_there_may_be(device: Device, reference: GoldenDevice) -> None:
    """The first maximum of 4,096; it need be no label."""
    layer = Layer("conv2d", (16, 16, 1), (16, 16, 16), (1, 1), (1, 1), (0, 0), False, (-1,))
    weights = np.arange(-8, 8, dtype=np.int8).reshape(16, 1)
    network = one_layer(layer, weights, shift=np.full(16, -4, np.int32))
    comparison = begin(device, reference, network, INFER)
    pixels, labels = images(network, 3)
    pixels[:] = 0
    pixels[0, 15, 15], pixels[1, 8, 3] = 127, 0x80
    verify(comparison, pixels, labels, 1, train=False)
    # -8 * -128 is the most there, 7 * 127 elsewhere.
    assert device.evaluate(pixels, labels).predictions.tolist() == [4095, 16 * 131, 0]


def test_windows_as_large_as_they_may_be(device: Device, reference: GoldenDevice) -> None:
    """255 x 255 with a padding of 254: a corner, then all of the input."""
    for kind in ("maxpool", "avgpool"):
        shape = (256, 255, 1)
        layer = Layer(kind, shape, (2, 1, 1), (255, 255), (255, 254), (254, 0), False, (-1,))
        network = one_layer(layer)
        comparison = begin(device, reference, network, INFER)
        pixels, labels = images(network, 1)
        pixels[0, 0] = 0x7F
        comparison.traced_step(0, pixels[0], int(labels[0]))


@pytest.mark.parametrize("value", [-128, 127])
def test_the_largest_sums(device: Device, reference: GoldenDevice, value: int) -> None:
    """A sum of 2^31 - 129: the bound of section 14 is exact."""
    layer = Layer("linear", (1, 1, 1), (1, 1, 2), (1, 1), (1, 1), (0, 0), False, (-1,))
    weights = np.array([[127], [-128]], np.int8)
    rest = 2**31 - 1 - 128
    bias = np.array([rest - 255 * 127, -(rest - 255 * 128)], np.int32)
    for most in (2**31 - 1, 1 << 30):
        numbers = affine(
            layer,
            zero_in=(-1 - value,),
            zero_out=127,
            bias=bias,
            multiplier=np.array([most, most], np.int32),
            shift=np.array([0, -31], np.int32),
        )
        network = replace(one_layer(layer, weights), affine=(numbers,))
        comparison = begin(device, reference, network, INFER)
        for pixel in (0, 127, 128, 255):
            comparison.traced_step(0, np.full((1, 1, 1), pixel, np.uint8), 0)


def test_weights_stay(mailbox: MailboxDevice) -> None:
    """The range of sums rests on them, but where a method trains them."""
    network = trainable_affine.trainable_network(0)
    mailbox.load_model(network)
    layer = next(index for index, held in enumerate(network.parameters) if held is not None)
    weights = int(mailbox.elf.enum("pt_tensor_kind")["PT_TENSOR_WEIGHTS"])
    for method, number in ((INFER, 0), (METHODS["priot"], 3)):
        mailbox.set_method(method)
        refused = support.refusal(mailbox, "WRITE_TENSOR", [weights, layer, 0, 1])
        assert refused == ("PT_ERR_AFFINE", (number, 0, 0, 0))
    mailbox.set_method(INFER)
    assert support.refusal(mailbox, "RESTORE", [20]) == ("PT_ERR_AFFINE", (0, 0, 0, 0))
    mailbox.set_method(METHODS["niti-static"])
    mailbox.write_tensor("WEIGHTS", layer, 0, np.array([-127], np.int8))
    assert mailbox.weights(layer)[0] == -127
    saved = mailbox.checkpoint()
    mailbox.write_tensor("WEIGHTS", layer, 0, np.array([5], np.int8))
    mailbox.restore(saved)
    assert mailbox.weights(layer)[0] == -127


def test_weights_may_lie_in_flash(device: Device, reference: GoldenDevice) -> None:
    network = chain(9, 4)
    for one in (reference, device):
        one.load_model(network, frozen=True)
        one.set_method(INFER)
    comparison = Comparison(reference, device, network)
    pixels, labels = images(network, 3)
    verify(comparison, pixels, labels, 2, train=False)
    assert device.memory().weights == 0
