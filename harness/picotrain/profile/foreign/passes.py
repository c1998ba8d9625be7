"""Runs a foreign program and counts its passes from one place to another."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from picotrain.device import cycles
from picotrain.device.cycles import BlockCount, CallNode
from picotrain.errors import CrashFailure, LinkFailure, TimeoutFailure, UserError
from picotrain.profile.costs import decode
from picotrain.profile.foreign.machines import HARD_FAULT, Machine, Reading
from picotrain.profile.foreign.program import BRANCH_TO_ITSELF, BREAKPOINT, UNDEFINED

_SEMIHOSTING = 0xBEAB
_EXITED = 0x20026  # ADP_Stopped_ApplicationExit
_STACKED = ("r0", "r1", "r2", "r3", "r12", "lr", "pc", "xpsr")
_MOST_TEXT = 1 << 16
_COMES = "name a place that it comes to"


@dataclass(frozen=True)
class Place:
    """An address with the name that the user has for it."""

    name: str
    address: int


@dataclass(frozen=True)
class Wanted:
    """What to count: from `start` (the reset, without one) to `end` (the program's end).

    With `returns` to where `start`, a function, was called from. `passes`: how many, None for all.
    """

    start: Place | None
    end: Place | None
    returns: bool
    passes: int | None
    seconds: float


@dataclass(frozen=True)
class Pass:
    """One way from the start to the end."""

    cycles: int
    instructions: int


@dataclass
class Counted:
    """All passes, and what was counted in them together."""

    passes: list[Pass] = field(default_factory=list)
    ended: str = ""
    """How the program ended, if that was waited for."""
    status: int | None = None
    """What it said then, by semihosting."""
    nodes: list[CallNode] = field(default_factory=list)
    _blocks: dict[tuple[int, int, int], Counter[str]] = field(default_factory=dict)

    @property
    def blocks(self) -> list[BlockCount]:
        return [
            BlockCount(*key, count["executions"], count["taken"])
            for key, count in sorted(self._blocks.items())
        ]

    @property
    def total(self) -> int:
        return sum(one.cycles for one in self.passes)

    def add(self, before: Reading, after: Reading) -> None:
        """A pass, between two readings."""
        blocks = cycles.difference(after.blocks, before.blocks)
        for one in blocks:
            key = (one.pc, one.instructions, one.cycles)
            count = self._blocks.setdefault(key, Counter())
            count["executions"] += one.executions
            count["taken"] += one.taken
        instructions = sum(one.executions * one.instructions for one in blocks)
        self.passes.append(Pass(after.cycles - before.cycles, instructions))
        for number, node in enumerate(cycles.call_difference(after.nodes, before.nodes)):
            if number == len(self.nodes):
                self.nodes.append(node)
            else:
                old = self.nodes[number]
                added = {"calls": old.calls + node.calls, "cycles": old.cycles + node.cycles}
                self.nodes[number] = replace(old, **added)


class _End(Exception):
    """The program has come to its end; `how`, with the `status` that it gave."""

    def __init__(self, how: str, status: int | None = None) -> None:
        super().__init__(how)
        self.how, self.status = how, status


class Run:
    """One run of a program. `ends`: its instructions that end it; `place` names an address."""

    def __init__(
        self, machine: Machine, ends: dict[int, int], place: Callable[[int], str], wanted: Wanted
    ) -> None:
        self._machine = machine
        self._ends = ends
        self._place = place
        self._wanted = wanted
        self._deadline = time.monotonic() + wanted.seconds
        self._passed_end = False
        self._started = False

    def count(self) -> Counted:
        """Run from reset until the passes that are wanted are counted, or else say why not."""
        self._machine.power_on()
        self._deadline = time.monotonic() + self._wanted.seconds
        counted = Counted()
        try:
            while self._wanted.passes is None or len(counted.passes) < self._wanted.passes:
                self._one_pass(counted)
        except _End as end:
            counted.ended, counted.status = end.how, end.status
            if not counted.passes or self._wanted.passes is not None:
                raise self._too_few(counted) from None
        return counted

    def _one_pass(self, counted: Counted) -> None:
        wanted, machine = self._wanted, self._machine
        if wanted.start is not None:
            self._find_start(wanted.start, bool(counted.passes))
        before = machine.reading()
        self._started = True
        if wanted.returns:
            self._return()
        elif wanted.end is not None:
            self._go({wanted.end.address}, wanted.end.name)
        else:
            try:
                self._go(set(), "")
            except _End as end:
                counted.add(before, machine.reading())
                counted.ended, counted.status = end.how, end.status
                # There is no second way to the end of all.
                self._wanted = replace(wanted, passes=len(counted.passes))
                return
        counted.add(before, machine.reading())

    def _find_start(self, start: Place, again: bool) -> None:
        machine, end = self._machine, self._wanted.end
        # Where one pass ends the next may begin, and the first instruction of all may be it.
        if machine.pc == start.address and (not again or (end and end.address == start.address)):
            return
        if not again and end is not None and end.address != start.address:
            if self._go({start.address, end.address}, start.name) == start.address:
                return
            self._passed_end = True
        self._go({start.address}, start.name)

    def _return(self) -> None:
        """To where the function goes back to, with the stack that it was called with."""
        entered = self._machine.registers()
        back, stack = entered["lr"] & ~1, entered["sp"]
        if entered["lr"] >> 28 == 0xF:
            raise UserError(
                f"--function {self._wanted.start and self._wanted.start.name} was entered by an "
                "exception, not by a call; give --from and --to"
            )
        assert self._wanted.start is not None
        while True:
            self._go({back}, f"the end of {self._wanted.start.name}")
            if self._machine.registers()["sp"] >= stack:
                return

    def _go(self, stops: set[int], sought: str) -> int:
        """Run to one of these. Raises _End at the program's end, and for all else that happens."""
        machine = self._machine
        fault = set() if machine.fault is None else {machine.fault}
        if machine.pc in self._ends:  # a place that the user named
            self._end(machine.pc, machine.registers()["xpsr"] & 0x1FF)
        while True:
            at = machine.run(stops | set(self._ends) | fault, self._deadline)
            if at is None:
                raise self._late(sought)
            if at in stops:
                return at
            active = machine.registers()["xpsr"] & 0x1FF
            if active == HARD_FAULT:
                raise self._crash()
            if at in self._ends:
                self._end(at, active)

    def _end(self, at: int, active: int) -> None:
        """Raises _End, unless the program only asks for something by semihosting."""
        opcode, place = self._ends[at], self._place(at)
        if opcode == _SEMIHOSTING:
            self._serve(place)
            return
        handler = f", in the handler of exception {active}" if active else ""
        what = "a branch to itself" if opcode == BRANCH_TO_ITSELF else f"bkpt #{opcode & 0xFF}"
        raise _End(f"{what} at {place}{handler}")

    def _serve(self, place: str) -> None:
        """Of semihosting: the exit, and text, which goes to standard error. No files."""
        machine = self._machine
        registers = machine.registers()
        operation, argument = registers["r0"], registers["r1"]
        if operation in (0x18, 0x20):  # SYS_EXIT, SYS_EXIT_EXTENDED
            reason, status = argument, 0
            if operation == 0x20:
                block = machine.read(argument, 8)
                reason, status = (int.from_bytes(block[at : at + 4], "little") for at in (0, 4))
            status = status if reason == _EXITED else 1
            raise _End(f"semihosting exit at {place}", status)
        answer: int | None = -1
        if operation == 0x03:  # SYS_WRITEC
            _say(machine.read(argument, 1))
            answer = None
        elif operation == 0x04:  # SYS_WRITE0
            _say(self._text(argument))
            answer = None
        elif operation == 0x05:  # SYS_WRITE: handle, address, size
            block = machine.read(argument, 12)
            address, size = (int.from_bytes(block[at : at + 4], "little") for at in (4, 8))
            _say(machine.read(address, min(size, _MOST_TEXT)))
            answer = 0
        elif operation in (0x01, 0x09):  # SYS_OPEN of the console, SYS_ISTTY
            answer = 1
        elif operation in (0x02, 0x0C):  # SYS_CLOSE, SYS_FLEN
            answer = 0
        machine.answer(answer)

    def _text(self, address: int) -> bytes:
        text = b""
        while len(text) < _MOST_TEXT:
            text += self._machine.read(address + len(text), 1)
            if text.endswith(b"\0"):
                break
        return text.rstrip(b"\0")

    # Why not

    def _late(self, sought: str) -> Exception:
        machine = self._machine
        if machine.registers()["xpsr"] & 0x1FF == HARD_FAULT:
            return self._crash()
        place = self._place(machine.pc)
        if sought:
            return TimeoutFailure(
                f"{sought} was not reached within {self._wanted.seconds:g} s, the program was in "
                f"{place}; name a place that it comes to, or give more --timeout"
            )
        return TimeoutFailure(
            f"the program did not end within {self._wanted.seconds:g} s, it was in {place}; give "
            "--to a place that it comes to, or let it end with bkpt or a branch to itself"
        )

    def _crash(self) -> CrashFailure:
        """In the HardFault: where from, as far as the stack shows it."""
        machine = self._machine
        registers = machine.registers()
        frame: dict[str, int] = {}
        if machine.pc == machine.fault and registers["lr"] & 0xF in (1, 9):
            try:
                words = machine.read(registers["sp"], 32)
            except LinkFailure:
                words = b""
            values = [
                int.from_bytes(words[at : at + 4], "little") for at in range(0, len(words), 4)
            ]
            frame = dict(zip(_STACKED, values, strict=False))
        if "pc" not in frame:
            place = self._place(machine.pc)
            return CrashFailure(f"the program faulted, and is in {place}", registers, place)
        at = frame["pc"] & ~1
        place, why = self._place(at), "an address without memory, or one that is not aligned"
        try:
            first, second = (
                int.from_bytes(machine.read(at + offset, 2), "little") for offset in (0, 2)
            )
            if first >> 8 == BREAKPOINT:
                why = f"bkpt #{first & 0xFF}, which ends a program only in code that the file has"
            elif first >> 8 == UNDEFINED:
                why = f"udf #{first & 0xFF}, as compilers put it where nothing should come"
            elif decode(first, second).cycles is None:
                why = f"0x{first:04x} is no instruction of a Cortex-M0+"
        except LinkFailure:
            why = "there is no memory"
        return CrashFailure(f"the program faulted at {place} (pc 0x{at:08x}): {why}", frame, place)

    def _too_few(self, counted: Counted) -> UserError:
        wanted = self._wanted
        how = f"the program ended with {counted.ended}"
        assert wanted.start is not None or wanted.end is not None
        if counted.passes:
            done = len(counted.passes)
            return UserError(
                f"only {done} of {wanted.passes} passes: {how}; give --passes {done} or all"
            )
        start = "the reset" if wanted.start is None else wanted.start.name
        if self._passed_end and wanted.end is not None and not self._started:
            return UserError(
                f"--to {wanted.end.name} came before --from {start}, which never came: {how}; "
                "name them in the order in which they run"
            )
        if not self._started:
            option = "--function" if wanted.returns else "--from"
            return UserError(f"{option} {start} was never reached: {how}; {_COMES}")
        if wanted.returns:
            return UserError(f"--function {start} did not return: {how}; give --from and --to")
        assert wanted.end is not None
        came = ", only before it" if self._passed_end else ""
        fix = "exchange the two" if came else _COMES
        return UserError(
            f"--to {wanted.end.name} was never reached after {start}{came}: {how}; {fix}"
        )


def _say(text: bytes) -> None:
    sys.stderr.write(text.decode("utf-8", "replace"))
    sys.stderr.flush()
