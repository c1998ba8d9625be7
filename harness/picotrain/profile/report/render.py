"""The report's page: one HTML file with its styles, script and plots inside."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from picotrain.profile.profile import FLOOR
from picotrain.profile.report import plots
from picotrain.profile.report.content import OperationCost, ReportContent
from picotrain.profile.report.flame import FlameBox
from picotrain.text import templates

PHASES = ("forward", "loss", "error", "update")
_SPACE = "\N{NO-BREAK SPACE}"
_SHADES = 5
_THINNEST = 0.001
"""Share of all cycles below which a box of the flame graph is not drawn."""


@dataclass(frozen=True)
class _LayerBar:
    """The operations of one layer in the order of `PHASES`; `worst`: with no zero left out."""

    layer: int
    kind: str
    cycles: float
    worst: float | None
    operations: list[OperationCost]


def render(content: ReportContent) -> str:
    """The HTML page; the same content gives the same bytes."""
    environment = templates("picotrain.profile.report", html=True)
    environment.filters |= {
        "ms": lambda value: f"{value:,.1f}" if value >= 10 else f"{value:.3f}",
        "fixed": lambda value, places: f"{value:,.{places}f}",
        "percent": lambda share, places=1: f"{100 * share:.{places}f}{_SPACE}%",
        "small": lambda share: f"{100 * share:.3g}{_SPACE}%" if share else "0",
        "css": lambda share: f"{100 * share:.4f}%",
        "hexadecimal": lambda address: f"0x{address:08x}",
        "shade": _shade,
        "words": lambda name: name.replace("_", " "),
    }
    drawn = [box for box in content.flame if box.cycles >= _THINNEST * content.flame_cycles]
    bars = _layer_bars(content)
    run = content.run
    return environment.get_template("report.html.j2").render(
        content=content,
        subject=content.subject,
        run=run,
        phases=PHASES,
        layer_bars=bars,
        longest=max(max(one.cycles, one.worst or 0) for one in bars),
        worst=content.infer.worst is not None,
        flame=drawn,
        flame_depth=1 + max((box.depth for box in drawn), default=0),
        flame_hidden=len(content.flame) - len(drawn),
        thinnest=_THINNEST,
        floor=FLOOR,
        weighted=[layer for layer in content.layers if layer.has_weights],
        accuracy_plot=None if run is None else plots.accuracy_plot(run),
        saturation_plot=None if run is None else plots.saturation_plot(run, content.layers),
        saturation_keys=plots.saturation_keys(content.layers),
    )


def _shade(box: FlameBox) -> int:
    """A shade that a function has wherever it appears."""
    return zlib.crc32(box.name.encode()) % _SHADES + 1


def _layer_bars(content: ReportContent) -> list[_LayerBar]:
    bars = []
    for layer in content.layers:
        mine = [one for one in content.operations if one.layer == layer.index]
        mine.sort(key=lambda one: PHASES.index(one.phase))
        cycles = sum(one.cost.cycles for one in mine)
        slow = [one.worst.cycles for one in mine if one.worst is not None]
        bars.append(_LayerBar(layer.index, layer.kind, cycles, sum(slow) if slow else None, mine))
    return bars
