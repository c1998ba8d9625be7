"""Deaths of devices, made from outside: machine code over a function that a step runs, or a signal.

The firmware is the one that is shipped: nothing in it is for this.
"""

from __future__ import annotations

import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import support
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.base import Target
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import DeviceFailure
from picotrain.image.elf import open_elf

Random = np.random.Generator
Mortal = HostTarget | QemuTarget | Rp2040jsTarget

IN_STEP = ("pt_linear_forward_s8", "pt_loss_error_s8")
"""Which a step runs on every target; code for a death is put over one of them."""

NOWHERE = range(0x60000000, 0x70000000, 4)
"""Where neither the RP2040 nor the emulated machine has anything; nor has a process of ours."""


@dataclass(frozen=True)
class Told:
    """What the harness said of a death."""

    failure_class: str
    kind: str
    text: str


def kinds(target: str) -> tuple[str, ...]:
    """The deaths that can be made on a target, by what the harness shall call them."""
    if target == "host":
        coded = tuple(_HOST_CODE) if platform.machine() == "x86_64" else ()
        return (*coded, "sent signal", "killed", "stopped")
    return (*ARM_CODE, "lockup", "killed", "stopped")


def wanted(kind: str, target: str) -> str:
    """A watchdog does not wait for the harness."""
    return "watchdog" if (kind, target) == ("endless loop", "rp2040js") else kind


def die(target: Mortal, device: MailboxDevice, kind: str, random: Random, late: float) -> Told:
    """Trains on a device that is about to die so, and what is told then."""
    network = support.shipped("oddnet")
    device.load_model(network)
    device.set_method(support.METHODS["niti-static"])
    pixels, labels = support.images(network, 4)
    sent = kind in ("killed", "stopped", "sent signal")
    if not sent:
        inject(target, kind, random)
    patient = kind not in ("endless loop", "stopped") or target.name == "rp2040js"
    run = target.run

    def last(_: float) -> None:
        if sent:  # now, or it would die of the batch that is written before
            inject(target, kind, random)
        run(600.0 if patient else late)

    target.run = last  # type: ignore[method-assign]
    try:
        device.train(pixels, labels)
    except DeviceFailure as failure:
        return Told(failure.failure_class, failure.kind, failure.told)
    return Told("", "", "it lives")


def inject(target: Mortal, kind: str, random: Random) -> str:
    """Make the next step of a device its last; the function that dies, if one does."""
    signals = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
    if kind in signals:
        os.kill(_pid(target), signals[kind])
        return ""
    if kind == "sent signal":
        sent = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGBUS, signal.SIGFPE)
        os.kill(_pid(target), sent[int(random.integers(len(sent)))])
        return ""
    name = IN_STEP[int(random.integers(len(IN_STEP)))]
    if isinstance(target, HostTarget):
        _poke(target, name, _HOST_CODE[kind](random))
        return name
    if kind == "lockup":
        # The handler of the fault faults, too.
        _write(target, "pt_hard_fault", _UNDEFINED)
        _write(target, name, _UNDEFINED)
        return name
    elf = open_elf(target.elf)
    address = elf.symbol(name) & ~1
    target.write(address, ARM_CODE[kind](address, elf.symbol("pt_stack_start"), random))
    return name


def _pid(target: Mortal) -> int:
    return target.machine.pid if isinstance(target, Rp2040jsTarget) else target.pid


def _write(target: Target, function: str, code: bytes) -> None:
    target.write(open_elf(target.elf).symbol(function) & ~1, code)


# Thumb


_UNDEFINED = struct.pack("<H", 0xDE00)


