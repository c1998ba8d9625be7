"""What goes wrong is told apart, with the place where it did, and a fresh connection works."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import support
from picotrain import errors
from picotrain.device import backends
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult, Device, TraceTensor, UInt8
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import (
    CommandError,
    CrashFailure,
    DeviceFailure,
    MagicMismatch,
    MismatchFailure,
    TimeoutFailure,
    VersionMismatch,
)
from picotrain.image.elf import Elf
from picotrain_golden import Method, Network
from support import METHODS, begin, images

Connect = Callable[[], Target]

JUMP_TO_ITSELF = b"\xfe\xe7"
LONG_LOOP = b"\x00\xbf\xfd\xe7"
UNDEFINED = b"\x00\xde"


def serves(target: Target) -> None:
    """A device on this target trains exactly."""
    device = MailboxDevice(target)
    network = support.shipped("oddnet")
    reference = GoldenDevice(device.elf, 1 << 20)
    comparison = begin(device, reference, network, METHODS["priot"])
    pixels, labels = images(network, 2)
    comparison.traced_step(0, pixels[0], int(labels[0]))
    comparison.batch(1, pixels, labels, train=True)


def serves_again(target: Target) -> None:
    """The same target connected anew, and a device opened by name, both work."""
    target.connect()
    serves(target)
    other = backends.open_device(target.name)
    try:
        assert isinstance(other, MailboxDevice)
        other.command("INFO")
    finally:
        other.close()


def test_failure_classes_are_distinct() -> None:
    classes = [DeviceFailure, *DeviceFailure.__subclasses__()]
    classes += [MagicMismatch, VersionMismatch]
    # Steps of hw-test have failures of their own.
    classes = [one for one in classes if one.__module__ == errors.__name__]
    names = [one.failure_class for one in classes]
    assert len(set(names)) == len(names) == 11
    required = {"BUILD", "FLASH", "LINK", "CRASH", "TIMEOUT", "MISMATCH", "COMMAND"}
    assert required < set(names)
    public = {one for one in vars(errors).values() if isinstance(one, type)}
    assert {one for one in public if issubclass(one, DeviceFailure)} == set(classes)


# Mismatches


class FlippedGolden(GoldenDevice):
    """Golden with one element of one tensor of one step wrong by one."""

    def __init__(self, elf: Elf, step: int, kind: str, layer: int, at: int) -> None:
        super().__init__(elf, 1 << 20)
        self._flip = (kind, layer)
        self._flip_at = at
        self._steps_until_flip = step
        self.right = 0

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        for tensor in super().trace(image, label):
            if self._steps_until_flip == 0 and (tensor.kind, tensor.layer) == self._flip:
                self.right = int(tensor.values[self._flip_at])
                values = tensor.values.copy()
                values[self._flip_at] ^= 1
                tensor = TraceTensor(tensor.kind, tensor.layer, values)
            yield tensor
        self._steps_until_flip -= 1


@pytest.mark.parametrize(
    ("method", "kind", "layer", "at", "index"),
    [
        ("niti-static", "activation", -1, (2 * 19 + 7) * 3 + 1, (2, 7, 1)),
        ("niti-static", "activation", 0, (10 * 9 + 8) * 5 + 4, (10, 8, 4)),
        ("niti-static", "activation", 4, 6, (0, 0, 6)),
        ("niti-dynamic", "error", 2, (1 * 5 + 3) * 9 + 5, (1, 3, 5)),
        ("niti-dynamic", "update", 3, 4 * 135 + 134, (4, 134)),
        ("niti-static", "weights", 0, 0, (0, 0)),
        ("priot", "scores", 2, 8 * 30 + 17, (8, 17)),
        ("priot-fused", "places", 0, (2 * 4 + 3) * 5 + 2, (2, 3, 2)),
    ],
)
def test_one_wrong_element(
    device: Device,
    host_elf: Elf,
    method: str,
    kind: str,
    layer: int,
    at: int,
    index: tuple[int, ...],
) -> None:
    network = support.shipped("oddnet")
    golden = FlippedGolden(host_elf, 2, kind, layer, at)
    comparison = begin(device, golden, network, METHODS[method])
    pixels, labels = images(network, 3)
    for step in range(2):
        comparison.traced_step(step, pixels[step], int(labels[step]))
    with pytest.raises(MismatchFailure) as caught:
        comparison.traced_step(2, pixels[2], int(labels[2]))
    failure = caught.value
    assert failure.failure_class == "MISMATCH"
    assert (failure.step, failure.layer, failure.tensor) == (2, layer, kind)
    assert (failure.index, failure.actual) == (index, golden.right)
    assert failure.expected == golden.right ^ 1
    assert str(failure) == (
        f"step 2, layer {layer}, {kind}{list(index)}: "
        f"expected {golden.right ^ 1}, device has {golden.right}"
    )


def test_one_wrong_score_of_a_few_is_named_by_its_edge(device: Device, host_elf: Elf) -> None:
    """PRIOT-S lists its scores; the index is that of the edge."""
    network = support.shipped("oddnet")
    golden = FlippedGolden(host_elf, 0, "scores", 3, 100)
    comparison = begin(device, golden, network, METHODS["priot-s-weight"])
    pixels, labels = images(network, 1)
    edge = int(device.scored_edges(3)[100])
    assert edge != 100
    with pytest.raises(MismatchFailure) as caught:
        comparison.traced_step(0, pixels[0], int(labels[0]))
    assert caught.value.index == (edge // 135, edge % 135)


def test_one_flipped_bit_on_the_device(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    network = support.shipped("oddnet")
    comparison = begin(mailbox, reference, network, METHODS["niti-static"])
    row, k = 3, 20
    right = int(network.of(2).weights[row, k])
    mailbox.write_tensor("WEIGHTS", 2, row * 30 + k, np.array([right ^ 1], np.int8))
    with pytest.raises(MismatchFailure) as caught:
        comparison.state(5)
    assert str(caught.value) == (
        f"step 5, layer 2, weights[{row}, {k}]: expected {right}, device has {right ^ 1}"
    )


def test_one_flipped_bit_shows_in_the_first_tensor_it_changes(
    mailbox: MailboxDevice, reference: GoldenDevice
) -> None:
    network = support.shipped("oddnet")
    comparison = begin(mailbox, reference, network, METHODS["niti-static"])
    # The largest bit of a weight in the middle of the kernel of channel 2.
    wrong = network.copy()
    wrong.of(0).weights[2, 36] ^= 64
    mailbox.write_tensor("WEIGHTS", 0, 2 * 75 + 36, wrong.of(0).weights[2, 36:37])
    pixels, labels = images(network, 1)
    first = first_difference(reference._elf, network, wrong, pixels[0])
    with pytest.raises(MismatchFailure) as caught:
        comparison.traced_step(0, pixels[0], int(labels[0]))
    failure = caught.value
    assert (failure.step, failure.layer, failure.tensor) == (0, 0, "activation")
    assert failure.index[2] == 2
    assert (failure.index, failure.expected, failure.actual) == first


def first_difference(
    elf: Elf, right: Network, wrong: Network, image: UInt8
) -> tuple[tuple[int, ...], int, int]:
    """Index and both values of the first output of layer 0 in which two networks differ."""
    outputs = []
    for network in (right, wrong):
        golden = GoldenDevice(elf, 1 << 20)
        golden.load_model(network)
        golden.set_method(METHODS["niti-static"])
        outputs.append([tensor.values for tensor in golden.trace(image, 0)][1])
    at = int(np.flatnonzero(outputs[0] != outputs[1])[0])
    index = np.unravel_index(at, right.layers[0].out_shape)
    return tuple(int(i) for i in index), int(outputs[0][at]), int(outputs[1][at])


def test_one_flipped_bit_in_a_score(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    network = support.shipped("oddnet")
    comparison = begin(mailbox, reference, network, METHODS["priot-s-random"])
    edges = mailbox.scored_edges(4)
    mailbox.write_tensor("SCORES", 4, 7, np.array([1], np.int8))
    with pytest.raises(MismatchFailure) as caught:
        comparison.state(0)
    failure = caught.value
    assert (failure.layer, failure.tensor) == (4, "scores")
    assert failure.index == (int(edges[7]) // 13, int(edges[7]) % 13)
    assert (failure.expected, failure.actual) == (0, 1)


def test_wrong_results_of_a_batch(device: Device, host_elf: Elf) -> None:
    """Images are counted, results named."""

    class OtherPrediction(GoldenDevice):
        def evaluate(self, images: UInt8, labels: UInt8, progress: object = None):  # type: ignore[no-untyped-def]
            result = super().evaluate(images, labels)
            result.predictions[3] ^= 1
            return result

    network = support.shipped("oddnet")
    comparison = begin(device, OtherPrediction(host_elf, 1 << 20), network, METHODS["priot"])
    pixels, labels = images(network, 5)
    prediction = int(device.evaluate(pixels, labels).predictions[3])
    with pytest.raises(MismatchFailure) as caught:
        comparison.batch(8, pixels, labels, train=False)
    failure = caught.value
    assert (failure.step, failure.tensor, failure.index) == (8, "evaluate predictions", (3,))
    assert (failure.expected, failure.actual) == (prediction ^ 1, prediction)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_wrong_clamps_of_an_image(device: Device, host_elf: Elf, command: str) -> None:
    class OtherClamps(GoldenDevice):
        def train(self, images: UInt8, labels: UInt8, progress: object = None):  # type: ignore[no-untyped-def]
            return self.other(super().train(images, labels))

        def evaluate(self, images: UInt8, labels: UInt8, progress: object = None):  # type: ignore[no-untyped-def]
            return self.other(super().evaluate(images, labels))

        def other(self, result: BatchResult) -> BatchResult:
            result.saturated[2] += 1
            return result

    network = support.shipped("oddnet")
    comparison = begin(device, OtherClamps(host_elf, 1 << 20), network, METHODS["priot"])
    with pytest.raises(MismatchFailure) as caught:
        comparison.batch(8, *images(network, 5), train=command == "train")
    assert (caught.value.tensor, caught.value.index) == (f"{command} saturated", (2,))


def test_clamps_of_an_inference_are_those_of_golden(device: Device, host_elf: Elf) -> None:
    network = support.shipped("oddnet")
    network.of(0).forward_shift -= 6
    network.of(0).exponent += 6
    pixels, labels = images(network, 4)
    found = []
    for one in (device, GoldenDevice(host_elf, 1 << 20)):
        one.load_model(network)
        one.set_method(Method("infer"))
        found.append(one.evaluate(pixels, labels).saturated.tolist())
    assert found[0] == found[1] and len(set(found[0])) > 2


def test_wrong_saturation_counts(device: Device, reference: GoldenDevice) -> None:
    network = support.shipped("oddnet")
    network.of(0).forward_shift -= 6
    network.of(0).exponent += 6
    comparison = begin(device, reference, network, METHODS["niti-static"])
    pixels, labels = images(network, 4)
    comparison.batch(0, pixels, labels, train=True)
    count = int(device.saturation()[0, 0])
    assert count > 0
    reference.clear_saturation()
    with pytest.raises(MismatchFailure) as caught:
        comparison.traced_step(1, pixels[0], int(labels[0]))
    assert (caught.value.tensor, caught.value.index) == ("saturation", (0, 0))
    assert caught.value.actual - caught.value.expected == count


# Not our device


def test_wrong_magic(connect: Connect) -> None:
    target = connect()
    address = target.mailbox_address()
    assert target.read(address, 4) == b"PTMB"
    target.write(address, b"PTMC")
    with pytest.raises(MagicMismatch, match="found 0x434d5450, expected 0x424d5450") as caught:
        MailboxDevice(target)
    assert caught.value.failure_class == "LINK/MAGIC"
    serves_again(target)


def test_wrong_version(connect: Connect) -> None:
    target = connect()
    address = target.mailbox_address() + 4
    version = int.from_bytes(target.read(address, 4), "little")
    target.write(address, (version + 1).to_bytes(4, "little"))
    with pytest.raises(VersionMismatch) as caught:
        MailboxDevice(target)
    assert caught.value.failure_class == "LINK/VERSION"
    assert f"version {version + 1}" in str(caught.value)
    assert f"version {version};" in str(caught.value)
    serves_again(target)


def test_other_mailbox_size(connect: Connect) -> None:
    """The same version built from other sources."""
    target = connect()
    address = target.mailbox_address() + 8
    size = int.from_bytes(target.read(address, 4), "little")
    target.write(address, (size + 4).to_bytes(4, "little"))
    with pytest.raises(VersionMismatch, match=f"{size + 4} bytes"):
        MailboxDevice(target)
    serves_again(target)


# Hung and crashed


def patch_serve(target: Target, instruction: bytes) -> int:
    """Replace the first instruction of what INFO calls in the device's SRAM; its address."""
    address = Elf(target.elf).symbol("pt_board_cycles")
    assert 0x20000000 <= address < 0x20042000
    target.write(address, instruction)
    return address


