"""What was counted of a foreign program: by function, as table and JSON, beside a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from picotrain.device.cycles import BlockCount
from picotrain.device.targets.qemu import FLASH_SIZE, SRAM
from picotrain.errors import BuildFailure, UserError
from picotrain.image import uf2
from picotrain.inputs import read_json
from picotrain.profile.baseline import Comparison, comparison, number
from picotrain.profile.costs import (
    UNKNOWN,
    Costs,
    InstructionCost,
    block_instructions,
    call_costs,
    decode,
)
from picotrain.profile.foreign.passes import Counted
from picotrain.profile.foreign.program import BREAKPOINT, UNDEFINED, Program
from picotrain.text import table

UNIT = "Cortex-M0+ cycles, zero wait states"
NOT_MODELLED = {
    "qemu": "flash and peripherals have no wait states here; entry and return of exceptions, "
    "sleep and other bus masters cost nothing",
    "rp2040js": "misses of the flash cache cost nothing here, nor do DMA, core 1 and whoever else "
    "wants the bus",
}
_FORMAT, _VERSION = "picotrain-cycles-baseline", 1
_CONDITIONS = ("unit", "target", "from", "to", "passes")
_PER_PASS = "cycles a pass"


@dataclass(frozen=True)
class FunctionLine:
    """A function in all passes together. `own` leaves out its callees, `inclusive` has them, and
    is None where calls are not followed: there `calls` is how often its first instruction ran. It
    is None too where calls tell of less than `own`, as others jump to it."""

    name: str
    calls: int
    own: int
    inclusive: int | None
    instructions: int


def attribute(blocks: Sequence[BlockCount], program: Program | None) -> Costs:
    """Every counted cycle at its instruction; at a block's first where the file has other code
    there than ran, or none."""
    counts: dict[int, tuple[int, int]] = {}

    def add(address: int, cycles: int, executions: int) -> None:
        old = counts.get(address, (0, 0))
        counts[address] = (old[0] + cycles, old[1] + executions)

    for block in blocks:
        found = None
        if program is not None and block.instructions > 1:
            try:
                found = block_instructions(program, block)
            except BuildFailure:
                found = None
        if found is None:
            add(block.pc, block.total_cycles, block.executions)
            for later in range(1, block.instructions):
                add(block.pc + 2 * later, 0, block.executions)
            continue
        for address, instruction in found:
            add(address, (instruction.cycles or 0) * block.executions, block.executions)
        add(found[-1][0], block.taken, 0)
    costs = []
    for address, (cycles, executions) in sorted(counts.items()):
        known = program is not None and program.in_code(address)
        function = program.function_at(address) if program is not None and known else UNKNOWN
        line = program.line_at(address) if program is not None and known else None
        file, at = line or (UNKNOWN, 0)
        costs.append(InstructionCost(address, function, file, at, cycles, executions))
    return Costs(sum(block.total_cycles for block in blocks), costs)


def check_instructions(blocks: Sequence[BlockCount], program: Program) -> None:
    """Raise UserError where something ran that a Cortex-M0+ does not have: QEMU takes some of it,
    and it has no cycles here. UDF and BKPT are left to who meets their fault."""
    for block in blocks:
        at = block.pc
        for _ in range(block.instructions):
            try:
                code = program.loaded(at, 4)
            except BuildFailure:
                break
            first, second = (int.from_bytes(code[n : n + 2], "little") for n in (0, 2))
            instruction = decode(first, second)
            if instruction.cycles is None and first >> 8 not in (BREAKPOINT, UNDEFINED):
                shown = f"0x{first:04x}" + (f" 0x{second:04x}" if instruction.width == 4 else "")
                raise UserError(
                    f"{program.path}: {shown} at {program.symbolise(at)} is no instruction of a "
                    "Cortex-M0+; build it with -mcpu=cortex-m0plus -mthumb"
                )
            at += instruction.width


def functions(counted: Counted, costs: Costs, program: Program | None) -> list[FunctionLine]:
    """Those that ran, the most expensive first; what no function holds is one line."""
    tree = {}
    if counted.nodes and program is not None:
        tree = {one.name: one for one in call_costs(counted.nodes, program).functions}
    if program is None:
        executed = sum(one.executions for one in costs.instructions)
        return [FunctionLine(UNKNOWN, 0, costs.total, None, executed)] if costs.total else []
    lines = []
    for one in costs.functions(program):
        found = tree.get(one.name)
        calls = one.executions if found is None and not tree else found.calls if found else 0
        calls = 0 if one.name == UNKNOWN else calls
        # Where others jump to it, calls do not tell all.
        inclusive = found.inclusive if found and found.inclusive >= one.cycles else None
        lines.append(FunctionLine(one.name, calls, one.cycles, inclusive, one.retired))
    return lines


def memories(blocks: Sequence[BlockCount], target: str) -> dict[str, int]:
    """Cycles of code in flash, in SRAM, and elsewhere (a boot ROM)."""
    found = {"flash": 0, "sram": 0, "elsewhere": 0}
    flash = range(FLASH_SIZE) if target == "qemu" else uf2.FLASH
    for block in blocks:
        where = "flash" if block.pc in flash else "sram" if block.pc >= SRAM else "elsewhere"
        found[where] += block.total_cycles
    return found


def content(
    counted: Counted,
    lines: Sequence[FunctionLine],
    target: str,
    start: str,
    end: str,
    program: Mapping[str, str],
) -> dict[str, Any]:
    """For JSON."""
    cycles = [one.cycles for one in counted.passes]
    instructions = sum(one.instructions for one in counted.passes)
    blocks = counted.blocks
    outside = counted.total - sum(block.total_cycles for block in blocks)
    return {
        "unit": UNIT,
        "target": target,
        "program": dict(program),
        "from": start,
        "to": end,
        "passes": {
            "count": len(cycles),
            "min": min(cycles),
            "mean": counted.total / len(cycles),
            "max": max(cycles),
            "cycles": cycles,
        },
        "cycles": counted.total,
        "instructions": instructions,
        "cycles_per_instruction": counted.total / instructions if instructions else None,
        "functions": [asdict(one) for one in lines],
        "outside_instructions": outside,
        "memory": memories(blocks, target),
        "ended": counted.ended,
        "status": counted.status,
        "not_modelled": NOT_MODELLED[target],
    }


def text(result: Mapping[str, Any]) -> str:
    """For people."""
    passes = result["passes"]
    count, total, executed = passes["count"], result["cycles"], result["instructions"]
    way = f"from {result['from']} to {result['to']}, on {result['target']}"
    each = f"{executed:,} instructions, {total / executed:.2f} cycles each" if executed else ""
    lines = []
    if count == 1:
        lines.append(f"{total:,} cycles {way}: {each}")
    else:
        lines.append(
            f"{passes['mean']:,.1f} cycles a pass {way}: min {passes['min']:,}, max "
            f"{passes['max']:,}, {count:,} passes, {total:,} cycles in all; {each}"
        )
    rows = [
        [
            one["name"],
            f"{one['calls']:,}" if one["calls"] else "",
            f"{one['own']:,}",
            f"{100 * one['own'] / total:.1f}%" if total else "",
            "" if one["inclusive"] is None else f"{one['inclusive']:,}",
            f"{one['instructions']:,}",
            f"{one['own'] / one['instructions']:.2f}" if one["instructions"] else "",
        ]
        for one in result["functions"]
    ]
    if result["outside_instructions"]:
        spent = result["outside_instructions"]
        name = "[asleep, or into exceptions]"
        rows.append([name, "", f"{spent:,}", f"{100 * spent / total:.1f}%", "", "", ""])
    rows.append(["total", "", f"{total:,}", "100.0%" if total else "", "", f"{executed:,}", ""])
    header = ["function", "calls", "cycles", "share", "with callees", "instructions", "each"]
    lines.append(table(rows, header))
    if result["ended"]:
        status = result["status"]
        said = "" if status is None else f", status {status}"
        lines.append(f"ended with {result['ended']}{said}")
    where = result["memory"]
    flash = f"{where['flash']:,} of the cycles are of code in flash; " if where["flash"] else ""
    lines.append(f"not in the numbers: {flash}{result['not_modelled']}")
    return "\n".join(lines)


# The gate


def make_baseline(result: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers to compare later, from what `--json` writes. UserError if that is another."""
    try:
        passes = result["passes"]
        count = passes["count"]
        numbers = {"mean": passes["mean"], "longest": passes["max"]}
        numbers |= {f"in {one['name']}": one["own"] / count for one in result["functions"]}
        conditions = {name: result[name] for name in _CONDITIONS} | {"passes": count}
        program = {str(name): str(value) for name, value in result["program"].items()}
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UserError(
            "this is no result of `picotrain cycles`; make one with its --write-baseline FILE"
        ) from error
    checked = {name: number(value, name) for name, value in numbers.items()}
    tail = {"program": program, "numbers": checked}
    return {"format": _FORMAT, "version": _VERSION, **conditions, **tail}


