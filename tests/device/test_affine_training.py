"""Affine networks train by every method: the device makes every tensor of golden, in its plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import support
import trainable_affine
from picotrain.device.blob import METHOD_KINDS, blob_size
from picotrain.device.explain import explain
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.learn.verify import verify
from picotrain_golden import Histograms, Method, Network, calibrated, observe, plan
from support import METHODS, begin
from test_memory import same_plan
from trainable_affine import MEAN, Drawing

RANDOM_NETWORKS = 240
STEPS = 20
EMULATED_NETWORKS, EMULATED_STEPS = 24, 4
"""Of the random ones, and steps of all, where a step takes a second; named seeds there: one."""
ALL_GRAPHS = os.environ.get("PICOTRAIN_GRAPHS") == "all"
"""As `make graphs` asks: nothing is left out anywhere, and random graphs have two seeds as well."""

ONE, THREE = (1, 1), (3, 3)


def finished(drawing: Drawing, name: str, scale: tuple[int, int] = (40000, -5)) -> Network:
    """The network as drawn so far, with drawn numbers."""
    numbers = [drawing.numbers(index) for index in range(len(drawing.layers))]
    affine, parameters = zip(*numbers, strict=True)
    return Network(name, drawing.input, tuple(drawing.layers), parameters, affine, scale)


def convolved(
    drawing: Drawing,
    source: int,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    kind: str = "conv2d",
) -> int:
    """With padding as TensorFlow's SAME: with stride 2 there may be more of it below and right."""
    height, width, _ = drawing.shape(source)
    out, before = [], []
    for extent in (height, width):
        out.append(-(-extent // stride))
        before.append(max((out[-1] - 1) * stride + kernel - extent, 0) // 2)
    window = ((kernel, kernel), (stride, stride), (before[0], before[1]))
    return drawing.put(kind, (source,), (out[0], out[1], channels), *window)


def resnet(seed: int) -> Network:
    """As ResNet-8: a plain block, and two whose shortcut is a convolution."""
    drawing = Drawing(seed)
    drawing.input = (8, 8, 3)
    here = convolved(drawing, -1, 4)
    for channels, stride in ((4, 1), (6, 2), (8, 2)):
        branch = convolved(drawing, here, channels, stride=stride)
        branch = convolved(drawing, branch, channels)
        if stride == 2:
            here = convolved(drawing, here, channels, 1, 2)
        here = drawing.add(here, branch)
    drawing.mean(here)
    drawing.linear(drawing.here, 10)
    return finished(drawing, f"resnet-{seed}")


def inverted_residuals(seed: int) -> Network:
    """As MobileNetV2: wide inside and narrow outside, one block in three with stride 2."""
    drawing = Drawing(seed)
    drawing.input = (9, 7, 2)
    here = convolved(drawing, -1, 4, stride=2)
    for channels, stride in ((4, 1), (6, 2), (6, 1)):
        start, wide = here, 2 * channels
        here = convolved(drawing, here, wide, 1)
        here = convolved(drawing, here, wide, 3, stride, "depthwise")
        here = convolved(drawing, here, channels, 1)
        if drawing.shape(start) == drawing.shape(here):
            here = drawing.add(start, here)
    convolved(drawing, here, 12, 1)
    drawing.mean(drawing.here)
    drawing.linear(drawing.here, 7)
    return finished(drawing, f"inverted-residuals-{seed}", (60000, -3))


def pools(seed: int) -> Network:
    """Every kind of pool, its windows apart, side by side and on each other."""
    drawing = Drawing(seed)
    drawing.input = (11, 10, 2)
    convolved(drawing, -1, 4)
    drawing.put("maxpool", (0,), (6, 5, 4), THREE, (2, 2), (1, 1))
    drawing.put("avgpool", (0,), (6, 5, 4), (2, 3), (2, 2), (1, 1))
    drawing.add(1, 2)
    drawing.put("avgpool", (3,), (6, 5, 4), THREE, ONE, (1, 1))
    drawing.put("maxpool", (3,), (6, 5, 4), (3, 1), ONE, (2, 0))
    drawing.add(4, 5)
    drawing.put("maxpool", (6,), (3, 2, 4), (2, 2), (2, 2), (0, 0))
    drawing.put("avgpool", (7,), (1, 1, 4), (3, 2), (3, 2), (0, 0))
    drawing.put(MEAN, (7,), (1, 1, 4), (3, 2), ONE, (0, 0))
    drawing.add(8, 9)
    drawing.linear(drawing.here, 5)
    return finished(drawing, f"pools-{seed}", (50000, -9))


def keyword_spotting(seed: int) -> Network:
    """As MLPerf Tiny's keyword spotting: depthwise and pointwise, an odd convolution before."""
    drawing = Drawing(seed)
    drawing.input = (13, 6, 1)
    drawing.put("conv2d", (-1,), (7, 3, 6), (10, 4), (2, 2), (4, 1))
    for _ in range(2):
        convolved(drawing, drawing.here, 6, kind="depthwise")
        convolved(drawing, drawing.here, 6, 1)
    drawing.put("avgpool", (drawing.here,), (1, 1, 6), (7, 3), (2, 2), (0, 0))
    drawing.linear(drawing.here, 12)
    return finished(drawing, f"keyword-spotting-{seed}", (33000, -6))


def sides(seed: int) -> Network:
    """Layers that do not learn beside those that do, a stride of its own for each axis, and no head
    that is linear."""
    drawing = Drawing(seed)
    drawing.input = (8, 6, 3)
    drawing.put("avgpool", (-1,), (8, 6, 3), (2, 2), ONE, (1, 0))
    drawing.add(0, -1)
    drawing.put("depthwise", (1,), (8, 6, 3), (2, 3), ONE, (1, 0))
    drawing.add(2, 0)
    drawing.put("maxpool", (3,), (4, 6, 3), (2, 1), (2, 1), (0, 0))
    drawing.put("depthwise", (4,), (4, 3, 3), (4, 2), (1, 2), (3, 1))
    drawing.put("conv2d", (5,), (2, 2, 4), (3, 3), (2, 1), (2, 0))
    drawing.add(6, 6)
    return finished(drawing, f"sides-{seed}", (45000, -11))


NETWORKS: dict[str, Callable[[int], Network]] = {
    "resnet": resnet,
    "inverted-residuals": inverted_residuals,
    "pools": pools,
    "keyword-spotting": keyword_spotting,
    "sides": sides,
}


def pixels(network: Network, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng([seed, 3])
    images = random.integers(0, 256, (count, *network.input_shape), dtype=np.uint8)
    return images, random.integers(0, network.classes, count, dtype=np.uint8)


def with_scales(network: Network, seed: int) -> Network:
    """Numbers from a calibration; of every fourth network, from anywhere."""
    histograms = Histograms.empty(network)
    for image, label in zip(*pixels(network, 6, seed + 1), strict=True):
        histograms.add(observe(network, image, int(label)))
    result = calibrated(network, histograms)
    if seed % 4 == 3:
        random = np.random.default_rng([seed, 4])
        result.parameters = tuple(
            None
            if held is None
            else replace(
                held,
                error_shift=int(random.integers(0, 12)),
                gradient_bits=int(random.integers(0, 32)),
                score_bits=int(random.integers(0, 32)),
            )
            for held in result.parameters
        )
    return result


def compare(
    device: Device, reference: GoldenDevice, network: Network, method: Method, seed: int
) -> None:
    comparison = begin(device, reference, network, method)
    images, labels = pixels(network, 8, seed)
    steps = EMULATED_STEPS if sampled(device) else STEPS
    verify(comparison, images[:steps], labels[:steps], steps, train=True)


def sampled(device: Device) -> bool:
    """Whether a part of the comparisons is enough on this device."""
    return not ALL_GRAPHS and not device.name.startswith("host")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_named_networks(
    device: Device, reference: GoldenDevice, method: str, name: str, seed: int
) -> None:
    if sampled(device) and seed:
        pytest.skip("one seed of each where a step takes a second")
    network = with_scales(NETWORKS[name](seed), 0)
    compare(device, reference, network, METHODS[method], seed)


@pytest.mark.parametrize("seed", [0, 1] if ALL_GRAPHS else [0])
@pytest.mark.parametrize("number", range(RANDOM_NETWORKS))
def test_random_graphs(device: Device, reference: GoldenDevice, number: int, seed: int) -> None:
    """Another seed is other images and another method."""
    if sampled(device) and number >= EMULATED_NETWORKS:
        pytest.skip(f"{EMULATED_NETWORKS} of them where a step takes a second")
    network = with_scales(trainable_affine.trainable_network(number), number)
    method = list(METHODS.values())[(number + 3 * seed) % len(METHODS)]
    easy = (0, 0, 60)[number % 3]
    images_of = number + RANDOM_NETWORKS * seed
    compare(device, reference, network, replace(method, easy=easy), images_of)


@pytest.mark.parametrize("name", NETWORKS)
def test_something_learns(device: Device, name: str) -> None:
    """What the comparisons compare is no network of zeros."""
    network = with_scales(NETWORKS[name](0), 0)
    device.load_model(network)
    device.set_method(METHODS["priot"])
    seen: dict[int, list[np.ndarray]] = {}
    for image, label in zip(*pixels(network, 8, 0), strict=True):
        for tensor in device.trace(image, int(label)):
            if tensor.kind in ("error", "update"):
                seen.setdefault(tensor.layer, []).append(tensor.values)
    assert set(seen) == {index for index, learns in enumerate(network.learning) if learns}
    for values in seen.values():
        assert any(one.any() for one in values)


@pytest.mark.parametrize("name", NETWORKS)
def test_plan(mailbox: MailboxDevice, name: str) -> None:
    network = NETWORKS[name](0)
    for method in METHODS.values():
        mailbox.load_model(network)
        mailbox.set_method(method)
        planned = plan(network, method, blob_size(network, mailbox.elf))
        same_plan(mailbox.plan(), planned, mailbox.elf)


def with_layer(
    network: Network, index: int, weights: np.ndarray | None = None, **numbers: np.ndarray
) -> Network:
    """The network with other numbers, or other weights, of one layer."""
    result = network.copy()
    affine = list(result.affine)
    affine[index] = replace(affine[index], **numbers)
    held = list(result.parameters)
    if weights is not None:
        held[index] = replace(result.of(index), weights=weights)
    return replace(result, affine=tuple(affine), parameters=tuple(held))


def deep(layers: int) -> Network:
    drawing = Drawing(layers)
    drawing.input = (1, 1, 2)
    for _ in range(layers):
        drawing.linear(drawing.here, 2)
    return finished(drawing, "deep")


def wide(outputs: int) -> Network:
    drawing = Drawing(outputs)
    drawing.input = (1, 1, 1)
    drawing.linear(-1, outputs)
    return finished(drawing, "wide")


def plane(height: int) -> Network:
    """`height` * 256 positions."""
    drawing = Drawing(height)
    drawing.input = (height, 256, 1)
    drawing.put("conv2d", (-1,), (height, 256, 1), ONE, ONE, (0, 0))
    drawing.put("maxpool", (0,), (1, 2, 1), (255, 128), (2, 128), (0, 0))
    return finished(drawing, "plane")


def patches(channels: int) -> Network:
    """Errors of 15 * 15 * `channels` terms."""
    drawing = Drawing(channels)
    drawing.input = (1, 1, 1)
    drawing.put("conv2d", (-1,), (1, 1, channels), (15, 15), ONE, (7, 7))
    drawing.put("maxpool", (0,), (1, 1, channels), ONE, ONE, (0, 0))
    drawing.linear(1, 2)
    return finished(drawing, "patches")


def unweighted() -> Network:
    drawing = Drawing(0)
    drawing.input = (2, 2, 2)
    drawing.put("maxpool", (-1,), (1, 1, 2), (2, 2), ONE, (0, 0))
    return finished(drawing, "unweighted")


def zero_factor(kind: str) -> Network:
    """All multipliers of a convolution, or one of an add or a mean, are 0."""
    network = resnet(0)
    at = next(
        index
        for index, layer in enumerate(network.layers)
        if layer.kind == kind and network.affine[index].multiplier.size
    )
    multiplier = network.affine[at].multiplier.copy()
    if kind == "conv2d":
        multiplier[:] = 0
    else:
        multiplier[-1] = 0
    return with_layer(network, at, multiplier=multiplier)


def least_weight() -> Network:
    network = resnet(0)
    weights = network.of(2).weights.copy()
    weights[1, 3] = -128
    return with_layer(network, 2, weights)


def large_sums(over: int) -> Network:
    """Sums that only other weights make as large as they may be, or larger by `over`."""
    network = deep(2)
    bias = 2**31 - 1 - 128 - 2 * 127 * 255 + over
    shift = np.array([-2, -3], np.int32)
    biases = np.array([0, bias], np.int32)
    return with_layer(network, 1, np.ones((2, 2), np.int8), bias=biases, shift=shift)


@pytest.mark.parametrize("shift", [-7, -8, -9, -12, -31])
def test_errors_of_scales_far_apart(device: Device, reference: GoldenDevice, shift: int) -> None:
    """An add reads a tensor twice, with factors that many bits apart: what is too fine vanishes."""
    drawing = Drawing(4)
    drawing.input = (4, 4, 2)
    first = convolved(drawing, -1, 3)
    drawing.linear(drawing.add(first, first), 4)
    network = finished(drawing, "far-apart")
    shifts = np.array([0, shift, network.affine[1].shift[2]], np.int32)
    network = with_scales(with_layer(network, 1, shift=shifts), 0)
    compare(device, reference, network, METHODS["niti-dynamic"], 0)


def test_a_scale_that_a_mean_leaves_a_power_of_two(device: Device, reference: GoldenDevice) -> None:
    """Its multiplier is as large as the window, and meets another scale at the fork below."""
    drawing, window = Drawing(8), (182, 181)
    drawing.input = (*window, 1)
    drawing.put("conv2d", (-1,), (*window, 1), ONE, ONE, (0, 0))
    for kind in ("avgpool", "maxpool"):
        drawing.put(kind, (0,), (1, 1, 1), window, ONE, (0, 0))
    drawing.linear(drawing.add(1, 2), 3)
    network = finished(drawing, "power-of-two")
    half = np.full(3, 1 << 30, np.int32)
    network = with_layer(network, 4, multiplier=half, shift=np.full(3, -3, np.int32))
    factors = np.array([182 * 181 << 15, 1 << 30, 1 << 30], np.int32)
    network = with_layer(network, 3, multiplier=factors, shift=np.array([-1, -1, -20], np.int32))
    compare(device, reference, with_scales(network, 0), METHODS["niti-dynamic"], 0)


def test_a_tensor_that_an_add_reads_second_and_others_later(
    device: Device, reference: GoldenDevice
) -> None:
    """Its error is whole with the add's, which comes last, and is masked then."""
    drawing = Drawing(7)
    drawing.input = (4, 4, 3)
    first = convolved(drawing, -1, 3)
    early = drawing.add(-1, first)
    drawing.linear(drawing.add(early, convolved(drawing, first, 3)), 4)
    network = with_scales(finished(drawing, "second"), 0)
    for method in ("niti-dynamic", "priot"):
        compare(device, reference, network, METHODS[method], 0)


UNTRAINABLE: dict[str, tuple[Callable[[], Network], str, tuple[int, ...]]] = {
    "layers": (lambda: deep(33), "PT_ERR_TRAIN_SIZE", (33, 32, 2, 256)),
    "outputs": (lambda: wide(257), "PT_ERR_TRAIN_SIZE", (1, 32, 257, 256)),
    "no weights": (unweighted, "PT_ERR_TRAIN_NOTHING", (0, 0, 0, 0)),
    "weight": (least_weight, "PT_ERR_TRAIN_WEIGHT", (2, 39, 0, 0)),
    "positions": (lambda: plane(257), "PT_ERR_TRAIN_TERMS", (0, 257 * 256, 1 << 16, 0)),
    "terms": (lambda: patches(583), "PT_ERR_TRAIN_TERMS", (0, 225 * 583, 1 << 17, 0)),
    "convolution": (lambda: zero_factor("conv2d"), "PT_ERR_TRAIN_FACTOR", (0, 4, 4, 0)),
    "add": (lambda: zero_factor("add"), "PT_ERR_TRAIN_FACTOR", (3, 1, 3, 0)),
    "mean": (lambda: zero_factor("avgpool"), "PT_ERR_TRAIN_FACTOR", (12, 1, 1, 0)),
}
"""What section 15 refuses: the network, and the device's answer."""


@pytest.mark.parametrize("name", UNTRAINABLE)
@pytest.mark.parametrize("method", METHODS)
def test_refusals(device: Device, name: str, method: str) -> None:
    make, error, detail = UNTRAINABLE[name]
    network = make()
    device.load_model(network)
    advice = f"use method infer, or another network for {METHODS[method].name}"
    with pytest.raises(UserError, match=advice):
        device.set_method(METHODS[method])
    device.set_method(Method("infer"))
    if isinstance(device, MailboxDevice):
        kind = int(device.elf.enum("pt_method_kind")[METHOD_KINDS[METHODS[method].name]])
        refused = support.refusal(device, "SET_METHOD", [kind, 0, 0, 1000, 0, 0, 0, 0])
        assert refused == (error, detail)
        assert explain("SET_METHOD", *refused, device.elf)


@pytest.mark.parametrize(
    "make",
    [lambda: deep(32), lambda: wide(256), lambda: plane(256), lambda: patches(582)],
    ids=["layers", "outputs", "positions", "terms"],
)
def test_the_most_that_trains(
    host_device: Callable[..., MailboxDevice],
    reference: GoldenDevice,
    make: Callable[[], Network],
) -> None:
    device = host_device()
    network = with_scales(make(), 0)
    for method in ("niti-dynamic", "priot"):
        comparison = begin(device, reference, network, METHODS[method])
        images, labels = pixels(network, 2, 0)
        verify(comparison, images, labels, 2, train=True)


def test_weights_that_could_make_sums_too_large(device: Device, reference: GoldenDevice) -> None:
    """NITI could come to them; scores could not."""
    for method in ("niti-static", "niti-dynamic", "priot", "priot-s-weight"):
        comparison = begin(device, reference, large_sums(0), METHODS[method])
        images, labels = pixels(large_sums(0), 4, 0)
        verify(comparison, images, labels, 4, train=True)
        network = large_sums(1)
        for one in (reference, device):
            one.load_model(network)
        if METHODS[method].scored:
            begin(device, reference, network, METHODS[method])
            continue
        for one in (reference, device):
            with pytest.raises(UserError, match="use method infer"):
                one.set_method(METHODS[method])
        if isinstance(device, MailboxDevice):
            refused = support.refusal(device, "SET_METHOD", [1, 0, 0, 1000, 0, 0, 0, 0])
            shift = -3 & 0xFFFFFFFF
            assert refused == ("PT_ERR_TRAIN_RANGE", (1, 1, 2**31 - 128, shift))
