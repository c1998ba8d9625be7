"""Machines with `caller.S` in flash."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caller import XIP, Caller, bootable
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.image import firmware
from support import require

SOURCES = Path(__file__).parent


@pytest.fixture(scope="session")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf = tmp_path_factory.mktemp("caller") / "caller.elf"
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
    command += ["-Wl,--build-id=none", "-T", str(SOURCES / "caller.ld"), "-o", str(elf)]
    subprocess.run([*command, str(SOURCES / "caller.S")], check=True)
    raw = str(elf.with_suffix(".bin"))
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", str(elf), raw], check=True)
    return elf


@pytest.fixture
def open_machine(caller: Path, package: Path) -> Iterator[Callable[..., Rp2040js]]:
    opened: list[Rp2040js] = []

    def open_(image: bytes | None = None, *options: str) -> Rp2040js:
        rom = require(firmware.RP2040_ROM)
        held = bootable(caller) if image is None else image
        machine = Rp2040js(caller, rom, package, image=held, uart=False, usb=False, options=options)
        opened.append(machine)
        machine.start()
        return machine

    yield open_
    for machine in opened:
        machine.close()


@pytest.fixture(scope="module")
def shared(caller: Path, package: Path) -> Iterator[Rp2040js]:
    rom = require(firmware.RP2040_ROM)
    with Rp2040js(caller, rom, package, image=b"", uart=False, usb=False) as machine:
        yield machine


@pytest.fixture
def chip(shared: Rp2040js, caller: Path) -> Caller:
    shared.write(XIP, bootable(caller).ljust(0x200000, b"\xff"))
    shared.reset("power")
    return Caller(shared, firmware.RP2040_ROM)
