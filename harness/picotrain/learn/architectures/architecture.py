"""A network without its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from picotrain_golden.network import Layer, Shape

Activation = Literal["none", "relu", "relu6"]


@dataclass(frozen=True)
class Step:
    """What a layer of an affine network is beside its shapes; `name` is empty where it has none."""

    name: str
    bias: bool
    activation: Activation


@dataclass(frozen=True)
class Architecture:
    """`steps` has one entry for each layer of an affine network, none for the power-of-two form."""

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...] = ()

    @property
    def affine(self) -> bool:
        return bool(self.steps)

    @property
    def classes(self) -> int:
        return prod(self.layers[-1].out_shape)

    @property
    def weight_count(self) -> int:
        return sum(layer.weight_count for layer in self.layers)


def in_words(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
