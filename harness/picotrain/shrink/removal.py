"""A network without the channels that were pruned, and its weights; and their way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.learn.architectures.architecture import Architecture
from picotrain.shrink.groups import Groups, Kept, counts_of, reads, resized

Parameters = dict[str, NDArray[np.float32]]


_SUFFIX, _LONGEST = "-pruned", 32


def removed(architecture: Architecture, groups: Groups, kept: Kept) -> Architecture:
    """The smaller network, under a name of its own."""
    name = architecture.name.removesuffix(_SUFFIX)[: _LONGEST - len(_SUFFIX)] + _SUFFIX
    return replace(resized(architecture, groups, counts_of(kept)), name=name)


def rows(groups: Groups, kept: Kept, index: int) -> NDArray[np.bool_]:
    """Of the rows of a layer, those that are there."""
    return kept[groups.made(index)]


def columns(
    architecture: Architecture, groups: Groups, kept: Kept, index: int
) -> NDArray[np.bool_]:
    """Of the weights of a row in golden's order, those that are there: channels come last."""
    layer = architecture.layers[index]
    if layer.kind == "depthwise":
        return np.ones(layer.row_length, np.bool_)
    source = kept[groups.made(reads(architecture, index)[0])]
    return np.tile(source, layer.row_length // len(source))


def smaller(
    architecture: Architecture,
    groups: Groups,
    kept: Kept,
    parameters: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """What PyTorch trained (`GraphTraining.parameters`), without the rows and columns that go."""
    found: dict[str, NDArray[Any]] = {}
    for name, values in parameters.items():
        what, _, number = name.rpartition("_")
        index = int(number)
        part = values[rows(groups, kept, index)]
        if what == "weights" and architecture.layers[index].kind == "linear":
            part = part[:, columns(architecture, groups, kept, index)]
        elif what == "weights" and architecture.layers[index].kind == "conv2d":
            part = part[:, kept[groups.made(reads(architecture, index)[0])]]
        found[name] = np.ascontiguousarray(part)
    return found


def larger(
    architecture: Architecture,
    groups: Groups,
    kept: Kept,
    whole: Mapping[str, NDArray[np.float32]],
    parts: Mapping[str, NDArray[np.float32]],
) -> Parameters:
    """`whole` with the values of the smaller network where that has any."""
    numbered = {name: np.arange(one.size).reshape(one.shape) for name, one in whole.items()}
    places = smaller(architecture, groups, kept, numbered)
    found: Parameters = {}
    for name, values in whole.items():
        flat = values.ravel().copy()
        flat[places[name].ravel()] = parts[name].ravel()
        found[name] = flat.reshape(values.shape)
    return found


def masked(
    architecture: Architecture,
    groups: Groups,
    kept: Kept,
    index: int,
    part: NDArray[Any],
    through: NDArray[Any],
) -> NDArray[Any]:
    """The weights [rows, K] of a layer of the smaller network, as the whole one has them: rows that
    were removed are 0, and of each other row the columns that were are `through`."""
    layer = architecture.layers[index]
    whole = np.zeros((layer.rows, layer.row_length), part.dtype)
    there = rows(groups, kept, index)
    taken = columns(architecture, groups, kept, index)
    whole[there] = through[:, None]
    whole[np.ix_(there, taken)] = part
    return whole


def told(groups: Groups, kept: Sequence[NDArray[np.bool_]]) -> list[dict[str, int]]:
    """How many channels of each group are left, for a report."""
    return [
        {"channels": groups.sizes[number], "kept": int(kept[number].sum())}
        for number in groups.free_numbers
    ]
