"""The machines that a foreign program runs on: QEMU's, and rp2040js.

Both stop at addresses, tell what they have counted until then, and show registers and memory.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from picotrain.device import cycles
from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.targets import node_package
from picotrain.device.targets.gdb import PC, SP
from picotrain.device.targets.qemu import FLASH_SIZE, SRAM, SRAM_SIZE, XPSR, QemuMachine
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.errors import CrashFailure, DeviceFailure, LinkFailure, UserError
from picotrain.image import firmware, uf2
from picotrain.image.elf import Elf
from picotrain.profile.foreign.program import Program

HARD_FAULT = 3
_MOST_SRAM = 128 << 20
_THUMB = 1 << 24
_LOOK_SECONDS = 1.0
_INTERRUPT_SECONDS = 10.0
_VECTORS = 0x10000100
"""Where the second stage of an RP2040 leaves off, by convention."""


@dataclass(frozen=True)
class Reading:
    """What was counted since the machine was switched on. Without `nodes` where calls are not
    followed. `cycles` are all, those of exceptions and sleep too where the machine knows them."""

    blocks: list[BlockCount]
    nodes: list[CallNode]
    cycles: int


class Machine(Protocol):
    """A machine with a program in it."""

    name: str
    fault: int | None
    """Where the program handles a HardFault, as far as that is known."""
    start: int
    """Its first instruction."""

    def power_on(self) -> None:
        """Run until the program's first instruction is next."""

    def run(self, stops: Collection[int], deadline: float) -> int | None:
        """Run from here until one of `stops` is next, and say which; at least one instruction.
        None where the deadline has passed, or the program is in its HardFault for a while."""

    @property
    def pc(self) -> int:
        """The next instruction."""

    @property
    def is_on(self) -> bool:
        """Whether there is something to read: not after a lockup of QEMU."""

    def reading(self) -> Reading:
        """What was counted until here."""

    def registers(self) -> dict[str, int]:
        """r0 to r12, sp, lr, pc and xpsr."""

    def read(self, address: int, size: int) -> bytes:
        """Memory. Raises LinkFailure where there is none."""

    def answer(self, r0: int | None) -> None:
        """Go on behind a BKPT that asked for something, with the answer in r0 if it has one."""

    def close(self) -> None:
        """Switch it off."""


