"""What the death of a device left, in words: `struct pt_fault` of firmware/boards/cortex_m0, or the
registers of a core that can do nothing more. And whether the process of a device was stopped, which
leaves nothing."""

from __future__ import annotations

import signal
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from picotrain.errors import (
    BuildFailure,
    CrashFailure,
    DamageFailure,
    DeviceFailure,
    TimeoutFailure,
)
from picotrain.image.elf import Elf

_STACKED = ("r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr")
_HIGH = tuple(f"r{n}" for n in range(4, 12))


LOOK_SECONDS = 0.5
"""From one look at a device's process to the next. Who waits counts looks, not the clock: Ctrl-Z
stops us too, and we go on together."""
_STOPPED_LOOKS = 6


class Watch:
    """Looks at the process of a device that is waited for: one that SIGSTOP stopped would be waited
    for as long as its work might take. Where processes show no state it sees nothing."""

    def __init__(self, pid: int, what: str) -> None:
        self._state = Path(f"/proc/{pid}/stat")
        self._what = f"{what} (process {pid})"
        self._stopped = 0

    def look(self) -> None:
        """Raise TimeoutFailure where it is stopped, and was at the looks before."""
        failure = self.stopped()
        self._stopped = self._stopped + 1 if failure else 0
        if failure and self._stopped == _STOPPED_LOOKS:
            raise failure

    def stopped(self) -> TimeoutFailure | None:
        """What to raise where it is stopped now."""
        try:
            said = self._state.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        if said.rpartition(")")[2].split()[0] != "T":
            return None
        failure = TimeoutFailure(f"{self._what} was stopped by a signal and does not go on")
        failure.kind = "stopped"
        return failure


def damaged_image(device: str) -> DamageFailure:
    """Of one that ended in pt_image_damaged (firmware/boards/cortex_m0/start.h)."""
    return DamageFailure(
        f"{device}: code or constants are not those that were built, so the device does not run "
        "them; put the firmware on it again",
        "CODE",
    )


Registers = Mapping[str, int]

_NEAR_BYTES = 1 << 16
_SIGNALS = {
    signal.SIGSEGV: "bad address",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "undefined instruction",
    signal.SIGFPE: "bad arithmetic",
    signal.SIGTRAP: "breakpoint",
}

_CHECK_BYTES = 4
_THUMB = 1 << 24
_FRAME_BYTES = 32
_REGISTER_FORMS = (
    ("write", 4),
    ("write", 2),
    ("write", 1),
    ("read", 1),
    ("read", 4),
    ("read", 2),
    ("read", 1),
    ("read", 2),
)
"""Of loads and stores whose address is the sum of two registers, by bits 9 to 11."""


def read_fault(data: bytes, elf: Elf, bitten: int | None = None) -> DeviceFailure | None:
    """The death that the record `data` tells of, with its place in the code; None: it tells none.

    `bitten` is where the program was when a watchdog bit, if the caller knows. Raises BuildFailure
    where the firmware keeps no such record.
    """
    layout = elf.dtype("pt_fault")
    if len(data) < layout.itemsize:
        return None
    fault = np.frombuffer(data, layout, count=1)[0]
    if fault["magic"] != elf.enum("pt_fault_format")["PT_FAULT_MAGIC"]:
        return None
    if fault["check"] != zlib.crc32(data[: layout.itemsize - _CHECK_BYTES]):
        return None
    registers = {name: int(value) for name, value in zip(_STACKED, fault["stacked"], strict=True)}
    registers |= {name: int(value) for name, value in zip(_HIGH, fault["high"], strict=True)}
    registers["sp"] = int(fault["sp"])
    exception, numbers = int(fault["exception"]), elf.enum("pt_fault_exception")
    failure: DeviceFailure
    if exception in (numbers["PT_EXCEPTION_WATCHDOG"], numbers["PT_EXCEPTION_BITE"]):
        at = registers["pc"] if exception else bitten
        failure = bite("a place that kept no record" if at is None else place_of(elf, at))
    else:
        kind, what = told_apart(registers, elf, exception, int(fault["code"]))
        failure = CrashFailure(
            f"the device faulted in {place_of(elf, registers['pc'])} (pc {registers['pc']:#010x}): "
            f"{what}; lr in {elf.symbolise(registers['lr'])}, sp {registers['sp']:#010x}",
            registers,
            elf.symbolise(registers["pc"]),
        )
        failure.kind = kind
    failure.operation = int(fault["operation"])
    return failure


def bite(place: str) -> TimeoutFailure:
    """That a watchdog bit while the program was there."""
    failure = TimeoutFailure(f"the device was still in {place} when its watchdog started it anew")
    failure.kind = "watchdog"
    return failure


@dataclass(frozen=True)
class HostDeath:
    """What `struct pt_host_death` tells; all empty where it tells nothing."""

    kind: str = ""
    what: str = ""
    place: str = ""
    registers: dict[str, int] = field(default_factory=dict)


