"""Where a network can be cut: behind a block whose one tensor is all that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Architecture
from picotrain.shrink.groups import reads
from picotrain_golden.network import MAX_WINDOW

ALL = "all"
_CONVOLUTIONS = ("conv2d", "depthwise")
_POOLS = ("maxpool", "avgpool")


@dataclass(frozen=True)
class Cut:
    """Layer `index` is the last one that stays; `name` is its own, or `layer<index>`, with dashes
    where another layer is called so."""

    name: str
    index: int


def cuts(architecture: Architecture) -> tuple[Cut, ...]:
    """All of them, in order. Each takes at least one convolution away."""
    names = _names(architecture)
    return tuple(
        Cut(names[index], index)
        for index in range(len(architecture.layers) - 1)
        if _alone(architecture, index) and _ends_block(architecture, index)
    )


def _names(architecture: Architecture) -> list[str]:
    """Of layers, each another one: what a network calls `layer5` need not be its layer 5."""
    taken = {step.name for step in architecture.steps} | {ALL}
    names = []
    for index, step in enumerate(architecture.steps):
        name = step.name
        if name in ("", ALL):
            name = f"layer{index}"
            while name in taken:
                name += "-"
            taken.add(name)
        names.append(name)
    return names


def chosen(architecture: Architecture, words: Sequence[str]) -> tuple[Cut, ...]:
    """The cuts of these names, in the network's order; UserError for a name of none."""
    known = cuts(architecture)
    names = [one.name for one in known]
    if not known:
        raise UserError(
            f"network {architecture.name} has no place to be cut: behind no layer before its last "
            "convolution one tensor alone goes on; use another network"
        )
    for word in words:
        if word not in (ALL, *names):
            raise UserError(
                f"network {architecture.name} has no cut {word!r}; use {ALL}, or of "
                f"{', '.join(names)}"
            )
    return tuple(one for one in known if ALL in words or one.name in words)


def _alone(architecture: Architecture, index: int) -> bool:
    """Whether nothing behind the layer reads anything before its output."""
    return all(
        source >= index
        for later in range(index + 1, len(architecture.layers))
        for source in reads(architecture, later)
    )


def _ends_block(architecture: Architecture, index: int) -> bool:
    layers = architecture.layers
    layer, reader = layers[index], layers[index + 1]
    sides = layer.out_shape[:2]
    if not 1 < max(sides) <= MAX_WINDOW:  # A head pools over all of it.
        return False
    if not any(other.kind in _CONVOLUTIONS for other in layers[index + 1 :]):
        return False
    if layer.kind == "depthwise":  # What follows it belongs to it.
        return False
    if reader.kind in _POOLS and max(reader.out_shape[:2]) > 1:  # The pool ends the block.
        return False
    source = reads(architecture, index)[0]
    widens = layer.kind == "conv2d" and layer.kernel == (1, 1) and reader.kind == "depthwise"
    # The first third of an inverted residual, not the second half of a separable convolution.
    return not (widens and (source < 0 or layers[source].kind != "depthwise"))
