"""A profile as people and other tools want it: tables, by layer down to instruction, and files."""

from __future__ import annotations

from pathlib import Path

from picotrain.image.disassembly import disassemble
from picotrain.image.elf import Elf
from picotrain.output import write_json, write_text
from picotrain.profile import exports
from picotrain.profile.costs import UNKNOWN, Costs, attribute, call_costs
from picotrain.profile.profile import Profile, Samples, floor_ratio
from picotrain.text import table

VIEWS = ("layer", "function", "line", "instruction")
_MOST_LINES = 30
_MOST_INSTRUCTIONS = 30


def by_layer(profile: Profile, dense: Profile | None = None) -> str:
    """Cycles, time, cycles per MAC of each operation, an image; then those of `dense` beside."""
    header = ["per image", "kind", "MACs", "cycles", "ms", "cycles/MAC", "x floor"]
    if dense is not None:
        header += ["no skips", "ms", "cycles/MAC", "x floor"]

    def row(name: str, kind: str, macs: int, *counts: float) -> list[str]:
        cells = [name, kind, f"{macs:,}" if macs else ""]
        for count in counts:
            cells += [f"{count:,.0f}", f"{Profile.milliseconds(count):.3f}"]
            ratio = floor_ratio(count, macs)
            cells += ["", ""] if ratio is None else [f"{count / macs:.2f}", f"{ratio:.2f}"]
        return cells

    both = [profile] if dense is None else [profile, dense]
    rows = []
    for entries in zip(*(one.phases for one in both), strict=True):
        first = entries[0]
        name = f"layer {first.layer} {first.phase}"
        rows.append(row(name, first.kind, first.macs, *(entry.cycles for entry in entries)))
    step, inference = profile.macs(train=True), profile.macs(train=False)
    rows.append(row("all operations", "", step, *(one.all_operations for one in both)))
    rows.append(row("inference", "", inference, *(one.infer for one in both)))
    trained = [one.train for one in both if one.train is not None]
    if trained:
        rows.append(row("training", "", step, *trained))
    mistaken = [one.train_with_error for one in both if one.train_with_error is not None]
    if mistaken:
        name = f"training, {profile.images_with_error} with a loss error"
        rows.append(row(name, "", step, *mistaken))
    return table(rows, header)


def by_function(samples: Samples, elf: Elf, images: int) -> str:
    """Own and inclusive cycles of each function, an image; the own ones add up to the total.

    Of a function that others jump to, calls do not tell all: no inclusive cycles are shown then.
    """
    costs = attribute(samples.blocks, elf)
    inclusive = {entry.name: entry.inclusive for entry in call_costs(samples.calls, elf).functions}
    rows = [
        [
            entry.name,
            f"{entry.cycles / images:,.0f}",
            f"{100 * entry.cycles / costs.total:.1f}%",
            f"{inclusive[entry.name] / images:,.0f}"
            if inclusive.get(entry.name, -1) >= entry.cycles
            else "",
        ]
        for entry in costs.functions(elf)
    ]
    rows.append(["total", f"{costs.total / images:,.0f}", "100.0%", ""])
    return table(rows, ["function", "cycles an image", "share", "with callees"])


def by_line(samples: Samples, elf: Elf, images: int) -> str:
    """The source lines with the most cycles; the last row holds all others."""
    costs = attribute(samples.blocks, elf)
    lines = costs.lines()
    shown = [(f"{entry.file}:{entry.line}", entry.cycles) for entry in lines[:_MOST_LINES]]
    rest = sum(entry.cycles for entry in lines[_MOST_LINES:])
    shown += [(f"{len(lines) - len(shown)} other lines", rest), ("total", costs.total)]
    rows = [
        [name, f"{count / images:,.0f}", f"{100 * count / costs.total:.1f}%"]
        for name, count in shown
    ]
    return table(rows, ["line", "cycles an image", "share"])


def by_instruction(samples: Samples, elf: Elf) -> str:
    """The instructions with the most cycles, of all images together, so that all add up exactly.

    The text of an instruction is empty where no objdump is installed.
    """
    costs = attribute(samples.blocks, elf)
    order = sorted(costs.instructions, key=lambda one: (-one.cycles, one.address))
    shown, rest = order[:_MOST_INSTRUCTIONS], order[_MOST_INSTRUCTIONS:]
    texts = disassemble(elf.path) if shown else {}

    def share(cycles: int) -> str:
        return f"{100 * cycles / costs.total:.1f}%"

    rows = [
        [
            f"0x{one.address:08x}",
            texts.get(one.address, ""),
            one.function,
            UNKNOWN if one.file == UNKNOWN else f"{one.file}:{one.line}",
            f"{one.cycles:,}",
            share(one.cycles),
            f"{one.executions:,}",
        ]
        for one in shown
    ]
    for name, group in ((f"{len(rest)} others", rest), ("total", costs.instructions)):
        cycles, executions = sum(c.cycles for c in group), sum(c.executions for c in group)
        rows.append([name, "", "", "", f"{cycles:,}", share(cycles), f"{executions:,}"])
    header = ["address", "instruction", "function", "line", "cycles in all", "share", "ran"]
    return table(rows, header)


def write_callgrind(path: Path, samples: Samples, elf: Elf, title: str) -> None:
    """For KCachegrind and callgrind_annotate."""
    costs: Costs = attribute(samples.blocks, elf)
    write_text(path, exports.callgrind(elf, costs, call_costs(samples.calls, elf), title))


def write_speedscope(path: Path, samples: Samples, elf: Elf, title: str) -> None:
    """For speedscope.app."""
    write_json(path, exports.speedscope(elf, samples.calls, title))


def write_collapsed(path: Path, samples: Samples, elf: Elf) -> None:
    """For flamegraph.pl."""
    write_text(path, exports.collapsed(elf, samples.calls))