def test_hung_device(connect: Connect) -> None:
    target = connect()
    device = MailboxDevice(target)
    device.command("INFO")
    if isinstance(target, HostTarget):
        os.kill(target.pid, signal.SIGSTOP)
        where = "the host process"
    else:
        patch_serve(target, JUMP_TO_ITSELF)
        where = r"pt_board_cycles\+0x0"
    # Emulators let time fly in a jump to itself, until the watchdog bites.
    watched = not isinstance(target, HostTarget | QemuTarget)
    when = "when its watchdog started it anew" if watched else r"0\.4 s"
    with pytest.raises(TimeoutFailure, match=rf"{where}.* {when}") as caught:
        device.command("INFO", timeout=60.0 if watched else 0.4)
    assert caught.value.failure_class == "TIMEOUT"
    if watched:
        assert target.read(target.mailbox_address(), 4) == b"PTMB"
    else:
        with pytest.raises(DeviceFailure) as second:
            device.command("INFO")
        assert not isinstance(second.value, CommandError)
    serves_again(target)


def test_a_stopped_process_is_told_at_once(connect: Connect) -> None:
    """Not after the time that its work might take."""
    target = connect()
    if not isinstance(target, HostTarget | QemuTarget | Rp2040jsTarget):
        pytest.skip("no process of ours")
    device = MailboxDevice(target)
    device.command("INFO")
    if isinstance(target, HostTarget):
        process = target.pid
        os.kill(process, signal.SIGSTOP)
    else:
        process = target.pid if isinstance(target, QemuTarget) else target.machine.pid
        # On rp2040js a jump to itself takes no time.
        patch_serve(target, JUMP_TO_ITSELF if isinstance(target, QemuTarget) else LONG_LOOP)
        # Not before the command is on its way, which goes through QEMU.
        threading.Timer(0.2, os.kill, (process, signal.SIGSTOP)).start()
    begun = time.monotonic()
    with pytest.raises(TimeoutFailure, match=rf"\(process {process}\) was stopped by a signal"):
        device.command("INFO", timeout=600)
    assert time.monotonic() - begun < 60
    serves_again(target)


