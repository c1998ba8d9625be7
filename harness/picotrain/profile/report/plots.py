"""Line charts as SVG for an HTML page: its fonts and colours come from the page.

Each chart is drawn for a wide page (about 1,000 px) and for a phone (about 340 px), with text of
the same size in both. The same numbers give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from picotrain.profile.report.content import LayerName
from picotrain.profile.report.run_file import KINDS, Run

TEXT, MUTED, LINE, SURFACE, ACCENT, SECOND = (f"#0a0b0{digit}" for digit in range(1, 7))
"""Stand-ins: colours that nothing else has, replaced by the page's custom properties."""

SERIES = tuple(f"#0a0c0{digit}" for digit in range(1, 7))

_VARIABLES = {
    TEXT: "--text",
    MUTED: "--muted",
    LINE: "--line",
    SURFACE: "--surface",
    ACCENT: "--accent",
    SECOND: "--second",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
}
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "picotrain",
    "font.size": 12.5,
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlesize": 12.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": TEXT,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 1,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
}


@dataclass(frozen=True)
class Plot:
    """One chart as SVG text, for both widths of a page."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Key:
    """An entry of a chart's legend: a CSS variable, and the dashes of its line (0: solid)."""

    label: str
    variable: str
    dashes: int


def accuracy_plot(run: Run) -> Plot:
    """Accuracy after each epoch on the evaluated and on the training images; before at epoch 0."""
    epochs = [one.epoch for one in run.history]
    held_out = [run.accuracy_before, *(one.accuracy for one in run.history)]
    training = [one.train_accuracy for one in run.history]
    best = max(run.history, key=lambda one: one.accuracy)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axhline(run.accuracy_before, color=MUTED, linewidth=1.25, linestyle=(0, (4, 3)))
        axes.plot(epochs, training, color=SECOND, linestyle=(0, (5, 2)), marker="o")
        axes.plot([0, *epochs], held_out, color=ACCENT, marker="o", linewidth=2.5)
        axes.plot(
            best.epoch, best.accuracy, "o", markersize=10, color="none", markeredgecolor=ACCENT
        )
        axes.annotate(
            f"before {_percent(run.accuracy_before)}",
            (epochs[-1], run.accuracy_before),
            (0, 7),
            textcoords="offset points",
            ha="right",
            color=MUTED,
        )
        axes.annotate(
            f"best {_percent(best.accuracy)}",
            (best.epoch, best.accuracy),
            (0, -22),
            textcoords="offset points",
            ha="right" if best.epoch == epochs[-1] else "center",
            fontweight="bold",
        )
        lowest = min(*held_out, *training)
        axes.set_ylim(max(0.0, int(lowest * 10) / 10 - 0.05), 1.02)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        _epoch_axis(axes, 0, epochs[-1])

    label = (
        f"Accuracy by epoch: {_percent(run.accuracy_before)} before, "
        f"best {_percent(run.accuracy_best)}, last {_percent(run.accuracy_final)}"
    )
    return _plot("accuracy", label, draw, (1000, 300), (340, 260))


def saturation_keys(layers: Sequence[LayerName]) -> list[Key]:
    """The legend of `saturation_plot`, in the order of its lines."""
    return [
        Key(
            f"layer {layer.index} {layer.kind}",
            _VARIABLES[SERIES[number % len(SERIES)]],
            number // len(SERIES) % len(_DASHES),
        )
        for number, layer in enumerate(layer for layer in layers if layer.has_weights)
    ]


def saturation_plot(run: Run, layers: Sequence[LayerName]) -> Plot:
    """Three panels, forward, error and update; one line per layer with weights."""
    weighted = [layer.index for layer in layers if layer.has_weights]
    epochs = [one.epoch for one in run.history]

    def draw(rows: int, columns: int) -> Callable[[Figure], None]:
        def panels(figure: Figure) -> None:
            for place, kind in enumerate(KINDS, 1):
                axes = figure.add_subplot(rows, columns, place)
                axes.set_title(kind, fontweight="bold")
                top = 0.0
                for number, layer in enumerate(weighted):
                    shares = [getattr(one, kind) for one in run.saturation[layer]]
                    top = max(top, *shares)
                    axes.plot(
                        epochs,
                        shares,
                        color=SERIES[number % len(SERIES)],
                        linestyle=_DASHES[number // len(SERIES) % len(_DASHES)],
                        marker="o",
                        markersize=4,
                    )
                _epoch_axis(axes, epochs[0], epochs[-1])
                if not top:
                    axes.set_ylim(-0.04, 1.15)
                    axes.set_yticks([0], labels=["0"])
                    axes.text(0.5, 0.2, "none", transform=axes.transAxes, ha="center", color=MUTED)
                    continue
                axes.set_ylim(-0.04 * top, 1.15 * top)
                axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))

        return panels

    largest = max(
        getattr(one, kind) for layer in weighted for one in run.saturation[layer] for kind in KINDS
    )
    label = f"Share of clamped elements by epoch and layer; at most {100 * largest:.3g} %"
    name = "saturation"
    wide = _svg(name, "wide", label, draw(1, 3), (1000, 270))
    return Plot(wide, _svg(name, "narrow", label, draw(3, 1), (340, 620)))


def _epoch_axis(axes: Axes, first: int, last: int) -> None:
    axes.set_xlabel("epoch")
    margin = max(last - first, 1) * 0.03
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plot(
    name: str,
    label: str,
    draw: Callable[[Figure], None],
    wide: tuple[int, int],
    narrow: tuple[int, int],
) -> Plot:
    return Plot(_svg(name, "wide", label, draw, wide), _svg(name, "narrow", label, draw, narrow))


def _svg(
    name: str,
    variant: str,
    label: str,
    draw: Callable[[Figure], None],
    size: tuple[int, int],
) -> str:
    """An `<svg>` element of `size` CSS pixels, with ids that no other element of a page has."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        draw(figure)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]*", r"\1 var(--sans)", text)
    prefix = f"{name}-{variant}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    text = text.replace("url(#", f"url(#{prefix}")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    opening = (
        f'<svg class="plot {variant}" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + re.sub(r"^<svg[^>]*>", "", text).rstrip()
