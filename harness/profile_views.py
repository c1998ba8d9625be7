"""A profile as people and other tools want it: tables by layer, function or line, and files."""

from __future__ import annotations

from pathlib import Path

from harness import exports
from harness.costs import Costs, attribute, call_costs
from harness.elf import Elf
from harness.output import table, write_json, write_text
from harness.profile import Profile, Samples

VIEWS = ("layer", "function", "line")
_MOST_LINES = 30


def by_layer(profile: Profile) -> str:
    """Cycles, time and cycles per MAC of each operation, an image."""

    def row(name: str, kind: str, count: float, macs: int = 0) -> list[str]:
        each = f"{count / macs:.2f}" if macs else ""
        milliseconds = f"{Profile.milliseconds(count):.3f}"
        return [name, kind, f"{count:,.0f}", milliseconds, f"{macs:,}" if macs else "", each]

    rows = [
        row(f"layer {entry.layer} {entry.phase}", entry.kind, entry.cycles, entry.macs)
        for entry in profile.phases
    ]
    rows.append(row("all operations", "", sum(entry.cycles for entry in profile.phases)))
    rows.append(row("inference", "", profile.infer))
    if profile.train is not None:
        rows.append(row("training", "", profile.train))
    return table(rows, ["per image", "kind", "cycles", "ms", "MACs", "cycles/MAC"])


def by_function(samples: Samples, elf: Elf, images: int) -> str:
    """Own and inclusive cycles of each function, an image; the own ones add up to the total."""
    costs = attribute(samples.blocks, elf)
    inclusive = {entry.name: entry.inclusive for entry in call_costs(samples.calls, elf).functions}
    rows = [
        [
            entry.name,
            f"{entry.cycles / images:,.0f}",
            f"{100 * entry.cycles / costs.total:.1f}%",
            f"{inclusive[entry.name] / images:,.0f}" if entry.name in inclusive else "",
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
