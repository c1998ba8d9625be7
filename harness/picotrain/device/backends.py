"""The backends by name, and the kernels that they can run with.

`golden`, `host`, `qemu`, `rp2040js` and `renode` are names; `serial:PORT` is a Pico at a serial
port (`serial:/dev/ttyACM0`), the only one that is plugged in (`serial:auto`), or what another URL
of pyserial's leads to (`serial:socket://HOST:PORT`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.link import ports
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.twice import Disagreement, TwiceDevice
from picotrain.device.targets import node_package
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.renode import ACCELERATOR, RenodeTarget
from picotrain.device.targets.renode_release import (
    GET_RENODE,
    find_renode,
    misnamed,
    require_renode,
)
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import UserError, must_be, whole_number
from picotrain.image import firmware
from picotrain.places import IN_CHECKOUT

QEMU = "qemu-system-arm"
SERIAL = "serial"


@dataclass(frozen=True)
class Availability:
    """Whether a backend works on this machine, and if not, why and what to do. `remark`: what it
    lacks that may come at any time."""

    name: str
    works: bool
    what: str
    remedy: str = ""
    remark: str = ""


_RP2040 = {"tuned": firmware.RP2040, "cores": firmware.RP2040_CORES}

KERNELS = {
    "host": {
        "portable": firmware.HOST,
        "tuned": firmware.HOST_TUNED,
        "cores": firmware.HOST_CORES,
    },
    "qemu": {
        "tuned": firmware.MICROBIT,
        "portable": firmware.MICROBIT_PORTABLE,
        "dense": firmware.MICROBIT_DENSE,
        "large": firmware.MICROBIT_LARGE,
        **firmware.ONE_FORM["qemu"],
    },
    "rp2040js": _RP2040 | firmware.ONE_FORM["rp2040js"],
    "renode": {"tuned": firmware.RP2040},
    SERIAL: _RP2040 | firmware.ONE_FORM[SERIAL],
}
"""The sets of kernels of each target and the firmware with them; the first is the default.

