"""The stack's static worst case, from the image's machine code and call graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from picotrain.errors import BuildFailure
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.thumb import bl_target, signed, written

EXCEPTION_FRAME = 36
"""Eight words, and one more where the stack was not aligned to 8 bytes."""

ROM_STACK = 256
"""Assumed of every function of the RP2040's boot ROM, which tells no stack: its published source,
compiled for size by GCC 12.2, takes 128 bytes at most (flash_range_erase and what it calls)."""

ROM_NAME = "(boot ROM, assumed)"

_ROM_CALLERS = {
    "boards/rp2040/board.o": {"pt_board_restart"},
    "boards/rp2040/flash.o": {
        *("pt_flash_number", "pt_flash_erase", "pt_flash_program", "flash_change"),
        *("flash_attach", "flash_detach"),  # where GCC does not inline them
    },
    "boards/rp2040/rom.o": {"pt_rom_function"},
}
"""Object -> functions whose calls without a known target go to the boot ROM, or to the copy of the
second stage, which takes less. Nothing else may call what the image does not hold."""

_OPERATORS = "nn/operators/"
_THROUGH_FIELDS = ("nn/", "app/")
"""Objects that may call through a field that they loaded: of struct pt_operator, in _OPERATORS."""

_INNER_JUMPS = {"pt_affine_dots", "pt_lanes_row_relu_s8"}
"""Assembly that computes where it enters a loop of its own."""

_ROM = -1
"""Stands for the address of the function in the boot ROM."""

_FIRST_INTERRUPT = 11
"""The number of SVCall: from it on, exceptions have one priority, and none preempts another."""

_SP, _LR, _PC, _SLOT = 13, 14, 15, 16
_ARGUMENTS = range(4)
_CLOBBERED = {0, 1, 2, 3, 12, _LR}


@dataclass(frozen=True)
class Call:
    """One call as the machine code has it: to `target`, with `depth` bytes pushed by the caller.

    A jump out of the function counts as one: what it pushed so far stays below the target's frame.
    `arguments` holds what is known to be in r0 to r3.
    """

    site: int
    target: int
    depth: int
    arguments: dict[int, _Value] = field(default_factory=dict)


@dataclass(frozen=True)
class PassedCall:
    """A call of a function whose address is the caller's argument in register `register`."""

    site: int
    register: int
    depth: int


@dataclass(frozen=True)
class FieldCall:
    """A call of a function that was loaded from `offset` bytes behind the start of a struct."""

    site: int
    offset: int
    depth: int


@dataclass(frozen=True)
class Frame:
    """What a function takes: by the compiler's .su, by its assembler's symbol __stack_NAME, and by
    its machine code. libgcc and the linker's veneers have the last alone; of the boot ROM the
    second is an assumption.
    """

    name: str
    compiler: int | None
    declared: int | None
    decoded: int

    @property
    def bytes(self) -> int:
        """The largest: .su has 0 for naked functions, whatever their assembler pushes."""
        return max(self.compiler or 0, self.declared or 0, self.decoded)


@dataclass(frozen=True)
class Step:
    """A function of the worst path with the bytes it holds when it calls the next one."""

    name: str
    bytes: int


@dataclass(frozen=True)
class StackReport:
    """The deepest the stack can get.

    `path` leads from the program's entry down and adds up to `worst`. On top of it come, into
    `total`, at most one interrupt, whose frame and handler's path are `interrupt` (they have one
    priority; 0 if the program has no handler), and the fault that ends the program, `exception`:
    the NMI has no source. `unresolved` names indirect calls without a known target; unless it is
    empty, `worst` is no bound. `assumed` names those that go to the boot ROM, for ROM_STACK bytes.
    """

    path: tuple[Step, ...]
    worst: int
    exception_path: tuple[Step, ...]
    exception: int
    total: int
    reserved: int
    frames: tuple[Frame, ...]
    unresolved: tuple[str, ...]
    interrupt_path: tuple[Step, ...] = ()
    interrupt: int = 0
    assumed: tuple[str, ...] = ()


_Value = tuple[Literal["constant", "table", "stack", "argument", "field", "either"], frozenset[int]]
"""What a register holds: one of some numbers; a word of the table at an address; sp as it was at a
depth; the argument in a register; what lay at one of some offsets of a struct; one of some targets
(_targets) of more than one of these kinds. The others have one.
"""

_FIELD = 16  # Added to a field's offset among targets: what is less is a register

_MOST_CONSTANTS = 8


