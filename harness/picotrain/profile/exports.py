"""Profiles in the file formats of other tools: callgrind, speedscope, and flame graphs.

All numbers are Cortex-M0+ cycles (zero wait states), and every file says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from picotrain.device.cycles import CallNode
from picotrain.image.elf import Elf
from picotrain.profile.costs import (
    ROOT,
    UNKNOWN,
    CallCosts,
    CallEdge,
    Costs,
    depth_first,
    node_names,
)

UNIT = "Cortex-M0+ cycles"

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _home(elf: Elf, function: str) -> tuple[str, int]:
    """File and line where a function starts; ("?", 0) for what is not a function."""
    if function in (ROOT, UNKNOWN) or function.startswith("0x"):
        return UNKNOWN, 0
    return elf.source_of(function) or (UNKNOWN, 0)


def callgrind(elf: Elf, costs: Costs, calls: CallCosts | None = None, title: str = "") -> str:
    """The callgrind format, for KCachegrind and callgrind_annotate: cycles by source line.

    The exclusive cycles come from `costs` and add up to its total; `calls`, of the same run, adds
    the calls with their inclusive cycles. Those tools find a function's inclusive cycles by adding
    its calls to its own, which counts a recursive function twice.
    """
    own: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for one in costs.instructions:
        lines = own[one.function][one.file]
        lines[one.line] = lines.get(one.line, 0) + one.cycles
    edges: dict[str, list[CallEdge]] = defaultdict(list)
    for edge in calls.edges if calls else ():
        edges[edge.caller].append(edge)

    out = ["# callgrind format", "version: 1", "creator: picotrain"]
    out.append(f"desc: Unit: {UNIT}, zero wait states")
    if title:
        out.append(f"desc: Run: {_one_line(title)}")
    out += ["positions: line", "events: Cycles"]
    out.append(f"summary: {costs.total}")
    for function in sorted({*own, *edges}):
        home = _home(elf, function)[0]
        out += ["", f"fl={home}", f"fn={function}"]
        here = home
        # Its own file first; code inlined from others follows with a change of file.
        for file in sorted(own[function], key=lambda name: (name != home, name)):
            if file != here:
                out.append(f"{'fe' if file == home else 'fi'}={file}")
                here = file
            out += [f"{line} {cycles}" for line, cycles in sorted(own[function][file].items())]
        for edge in edges[function]:
            file, line = elf.line_at(edge.call_site) or (home, 0)
            if file != here:
                out.append(f"{'fe' if file == home else 'fi'}={file}")
                here = file
            callee_file, callee_line = _home(elf, edge.callee)
            out += [f"cfi={callee_file}", f"cfn={edge.callee}"]
            out += [f"calls={edge.calls} {callee_line}", f"{line} {edge.inclusive}"]
    out += ["", f"totals: {costs.total}", ""]
    return "\n".join(out)


def speedscope(elf: Elf, nodes: Sequence[CallNode], title: str = "") -> dict[str, Any]:
    """The speedscope format, for JSON: one sample per stack, its weight in cycles.

    speedscope knows no unit of cycles, so the unit is "none" and the names say it. The order is
    that of the call tree, not of time.
    """
    names = node_names(nodes, elf)
    frames: list[dict[str, Any]] = []
    frame_of: dict[str, int] = {}
    stacks: dict[int, list[int]] = {-1: []}
    samples: list[list[int]] = []
    weights: list[int] = []
    for index in depth_first(nodes):
        name = names[index]
        if name not in frame_of:
            frame_of[name] = len(frames)
            frame: dict[str, Any] = {"name": name}
            file, line = _home(elf, name)
            if line:
                frame |= {"file": file, "line": line}
            frames.append(frame)
        stacks[index] = [*stacks[nodes[index].parent], frame_of[name]]
        if nodes[index].cycles:
            samples.append(stacks[index])
            weights.append(nodes[index].cycles)
    name = f"{_one_line(title)} ({UNIT})" if title else UNIT
    return {
        "$schema": _SCHEMA,
        "exporter": "picotrain",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "none",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
        ],
    }


def collapsed(elf: Elf, nodes: Sequence[CallNode]) -> str:
    """Collapsed stacks for flamegraph.pl: `unit;a;b;c N`, one line per stack, sorted.

    The format has no comments, so the unit is the outermost frame, which the graph then shows.
    """
    names = node_names(nodes, elf)
    stacks: dict[int, str] = {-1: UNIT}
    cycles: dict[str, int] = defaultdict(int)
    for index in depth_first(nodes):
        stacks[index] = f"{stacks[nodes[index].parent]};{names[index]}"
        cycles[stacks[index]] += nodes[index].cycles
    return "".join(f"{stack} {count}\n" for stack, count in sorted(cycles.items()) if count)
