"""Images that quantise a network, and that it is tried on (docs/networks.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log10, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.convert.onnx.importer import Floats
from picotrain.datasets.npz import read_arrays
from picotrain.errors import UserError
from picotrain.learn.architectures.pixels import PIXELS
from picotrain.quantise.graph import Float, FloatGraph, TensorScale
from picotrain.quantise.quantise import Quantised
from picotrain_golden.passes import forward_pass

_BATCH = 256

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Images:
    """`calibrating` and `trying` are real, [N, H, W, C] as the network takes them. `labels` are
    None where there are none to compare with. `scale` is that of the input, where it is pixels."""

    calibrating: Float
    trying: Float
    labels: NDArray[np.int64] | None
    scale: TensorScale | None


def read_images(path: Path, floats: Floats) -> Images:
    """Arrays x, and y, x_test and y_test if they are there. UserError for what does not fit."""
    inputs.read_bytes(path, "give a .npz file with images x")
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read as a .npz file of plain arrays: {error}; give one that "
            "numpy.savez wrote, with images x and, if you like, labels y, x_test and y_test"
        ) from error
    if "x" not in arrays:
        raise UserError(f"{path} has no array x; put the images that calibrate there")
    end = "_test" if "x_test" in arrays else ""
    calibrating = _real(path, "x", arrays["x"], floats)
    trying = _real(path, f"x{end}", arrays[f"x{end}"], floats) if end else calibrating
    pixels = arrays["x"].dtype == np.uint8 and floats.model.type == "FLOAT"
    labels = _labels(path, f"y{end}", arrays, len(trying), floats.graph)
    return Images(calibrating, trying, labels, PIXELS if pixels else None)


def with_scale(graph: FloatGraph, images: Images) -> FloatGraph:
    """The graph with the scale of pixels at its input, where the file gives none."""
    if graph.input_scale is not None or images.scale is None:
        return graph
    return replace(graph, input_scale=images.scale)


def _real(path: Path, name: str, array: Array, floats: Floats) -> Float:
    sizes, given = floats.model.shape[1:], array.shape[1:]
    if array.ndim < 2 or not len(array) or prod(given) != prod(sizes):
        raise _misfit(path, name, array, sizes)
    if given != sizes:
        turned = (*given[2:], *given[:2])
        if len(given) == 3 and turned == sizes:  # [H, W, C] for [C, H, W]
            array = array.transpose(0, 3, 1, 2)
        elif (len(given) == 3 and given[2] != 1) or not _one_order(given, sizes):
            raise _misfit(path, name, array, sizes)
    flat = array.reshape(len(array), -1)[:, floats.order]
    values = _values(path, name, flat, floats)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: {name} holds numbers that are not finite; mend them")
    return values.reshape(len(array), *floats.graph.input_shape)


def _one_order(given: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether two shapes can only mean the same order: but for sizes of 1 they are alike, or one
    is a row."""
    alike = [one for one in given if one != 1] == [one for one in sizes if one != 1]
    return alike or len(sizes) == 1


def _misfit(path: Path, name: str, array: Array, sizes: tuple[int, ...]) -> UserError:
    wanted = ", ".join(map(str, sizes))
    return UserError(
        f"{path}: {name} is {list(array.shape)}, but the network takes [N, {wanted}]; give images "
        "in that shape, or [N, H, W, C]"
    )


def _values(path: Path, name: str, array: Array, floats: Floats) -> Float:
    """uint8 are pixels, 0 to 1; of a network that takes integers they are those."""
    kind, scale = floats.model.type, floats.graph.input_scale
    if array.dtype.name == kind.lower():
        whole = array.astype(np.float32)
        if scale is None:
            return whole
        zero = scale.zero + (128 if kind == "UINT8" else 0)
        return ((whole - zero) * scale.scale).astype(np.float32)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # `_real` tells of infinities.
            return array.astype(np.float32)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    raise UserError(
        f"{path}: {name} is {array.dtype}; give uint8 pixels, or float as the network takes them"
    )


def _labels(
    path: Path, name: str, arrays: dict[str, Array], count: int, graph: FloatGraph
) -> NDArray[np.int64] | None:
    labels = arrays.get(name)
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise UserError(
            f"{path}: {name} is {labels.dtype} {list(labels.shape)}; give {count} whole numbers"
        )
    outputs = prod(graph.layers[-1].layer.out_shape)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= outputs:
        raise UserError(
            f"{path}: {name} has labels {low}..{high}, but the network has {outputs} outputs; "
            "count them from 0"
        )
    return labels.astype(np.int64)


@dataclass(frozen=True)
class Trial:
    """The network in floating point beside the int8 one on golden: their accuracies, where there
    are labels; the share of images that both give the same class; and by how much the outputs'
    energy is above that of their error, None where there is none."""

    images: int
    accuracy_float: float | None
    accuracy_int8: float | None
    same: float
    decibels: float | None

    def __str__(self) -> str:
        text = f"{self.same:.2%} of {self.images:,} images get the class that they get in float"
        if self.decibels is not None:
            text += f", outputs {self.decibels:.1f} dB above their error"
        return text


def tried(
    graph: FloatGraph, found: Quantised, images: Images, progress: Callable[[int], Any]
) -> Trial:
    network, count = found.network, len(images.trying)
    weights = [None if one is None else one.weights for one in network.parameters]
    same, right, energy, error = 0, [0, 0], 0.0, 0.0
    for start in range(0, count, _BATCH):
        chosen = images.trying[start : start + _BATCH]
        pixels = found.input.quantised(chosen).view(np.uint8)
        logits = forward_pass(network, weights, pixels, dynamic=False).logits
        real, held = graph.outputs(chosen), found.tensors[-1].real(logits)
        energy += float(np.square(real, dtype=np.float64).sum())
        error += float(np.square(held - real, dtype=np.float64).sum())
        both = (real.argmax(axis=1), logits.argmax(axis=1))
        same += int((both[0] == both[1]).sum())
        if images.labels is not None:
            for number, one in enumerate(both):
                right[number] += int((one == images.labels[start : start + _BATCH]).sum())
        progress(len(chosen))
    accuracies = [None if images.labels is None else one / count for one in right]
    decibels = 10 * log10(energy / error) if energy > 0 and error > 0 else None
    return Trial(count, accuracies[0], accuracies[1], same / count, decibels)