def _with_words(address: int, code: list[int], *words: int) -> bytes:
    """Halfwords whose LDR literals take these words, in order, to r0, r1 ...; then the rest."""
    loads = len(words)
    size = 2 * (loads + len(code))
    pad = (address + size) % 4 // 2
    start = address + size + 2 * pad
    made = []
    for number in range(loads):
        here = (address + 2 * number & ~3) + 4
        made.append(0x4800 | number << 8 | (start + 4 * number - here) // 4)
    return struct.pack(f"<{loads + len(code) + pad}H", *made, *code, *[0xBF00] * pad) + struct.pack(
        f"<{loads}I", *words
    )


def _nowhere(random: Random) -> int:
    return int(NOWHERE[int(random.integers(len(NOWHERE)))])


def _undefined(_: int, __: int, random: Random) -> bytes:
    # UDF, and what the Armv7-M has behind these two beginnings.
    first = (0xDE00, 0xE800, 0xFA00)[int(random.integers(3))]
    return struct.pack("<2H", first | int(random.integers(256)), 0xF000 | int(random.integers(256)))


def _unaligned(address: int, _: int, random: Random) -> bytes:
    # LDR, STR, LDRH, STRH of r1 at r0; LDM and STM.
    code, size = (
        (0x6801, 4),
        (0x6001, 4),
        (0x8801, 2),
        (0x8001, 2),
        (0xC806, 4),
        (0xC006, 4),
    )[int(random.integers(6))]
    odd = 1 if size == 2 else int(random.integers(1, 4))
    return _with_words(address, [code], 0x20010000 + 4 * int(random.integers(1000)) + odd)


def _bad_address(address: int, _: int, random: Random) -> bytes:
    code = (0x6801, 0x6001, 0x8801, 0x7001, 0x7801, 0xC806)[int(random.integers(6))]
    return _with_words(address, [code], _nowhere(random))


def _bad_pc(address: int, _: int, random: Random) -> bytes:
    return _with_words(address, [(0x4700, 0x4780)[int(random.integers(2))]], _nowhere(random) | 1)


def _no_thumb(address: int, _: int, random: Random) -> bytes:
    return _with_words(address, [(0x4700, 0x4780)[int(random.integers(2))]], address + 8)


def _supervisor(_: int, __: int, random: Random) -> bytes:
    return struct.pack("<2H", 0xDF00 | int(random.integers(256)), 0xE7FE)


def _recursion(address: int, stack: int, random: Random) -> bytes:
    if random.integers(2):
        return struct.pack("<3H", 0xB5F0, 0xF7FF, 0xFFFD)  # PUSH {r4-r7, lr}; BL to the PUSH
    return moved_stack(address, stack - 4 * int(random.integers(1, 200)))


def moved_stack(address: int, sp: int) -> bytes:
    """MOV sp, r0; PUSH; UDF."""
    return _with_words(address, [0x4685, 0xB5F0, 0xDE00], sp)


def _pending(address: int, _: int, random: Random) -> bytes:
    bit = (28, 31)[int(random.integers(2))]  # PENDSVSET, NMIPENDSET of ICSR
    return _with_words(address, [0x6001, 0xBF00, 0xE7FE], 0xE000ED04, 1 << bit)


ARM_CODE: dict[str, Callable[[int, int, Random], bytes]] = {
    "undefined instruction": _undefined,
    "unaligned access": _unaligned,
    "bad address": _bad_address,
    "bad pc": _bad_pc,
    "no Thumb bit": _no_thumb,
    "supervisor call": _supervisor,
    "unexpected exception": _pending,
    "stack overflow": _recursion,
    "endless loop": lambda *_: b"\xfe\xe7",
}


# x86-64


def _poke(target: HostTarget, function: str, code: bytes) -> None:
    """Over the code of a process, which is not writable for itself."""
    elf = open_elf(target.elf)
    process = Path(f"/proc/{target.pid}")
    maps = (process / "maps").read_text(encoding="utf-8").splitlines()
    first = next(line for line in maps if line.endswith(str(elf.path)))
    with (process / "mem").open("r+b", buffering=0) as memory:
        memory.seek(int(first.split("-")[0], 16) + elf.symbol(function))
        memory.write(code)


def _at_nowhere(code: bytes) -> Callable[[Random], bytes]:
    """MOV eax, an address; and then."""
    return lambda random: b"\xb8" + struct.pack("<I", _nowhere(random)) + code


_HOST_CODE: dict[str, Callable[[Random], bytes]] = {
    "undefined instruction": lambda random: (b"\x0f\x0b", b"\x06", b"\x0f\xff\xc0")[
        int(random.integers(3))
    ],
    "bad address": _at_nowhere(b"\x48\x8b\x00"),
    "bad pc": _at_nowhere(b"\xff\xe0"),
    "stack overflow": lambda _: b"\x50\xe8\xfa\xff\xff\xff",
    "bad arithmetic": lambda _: b"\x31\xc9\x31\xd2\xb8\x01\x00\x00\x00\xf7\xf1",
    "breakpoint": lambda _: b"\xcc",
    "endless loop": lambda _: b"\xeb\xfe",
}
