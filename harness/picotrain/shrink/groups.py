"""Which channels of a network go together: what is removed in one tensor is removed in all of its
group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from picotrain.learn.architectures.architecture import Architecture
from picotrain.quantise.graph import FloatLayer
from picotrain_golden.network import Affine, Layer, Network, Shape

Kept = tuple[NDArray[np.bool_], ...]
"""Of each group, which of its channels are there."""

_TIES = ("depthwise", "maxpool", "avgpool", "add")
"""Kinds whose output has the channels of their inputs, one for one."""


@dataclass(frozen=True)
class Groups:
    """`of[l + 1]` is the group of layer l's output, `of[0]` that of the input; `sizes` has the
    channels of each. `free` are the groups that may lose some: not that of the input, nor that of
    the network's output.
    """

    of: tuple[int, ...]
    sizes: tuple[int, ...]
    free: tuple[bool, ...]

    def made(self, index: int) -> int:
        """The group of what layer `index` makes; -1 is the network's input."""
        return self.of[index + 1]

    @property
    def free_numbers(self) -> list[int]:
        return [number for number, free in enumerate(self.free) if free]

    def all(self) -> Kept:
        return tuple(np.ones(size, np.bool_) for size in self.sizes)

    def least(self) -> tuple[int, ...]:
        """The fewest channels that each group can have."""
        return tuple(1 if free else size for size, free in zip(self.sizes, self.free, strict=True))


def reads(architecture: Architecture, index: int) -> tuple[int, ...]:
    """What a layer reads; -1 is the network's input."""
    return architecture.layers[index].inputs or (index - 1,)


def groups_of(architecture: Architecture) -> Groups:
    """The groups, numbered in the order in which the network meets them."""
    parent = list(range(len(architecture.layers) + 1))

    def root(one: int) -> int:
        while parent[one] != one:
            one = parent[one]
        return one

    for index, layer in enumerate(architecture.layers):
        if layer.kind in _TIES:
            for other in reads(architecture, index):
                first, second = sorted((root(other + 1), root(index + 1)))
                parent[second] = first
    roots = [root(one) for one in range(len(parent))]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(roots))}
    of = tuple(numbers[one] for one in roots)
    channels = (architecture.input_shape[2], *(one.out_shape[2] for one in architecture.layers))
    sizes = tuple(channels[of.index(number)] for number in range(len(numbers)))
    fixed = {of[0], of[-1]}
    return Groups(of, sizes, tuple(number not in fixed for number in range(len(numbers))))


def counts_of(kept: Kept) -> tuple[int, ...]:
    return tuple(int(one.sum()) for one in kept)


def resized(architecture: Architecture, groups: Groups, counts: Sequence[int]) -> Architecture:
    """The architecture with so many channels in each group."""

    def shape(old: Shape, number: int) -> Shape:
        return (old[0], old[1], counts[groups.made(number)])

    layers: list[Layer] = []
    for index, layer in enumerate(architecture.layers):
        source = reads(architecture, index)[0]
        layers.append(
            replace(
                layer,
                in_shape=shape(layer.in_shape, source),
                out_shape=shape(layer.out_shape, index),
            )
        )
    return replace(architecture, layers=tuple(layers))


def outline(architecture: Architecture) -> Network:
    """A network of that shape without weights, for what only counts bytes."""
    affine = []
    for layer in architecture.layers:
        plain = 3 if layer.kind == "add" else int(FloatLayer(layer).is_mean)
        factors = np.zeros(layer.rows or plain, np.int32)
        bias = np.zeros(layer.rows, np.int32)
        affine.append(Affine((0, 0), 0, -128, 127, bias, factors, factors))
    nothing = (None,) * len(architecture.layers)
    return Network(
        architecture.name, architecture.input_shape, architecture.layers, nothing, tuple(affine)
    )


def fewer(groups: Groups, counts: Sequence[int], number: int) -> tuple[int, ...]:
    """A quarter less in one group, one channel at the least."""
    less = list(counts)
    less[number] = max(groups.least()[number], counts[number] - max(1, counts[number] // 4))
    return tuple(less)


def changed_groups(groups: Groups, counts: Sequence[int]) -> Iterator[int]:
    """The groups that can still lose a channel."""
    for number in groups.free_numbers:
        if counts[number] > 1:
            yield number
