"""A float graph becomes an affine network: docs/numerics.md section 14, "From a file's scales"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.errors import PartedError, UserError
from picotrain.quantise.arithmetic import (
    add_factors,
    bounds,
    logits_scale,
    mean_multiplier,
    multiplier,
)
from picotrain.quantise.graph import FloatGraph, FloatLayer, Real, TensorScale
from picotrain.quantise.ranges import Method, choose, observe
from picotrain_golden import Network, Parameters, validate
from picotrain_golden.network import MAX_AFFINE_SHIFT, Affine
from picotrain_golden.numerics import Int8, Int32
from picotrain_golden.operators import OPERATORS

DEFAULT: Method = "mse"
_LARGEST_BIAS = 1 << 30
_WIDER = 64
"""How often a scale that asks for too large a multiplier is doubled."""


class NotFinite(PartedError):
    """Numbers of a network are not finite, or beyond any scale."""


@dataclass(frozen=True, eq=False)
class Quantised:
    """`tensors[l]` is the scale of layer l's output; `weight_scales[l]` [rows] are those of its
    weights, None where it has none."""

    network: Network
    input: TensorScale
    tensors: tuple[TensorScale, ...]
    weight_scales: tuple[NDArray[np.float64] | None, ...]

    @property
    def note(self) -> str:
        """On what training takes otherwise; empty if nothing."""
        return logits_scale(self.tensors[-1].scale)[1]

    def made(self) -> dict[str, Any]:
        """For the backbone file: how the numbers of input and output are read."""
        return {"input": vars(self.input).copy(), "output": vars(self.tensors[-1]).copy()}


def quantise(
    graph: FloatGraph,
    images: Real | None = None,
    method: Method = DEFAULT,
    progress: Callable[[int], Any] | None = None,
) -> Quantised:
    """The network of a graph. Scales that the graph does not give are those of `images`, float
    [N, H, W, C], which should be like what the network will see: some hundred training images.

    Raises UserError, in one sentence, where scales are missing, numbers are not finite, or the
    network is none that golden takes. `progress` counts images, each twice.
    """
    _check(graph)
    tensors: list[TensorScale | None] = [graph.input_scale]
    tensors += [held.scale for held in graph.layers]
    missing = [
        number
        for number, given in enumerate(tensors)
        if given is None and (number == 0 or not graph.layers[number - 1].keeps_scale)
    ]
    if missing:
        if images is None or not len(images):
            what = "its input" if missing[0] == 0 else f"the output of layer {missing[0] - 1}"
            raise UserError(
                f"network {graph.name} has no scale for {what}; give representative images"
            )
        try:
            ranges = observe(graph, images, progress)
        except ValueError as error:
            raise NotFinite(f"network {graph.name}: {error}", "mend that first") from None
        for number in missing:
            tensors[number] = choose(ranges[number], method)
    return _network(graph, tensors)


def _check(graph: FloatGraph) -> None:
    for index, held in enumerate(graph.layers):
        for what, array in (("weights", held.weights), ("biases", held.bias)):
            if (array is not None) != held.layer.has_weights:
                raise UserError(f"layer {index}, {held.layer.kind}, has {what} or needs them")
            if array is not None and not np.isfinite(array).all():
                raise NotFinite(
                    f"network {graph.name}: the {what} of layer {index} are not all finite numbers",
                    "train it again",
                )


def _network(graph: FloatGraph, chosen: list[TensorScale | None]) -> Quantised:
    scales: list[TensorScale] = []
    affine: list[Affine] = []
    parameters: list[Parameters | None] = []
    row_scales: list[NDArray[np.float64] | None] = []
    assert chosen[0] is not None
    scales.append(chosen[0])
    for index, held in enumerate(graph.layers):
        sources = [scales[number + 1] for number in graph.reads(index)]
        out = chosen[index + 1] or sources[0]
        if held.keeps_scale and out != sources[0]:
            raise UserError(
                f"layer {index} of network {graph.name} is a pool with other scales than its "
                "input; give it the same"
            )
        weights, each, bias = _weights(held, sources[0])
        for _ in range(_WIDER):
            made = _affine(held, sources, out, each, bias)
            if made is not None and _fits(held, made, weights):
                break
            if held.scale is not None or held.keeps_scale:
                break
            out = TensorScale(out.scale * 2, out.zero)
        if made is None:
            raise UserError(
                f"layer {index} of network {graph.name} has scales that are too far apart; "
                "quantise it otherwise"
            )
        scales.append(out)
        affine.append(made)
        parameters.append(None if weights is None else Parameters(weights, 0))
        row_scales.append(each)
    layers = tuple(held.layer for held in graph.layers)
    network = Network(
        graph.name,
        graph.input_shape,
        layers,
        tuple(parameters),
        tuple(affine),
        logits_scale(scales[-1].scale)[0],
    )
    try:
        validate(network)
    except ValueError as error:
        raise UserError(f"network {graph.name} is not taken: {error}; build it otherwise") from None
    return Quantised(network, scales[0], tuple(scales[1:]), tuple(row_scales))


def _weights(
    held: FloatLayer, source: TensorScale
) -> tuple[Int8 | None, NDArray[np.float64] | None, Int32]:
    """int8 weights, the scale of each row, int32 biases."""
    if held.weights is None or held.bias is None:
        return None, None, np.zeros(0, np.int32)
    weights, bias = held.weights.astype(np.float64), held.bias.astype(np.float64)
    if held.weight_scales is not None:
        each = held.weight_scales.astype(np.float32).astype(np.float64)
        least = -128
    else:
        # A bias is counted in steps of both scales, and must not be too many of them.
        needed = np.abs(bias) / source.scale / _LARGEST_BIAS
        each = np.maximum(np.abs(weights).max(axis=1, initial=0) / 127, needed)
        # As files have them, so that one with these scales says the same integers.
        each = each.astype(np.float32).astype(np.float64)
        each[each < np.finfo(np.float64).tiny * 1e30] = 1.0
        least = -127
    while True:
        whole = np.clip(np.rint(weights / each[:, None]), least, 127)
        biases = np.rint(bias / (source.scale * each))
        # All that a sum may be (section 14, Range), before any shift.
        large = np.abs(biases) + 255 * np.abs(whole).sum(axis=1) >= (1 << 31) - 256
        if held.weight_scales is not None or not large.any():
            break
        each[large] *= 2
    biases = np.clip(biases, -(1 << 31), (1 << 31) - 1)
    return whole.astype(np.int8), each, biases.astype(np.int32)


def _affine(
    held: FloatLayer,
    sources: list[TensorScale],
    out: TensorScale,
    each: NDArray[np.float64] | None,
    bias: Int32,
) -> Affine | None:
    """The integers of a layer; None where its scales are too far apart for them."""
    layer = held.layer
    pairs: list[tuple[int, int]] = []
    if each is not None:
        factors = [sources[0].scale * one / out.scale for one in each.tolist()]
        if not all(isfinite(one) for one in factors):
            return None
        pairs = [multiplier(one) for one in factors]
    elif layer.kind == "add":
        terms = add_factors(sources[0].scale, sources[1].scale, out.scale)
        if max(terms) >= 1:
            return None
        pairs = [multiplier(one) for one in terms]
    elif held.is_mean:
        pairs = [mean_multiplier(sources[0].scale / out.scale, layer.kernel[0] * layer.kernel[1])]
    if any(s > MAX_AFFINE_SHIFT for _, s in pairs):
        return None
    try:
        least, largest = (_near(end, out.scale) for end in (held.least, held.largest))
        low, high = bounds(least, largest, out.scale, out.zero)
    except OverflowError:
        return None
    table = np.array(pairs, np.int32).reshape(-1, 2)
    zeros = tuple(source.zero for source in sources)
    # A bound may lie beyond what the range holds: then one value is left.
    low, high = min(low, 127), max(high, -128)
    return Affine(
        zeros, out.zero, min(low, high), high, bias, table[:, 0].copy(), table[:, 1].copy()
    )


def _near(end: float, scale: float) -> float:
    """A bound of an activation, no further out than any int8 of the tensor: one that is as good
    as none must not count as too far."""
    reach = 512 * scale
    return end if isinf(end) else min(max(end, -reach), reach)


def _fits(held: FloatLayer, affine: Affine, weights: Int8 | None) -> bool:
    """Whether no sum may overflow 32 bits (section 14, Range)."""
    sums = OPERATORS[held.layer.kind].largest_sums(held.layer, affine, weights).tolist()
    shifts = affine.shift.tolist()
    return all((one << max(s, 0)) + 128 < 1 << 31 for one, s in zip(sums, shifts, strict=True))
