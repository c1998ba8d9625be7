"""The firmware for both cores of the RP2040, on the emulated chip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import CrashFailure
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn.verify import verify
from support import METHODS, begin, images

STACK, ROOM_ON_STACK = 2048, 512
"""Of core 1: what its deepest use leaves."""

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is missing (apt: nodejs)")


@pytest.fixture(scope="module")
def image() -> Path:
    support.require(firmware.RP2040_ROM)
    return support.require(firmware.RP2040_CORES)


@pytest.fixture
def target(image: Path, package: Path) -> Iterator[Rp2040jsTarget]:
    target = Rp2040jsTarget(image, firmware.RP2040_ROM, package)
    target.connect()
    yield target
    target.close()


def train(device: MailboxDevice, reference: GoldenDevice) -> int:
    """Cycles of a batch of PRIOT, which is exact."""
    network = support.shipped("tinycnn")
    comparison = begin(device, reference, network, METHODS["priot"])
    pixels, labels = images(network, 6)
    verify(comparison, pixels, labels, 1, train=True)
    cycles = device.train(pixels, labels).cycles
    assert cycles is not None
    return cycles


def test_is_exact_and_faster(
    target: Rp2040jsTarget, reference: GoldenDevice, elf: Path, package: Path
) -> None:
    cycles = train(MailboxDevice(target), reference)
    assert min(target.machine.state()["stalls"]) > 0
    one = Rp2040jsTarget(elf, firmware.RP2040_ROM, package)
    one.connect()
    at_boot = one.machine.state()["stalls"]  # core 1 comes to its wait in the ROM
    alone = train(MailboxDevice(one), reference)
    assert one.machine.state()["stalls"] == at_boot
    one.close()
    assert 1.4 < alone / cycles < 2.0
    used = np.frombuffer(target.read(open_elf(target.elf).symbol("stack"), STACK), np.uint32)
    assert 4 * int(np.flatnonzero(used)[0]) >= ROOM_ON_STACK


@pytest.mark.parametrize("method", ["niti-dynamic", "niti-static", "priot-s-random"])
def test_every_way_of_learning(
    target: Rp2040jsTarget, reference: GoldenDevice, method: str
) -> None:
    network = support.shipped("oddnet")
    comparison = begin(MailboxDevice(target), reference, network, METHODS[method])
    pixels, labels = images(network, 6)
    verify(comparison, pixels, labels, 2, train=True)


def test_a_core_that_does_not_answer_is_left_alone(
    image: Path, package: Path, reference: GoldenDevice, tmp_path: Path
) -> None:
    """With a boot ROM whose core 1 hangs."""
    rom = bytearray(firmware.RP2040_ROM.read_bytes())
    elf = firmware.RP2040_ROM.with_suffix(".elf")
    at = open_elf(elf).symbol("rom_core1")
    rom[at : at + 2] = bytes.fromhex("fee7")
    (tmp_path / "rom.bin").write_bytes(rom)
    (tmp_path / "rom.elf").write_bytes(elf.read_bytes())
    target = Rp2040jsTarget(image, tmp_path / "rom.bin", package)
    target.connect()
    train(MailboxDevice(target), reference)
    target.close()


def test_a_fault_on_core_1_is_told(target: Rp2040jsTarget, reference: GoldenDevice) -> None:
    """What core 1 runs becomes an undefined instruction: a record, and a reset."""
    device = MailboxDevice(target)
    train(device, reference)
    half = open_elf(target.elf).symbol("run_other")
    target.write(half, bytes.fromhex("07de"))
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 2)
    with pytest.raises(CrashFailure, match="run_other"):
        device.train(pixels, labels)
