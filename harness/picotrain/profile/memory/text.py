"""The memory profile as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from picotrain.profile.memory.arena import ArenaUse, Timeline
from picotrain.profile.memory.image import Sections, Span
from picotrain.profile.memory.stack import EXCEPTION_FRAME, ROM_STACK, StackReport, Step
from picotrain.text import table

_BAR = 40
"""Characters of a full bar."""


def render_sections(sections: Sections) -> str:
    """Sections with flash and RAM, then the spans of RAM and of flash, then objects."""
    rows = [
        [one.name, f"0x{one.address:08x}", f"{one.flash:,}", f"{one.ram:,}"]
        for one in sections.sections
    ]
    sums = [sum(one.flash for one in sections.sections), sum(one.ram for one in sections.sections)]
    rows.append(["sum", "", *(f"{size:,}" for size in sums)])
    objects = [[name, f"{size:,}"] for name, size in sections.by_object().items()]
    return "\n\n".join(
        (
            table(rows, ["section", "address", "flash", "ram"]),
            _spans("ram", sections.ram),
            _spans("flash", sections.flash),
            table(objects, ["object", "bytes"]),
        )
    )


def _spans(memory: str, spans: Sequence[Span]) -> str:
    rows = [[one.name, f"0x{one.address:08x}", f"{one.bytes:,}"] for one in spans]
    rows.append(["sum", "", f"{sum(one.bytes for one in spans):,}"])
    return table(rows, [memory, "address", "bytes"])


def render_symbols(sections: Sections, most: int = 20) -> str:
    """The largest symbols, then what the others take, and padding."""
    symbols = sections.symbols()
    rows = [[p.name, p.kind, p.object, p.section, f"{p.bytes:,}"] for p in symbols[:most]]
    rest = symbols[most:]
    if rest:
        rows.append([f"{len(rest)} others", "", "", "", f"{sum(p.bytes for p in rest):,}"])
    rows.append(["padding and fill", "", "", "", f"{sections.unattributed():,}"])
    return table(rows, ["symbol", "kind", "object", "section", "bytes"])


def render_timeline(timeline: Timeline) -> str:
    """One line per operation: bytes in use, with a bar of the transient part; then the buffers."""
    rows = []
    for one in timeline.operations:
        # Rounded up, so that only an empty operation has no bar.
        bar = "#" * -(-one.in_use * _BAR // timeline.transient)
        rows.append([str(one.number), one.name, f"{one.in_use:,}", bar, "peak" if one.peak else ""])
    buffers = [
        [b.name, f"{b.bytes:,}", f"{b.offset:,}", b.operations[0], b.operations[-1]]
        for b in timeline.buffers
    ]
    parts = [
        f"blob {timeline.blob:,} + scores {timeline.scores:,} + transient {timeline.transient:,} "
        f"+ io {timeline.io_minimum:,} = {timeline.total:,} bytes; peak {timeline.peak:,} in use",
        table(rows, ["", "operation", "bytes", "of the transient part", ""]),
        table(buffers, ["buffer", "bytes", "offset", "from", "to"]),
    ]
    return "\n\n".join(parts)


def render_arenas(uses: Sequence[ArenaUse]) -> str:
    """What each method leaves of the arena, by plan; a negative number does not fit."""
    rows = [[one.method, one.plan, f"{one.least:,}", f"{one.left:,}"] for one in uses]
    return table(rows, ["method", "plan", "least arena", "left"])


def render_stack(report: StackReport, painted: int | None = None) -> str:
    """The worst path, function by function, with what is below each; then the sums."""
    rows, depth = [], 0
    steps = list(report.path)
    if report.interrupt:
        steps += [Step("(interrupt frame)", EXCEPTION_FRAME), *report.interrupt_path]
    steps += [Step("(exception frame)", EXCEPTION_FRAME), *report.exception_path]
    for step in steps:
        depth += step.bytes
        rows.append([step.name, f"{step.bytes:,}", f"{depth:,}"])
    interrupted = report.worst + report.interrupt
    lines = [
        table(rows, ["function", "bytes", "depth"]),
        "",
        f"static worst case {report.worst:,}, "
        + (f"with an interrupt {interrupted:,}, " if report.interrupt else "")
        + f"with an exception {report.total:,} of {report.reserved:,} bytes",
    ]
    if report.assumed:
        callers = Counter(site.split("+")[0] for site in report.assumed)
        lines.append(
            f"assumed: {ROM_STACK} bytes for each call of the boot ROM, "
            + ", ".join(f"{count} in {name}" for name, count in callers.items())
        )
    if painted is not None:
        lines.append(f"painted high-water mark {painted:,}")
    if report.unresolved:
        lines.append(f"no bound: calls without a known target at {', '.join(report.unresolved)}")
    return "\n".join(lines)