@dataclass
class _State:
    """On entry to an instruction: bytes pushed, and the registers whose content is known.

    A word of the frame is register `_SLOT` plus its distance from sp at the function's entry.
    """

    depth: int
    registers: dict[int, _Value]


class Decoder:
    """Follows the stack pointer through one function, along every path.

    Knows what GCC and libgcc use of ARMv6-M to move sp and to call; what it does not know only
    forgets the register written, so that a call through it ends up among the unresolved. Takes
    GCC's word that only a store relative to sp changes a word that it keeps in the frame.
    """

    def __init__(self, image: Image, start: int) -> None:
        self._image = image
        self._start = start
        self.name, size = image.functions[start]
        self._end = start + size
        self.calls: list[Call] = []
        self.passed: list[PassedCall] = []
        self.fields: list[FieldCall] = []
        self.unresolved: list[tuple[int, int]] = []
        """Calls without a known target: where, and the bytes pushed there."""
        self.deepest = 0
        self._states: dict[int, _State] = {}
        self._run()

    def _run(self) -> None:
        arguments: dict[int, _Value] = {n: ("argument", frozenset([n])) for n in _ARGUMENTS}
        work = [(self._start, _State(0, arguments))]
        while work:
            address, state = work.pop()
            held = self._states.get(address)
            if held is not None:
                if held.depth != state.depth:
                    raise BuildFailure(
                        f"{self.name}: two paths meet at 0x{address:x} with {held.depth} and "
                        f"{state.depth} bytes on the stack"
                    )
                known = _either(held.registers, state.registers)
                if known == held.registers:
                    continue
                state = _State(state.depth, known)
            self._states[address] = _State(state.depth, dict(state.registers))
            self.deepest = max(self.deepest, state.depth)
            after, _ = self._step(address, state)
            for target in after:
                work.append((target, _State(state.depth, dict(state.registers))))
        self._collect()

    def _collect(self) -> None:
        """Calls, once no state changes any more; then of code that no path reached."""
        for address, state in sorted(self._states.items()):
            _, calls = self._step(address, _State(state.depth, dict(state.registers)))
            self._add(address, calls, state)
        address = self._start
        while address < self._end:
            if not self._image.is_code(address):
                address += 2
                continue
            code = self._half(address)
            if address not in self._states:
                state = _State(self.deepest, {})
                _, calls = self._step(address, _State(self.deepest, {}))
                self._add(address, calls, state)
            address += 4 if code >> 11 >= 0x1D else 2

    def _add(self, address: int, targets: list[int | None], state: _State) -> None:
        for target in targets:
            if target is not None and ~target >= _FIELD:
                self.fields.append(FieldCall(address, ~target - _FIELD, state.depth))
                continue
            if target is not None and target < 0:
                self.passed.append(PassedCall(address, ~target, state.depth))
                continue
            callee = None if target is None else self._image.function_at(target)
            if callee is None:
                self.unresolved.append((address, state.depth))
            else:
                known = {n: state.registers[n] for n in _ARGUMENTS if n in state.registers}
                self.calls.append(Call(address, callee, state.depth, known))

    def place(self, address: int) -> str:
        return f"{self.name}+0x{address - self._start:x}"

    def _half(self, address: int) -> int:
        code = self._image.word(address, 2)
        if code is None:
            raise BuildFailure(f"{self.name}: no code at 0x{address:x}")
        return code

    def _within(self, address: int) -> bool:
        return self._start <= address < self._end

    def _flow(self, targets: Iterable[int]) -> tuple[list[int], list[int | None]]:
        """Jump targets: those of this function to follow, the others as calls."""
        inside = [t for t in targets if self._within(t) and self._image.is_code(t)]
        return inside, [t for t in targets if not self._within(t)]

    def _step(self, at: int, state: _State) -> tuple[list[int], list[int | None]]:
        """Carries out one instruction on `state`. Returns where it goes on and whom it calls.

        The complement of a register's number is the function passed in it, that of a larger number
        (_FIELD) one loaded from a struct, None an unknown one.
        """
        code, registers = self._half(at), state.registers
        top, low, middle = code >> 11, code & 7, code >> 8 & 7
        if top >= 0x1D:
            return self._wide(at, code, registers)
        if top == 0b11100:  # B
            return self._flow([at + 4 + signed(code & 0x7FF, 11) * 2])
        if code >> 12 == 0b1101:  # B<cond>; 14 is undefined, 15 SVC
            if code >> 8 & 15 == 14:
                return [], []
            if code >> 8 & 15 < 14:
                return self._flow([at + 2, at + 4 + signed(code & 0xFF, 8) * 2])
        elif code >> 10 == 0b010001:
            return self._high(at, code, state)
        elif code & 0xFF00 == 0xB000:  # ADD, SUB SP, #n
            state.depth += (code & 0x7F) * (4 if code & 0x80 else -4)
        elif code & 0xFE00 == 0xB400:  # PUSH
            for slot in [key for key in registers if key > _SLOT + state.depth]:
                del registers[slot]
            state.depth += 4 * (code & 0x1FF).bit_count()
        elif code & 0xFE00 == 0xBC00:  # POP
            state.depth -= 4 * (code & 0x1FF).bit_count()
            for register in range(8):
                if code >> register & 1:
                    registers.pop(register, None)
            if code & 0x100:
                return [], []
        elif top == 0b01001:  # LDR literal
            value = self._image.word((at + 4 & ~3) + (code & 0xFF) * 4)
            _set(registers, middle, None if value is None else ("constant", frozenset([value])))
        elif top == 0b10101:  # ADD rd, sp, #n
            registers[middle] = ("stack", frozenset([state.depth - (code & 0xFF) * 4]))
        elif top == 0b10010:  # STR rd, [sp, #n]
            slot = _SLOT + state.depth - (code & 0xFF) * 4
            if slot > _SLOT:
                _set(registers, slot, registers.get(middle))
        elif top == 0b10011:  # LDR rd, [sp, #n]
            slot = _SLOT + state.depth - (code & 0xFF) * 4
            _set(registers, middle, registers.get(slot) if slot > _SLOT else None)
        elif top == 0b01101:  # LDR rd, [rn, #n]
            registers[low] = ("field", frozenset([(code >> 6 & 31) * 4]))
        elif top == 0b00100:  # MOVS
            registers[middle] = ("constant", frozenset([code & 0xFF]))
        elif code >> 9 == 0b0101100:  # LDR rd, [rn, rm]
            bases = [registers.get(code >> 3 & 7), registers.get(code >> 6 & 7)]
            known = [
                base
                for base in bases
                if base is not None and base[0] == "constant" and len(base[1]) == 1
            ]
            _set(registers, low, ("table", known[0][1]) if len(known) == 1 else None)
        elif top == 0:  # LSLS rd, rm, #n; by 0 bits it is MOVS
            held, by = registers.get(code >> 3 & 7), code >> 6
            if held is not None and by:
                shifted = frozenset(number << by & 0xFFFFFFFF for number in held[1])
                held = ("constant", shifted) if held[0] == "constant" else None
            _set(registers, low, held)
        else:
            for register in written(code):
                registers.pop(register, None)
        return self._flow([at + 2])

    def _high(self, at: int, code: int, state: _State) -> tuple[list[int], list[int | None]]:
        """ADD, CMP, MOV with high registers, BX, BLX."""
        registers, source = state.registers, code >> 3 & 15
        value, to = registers.get(source), code & 7 | code >> 4 & 8
        operation = code >> 8 & 3
        if operation == 3:
            targets: list[int | None] = list(_targets(value)) if value else []
            targets = targets or [None]
            if code & 0x80:
                for register in _CLOBBERED:
                    registers.pop(register, None)
                return self._flow([at + 2])[0], targets
            return ([], []) if source == _LR else ([], targets)
        if operation == 1:
            return self._flow([at + 2])
        if to == _PC:
            if operation == 2 and value is not None and value[0] == "table":
                return self._flow(self._table(*value[1]))
            return ([], []) if source == _LR or self.name in _INNER_JUMPS else ([], [None])
        if to == _SP:
            kind, numbers = value or ("", frozenset())
            number = min(numbers, default=0)
            if operation == 0 and kind == "constant" and len(numbers) == 1:
                state.depth -= signed(number, 32)
            elif operation == 2 and kind == "stack":
                state.depth = number
            elif operation == 2 and kind == "constant" and numbers == self._stack_end():
                state.depth = 0  # it begins anew, as in pt_hard_fault
            else:
                raise BuildFailure(f"{self.name}: sp is set to what is unknown at 0x{at:x}")
        elif operation == 2 and source == _SP:
            registers[to] = ("stack", frozenset([state.depth]))
        else:
            _set(registers, to, value if operation == 2 else None)
        return self._flow([at + 2])

    def _stack_end(self) -> frozenset[int]:
        return frozenset([self._image.symbols.symbol("pt_stack_end")])

    def _table(self, base: int) -> list[int]:
        """The cases of a switch: the words from `base` on that point into this function."""
        targets: list[int] = []
        while (word := self._image.word(base + 4 * len(targets))) is not None:
            if not self._within(word & ~1):
                break
            targets.append(word & ~1)
        return targets

    def _wide(
        self, at: int, code: int, registers: dict[int, _Value]
    ) -> tuple[list[int], list[int | None]]:
        """BL; of the others (MRS, MSR, barriers) MRS writes a register."""
        second = self._half(at + 2)
        if code >> 11 == 0b11110 and second & 0xD000 == 0xD000:
            target = bl_target(at, code, second)
            if self._within(target) and target != self._start:
                # GCC jumps far with BL where lr is saved.
                registers.pop(_LR, None)
                return self._flow([target])
            name = self._image.functions.get(target, ("", 0))[0]
            for register in _CLOBBERED:
                registers.pop(register, None)
            if name.startswith("__gnu_thumb1_case"):
                # It returns into the table behind the call; all cases count as not reached.
                return [], [target]
            return self._flow([at + 4])[0], [target]
        registers.pop(second >> 8 & 15, None)
        return self._flow([at + 4])


