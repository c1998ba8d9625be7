"""The memory profile as text."""

from __future__ import annotations

from harness.memory.arena import Timeline
from harness.memory.image import Sections
from harness.memory.stack import EXCEPTION_FRAME, StackReport
from harness.output import table

_BAR = 40
"""Characters of a full bar."""


def render_sections(sections: Sections) -> str:
    """Sections with flash and RAM, then the spans of RAM, then objects."""
    rows = [
        [one.name, f"0x{one.address:08x}", f"{one.flash:,}", f"{one.ram:,}"]
        for one in sections.sections
    ]
    sums = [sum(one.flash for one in sections.sections), sum(one.ram for one in sections.sections)]
    rows.append(["sum", "", *(f"{size:,}" for size in sums)])
    spans = [[one.name, f"0x{one.address:08x}", f"{one.bytes:,}"] for one in sections.ram]
    spans.append(["sum", "", f"{sum(one.bytes for one in sections.ram):,}"])
    objects = [[name, f"{size:,}"] for name, size in sections.by_object().items()]
    return "\n\n".join(
        (
            table(rows, ["section", "address", "flash", "ram"]),
            table(spans, ["ram", "address", "bytes"]),
            table(objects, ["object", "bytes"]),
        )
    )


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


def render_stack(report: StackReport, painted: int | None = None) -> str:
    """The worst path, function by function, with what is below each; then the sums."""
    rows, depth = [], 0
    for step in report.path:
        depth += step.bytes
        rows.append([step.name, f"{step.bytes:,}", f"{depth:,}"])
    depth += EXCEPTION_FRAME
    rows.append(["(exception frame)", f"{EXCEPTION_FRAME:,}", f"{depth:,}"])
    for step in report.exception_path:
        depth += step.bytes
        rows.append([step.name, f"{step.bytes:,}", f"{depth:,}"])
    lines = [
        table(rows, ["function", "bytes", "depth"]),
        "",
        f"static worst case {report.worst:,}, with an exception {report.total:,} of "
        f"{report.reserved:,} bytes",
    ]
    if painted is not None:
        lines.append(f"painted high-water mark {painted:,}")
    if report.unresolved:
        lines.append(f"no bound: calls without a known target at {', '.join(report.unresolved)}")
    return "\n".join(lines)
