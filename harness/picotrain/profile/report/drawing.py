"""Charts as SVG for an HTML page: its fonts and colours come from the page.

Each chart is drawn for a wide page (about 1,000 px) and for a phone (about 340 px), with text of
the same size in both. The same numbers give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure

TEXT, MUTED, LINE, SURFACE, ACCENT, SECOND = (f"#0a0b0{digit}" for digit in range(1, 7))
"""Stand-ins: colours that nothing else has, replaced by the page's custom properties."""

SERIES = tuple(f"#0a0c0{digit}" for digit in range(1, 7))

VARIABLES = {
    TEXT: "--text",
    MUTED: "--muted",
    LINE: "--line",
    SURFACE: "--surface",
    ACCENT: "--accent",
    SECOND: "--second",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
}
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))
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


def plot(
    name: str,
    label: str,
    draw: Callable[[Figure], None],
    wide: tuple[int, int],
    narrow: tuple[int, int],
) -> Plot:
    """What `draw` draws, in both sizes of CSS pixels; `name` is one that no other chart has."""
    return Plot(svg(name, "wide", label, draw, wide), svg(name, "narrow", label, draw, narrow))


def svg(
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
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    opening = (
        f'<svg class="plot {variant}" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + re.sub(r"^<svg[^>]*>", "", text).rstrip()
