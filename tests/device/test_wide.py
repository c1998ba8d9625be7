"""Layers of more channels than a chip's: hosts have other kernels for them, keep their masks from
step to step, and update several rows at a time. Also in plain C, as a machine without vectors has
them, under sanitizers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import kernel_cases
import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.image import firmware
from picotrain.profile.bench import Bench
from picotrain_golden import Layer, Network, conv2d, linear, maxpool2
from support import METHODS, calibrate, images
from test_kernels import differences

ARENA = 8 << 20
CASES = 150
AT_ONCE = 25
BUILDS = ("host", "host-sanitized")
KERNELS = ("CONV2D_FORWARD_S32", "CONV2D_FORWARD_S8", "CONV2D_ERROR", "CONV2D_GRADIENT")
OpenHost = Callable[..., MailboxDevice]


@pytest.fixture(params=BUILDS)
def wide_device(request: pytest.FixtureRequest, host_device: OpenHost) -> MailboxDevice:
    if request.param == "host":
        return host_device(ARENA)
    return host_device(ARENA, support.sanitized(firmware.HOST_SANITIZED))


def wide_convolution(random: np.random.Generator) -> Layer:
    """Rows of 150 elements and more, up to three panels of 32 channels, up to 49 positions."""
    height, width = (int(random.integers(1, 8)) for _ in range(2))
    in_c = int(random.choice((17, 32, 40, 64, 71)))
    out_c = int(random.choice((15, 32, 33, 64, 80, 96)))
    stride = int(random.choice((1, 1, 2)))
    return conv2d((height, width, in_c), out_c, (3, 3), stride, (1, 1), False)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_of_wide_layers(
    wide_device: MailboxDevice, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_cases, "convolution", wide_convolution)
    bench = Bench(wide_device)
    for start in range(0, CASES, AT_ONCE):
        cases = [kernel_cases.case(kernel, number) for number in range(start, start + AT_ONCE)]
        results = bench.run_all([(wanted.job, wanted.layout) for wanted in cases])
        for number, (wanted, result) in enumerate(zip(cases, results, strict=True), start):
            assert differences(wanted, result) == [], f"{kernel} {number}: {wanted.job.layer}"


def wide_network() -> Network:
    """Rows of 9, 180, 324 and 656 elements; a count of channels that four does not divide."""
    first = conv2d((12, 10, 1), 20, (3, 3), 1, (1, 1), True)
    pooled = maxpool2(first.out_shape)
    second = conv2d(pooled.out_shape, 36, (3, 3), 1, (1, 1), True)
    third = conv2d(second.out_shape, 41, (3, 3), 2, (1, 1), False)
    layers = [first, pooled, second, third]
    layers += [linear(third.out_shape, 23, True), linear((1, 1, 23), 10, False)]
    return calibrate(support.build("wide", (12, 10, 1), layers))


@pytest.mark.parametrize("method", METHODS)
def test_training_of_wide_layers(
    wide_device: MailboxDevice, reference: GoldenDevice, method: str
) -> None:
    network = wide_network()
    pixels, labels = images(network, 12, seed=4)
    both = (reference, wide_device)
    for device in both:
        device.load_model(network)
        device.set_method(METHODS[method])
    scored = METHODS[method].scored
    for turn in range(3):
        expected, found = (device.train(pixels, labels) for device in both)
        assert np.array_equal(found.predictions, expected.predictions)
        assert np.array_equal(found.loss_norms, expected.loss_norms)
        assert len(set(expected.loss_norms.tolist())) > 1
        assert np.array_equal(wide_device.saturation(), reference.saturation())
        digests = {state_sha256(device, network) for device in both}
        assert len(digests) == 1, turn
        # What the harness changes between two commands is no step of the device.
        for device in both:
            values = (device.scores if scored else device.weights)(2).copy()
            values[turn::7] = -values[turn::7]
            (device.put_scores if scored else device.put_weights)(2, values)
        expected, found = (device.evaluate(pixels, labels) for device in both)
        assert np.array_equal(found.predictions, expected.predictions)
