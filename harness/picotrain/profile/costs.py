"""What the cycles were spent on: functions, source lines and instructions.

Two sources: counts per basic block (`Costs`, everything exclusive) and the call tree
(`CallCosts`, exclusive and inclusive). Nothing is estimated, and both add up to their total.

The cycles of each instruction come from a decoder of its own here, so every block checks the
table of the QEMU plugin against a second reading of ARM DDI 0484C (section 3.3) and of the
encodings in ARM DDI 0419 (section A5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.errors import BuildFailure
from picotrain.image.elf import Elf
from picotrain.places import BUILD_AGAIN

UNKNOWN = "?"
"""The function or file of code of which the image says nothing; its line is 0."""

ROOT = "[root]"
"""The function of a root of the call tree that is not a function."""


@dataclass(frozen=True)
class Instruction:
    """One ARMv6-M instruction: width in bytes, and cycles with zero wait states.

    A `conditional` branch costs 1 cycle more when taken. `cycles` is None where the manual gives
    no number (UDF, BKPT, undefined).
    """

    width: int
    cycles: int | None
    conditional: bool = False


def decode(first: int, second: int = 0) -> Instruction:
    """The instruction with these halfwords; the second one matters to wide instructions only."""
    if first >> 11 >= 0b11101:
        return Instruction(4, _wide_cycles(first, second))
    if first >> 12 == 0b1101:
        condition = first >> 8 & 15
        if condition == 14:
            return Instruction(2, None)  # UDF
        return Instruction(2, 15) if condition == 15 else Instruction(2, 1, True)
    return Instruction(2, _narrow_cycles(first))


def _wide_cycles(first: int, second: int) -> int | None:
    if first >> 11 == 0b11110 and second & 0xD000 == 0xD000:
        return 3  # BL
    if first & 0xFFE0 == 0xF380 and second & 0xD000 == 0x8000:
        return 3  # MSR
    if first & 0xFFE0 == 0xF3E0 and second & 0xD000 == 0x8000:
        return 3  # MRS
    if first & 0xFFF0 == 0xF3B0 and second & 0xD000 == 0x8000 and second >> 4 & 15 in (4, 5, 6):
        return 3  # DSB DMB ISB
    return None


def _narrow_cycles(opcode: int) -> int | None:
    """Cycles of a 16-bit instruction other than B<cond>, UDF and SVC."""
    group = opcode >> 12
    if group <= 3:
        return 1  # shift, add, subtract, move and compare with immediates
    if group == 4:
        if opcode >> 11 & 1:
            return 2  # LDR literal
        if opcode >> 10 & 1 == 0:
            return 1  # data processing, MULS included
        operation = opcode >> 8 & 3
        to_pc = (opcode >> 4 & 8 | opcode & 7) == 15
        # BX and BLX; ADD and MOV to the pc; CMP only looks at it.
        return 2 if operation == 3 or (operation != 1 and to_pc) else 1
    if 5 <= group <= 9:
        return 2  # loads and stores
    if group == 10:
        return 1  # ADR, ADD Rd, SP
    if group == 11:
        return _miscellaneous_cycles(opcode)
    if group == 12:
        return 1 + (opcode & 0xFF).bit_count()  # STM, LDM
    return 2  # B


def _miscellaneous_cycles(opcode: int) -> int | None:
    operation = opcode >> 8 & 15
    if operation in (0, 2):
        return 1  # ADD and SUB of SP; SXTH SXTB UXTH UXTB
    if operation in (4, 5, 12):
        return 1 + (opcode & 0x1FF).bit_count()  # PUSH; POP without the pc
    if operation == 13:
        return 3 + (opcode & 0x1FF).bit_count()  # POP with the pc
    if operation == 6 and opcode & 0xEF == 0x62:
        return 1  # CPSIE i, CPSID i
    if operation == 10 and opcode >> 6 & 3 != 2:
        return 1  # REV REV16 REVSH
    if operation == 15 and opcode & 15 == 0:
        return 2 if opcode >> 4 & 15 in (2, 3) else 1  # WFE WFI; NOP YIELD SEV
    return None


def block_instructions(elf: Elf, block: BlockCount) -> list[tuple[int, Instruction]]:
    """The block's instructions in `elf`, with their addresses.

    Raises BuildFailure if they do not cost what was counted: then other code ran.
    """
    code = elf.loaded(block.pc, 4 * block.instructions)
    found: list[tuple[int, Instruction]] = []
    at = 0
    while len(found) < block.instructions and at + 2 <= len(code):
        first = int.from_bytes(code[at : at + 2], "little")
        instruction = decode(first, int.from_bytes(code[at + 2 : at + 4], "little"))
        found.append((block.pc + at, instruction))
        at += instruction.width
    cycles = sum(instruction.cycles or 0 for _, instruction in found)
    branches = bool(found) and found[-1][1].conditional
    if len(found) != block.instructions or cycles != block.cycles or (block.taken and not branches):
        raise BuildFailure(
            f"the block at {elf.symbolise(block.pc)} was counted with {block.cycles} cycles in "
            f"{block.instructions} instructions, but {elf.path.name} has {cycles} there: the "
            f"device ran another image, or code that changed; {BUILD_AGAIN}"
        )
    return found


@dataclass(frozen=True)
class InstructionCost:
    """Cycles of one instruction in all, and how often it ran."""

    address: int
    function: str
    file: str
    line: int
    cycles: int
    executions: int


@dataclass(frozen=True)
class LineCost:
    """Cycles of all code from one source line, wherever it was inlined.

    `retired` counts the instructions that ran, `executions` how often that one of its
    instructions ran that ran most; `functions` are the ELF functions that hold its code.
    """

    file: str
    line: int
    functions: tuple[str, ...]
    cycles: int
    executions: int
    retired: int


@dataclass(frozen=True)
class FunctionCost:
    """Cycles of one ELF function, what was inlined into it included, its callees' not.

    `executions` says how often its first instruction ran, `retired` how many instructions did.
    """

    name: str
    cycles: int
    executions: int
    retired: int


@dataclass(frozen=True)
class Costs:
    """Exclusive cycles by instruction address; `total` is exactly their sum."""

    total: int
    instructions: list[InstructionCost]

    def lines(self) -> list[LineCost]:
        """By source line, the most expensive first; the cycles add up to `total`."""
        groups: dict[tuple[str, int], list[InstructionCost]] = defaultdict(list)
        for one in self.instructions:
            groups[(one.file, one.line)].append(one)
        costs = [
            LineCost(
                file,
                line,
                tuple(sorted({one.function for one in group})),
                sum(one.cycles for one in group),
                max(one.executions for one in group),
                sum(one.executions for one in group),
            )
            for (file, line), group in groups.items()
        ]
        return sorted(costs, key=lambda cost: (-cost.cycles, cost.file, cost.line))

    def functions(self, elf: Elf) -> list[FunctionCost]:
        """By ELF function, the most expensive first; the cycles add up to `total`."""
        groups: dict[str, list[InstructionCost]] = defaultdict(list)
        for one in self.instructions:
            groups[one.function].append(one)
        costs = []
        for name, group in groups.items():
            entry = group[0].address if name == UNKNOWN else elf.symbol(name)
            costs.append(
                FunctionCost(
                    name,
                    sum(one.cycles for one in group),
                    sum(one.executions for one in group if one.address == entry),
                    sum(one.executions for one in group),
                )
            )
        return sorted(costs, key=lambda cost: (-cost.cycles, cost.name))


def attribute(blocks: Iterable[BlockCount], elf: Elf) -> Costs:
    """Give every counted cycle to the instruction that took it.

    That of a taken branch goes to the branch, the last instruction of its block. Raises
    BuildFailure where `elf` is not what ran.
    """
    counts: dict[int, tuple[int, int]] = {}
    total = 0
    for block in blocks:
        found = block_instructions(elf, block)
        last = found[-1][0]
        for address, instruction in found:
            cycles, executions = counts.get(address, (0, 0))
            cycles += (instruction.cycles or 0) * block.executions
            if address == last:
                cycles += block.taken
            counts[address] = (cycles, executions + block.executions)
        total += block.total_cycles
    costs = []
    for address, (cycles, executions) in sorted(counts.items()):
        file, line = elf.line_at(address) or (UNKNOWN, 0)
        costs.append(
            InstructionCost(address, elf.function_at(address), file, line, cycles, executions)
        )
    return Costs(total, costs)


@dataclass(frozen=True)
class CallTotals:
    """One function in the call tree: how often it was called, and its cycles.

    `inclusive` holds its callees' cycles, and counts a function that calls itself, directly or
    not, once per stack; so it is never more than the total.
    """

    name: str
    calls: int
    exclusive: int
    inclusive: int


@dataclass(frozen=True)
class CallEdge:
    """One place of a call and what it calls: how often, and the callee's inclusive cycles.

    A call that happens again below itself counts its cycles once.
    """

    caller: str
    call_site: int
    callee: str
    calls: int
    inclusive: int


@dataclass(frozen=True)
class CallCosts:
    """Totals of a call tree; `total` is the sum of all exclusive cycles."""

    total: int
    functions: list[CallTotals]
    """The most expensive first, by inclusive cycles."""
    edges: list[CallEdge]
    """By caller, place and callee."""


def depth_first(nodes: Sequence[CallNode]) -> list[int]:
    """The indices of all nodes, each before its callees. ValueError if that is not a tree."""
    children: dict[int, list[int]] = defaultdict(list)
    for index, node in enumerate(nodes):
        children[node.parent].append(index)
    order: list[int] = []
    waiting = children[-1][::-1]
    while waiting:
        index = waiting.pop()
        order.append(index)
        waiting += children[index][::-1]
    if len(order) != len(nodes):
        raise ValueError(f"{len(nodes) - len(order)} nodes of the call tree hang from no root")
    return order


def node_names(nodes: Iterable[CallNode], elf: Elf) -> list[str]:
    """The function of each node; an address where the image has no function."""
    names = []
    for node in nodes:
        name = elf.function_at(node.entry)
        if name == UNKNOWN:
            name = ROOT if node.parent < 0 else elf.symbolise(node.entry)
        names.append(name)
    return names


def call_costs(nodes: Sequence[CallNode], elf: Elf) -> CallCosts:
    """Inclusive and exclusive cycles per function, and the calls between them."""
    names = node_names(nodes, elf)
    order = depth_first(nodes)
    below = [node.cycles for node in nodes]
    for index in reversed(order):
        if nodes[index].parent >= 0:
            below[nodes[index].parent] += below[index]

    calls: dict[str, int] = defaultdict(int)
    exclusive: dict[str, int] = defaultdict(int)
    inclusive: dict[str, int] = defaultdict(int)
    edge_calls: dict[tuple[str, int, str], int] = defaultdict(int)
    edge_cycles: dict[tuple[str, int, str], int] = defaultdict(int)
    # What is on the stack above each node, to count a recursion once.
    functions_above: dict[int, frozenset[str]] = {-1: frozenset()}
    edges_above: dict[int, frozenset[tuple[str, int, str]]] = {-1: frozenset()}
    for index in order:
        node, name = nodes[index], names[index]
        calls[name] += node.calls
        exclusive[name] += node.cycles
        inclusive[name] += 0 if name in functions_above[node.parent] else below[index]
        functions_above[index] = functions_above[node.parent] | {name}
        edges_above[index] = edges_above[node.parent]
        if node.parent >= 0:
            edge = (names[node.parent], node.call_site, name)
            edge_calls[edge] += node.calls
            edge_cycles[edge] += 0 if edge in edges_above[node.parent] else below[index]
            edges_above[index] |= {edge}
    totals = [CallTotals(name, calls[name], exclusive[name], inclusive[name]) for name in calls]
    return CallCosts(
        sum(exclusive.values()),
        sorted(totals, key=lambda one: (-one.inclusive, -one.exclusive, one.name)),
        [CallEdge(*edge, edge_calls[edge], edge_cycles[edge]) for edge in sorted(edge_calls)],
    )
