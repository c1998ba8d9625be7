"""The auxiliary networks that read what a block makes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace

from picotrain.errors import UserError
from picotrain.learn.architectures import reader
from picotrain.learn.architectures.architecture import Activation, Architecture, Step
from picotrain.learn.architectures.writer import toml_of
from picotrain.shrink.depth.cuts import Cut
from picotrain_golden.network import MAX_AFFINE_LAYERS, Kind, Layer, Pair, Shape

HEADS = ("dscnn", "baseline")
_LONGEST = 32
_SEPARABLE, _DENSE = (32, 16), (64, 32)
"""Channels of the separable convolutions of one head, outputs of the dense layers of the other."""

_Grown = list[tuple[Layer, Step]]


def attached(architecture: Architecture, cut: Cut, head: str) -> Architecture:
    """The layers up to the cut, and the head behind them; UserError where that is no network."""
    shape = architecture.layers[cut.index].out_shape
    grown: _Grown = []
    if head == "dscnn":
        for channels in _SEPARABLE:
            _add(grown, "depthwise", shape, shape, (3, 3), (1, 1), "relu")
            shape = _add(grown, "conv2d", shape, (*shape[:2], channels), activation="relu")
    shape = _add(grown, "avgpool", shape, (1, 1, shape[2]), shape[:2])
    for outputs in _DENSE if head == "baseline" else ():
        shape = _add(grown, "linear", shape, (1, 1, outputs), activation="relu")
    _add(grown, "linear", shape, (1, 1, architecture.classes))
    count = cut.index + 1 + len(grown)
    if count > MAX_AFFINE_LAYERS:
        raise UserError(
            f"cut {cut.name} with head {head} has {count} layers, of which {MAX_AFFINE_LAYERS} are "
            "the most; name earlier ones with --cuts, or another head"
        )
    layers, steps = zip(*grown, strict=True)
    made = replace(
        architecture,
        name=_name(architecture.name, cut, head),
        layers=(*architecture.layers[: cut.index + 1], *layers),
        steps=(*architecture.steps[: cut.index + 1], *steps),
    )
    reader.parse(tomllib.loads(toml_of(made)), f"cut {cut.name} with head {head}")
    return made


def trunk(names: Sequence[str], cut: Cut) -> list[str]:
    """Of PyTorch's names of parameters, those of layers that stay."""
    return [name for name in names if int(name.rpartition("_")[2]) <= cut.index]


def _add(
    grown: _Grown,
    kind: Kind,
    shape: Shape,
    out: Shape,
    kernel: Pair = (1, 1),
    padding: Pair = (0, 0),
    activation: Activation = "none",
) -> Shape:
    layer = Layer(kind, shape, out, kernel, (1, 1), padding, False)
    grown.append((layer, Step("", layer.has_weights, activation)))
    return out


def _name(name: str, cut: Cut, head: str) -> str:
    whole = f"{name}-{cut.name}-{head}"
    if len(whole) <= _LONGEST:
        return whole
    suffix = f"-{cut.index}-{head}"
    return name[: _LONGEST - len(suffix)] + suffix
