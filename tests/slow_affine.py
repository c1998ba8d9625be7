"""Section 14 of docs/numerics.md a second time: Python integers and loops, and random networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain_golden import Affine, Kind, Layer, Network, Parameters

Tensor = NDArray[np.int8]


def towards_zero(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def srdhm(a: int, b: int) -> int:
    if a == b == -(2**31):
        return 2**31 - 1
    p = a * b
    return towards_zero(p + 2**30 if p >= 0 else p + 1 - 2**30, 2**31)


def rdp(x: int, n: int) -> int:
    return x if n == 0 else (x >> n) + (x % 2**n >= 2 ** (n - 1) + (x < 0))


def scale(x: int, m: int, s: int) -> int:
    return rdp(srdhm(x * 2 ** max(s, 0), m), max(-s, 0))


def layer_forward(
    layer: Layer, affine: Affine, weights: Tensor | None, inputs: list[Tensor]
) -> Tensor:
    """One image: int8 [H, W, C] of each input -> int8 [OH, OW, OC]."""
    out = np.empty(layer.out_shape, np.int8)
    m, s = affine.multiplier.tolist(), affine.shift.tolist()
    for y, x, o in product(*map(range, layer.out_shape)):
        value = _element(layer, affine, weights, inputs, (y, x, o), m, s)
        out[y, x, o] = min(max(value, affine.low), affine.high)
    return out


def _element(
    layer: Layer,
    affine: Affine,
    weights: Tensor | None,
    inputs: list[Tensor],
    at: tuple[int, int, int],
    m: list[int],
    s: list[int],
) -> int:
    y, x, o = at
    zero = affine.zero_in[0]
    if layer.kind == "add":
        parts = [
            scale((int(one[at]) - z) * 2**20, m[n], s[n])
            for n, (one, z) in enumerate(zip(inputs, affine.zero_in, strict=True))
        ]
        return affine.zero_out + scale(sum(parts), m[2], s[2])
    if layer.kind == "linear":
        assert weights is not None
        flat = inputs[0].reshape(-1).tolist()
        acc = sum(w * (a - zero) for w, a in zip(weights[o].tolist(), flat, strict=True))
        return affine.zero_out + scale(int(affine.bias[o]) + acc, m[o], s[o])
    seen: list[tuple[int, int, int]] = []
    height, width, _ = layer.in_shape
    for ky, kx in product(*map(range, layer.kernel)):
        iy = y * layer.stride[0] + ky - layer.padding[0]
        ix = x * layer.stride[1] + kx - layer.padding[1]
        if 0 <= iy < height and 0 <= ix < width:
            seen.append((ky * layer.kernel[1] + kx, iy, ix))
    image = inputs[0]
    if layer.kind == "maxpool":
        return max(int(image[iy, ix, o]) for _, iy, ix in seen)
    if layer.kind == "avgpool":
        n = len(seen)
        if m:
            total = sum(int(image[iy, ix, o]) - zero for _, iy, ix in seen)
            return affine.zero_out + scale(total, m[0], s[0])
        t = sum(int(image[iy, ix, o]) for _, iy, ix in seen)
        return towards_zero(t + n // 2 if t > 0 else t - n // 2, n)
    assert weights is not None
    acc = int(affine.bias[o])
    channels = layer.in_shape[2]
    for tap, iy, ix in seen:
        if layer.kind == "depthwise":
            acc += int(weights[o, tap]) * (int(image[iy, ix, o]) - zero)
        else:
            for i in range(channels):
                acc += int(weights[o, tap * channels + i]) * (int(image[iy, ix, i]) - zero)
    return affine.zero_out + scale(acc, m[o], s[o])


def forward(network: Network, image: NDArray[np.uint8]) -> list[Tensor]:
    """Every tensor of one image, the input first."""
    tensors = [image.view(np.int8)]
    for index, layer in enumerate(network.layers):
        held = network.parameters[index]
        inputs = [tensors[number + 1] for number in network.reads(index)]
        weights = None if held is None else held.weights
        tensors.append(layer_forward(layer, network.affine[index], weights, inputs))
    return tensors


# Networks


def affine(layer: Layer, **values: Any) -> Affine:
    """Zero points 0, all of int8, factor 1/2."""
    count = {"add": 3, "maxpool": 0, "avgpool": 0}.get(layer.kind, layer.rows)
    numbers: dict[str, Any] = {
        "zero_in": (0,) * (2 if layer.kind == "add" else 1),
        "zero_out": 0,
        "low": -128,
        "high": 127,
        "bias": np.zeros(layer.rows, np.int32),
        "multiplier": np.full(count, 1 << 30, np.int32),
        "shift": np.zeros(count, np.int32),
    }
    return Affine(**{**numbers, **values})


def one_layer(layer: Layer, weights: Tensor | None = None, **values: Any) -> Network:
    if layer.has_weights and weights is None:
        weights = np.zeros((layer.rows, layer.row_length), np.int8)
    held = None if weights is None else Parameters(weights, 0)
    return Network("one", layer.in_shape, (layer,), (held,), (affine(layer, **values),))


def drawn_layers(layers: Sequence[Layer], seed: int) -> list[Network]:
    """Each as a network of its own, with random weights."""
    random = np.random.default_rng(seed)
    return [
        one_layer(
            one,
            random.integers(-128, 128, (one.rows, one.row_length), dtype=np.int8)
            if one.has_weights
            else None,
        )
        for one in layers
    ]


def random_network(seed: int) -> Network:
    """A small graph of any kinds, with forks, odd paddings and every kind of number."""
    random = np.random.default_rng([seed, 14])

    def pick(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    shape = (pick(2, 9), pick(2, 9), pick(1, 4))
    shapes = [shape]
    layers: list[Layer] = []
    for _ in range(pick(1, 6)):
        # The newest tensor, so that none stays unread; the second input of an add is any.
        newest, here = len(layers) - 1, shapes[-1]
        others = [n - 1 for n, known in enumerate(shapes) if known == here]
        kind: Kind = random.choice(["conv2d", "depthwise", "maxpool", "avgpool", "add", "linear"])
        if kind == "add":
            reads = (newest, int(random.choice(others)))
            layers.append(Layer(kind, here, here, (1, 1), (1, 1), (0, 0), False, reads))
        elif kind == "linear":
            out = (1, 1, pick(2, 6))
            layers.append(Layer(kind, here, out, (1, 1), (1, 1), (0, 0), False))
        else:
            layers.append(_windowed(kind, here, pick))
        shapes.append(layers[-1].out_shape)
    if prod(shapes[-1]) < 2:
        layers.append(Layer("linear", shapes[-1], (1, 1, 3), (1, 1), (1, 1), (0, 0), False))
    parameters: list[Parameters | None] = []
    numbers: list[Affine] = []
    for layer in layers:
        weights = random.integers(-128, 128, (layer.rows, layer.row_length), dtype=np.int8)
        parameters.append(Parameters(weights, 0) if layer.has_weights else None)
        numbers.append(_numbers(layer, random))
    return Network("random", shape, tuple(layers), tuple(parameters), tuple(numbers))


def _windowed(kind: Kind, here: tuple[int, int, int], pick: Any) -> Layer:
    kernel, stride, padding, out = [], [], [], []
    for axis in (0, 1):
        # A global pool now and then, which may have a multiplier.
        whole = kind == "avgpool" and here[axis] <= 4
        kernel.append(here[axis] if whole else pick(1, 4))
        stride.append(1 if whole else pick(1, 2))
        padding.append(0 if whole else pick(0, kernel[-1] - 1))
        most = (here[axis] - 1 + padding[-1]) // stride[-1] + 1
        out.append(1 if whole else pick(1, most))
    channels = pick(1, 4) if kind == "conv2d" else here[2]
    return Layer(
        kind,
        here,
        (out[0], out[1], channels),
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        (padding[0], padding[1]),
        False,
    )


def _numbers(layer: Layer, random: np.random.Generator) -> Affine:
    low, high = sorted(random.integers(-128, 128, 2).tolist())
    if random.random() < 0.6:
        low, high = -128, 127
    zeros = random.integers(-128, 128, 3).tolist()
    count = {"add": 3, "maxpool": 0, "avgpool": 0}.get(layer.kind, layer.rows)
    whole = (layer.kernel, layer.stride) == (layer.in_shape[:2], (1, 1))
    if layer.kind == "avgpool" and whole and layer.padding == (0, 0):
        count = int(random.integers(0, 2)) if layer.out_shape[:2] == (1, 1) else 0
    multiplier = random.integers(1 << 30, 1 << 31, count)
    shift = random.integers(-10, 3 if layer.has_weights else 1, count)
    if layer.kind == "add":
        shift[2] = random.integers(-20, -14)
    if layer.kind in ("maxpool", "avgpool") and count == 0:
        zeros[1] = zeros[0]
    if layer.has_weights and random.random() < 0.2:
        multiplier[0], shift[0] = 0, 0
    return Affine(
        (zeros[0], zeros[2])[: 2 if layer.kind == "add" else 1],
        zeros[1],
        low,
        high,
        random.integers(-5000, 5000, layer.rows).astype(np.int32),
        multiplier.astype(np.int32),
        shift.astype(np.int32),
    )