`cores` is `tuned` on two cores. `dense` is `tuned`, but leaves out no zero: the cost of the worst
input. `large` has the objects of `tuned`, on a machine with 96 MiB of SRAM: for networks that no
Pico holds. `chain` and `affine` know networks of one form alone, for less RAM.
"""


def _golden_problem(_: Path | None) -> str:
    if not IN_CHECKOUT and firmware.MICROBIT.is_file():
        return ""
    return firmware.missing(firmware.HOST)


def _host_problem(program: Path | None) -> str:
    return firmware.missing(program)


def _qemu_problem(image: Path | None) -> str:
    package = "" if shutil.which(QEMU) else "install the package qemu-system-arm"
    built = firmware.missing(image, firmware.CYCLE_PLUGIN)
    return ", then ".join(filter(None, (package, built)))


def _rp2040_problem(image: Path | None) -> str:
    return firmware.missing(image, firmware.RP2040_ROM)


def _rp2040js_problem(image: Path | None) -> str:
    return node_package.missing() or _rp2040_problem(image)


def _renode_problem(image: Path | None) -> str:
    if find_renode() is None:
        return misnamed() or f"{GET_RENODE}, or name a Renode in RENODE"
    return _rp2040_problem(image)


_BACKENDS: dict[str, tuple[str, Callable[[Path | None], str]]] = {
    "golden": ("NumPy twin: the truth for the mathematics", _golden_problem),
    "host": ("the C firmware as a process of this machine: fast", _host_problem),
    "qemu": ("the firmware on an emulated Cortex-M0, with cycles", _qemu_problem),
    "rp2040js": ("the flash image on an emulated RP2040, from reset", _rp2040js_problem),
    "renode": ("the flash image on Renode's RP2040, from reset", _renode_problem),
    SERIAL: ("a Pico, or an emulator's UART, at serial:PORT", _rp2040_problem),
}

NAMES = tuple(name if name != SERIAL else f"{SERIAL}:PORT" for name in _BACKENDS)


def backend_of(target: str) -> str:
    """The name in `KERNELS` behind a target's name: `serial` for `serial:PORT`, else the same.

    Raises UserError for an unknown target.
    """
    name, colon, url = target.partition(":")
    if name not in _BACKENDS or bool(colon) != (name == SERIAL) or bool(colon) != bool(url):
        if (found := VARIANTS.get(target)) is not None:
            of, kernels = found
            raise UserError(
                f"target {target!r} is {of} with other kernels, as tests name it; use "
                f"--target {of} --kernels {kernels}, or "
                f'open_device("{of}", kernels="{kernels}")'
            )
        raise UserError(f"unknown target {target!r}; use one of {', '.join(NAMES)}")
    return name


def choose_kernels(target: str, kernels: str | None = None) -> str | None:
    """The kernels that `target` runs, by default its first; None: it has none (golden).

    Raises UserError for an unknown target and for kernels that it does not have.
    """
    known = KERNELS.get(backend_of(target), {})
    if kernels is None:
        return next(iter(known), None)
    if kernels not in known:
        choice = "one of " if len(known) > 1 else ""
        instead = f"use {choice}{', '.join(known)}" if known else "leave --kernels out"
        raise UserError(f"target {target} has no kernels {kernels!r}; {instead}")
    return kernels


def form_missed(affine: object, kernels: str | None) -> tuple[str, str]:
    """Of kernels that know networks of the other form alone: this network's form in words, and the
    kernels that know that one alone. Two empty texts where they know it."""
    form = ("of the affine form", "affine") if affine else ("of the power-of-two form", "chain")
    return form if kernels in firmware.FORMS and kernels != form[1] else ("", "")


def _variants() -> dict[str, tuple[str, str | None]]:
    names: dict[str, tuple[str, str | None]] = {}
    for target in _BACKENDS:
        if target == SERIAL:
            continue
        default = choose_kernels(target)
        names[target] = (target, default)
        for kernels in KERNELS.get(target, {}):
            if kernels != default:
                names[f"{target}-{kernels}"] = (target, kernels)
    return names


VARIANTS = _variants()
"""Targets with their kernels, as tests name them: `host`, `host-tuned`, `qemu-portable` ..."""


def problem(variant: str) -> str:
    """What to do before one of `VARIANTS`, or `serial:PORT`, works here; empty where it does."""
    target, kernels = variant_of(variant)
    known = KERNELS.get(backend_of(target), {})
    return _BACKENDS[backend_of(target)][1](None if kernels is None else known[kernels])


def variant_of(name: str) -> tuple[str, str | None]:
    """Target and kernels behind one of `VARIANTS` or `serial:PORT`; UserError for another name."""
    if name in VARIANTS:
        return VARIANTS[name]
    if not name.startswith(f"{SERIAL}:"):
        raise UserError(f"unknown target {name!r}; use one of {', '.join(VARIANTS)}, {NAMES[-1]}")
    return name, choose_kernels(name)


def availability() -> list[Availability]:
    """Every backend, with what to do about those that do not work here."""
    report = []
    for name, (what, _) in zip(NAMES, _BACKENDS.values(), strict=True):
        remedy = problem(name)
        alone = name.startswith(SERIAL) and not remedy and not ports.find_ports()
        remark = "no board is plugged in, and no serial adapter" if alone else ""
        report.append(Availability(name, not remedy, what, remedy, remark))
    return report


def arena_bytes(target: str, kernels: str | None = None) -> int | None:
    """The arena of a target whose memory is fixed, for the golden beside it; else None."""
    chosen = choose_kernels(target, kernels)
    if chosen is None or target == "host":
        return None
    return firmware.arena_bytes(firmware.require(KERNELS[backend_of(target)][chosen]))


def open_target(name: str, arena_bytes: int | None = None, kernels: str | None = None) -> Target:
    """A target that is not connected yet; `arena_bytes` widens or narrows `host` only."""
    chosen = choose_kernels(name, kernels)
    if chosen is None:
        raise UserError(f"target {name!r} has no memory to open; use host or qemu")
    backend = backend_of(name)
    _require_tools(backend)  # before anything is compiled for want of them
    path = firmware.require(KERNELS[backend][chosen])
    if backend == "host":
        return HostTarget(path, arena_bytes or firmware.pico_arena_bytes())
    if backend == SERIAL:
        url = name.partition(":")[2]
        if url == ports.AUTO:
            url = ports.choose_port(url, ports.find_ports(), f"--target {SERIAL}:").url
        return SerialTarget(path, url)
    if backend == "rp2040js":
        return Rp2040jsTarget(path, firmware.require(firmware.RP2040_ROM), node_package.installed())
    if backend == "renode":
        if not firmware.missing(ACCELERATOR):  # without it Renode counts, but slowly
            firmware.require(ACCELERATOR)
        return RenodeTarget(path, firmware.require(firmware.RP2040_ROM))
    return QemuTarget(path, firmware.require(firmware.CYCLE_PLUGIN), QEMU)


def _require_tools(backend: str) -> None:
    """Raise UserError where a program that picotrain cannot build is missing."""
    if backend == "qemu" and shutil.which(QEMU) is None:
        raise UserError("target qemu needs qemu-system-arm: install the package qemu-system-arm")
    if backend == "rp2040js" and (reason := node_package.missing()):
        raise UserError(reason)
    if backend == "renode":
        require_renode()


def open_device(
    name: str,
    arena_bytes: int | None = None,
    kernels: str | None = None,
    twice: Callable[[Disagreement], None] | None = None,
) -> Device:
    """A connected device, with the kernels that it has by default or those of `KERNELS`.

    `arena_bytes` sets the memory of `golden` and `host`; by default it is what a Pico's image
    `rp2040` leaves of its 264 KiB. With `twice` each batch is shown twice, and it is told where the
    two differ (`picotrain.device.repeating.twice`). Raises UserError for an unknown name, kernels
    that the target does not have, an arena for a device whose memory is fixed, or golden twice.
    """
    must_be("the target", name, str, f"give one of {', '.join(NAMES)}")
    if arena_bytes is not None and whole_number("arena_bytes", arena_bytes) < 1:
        raise UserError(f"arena_bytes is {arena_bytes}; give 1 or more, or leave it out")
    chosen = choose_kernels(name, kernels)
    if chosen is None and twice is not None:
        raise UserError(
            f"target {name} has no memory of its own in which a bit could flip; leave --twice out"
        )
    if chosen is None:
        return GoldenDevice(firmware.layout(), arena_bytes or firmware.pico_arena_bytes())
    if arena_bytes is not None and name != "host":
        raise UserError(f"the memory of target {name} is fixed; use host or golden for --ram-kib")
    target = open_target(name, arena_bytes, chosen)
    try:
        target.connect()
        if twice is not None:
            return TwiceDevice(target, chosen, twice)
        return MailboxDevice(target, chosen)
    except BaseException:
        target.close()
        raise
