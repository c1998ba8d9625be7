"""Figures of pages: SVG files with a white ground, the same bytes for the same numbers and the same
matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

TEXT, MUTED, LINE = "#1d2733", "#5a6672", "#d5dae0"
SERIES = ("#1b6ca8", "#d1495b", "#2e8b57", "#b07c12", "#6d4ca3", "#3aa6a6", "#8a8f98")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "picotrain",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": TEXT,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")


def svg(size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """The SVG text of what `draw` draws on a figure of `size` inches."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams
        settings.update(_STYLE)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    # Neither the program's version nor its address belong to the figure.
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL).rstrip() + "\n"