def read_death(data: bytes, elf: Elf) -> HostDeath:
    """The death of a process, from the record in the memory that it shared."""
    found = np.frombuffer(data, elf.dtype("pt_host_death"), count=1)[0]
    if found["magic"] != elf.enum("pt_host_death_format")["PT_HOST_DEATH_MAGIC"]:
        return HostDeath()
    pc, sp, address = (int(found[name]) for name in ("pc", "sp", "address"))
    linked = pc - int(found["anchor"]) + elf.symbol("pt_app_serve") if pc else 0
    place = place_of(elf, linked) if elf.function_at(linked) != "?" else ""
    number = signal.Signals(int(found["signal"]))
    if found["code"] <= 0:
        kind, what = "sent signal", "another process sent it"
    elif number == signal.SIGSEGV and pc and address == pc:
        kind, what = "bad pc", f"a jump to {address:#x}, where no code is"
    elif number == signal.SIGSEGV and pc and sp - _NEAR_BYTES <= address < sp + _NEAR_BYTES:
        kind, what = "stack overflow", f"sp is {sp:#x}"
    else:
        kind = _SIGNALS.get(number, number.name)
        what = kind if number != signal.SIGSEGV else f"no memory at {address:#x}"
    registers = {"pc": linked, "sp": sp} if pc else {}
    return HostDeath(kind, f"{what}, in {place}" if place else what, place, registers)


def place_of(elf: Elf, pc: int) -> str:
    """`function+0xoffset`, and file and line where the image knows them."""
    place = elf.symbolise(pc)
    try:
        line = elf.line_at(pc)
    except BuildFailure:  # built without
        line = None
    return place if line is None else f"{place} ({line[0]}:{line[1]})"


def operation_in_work(elf: Elf, read: Callable[[int, int], bytes]) -> int | None:
    """Of a device that can still be read, by where its program keeps it; None: it does not."""
    layout = elf.dtype("pt_fault_doing")
    kept = np.frombuffer(elf.loaded(elf.symbol("pt_fault_doing"), layout.itemsize), layout)[0]
    address = int(kept["operation"])
    return int.from_bytes(read(address, 4), "little") if address else None


def out_of_stack(registers: Registers, elf: Elf) -> str:
    """That sp has left the stack, and how far; empty where it has not."""
    least, end = elf.symbol("pt_stack_start"), elf.symbol("pt_stack_end")
    sp = registers["sp"]
    if least + _FRAME_BYTES <= sp <= end:
        return ""
    return f"stack overflow: sp is {sp:#010x}, and the stack {least:#010x} to {end:#010x}"


def told_apart(registers: Registers, elf: Elf, exception: int, code: int) -> tuple[str, str]:
    """The kind of a fault, and a few words of it, from what the exception left: a Cortex-M0+ has
    one exception for all of them. `code` are the two halfwords at pc."""
    if outside := out_of_stack(registers, elf):
        return "stack overflow", outside
    if exception != elf.enum("pt_fault_exception")["PT_EXCEPTION_HARD_FAULT"]:
        if exception == elf.enum("pt_fault_exception")["PT_EXCEPTION_SVC"]:
            return "supervisor call", "a supervisor call, which nothing here makes"
        return "unexpected exception", f"exception {exception}, which nothing here enables"
    if not registers["xpsr"] & _THUMB:
        return "no Thumb bit", "a jump to an even address, which asks for Arm's other instructions"
    if not code:
        return "bad pc", "a jump to where no code is"
    first = code & 0xFFFF
    if first >> 8 == 0xBE:
        return "breakpoint", f"a breakpoint ({first:#06x}) without a debugger"
    if first >> 8 == 0xDF:
        return "supervisor call", f"a supervisor call ({first:#06x}), which nothing here makes"
    if (access := _access(first, registers)) is not None:
        what, size, address = access
        if address % size:
            return "unaligned access", f"a {what} of {size} bytes at {address:#010x}, not aligned"
        if elf.symbol("pt_sram_start") <= address < elf.symbol("pt_sram_end"):
            return "unexplained", f"a fault that {first:#06x} there does not explain"
        return "bad address", f"a {what} of {size} bytes at {address:#010x}, where no memory is"
    return "undefined instruction", f"no instruction of this core ({first:#06x})"


def _access(code: int, registers: Registers) -> tuple[str, int, int] | None:
    """What a load or store does, of how many bytes, and where; None: it is neither."""

    def low(bit: int) -> int:
        return registers[f"r{code >> bit & 7}"]

    by_load = "read" if code >> 11 & 1 else "write"
    form = code >> 12
    if code >> 11 == 0b01001:
        return "read", 4, (registers["pc"] & ~3) + 4 + 4 * (code & 0xFF)
    if form == 0b0101:
        what, size = _REGISTER_FORMS[code >> 9 & 7]
        return what, size, (low(3) + low(6)) & 0xFFFFFFFF
    if form in (0b0110, 0b0111, 0b1000):
        size = {0b0110: 4, 0b0111: 1, 0b1000: 2}[form]
        return by_load, size, (low(3) + size * (code >> 6 & 31)) & 0xFFFFFFFF
    if form == 0b1001:
        return by_load, 4, (registers["sp"] + 4 * (code & 0xFF)) & 0xFFFFFFFF
    if form == 0b1100:
        return by_load, 4, low(8)
    if code & 0xF600 == 0xB400:
        return by_load, 4, registers["sp"]
    return None