def _either(one: dict[int, _Value], other: dict[int, _Value]) -> dict[int, _Value]:
    """What is known where two paths meet."""
    known: dict[int, _Value] = {}
    for register, (kind, numbers) in one.items():
        there = other.get(register)
        if there is None:
            continue
        together = numbers | there[1]
        if there[0] != kind:
            here, other_way = _targets((kind, numbers)), _targets(there)
            if not (here and other_way):
                continue
            kind, together = "either", here | other_way
        if len(together) <= (_MOST_CONSTANTS if kind in ("constant", "field", "either") else 1):
            known[register] = (kind, together)
    return known


def _targets(value: _Value) -> frozenset[int]:
    """Whom a call of `value` calls, as in Decoder._step; nobody, where that is unknown."""
    kind, numbers = value
    if kind == "constant":
        return frozenset(one & ~1 for one in numbers)
    if kind == "either":
        return numbers
    offset = {"argument": 0, "field": _FIELD}.get(kind)
    return frozenset() if offset is None else frozenset(~(one + offset) for one in numbers)


def _set(registers: dict[int, _Value], register: int, value: _Value | None) -> None:
    if value is None:
        registers.pop(register, None)
    else:
        registers[register] = value


def worst_stack(image: Image) -> StackReport:
    """The stack's static worst case. Raises BuildFailure on recursion, and where a function's
    stack is known from its machine code alone.
    """
    decoded = {address: Decoder(image, address) for address in image.functions}
    _resolve_fields(image, decoded)
    _resolve_passed(image, decoded)
    assumed = _into_rom(image, decoded)
    compiler, declared = image.compiler_frames, image.declared_frames
    frames = {
        address: Frame(one.name, compiler.get(address), declared.get(address), one.deepest)
        for address, one in decoded.items()
    }
    for address, frame in frames.items():
        if frame.compiler is None and frame.declared is None and not image.is_foreign(address):
            raise BuildFailure(
                f"{frame.name}: neither GCC nor its source says how much stack it takes; define "
                f"the global symbol __stack_{frame.name} in its .S, with the bytes that it pushes "
                "and reserves"
            )
    calls = {
        address: [(call.depth, call.target) for call in one.calls]
        for address, one in decoded.items()
    }
    if assumed:
        frames[_ROM], calls[_ROM] = Frame(ROM_NAME, None, ROM_STACK, 0), []
    worst = deepest_path(
        calls,
        {address: frame.bytes for address, frame in frames.items()},
        lambda address: frames[address].name,
    )
    path = worst(image.entry)
    faults, interrupts = _handlers(image)
    bad = [address for address in faults + interrupts if address not in frames]
    if bad:
        raise BuildFailure(f"vector 0x{bad[0]:x} is no function")
    exception_path = max((worst(address) for address in faults), key=_bytes, default=())
    interrupt_path = max((worst(address) for address in interrupts), key=_bytes, default=())
    exception = EXCEPTION_FRAME + _bytes(exception_path)
    interrupt = EXCEPTION_FRAME + _bytes(interrupt_path) if interrupts else 0
    stack_start, stack_end = (image.symbols.symbol(f"pt_stack_{end}") for end in ("start", "end"))
    return StackReport(
        path,
        _bytes(path),
        exception_path,
        exception,
        _bytes(path) + interrupt + exception,
        stack_end - stack_start,
        tuple(sorted(frames.values(), key=lambda frame: (-frame.bytes, frame.name))),
        tuple(sorted({one.place(site) for one in decoded.values() for site, _ in one.unresolved})),
        interrupt_path,
        interrupt,
        assumed,
    )