def test_an_endless_batch_is_told_by_the_pace_of_those_before(device: Device) -> None:
    """Not after the quarter of an hour that 64 images of the largest network might take."""
    if not isinstance(device, MailboxDevice):
        pytest.skip("golden is not waited for")
    network = support.shipped("oddnet")
    device.load_model(network)
    device.set_method(METHODS["priot"])
    assert device._bound("TRAIN", 64) == 30 + 64 * 15
    pixels, labels = images(network, 2)
    device.train(pixels, labels)
    pace = device._pace["TRAIN"]
    assert pace > 0 and device._bound("TRAIN", 64) == 30 + 64 * min(15.0, 20 * pace)
    assert device._bound("EVALUATE", 1) == 45
    device.set_method(METHODS["niti-static"])
    assert device._bound("TRAIN", 64) == 30 + 64 * 15


def test_crashed_device(connect: Connect) -> None:
    target = connect()
    device = MailboxDevice(target)
    device.command("INFO")
    if isinstance(target, HostTarget):
        os.kill(target.pid, signal.SIGSEGV)
        address = None
    else:
        address = patch_serve(target, UNDEFINED)
    with pytest.raises(CrashFailure) as caught:
        device.command("INFO", timeout=5.0)
    failure = caught.value
    assert failure.failure_class == "CRASH"
    if address is None:
        assert "SIGSEGV" in str(failure)
    else:
        assert failure.place == "pt_board_cycles+0x0"
        assert "faulted in pt_board_cycles+0x0" in str(failure)
        elf = Elf(target.elf)
        assert failure.registers["pc"] == address
        assert elf.function_at(failure.registers["lr"]) in ("pt_app_serve", "report_memory")
        stack = range(elf.symbol("pt_stack_start"), elf.symbol("pt_stack_end"))
        assert failure.registers["sp"] in stack
    serves_again(target)


