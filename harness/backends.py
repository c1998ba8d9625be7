"""The backends by name: `golden`, `host`, `qemu`, and the kernels that they can run with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


KERNELS = {
    "host": {"portable": firmware.HOST, "tuned": firmware.HOST_TUNED},
    "qemu": {
        "tuned": firmware.MICROBIT,
        "portable": firmware.MICROBIT_PORTABLE,
        "dense": firmware.MICROBIT_DENSE,
    },
}
"""The sets of kernels of each target and the firmware with them; the first is the default.

`dense` is `tuned`, but leaves out no zero: the cost of the worst input.
"""


def _golden_problem(_: Path | None) -> str:
    return "" if firmware.HOST.is_file() else "run `make firmware` (it holds the blob's layout)"


def _host_problem(program: Path | None) -> str:
    return "" if program is not None and program.is_file() else "run `make firmware`"


def _qemu_problem(image: Path | None) -> str:
    if shutil.which(QEMU) is None:
        return "install the package qemu-system-arm, then run `make firmware`"
    if image is None or not image.is_file():
        return "install the package gcc-arm-none-eabi, then run `make firmware`"
    if not firmware.CYCLE_PLUGIN.is_file():
        return "run `make firmware` (it builds the cycle plugin too)"
    return ""


_BACKENDS: dict[str, tuple[str, Callable[[Path | None], str]]] = {
    "golden": ("NumPy twin: the truth for the mathematics", _golden_problem),
    "host": ("the C firmware as a process of this machine: fast", _host_problem),
    "qemu": ("the firmware on an emulated Cortex-M0, with cycles", _qemu_problem),
}

NAMES = tuple(_BACKENDS)


def choose_kernels(target: str, kernels: str | None = None) -> str | None:
    """The kernels that `target` runs, by default its first; None: it has none (golden).

    Raises UserError for an unknown target and for kernels that it does not have.
    """
    if target not in NAMES:
        raise UserError(f"unknown target {target!r}; use one of {', '.join(NAMES)}")
    known = KERNELS.get(target, {})
    if kernels is None:
        return next(iter(known), None)
    if kernels not in known:
        instead = f"use one of {', '.join(known)}" if known else "leave --kernels out"
        raise UserError(f"target {target} has no kernels {kernels!r}; {instead}")
    return kernels


def _variants() -> dict[str, tuple[str, str | None]]:
    names: dict[str, tuple[str, str | None]] = {}
    for target in NAMES:
        default = choose_kernels(target)
        names[target] = (target, default)
        for kernels in KERNELS.get(target, {}):
            if kernels != default:
                names[f"{target}-{kernels}"] = (target, kernels)
    return names


VARIANTS = _variants()
"""Targets with their kernels, as tests name them: `host`, `host-tuned`, `qemu-portable` ..."""


def problem(variant: str) -> str:
    """What to do before one of `VARIANTS` works here; empty where it does."""
    target, kernels = VARIANTS[variant]
    return _BACKENDS[target][1](None if kernels is None else KERNELS[target][kernels])


def availability() -> list[Availability]:
    """Every backend, with what to do about those that do not work here."""
    report = []
    for name, (what, _) in _BACKENDS.items():
        remedy = problem(name)
        report.append(Availability(name, not remedy, what, remedy))
    return report


def open_target(name: str, arena_bytes: int | None = None, kernels: str | None = None) -> Target:
    """A target that is not connected yet; `arena_bytes` widens or narrows `host` only."""
    chosen = choose_kernels(name, kernels)
    if chosen is None:
        raise UserError(f"target {name!r} has no memory to open; use host or qemu")
    path = KERNELS[name][chosen]
    if name == "host":
        return HostTarget(firmware.require(path), arena_bytes or firmware.pico_arena_bytes())
    if shutil.which(QEMU) is None:
        raise UserError("target qemu needs qemu-system-arm: install the package qemu-system-arm")
    return QemuTarget(firmware.require(path), firmware.require(firmware.CYCLE_PLUGIN), QEMU)


def open_device(name: str, arena_bytes: int | None = None, kernels: str | None = None) -> Device:
    """A connected device, with the kernels that it has by default or those of `KERNELS`.

    `arena_bytes` sets the memory of `golden` and `host`; by default it is what the firmware leaves
    of a Pico's 264 KiB. Raises UserError for an unknown name, kernels that the target does not
    have, or an arena for `qemu`.
    """
    chosen = choose_kernels(name, kernels)
    if chosen is None:
        elf = open_elf(firmware.require(firmware.HOST))
        return GoldenDevice(elf, arena_bytes or firmware.pico_arena_bytes())
    if arena_bytes is not None and name != "host":
        raise UserError(f"the memory of target {name} is fixed; use host or golden for --ram-kib")
    target = open_target(name, arena_bytes, chosen)
    try:
        target.connect()
        return MailboxDevice(target)
    except BaseException:
        target.close()
        raise
