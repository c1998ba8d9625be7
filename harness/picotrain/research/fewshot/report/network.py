"""The network as the page draws it: a line for each layer, from the input on, and a cell for each
channel; what reads an earlier layer than the one before it, as residual adds do, has an arc."""

from __future__ import annotations

from dataclasses import dataclass

from picotrain_golden import Layer, Network

ROW, TOP = 22, 26
"""Height of a layer's line, and what is above the first."""
NODE, LABEL, BAR, BAR_WIDTH, TASKS, CHANNELS, WIDTH = 58, 76, 272, 600, 936, 996, 1000
"""From the left: where a layer's node is, its words, the cells of its channels, and where the two
numbers at the right end."""
_WIDEST_CELL = 6.0
_BEND = 9
"""How much further left an arc reaches for each layer that it passes."""


@dataclass(frozen=True)
class Line:
    """`cells` are the left edges of the channels' cells, each `cell` wide; the head, whose rows are
    a task's classes, has a single one."""

    index: int
    words: str
    y: float
    cells: list[float]
    cell: float
    head: bool


@dataclass(frozen=True)
class Drawing:
    lines: list[Line]
    edges: list[str]
    """Paths of SVG, from what is read to who reads it."""
    height: float


def drawing(network: Network) -> Drawing:
    layers = network.layers
    cell = min(_WIDEST_CELL, BAR_WIDTH / max(layer.rows for layer in layers))
    lines = []
    for index, layer in enumerate(layers):
        head = index == len(layers) - 1
        count = 1 if head else layer.rows
        width = cell * layer.rows if head else cell
        cells = [BAR + cell * channel for channel in range(count)]
        lines.append(Line(index, _words(index, layer, head), _y(index), cells, width, head))
    edges = [
        _edge(source, index) for index in range(len(layers)) for source in network.reads(index)
    ]
    return Drawing(lines, edges, TOP + ROW * len(layers) + 8)


def _y(index: int) -> float:
    """Of a node; -1 is the network's input."""
    return TOP + ROW * (index + 0.5)


def _edge(source: int, index: int) -> str:
    start, end = _y(source), _y(index)
    if source == index - 1:
        return f"M{NODE} {start:g}V{end:g}"
    out = NODE - min(NODE - 8, _BEND * (index - source + 1))
    return f"M{NODE} {start:g}C{out:g} {start:g} {out:g} {end:g} {NODE} {end:g}"


def _words(index: int, layer: Layer, head: bool) -> str:
    shape = "x".join(map(str, layer.out_shape))
    if head:
        return f"{index} {layer.kind}, the head"
    kernel = "" if layer.kind == "add" else f" {layer.kernel[0]}x{layer.kernel[1]}"
    return f"{index} {layer.kind}{kernel} to {shape}"