def read_baseline(path: Path) -> dict[str, Any]:
    """The baseline in a file, or in one of `--json`. UserError for anything else."""
    known = read_json(path, "choose another file")
    try:
        if known.get("format") != _FORMAT:
            return make_baseline(known)
        whole = isinstance(known.get("numbers"), dict) and isinstance(known.get("program"), dict)
        if known.get("version") != _VERSION or not whole or not {*_CONDITIONS} <= set(known):
            raise UserError("this is no baseline of this version; write it again")
        return {**known, "numbers": {name: number(n, name) for name, n in known["numbers"].items()}}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_conditions(baseline: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UserError, which names the first thing that differs, where two are not of the same
    way. `now` may leave out what is not known yet."""
    for name in _CONDITIONS:
        if name in now and baseline[name] != now[name]:
            raise UserError(
                f"the baseline has {name} {baseline[name]!r}, this run {now[name]!r}; count the "
                "same, or write the baseline again"
            )


def compare(
    baseline: Mapping[str, Any], result: Mapping[str, Any], max_regress: float
) -> Comparison:
    """What grew by more than `max_regress`, vanished or is new; UserError as `check_conditions`."""
    now = make_baseline(result)
    check_conditions(baseline, now)
    sides = (baseline["program"], now["program"])
    return comparison(baseline["numbers"], now["numbers"], max_regress, *sides, _PER_PASS)