def test_crash_in_the_middle_of_a_batch(connect: Connect) -> None:
    """A kernel that faults is named, not the loop that called it."""
    target = connect()
    device = MailboxDevice(target)
    network = support.shipped("oddnet")
    device.load_model(network)
    device.set_method(METHODS["niti-static"])
    pixels, labels = images(network, 2)
    if isinstance(target, HostTarget):
        os.kill(target.pid, signal.SIGABRT)
        with pytest.raises(CrashFailure, match="SIGABRT"):
            device.train(pixels, labels)
    else:
        target.write(Elf(target.elf).symbol("pt_linear_forward_s8"), UNDEFINED)
        with pytest.raises(CrashFailure) as caught:
            device.train(pixels, labels)
        assert caught.value.place == "pt_linear_forward_s8+0x0"
    serves_again(target)


def test_device_that_does_not_serve(connect: Connect) -> None:
    """Idle again with the command still standing in the mailbox."""
    target = connect()
    device = MailboxDevice(target)
    run, target.run = target.run, lambda timeout: None  # type: ignore[method-assign]
    with pytest.raises(errors.LinkFailure, match="went idle without serving INFO") as caught:
        device.command("INFO")
    assert caught.value.failure_class == "LINK"
    target.run = run  # type: ignore[method-assign]
    serves_again(target)


def test_refusal_is_a_failure_of_its_own(mailbox: MailboxDevice) -> None:
    with pytest.raises(CommandError) as caught:
        mailbox.command("TRAIN", [1])
    assert caught.value.failure_class == "COMMAND"
    assert str(caught.value).startswith(
        "TRAIN: the device refused with PT_ERR_STATE: load a model first"
    )
    mailbox.command("INFO")
