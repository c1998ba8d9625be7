"""The loss alone, at every exponent: networks whose logits are chosen, and the C by itself.

A network here is one linear layer with two inputs for each class, one for either sign, so that the
images are the logits. Its weights never move.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, UInt8
from picotrain.device.mailbox import MailboxDevice
from picotrain.image import firmware
from picotrain.learn.verify import Comparison
from picotrain.places import SHIPPED
from picotrain_golden import Method, Network, Parameters, linear, loss_error
from picotrain_golden.numerics import Int8
from support import begin, require

STATIC = Method("niti-static", mu=-8)
DYNAMIC = Method("niti-dynamic", mu=-8)
_LEAST = -9


def reading(classes: int, exponent: int) -> Network:
    """A network that takes logits as images, with that exponent under its static shift."""
    layer = linear((1, 1, 2 * classes), classes, False)
    weights = np.zeros((classes, 2 * classes), np.int8)
    for one in range(classes):
        weights[one, 2 * one : 2 * one + 2] = 64, -64
    held = Parameters(weights, exponent + 1, forward_shift=6, gradient_bits=31)
    network = Network("logits", layer.in_shape, (layer,), (held,))
    assert network.logits_exponent == exponent
    return network


def images_of(logits: list[Int8]) -> UInt8:
    """uint8 [N, 1, 1, 2 * classes], of logits int8 [classes]."""
    values = np.stack(logits).astype(np.int64)
    both = np.stack([np.maximum(values, 0), np.maximum(-values, 0)], axis=-1)
    return (2 * both).astype(np.uint8).reshape(len(logits), 1, 1, -1)


def logits_of(classes: int, exponent: int) -> list[Int8]:
    random = np.random.default_rng([classes, exponent + 40])
    one, other = np.full(classes, -127), np.full(classes, 127)
    one[0], other[-1] = 127, -127
    drawn = [random.integers(-most, most + 1, classes) for most in (127, 127, 40, 5)]
    flat = [np.full(classes, value) for value in (127, -127, 0)]
    return [values.astype(np.int8) for values in (*flat, one, other, *drawn)]


def compare(comparison: Comparison, logits: list[Int8], exponent: int | None) -> None:
    """Every tensor against golden, and golden against the loss of the logits that were chosen;
    `exponent` of None: whatever dynamic scales make of them."""
    classes = logits[0].size
    for step, (image, chosen) in enumerate(zip(images_of(logits), logits, strict=True)):
        target = (step * 7) % classes
        comparison.traced_step(step, image, target)
        if exponent is None:
            continue
        traced = {
            (tensor.kind, tensor.layer): tensor.values
            for tensor in comparison._golden.trace(image, target)
        }
        assert np.array_equal(traced["activation", 0], chosen)
        assert np.array_equal(traced["error", 0], loss_error(chosen, exponent, target))
    comparison.state(len(logits))


@pytest.mark.parametrize("exponent", range(_LEAST, 8))
def test_every_static_exponent(device: Device, reference: GoldenDevice, exponent: int) -> None:
    for classes in (2, 10, 256) if exponent in (_LEAST, -7, -6) else (2, 10):
        comparison = begin(device, reference, reading(classes, exponent), STATIC)
        compare(comparison, logits_of(classes, exponent), exponent)


@pytest.mark.parametrize("exponent", [*range(-24, _LEAST), -8, -7, -6, 0])
def test_dynamic_scales_take_any(device: Device, reference: GoldenDevice, exponent: int) -> None:
    comparison = begin(device, reference, reading(10, exponent), DYNAMIC)
    compare(comparison, logits_of(10, exponent), None)


@pytest.mark.parametrize("exponent", [-24, -10, *range(_LEAST, -4)])
@pytest.mark.parametrize(
    "program", [firmware.HOST_SANITIZED, firmware.HOST_TUNED_SANITIZED], ids=["portable", "tuned"]
)
def test_sanitized(
    host_device: Callable[..., MailboxDevice],
    reference: GoldenDevice,
    program: Path,
    exponent: int,
) -> None:
    device = host_device(1 << 20, require(program))
    method, known = (DYNAMIC, None) if exponent < _LEAST else (STATIC, exponent)
    for classes in (2, 10, 256):
        comparison = begin(device, reference, reading(classes, exponent), method)
        compare(comparison, logits_of(classes, exponent), known)


# The C by itself


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """firmware/nn/pt_loss.c as a library that complains about undefined behaviour."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path_factory.mktemp("loss") / "loss.so"
    sources = SHIPPED / "firmware"
    command = [
        *(compiler, "-std=c11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
        *("-Wconversion", "-fsanitize=undefined"),
        *("-I", str(sources), str(sources / "nn" / "pt_loss.c"), "-o", str(library)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize(
    "exponent", [-(2**31), -(2**31) + 1, -41, -40, *range(-24, 17), 31, 32, 2**31 - 1]
)
def test_the_c_is_what_golden_is(
    loss: ctypes.CDLL, capfd: pytest.CaptureFixture[str], exponent: int
) -> None:
    largest = 0
    for classes in (2, 3, 10, 255, 256):
        for chosen in logits_of(classes, max(min(exponent, 100), -40)):
            for target in {0, classes // 2, classes - 1}:
                error = np.full(classes + 1, 99, np.int8)
                norm = loss.pt_loss_error_s8(
                    ctypes.c_void_p(chosen.ctypes.data),
                    ctypes.c_int32(exponent),
                    ctypes.c_int32(chosen.max()),
                    ctypes.c_uint32(classes),
                    ctypes.c_uint32(target),
                    ctypes.c_void_p(error.ctypes.data),
                )
                assert np.array_equal(error[:-1], loss_error(chosen, exponent, target))
                assert error[-1] == 99
                assert norm == np.abs(error[:-1].astype(int)).sum()
                largest = max(largest, norm)
    assert largest <= 382
    assert "runtime error" not in capfd.readouterr().err
