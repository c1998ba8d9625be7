"""The backends by name: `golden`, `host`, `qemu`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from harness import firmware
from harness.device import Device
from harness.elf import open_elf
from harness.errors import UserError
from harness.golden_device import GoldenDevice
from harness.mailbox import MailboxDevice
from harness.targets.base import Target
from harness.targets.host import HostTarget
from harness.targets.qemu import QemuTarget

QEMU = "qemu-system-arm"


@dataclass(frozen=True)
class Availability:
    """Whether a backend works on this machine, and if not, why and what to do."""

    name: str
    works: bool
    what: str
    remedy: str = ""


def _golden_problem() -> str:
    return "" if firmware.HOST.is_file() else "run `make firmware` (it holds the blob's layout)"


def _host_problem() -> str:
    return "" if firmware.HOST.is_file() else "run `make firmware`"


def _qemu_problem() -> str:
    if shutil.which(QEMU) is None:
        return "install the package qemu-system-arm, then run `make firmware`"
    if not firmware.MICROBIT.is_file():
        return "install the package gcc-arm-none-eabi, then run `make firmware`"
    if not firmware.CYCLE_PLUGIN.is_file():
        return "run `make firmware` (it builds the cycle plugin too)"
    return ""


_BACKENDS = {
    "golden": ("NumPy twin: the truth for the mathematics", _golden_problem),
    "host": ("the C firmware as a process of this machine: fast", _host_problem),
    "qemu": ("the firmware on an emulated Cortex-M0, with cycles", _qemu_problem),
}

NAMES = tuple(_BACKENDS)


def availability() -> list[Availability]:
    """Every backend, with what to do about those that do not work here."""
    report = []
    for name, (what, problem) in _BACKENDS.items():
        remedy = problem()
        report.append(Availability(name, not remedy, what, remedy))
    return report


def open_target(name: str, arena_bytes: int | None = None) -> Target:
    """A target that is not connected yet; `arena_bytes` widens or narrows `host` only."""
    if name == "host":
        arena = arena_bytes or firmware.pico_arena_bytes()
        return HostTarget(firmware.require(firmware.HOST), arena)
    if name == "qemu":
        if shutil.which(QEMU) is None:
            raise UserError(
                "target qemu needs qemu-system-arm: install the package qemu-system-arm"
            )
        return QemuTarget(
            firmware.require(firmware.MICROBIT), firmware.require(firmware.CYCLE_PLUGIN), QEMU
        )
    raise UserError(f"target {name!r} has no memory to open; use host or qemu")


def open_device(name: str, arena_bytes: int | None = None) -> Device:
    """A connected device.

    `arena_bytes` sets the memory of `golden` and `host`; by default it is what the firmware leaves
    of a Pico's 264 KiB. Raises UserError for an unknown name or an arena for `qemu`.
    """
    if name not in NAMES:
        raise UserError(f"unknown target {name!r}; use one of {', '.join(NAMES)}")
    if name == "golden":
        elf = open_elf(firmware.require(firmware.HOST))
        return GoldenDevice(elf, arena_bytes or firmware.pico_arena_bytes())
    if arena_bytes is not None and name != "host":
        raise UserError(f"the memory of target {name} is fixed; use host or golden for --ram-kib")
    target = open_target(name, arena_bytes)
    try:
        target.connect()
        return MailboxDevice(target)
    except BaseException:
        target.close()
        raise