def _into_rom(image: Image, decoded: dict[int, Decoder]) -> tuple[str, ...]:
    """Makes unresolved calls of _ROM_CALLERS calls of the boot ROM; returns where they are."""
    sites = set()
    for address, one in decoded.items():
        if one.name in _ROM_CALLERS.get(image.object_of(address), ()):
            one.calls += [Call(site, _ROM, depth) for site, depth in one.unresolved]
            sites |= {one.place(site) for site, _ in one.unresolved}
            one.unresolved = []
    return tuple(sorted(sites))


def _resolve_fields(image: Image, decoded: dict[int, Decoder]) -> None:
    """Make calls through a field calls of what the tables of the operators hold there."""
    data = [(at, size, name) for at, size, name, function in image._named if not function]
    tables = [
        (at, size)
        for at, size, name in data
        if image.object_of(at).startswith(_OPERATORS) and re.fullmatch(r"pt_\w+_operator", name)
    ]
    for address, one in decoded.items():
        ours = image.object_of(address).startswith(_THROUGH_FIELDS)
        for at in one.fields:
            inside = [table for table, size in tables if ours and at.offset <= size - 4]
            words = {image.word(table + at.offset) or 0 for table in inside} - {0}
            found = {image.function_at(word & ~1) if word & 1 else None for word in words}
            if not found or None in found:
                one.unresolved.append((at.site, at.depth))
            else:
                targets = sorted(target for target in found if target is not None)
                one.calls += [Call(at.site, target, at.depth) for target in targets]