class QemuProgram(QemuMachine):
    """A program on QEMU's microbit, with 2 MiB of flash at 0 and as much SRAM as it wants.

    It starts at its vectors at 0; one that has none there at its entry, with the stack at the end
    of SRAM.
    """

    name = "qemu"

    def __init__(self, program: Program, plugin: Path) -> None:
        self._program = program
        top = self._check()
        super().__init__(program.path, plugin, sram_size=max(SRAM_SIZE, top - SRAM))
        self._set: set[int] = set()
        self._pc = 0

    @cached_property
    def _symbols(self) -> Elf:
        return self._program

    def _check(self) -> int:
        """The end of the SRAM that it needs. Raises UserError where it does not fit the machine."""
        program = self._program
        placed = [(f"what it loads to 0x{at:08x}", at, len(data)) for at, data in program.placed()]
        named = [(f"its section {one.name}", one.address, one.size) for one in program.spans]
        top = SRAM + SRAM_SIZE
        for what, address, size in (*named, *placed):
            end = address + size
            if address >= SRAM and end <= SRAM + _MOST_SRAM:
                top = max(top, end)
            elif end > FLASH_SIZE:
                rp2040 = address in uf2.FLASH
                raise UserError(
                    f"{program.path}: {what} ({size:,} bytes at 0x{address:08x}) is outside the "
                    f"memory of QEMU's machine, flash 0x00000000 to 0x{FLASH_SIZE - 1:08x} and "
                    f"SRAM from 0x{SRAM:08x}; "
                    + ("use --target rp2040js" if rp2040 else "link it for these")
                )
        stack, reset = program.word(0), program.word(4)
        self.fault = (program.word(4 * HARD_FAULT) or 0) & ~1 or None
        if stack is None or reset is None:
            self.start, self._stack = program.entry, -(-top // 8) * 8
            if not program.in_code(self.start):
                raise UserError(
                    f"{program.path}: it has neither vectors at 0 nor code at its entry "
                    f"0x{self.start:08x}; link a vector table to 0, or name the entry (ld -e)"
                )
            return top
        if (
            not SRAM < stack <= SRAM + _MOST_SRAM
            or not reset & 1
            or not program.in_code(reset & ~1)
        ):
            raise UserError(
                f"{program.path}: what it has at 0 is no vector table: a stack at 0x{stack:08x} "
                f"and a start at 0x{reset:08x}, which must be in SRAM (0x{SRAM:08x}) and in Thumb "
                "code; link the vectors first"
            )
        self.start, self._stack = reset & ~1, 0
        return max(top, stack)

    def power_on(self) -> None:
        super().power_on()
        self._set.clear()
        if self._stack:
            client = self._connected()
            client.write_register(SP, self._stack)
            client.write_register(XPSR, _THUMB)
            client.write_register(PC, self.start)
        self._pc = self.start

    @property
    def pc(self) -> int:
        return self._pc

    def run(self, stops: Collection[int], deadline: float) -> int | None:
        try:
            return self._run(set(stops), deadline)
        except LinkFailure as failure:
            raise self._explain(failure) from None

    def _run(self, stops: set[int], deadline: float) -> int | None:
        client = self._connected()
        for one in self._set - stops:
            client.remove_breakpoint(one)
        for one in stops - self._set:
            client.insert_breakpoint(one)
        self._set = stops
        if self._pc in stops:  # QEMU would not leave it
            client.step()
            if client.wait_stop(_INTERRUPT_SECONDS) is None:
                raise LinkFailure(f"QEMU did not step at {self._place(self._pc)}")
            self._pc = client.read_register(PC)
            if self._pc in stops:
                return self._pc
        while True:
            client.resume()
            left = deadline - time.monotonic()
            if client.wait_stop(max(0.01, min(_LOOK_SECONDS, left))) is None:
                client.interrupt()
                if client.wait_stop(_INTERRUPT_SECONDS) is None:
                    raise LinkFailure("QEMU did not stop when it was asked to")
            self._pc = client.read_register(PC)
            if self._pc in stops:
                return self._pc
            if client.read_register(XPSR) & 0x1FF == HARD_FAULT or time.monotonic() >= deadline:
                return None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def reading(self) -> Reading:
        blocks, nodes = self.blocks(self._pc), self.nodes(self._pc)
        assert blocks is not None
        assert nodes is not None
        return Reading(blocks, nodes, cycles.total(blocks))

    def answer(self, r0: int | None) -> None:
        client = self._connected()
        if r0 is not None:
            client.write_register(0, r0 & 0xFFFFFFFF)
        self._pc += 2
        client.write_register(PC, self._pc)


class Rp2040jsProgram:
    """A program of an RP2040 on rp2040js, from the boot ROM on; it is in flash as UF2 or ELF has
    it. Calls are not followed there."""

    name = "rp2040js"

    def __init__(self, segments: Iterable[uf2.Segment], name: str, program: Program | None) -> None:
        node_package.installed()
        flash = bytearray(b"\xff" * len(uf2.FLASH))
        for address, data in segments:
            flash[address - uf2.FLASH.start : address - uf2.FLASH.start + len(data)] = data
        offset = _VECTORS - uf2.FLASH.start
        words = [int.from_bytes(flash[offset + at : offset + at + 4], "little") for at in (4, 12)]
        if not words[0] & 1 or words[0] & ~1 not in uf2.FLASH:
            raise UserError(
                f"{name}: it has no vectors behind its second stage, at 0x{_VECTORS:08x}; link "
                "them there, and its start to flash"
            )
        self.start = words[0] & ~1
        self.fault: int | None = words[1] & ~1 or None
        self._program = program
        rom = firmware.require(firmware.RP2040_ROM)
        self._machine = Rp2040js(
            None, rom, image=bytes(flash), uart=False, usb=False, options=["--count"]
        )
        self._pc = 0
        self._cycles = 0

    def power_on(self) -> None:
        self.close()
        self._machine.start()
        if self.run([self.start], time.monotonic() + _INTERRUPT_SECONDS) is None:
            raise DeviceFailure(
                f"the program's start, 0x{self.start:08x}, was not reached from the boot ROM; is "
                "its second stage one for a Pico's flash?"
            )

    @property
    def pc(self) -> int:
        return self._pc

    def run(self, stops: Collection[int], deadline: float) -> int | None:
        while True:
            left = max(0.01, min(_LOOK_SECONDS, deadline - time.monotonic()))
            stop = self._machine.run(left, sorted(stops))
            self._pc, self._cycles = stop.pc, stop.cycles
            place = self._place(stop.pc)
            if stop.why == "stop":
                return stop.pc
            if stop.why == "locked":
                raise CrashFailure(f"the program locked up at {place}: {stop.message}", {}, place)
            if stop.why == "reset":
                place = self._place(stop.bitten)
                raise CrashFailure(f"the watchdog reset the program at {place}", {}, place)
            if stop.why == "bootsel":
                raise DeviceFailure("the program went to the boot ROM's USB drive (BOOTSEL)")
            if stop.why != "interrupted":
                raise DeviceFailure(
                    f"rp2040js has not what the program asks of it: {stop.message or stop.why} "
                    f"({place}); count a build without that"
                )
            faulted = self._machine.state()["xpsr"] & 0x1FF == HARD_FAULT
            if faulted or time.monotonic() >= deadline:
                return None

    def _place(self, pc: int) -> str:
        return f"0x{pc:08x}" if self._program is None else self._program.symbolise(pc)

    @property
    def is_on(self) -> bool:
        return True

    def reading(self) -> Reading:
        return Reading(self._machine.counts(), [], self._cycles)

    def registers(self) -> dict[str, int]:
        state = self._machine.state()
        names = [*(f"r{n}" for n in range(13)), "sp", "lr", "pc"]
        return dict(zip(names, state["registers"], strict=True)) | {"xpsr": state["xpsr"]}

    def read(self, address: int, size: int) -> bytes:
        return self._machine.read(address, size)

    def answer(self, r0: int | None) -> None:
        raise UserError(
            "the program asks for semihosting, which rp2040js does not answer; build it without, "
            "or use --target qemu"
        )

    def close(self) -> None:
        self._machine.close()
