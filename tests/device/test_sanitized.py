"""The firmware under the address and undefined-behaviour sanitizers: exact, and without a report.

A report ends the process, which the harness tells as CrashFailure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import support
import trainable_affine
from flips.memory import Memory
from kernel_cases import KERNELS, case
from picotrain.device.blob import blob_size
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.errors import CrashFailure
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import verify
from picotrain.profile.bench import Bench, Job
from picotrain_golden import Method, linear, plan
from support import INFER, METHODS, begin, images

BUILDS = {"portable": firmware.HOST_SANITIZED, "tuned": firmware.HOST_TUNED_SANITIZED}


@pytest.fixture(scope="module", params=BUILDS.values(), ids=BUILDS)
def program(request: pytest.FixtureRequest) -> Path:
    """The firmware with each set of kernels."""
    return support.sanitized(request.param)


@pytest.fixture(scope="module")
def sanitized(program: Path) -> Iterator[MailboxDevice]:
    target = HostTarget(program, 240 * 1024)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


@pytest.mark.parametrize("seed", range(24))
def test_affine_graphs(sanitized: MailboxDevice, reference: GoldenDevice, seed: int) -> None:
    network = trainable_affine.trainable_network(seed)
    numbers = {"error_shift": 4, "gradient_bits": 12, "score_bits": 17}
    network = support.with_numbers(network, **numbers)
    comparison = begin(sanitized, reference, network, list(METHODS.values())[seed % len(METHODS)])
    pixels, labels = images(network, 4)
    verify(comparison, pixels, labels, 4, train=True)


@pytest.mark.parametrize("method", [*METHODS.values(), INFER], ids=[*METHODS, "infer"])
@pytest.mark.parametrize("name", ["oddnet", "tinycnn"])
def test_methods(
    sanitized: MailboxDevice, reference: GoldenDevice, name: str, method: Method
) -> None:
    network = support.shipped(name)
    comparison = begin(sanitized, reference, network, method)
    pixels, labels = images(network, 4)
    report = verify(comparison, pixels, labels, 3, train=method.trains)
    assert report.steps == 3
    if method.trains:
        saved = sanitized.checkpoint()
        comparison.batch(4, pixels, labels, train=True)
        sanitized.restore(saved)
        assert sanitized.checkpoint() == saved


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel(sanitized: MailboxDevice, kernel: str) -> None:
    """Other operands than those of test_kernels."""
    bench = Bench(sanitized)
    for number in range(10_000, 10_200):
        wanted = case(kernel, number)
        assert bench.run(wanted.job, wanted.layout).answer == wanted.answer, number


@pytest.mark.parametrize("weight", [127, -127])
def test_the_longest_sum(
    host_device: Callable[..., MailboxDevice], program: Path, weight: int
) -> None:
    """2^17 terms of 127 * 127: a kernel that adds more on the way must not overflow an int32."""
    layer = linear((32, 64, 64), 1, False)
    inputs = {
        "INPUT": np.full(layer.in_shape, 127, np.int8),
        "WEIGHTS": np.full((1, layer.row_length), weight, np.int8),
    }
    job = Job("LINEAR_FORWARD_S32", inputs, {"OUTPUT": ((1,), np.int32)}, layer)
    found = Bench(host_device(1 << 21, program)).run(job)
    assert found.operands["OUTPUT"].tolist() == [127 * weight * layer.row_length]
    assert layer.row_length == 1 << 17


@pytest.mark.parametrize("seed", range(40))
def test_random_network(sanitized: MailboxDevice, reference: GoldenDevice, seed: int) -> None:
    """Other networks than those of test_exactness."""
    network = support.random_network(1000 + seed)
    comparison = begin(sanitized, reference, network, list(METHODS.values())[seed % len(METHODS)])
    pixels, labels = images(network, 4, seed)
    verify(comparison, pixels, labels, 2, train=True)


@pytest.mark.parametrize("name", ["niti-dynamic", "priot", "priot-s-random-normal"])
def test_smallest_arena(
    host_device: Callable[..., MailboxDevice],
    reference: GoldenDevice,
    host_elf: Elf,
    program: Path,
    name: str,
) -> None:
    """With no byte to spare, a trace whose updates come in pieces."""
    network = support.shipped("tinycnn")
    arena = plan(network, METHODS[name], blob_size(network, host_elf)).total
    device = host_device(arena, program)
    comparison = begin(device, reference, network, METHODS[name])
    pixels, labels = images(network, 3)
    verify(comparison, pixels, labels, 2, train=True)


@pytest.mark.parametrize(
    ("move", "report"),
    [
        (lambda address: 64, "AddressSanitizer: SEGV"),
        (lambda address: address + 1, "runtime error: .* misaligned address"),
    ],
    ids=["address", "undefined"],
)
def test_sanitizers_are_on(
    host_device: Callable[..., MailboxDevice],
    program: Path,
    move: Callable[[int], int],
    report: str,
) -> None:
    """An arena where no memory is, and one that is not aligned, are reported."""
    network = support.shipped("oddnet")
    device = host_device(program=program)
    device.load_model(network)
    device.set_method(METHODS["niti-static"])
    memory, target = Memory(device), device._target
    (pointer,) = memory.trainer_fields(["arena"])
    arena = memory.word(pointer.address)
    assert arena == target.mailbox_address() + device.elf.dtype("pt_host_memory").itemsize
    target.write(pointer.address, move(arena).to_bytes(8, "little"))
    memory.reseal()
    with pytest.raises(CrashFailure, match=report):
        device.command("TRAIN", [1])