def _resolve_passed(image: Image, decoded: dict[int, Decoder]) -> None:
    """Add the calls of functions that were passed as arguments, where all callers pass known ones.

    A function that is passed on once more, or to one that was itself passed, stays unresolved.
    """
    callers: dict[int, list[Call]] = {address: [] for address in decoded}
    for one in decoded.values():
        for call in one.calls:
            callers[call.target].append(call)
    reached: set[int] = set()
    for address, one in decoded.items():
        for passed in one.passed:
            values = [call.arguments.get(passed.register) for call in callers[address]]
            targets: set[int | None] = set()
            for value in values:
                if value is None or value[0] != "constant":
                    targets.add(None)
                else:
                    targets |= {image.function_at(number & ~1) for number in value[1]}
            if not targets or None in targets:
                one.unresolved.append((passed.site, passed.depth))
                continue
            calls = [Call(passed.site, t, passed.depth) for t in targets if t is not None]
            one.calls += sorted(calls, key=lambda call: call.target)
            reached |= {call.target for call in calls}
    for address in reached:
        one = decoded[address]
        one.unresolved += [(passed.site, passed.depth) for passed in one.passed]


def _bytes(path: Iterable[Step]) -> int:
    return sum(step.bytes for step in path)


def _handlers(image: Image) -> tuple[list[int], list[int]]:
    """Addresses of the handlers in the vector table: of faults, and of interrupts, without those
    that an interrupt without a handler has in common with the faults.
    """
    start = image.symbols.symbol("vectors")
    size = next(size for address, size, name, _ in image._named if name == "vectors")
    words = [image.word(start + 4 * number) or 0 for number in range(size // 4)]
    faults = {word & ~1 for word in words[2:_FIRST_INTERRUPT] if word}
    interrupts = {word & ~1 for word in words[_FIRST_INTERRUPT:] if word} - faults
    return sorted(faults), sorted(interrupts)


def deepest_path(
    calls: dict[int, list[tuple[int, int]]], frames: dict[int, int], name: Callable[[int], str]
) -> Callable[[int], tuple[Step, ...]]:
    """The search for the deepest path from a function, on (bytes held, callee) per caller.

    What it returns raises BuildFailure where a function can call itself.
    """
    known: dict[int, tuple[Step, ...]] = {}
    active: list[int] = []

    def search(address: int) -> tuple[Step, ...]:
        if address in active:
            circle = [*active[active.index(address) :], address]
            raise BuildFailure(
                "recursion, so the stack has no bound: " + " -> ".join(map(name, circle))
            )
        if address not in known:
            active.append(address)
            paths: list[tuple[Step, ...]] = [(Step(name(address), frames[address]),)]
            for held, callee in calls[address]:
                paths.append((Step(name(address), held), *search(callee)))
            # Of equals the shortest: a callee that takes nothing adds nothing.
            known[address] = min(paths, key=lambda path: (-_bytes(path), len(path)))
            active.pop()
        return known[address]

    return search
