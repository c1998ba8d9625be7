"""Does section 15 do what it is for: the integer gradients of a residual network beside those of
real numbers. No tolerance between backends: they all have the same bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, frexp
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import slow_affine_training as slow
from picotrain_golden import (
    Affine,
    Histograms,
    Layer,
    Network,
    Parameters,
    calibrated,
    observe,
    validate,
)
from picotrain_golden.network import Shape
from picotrain_golden.passes import backward_pass, forward_pass, output_error

Real = NDArray[np.float64]


def factor(real: float) -> tuple[int, int]:
    fraction, s = frexp(real)
    m = floor(fraction * 2**31 + 0.5)
    return (m, s) if m < 2**31 else (m // 2, s + 1)


@dataclass
class Quantised:
    """A network of real numbers that is quantised layer by layer, as a converter would."""

    random: np.random.Generator
    layers: list[Layer] = field(default_factory=list)
    affine: list[Affine] = field(default_factory=list)
    parameters: list[Parameters | None] = field(default_factory=list)
    scales: list[tuple[float, int]] = field(default_factory=lambda: [(1 / 64, 3)])
    """Of each tensor scale and zero point, the input first."""

    def put(
        self,
        kind: Any,
        shape: Shape,
        out: Shape,
        *windows: Any,
        reads: tuple[int, ...] = (),
        relu: bool = False,
        size: float = 3.0,
    ) -> None:
        """`size`: the largest real number that the output holds."""
        kernel, stride, padding = windows or ((1, 1), (1, 1), (0, 0))
        layer = Layer(kind, shape, out, kernel, stride, padding, False, reads)
        sources = [self.scales[number + 1] for number in reads or (len(self.layers) - 1,)]
        scale, zero = (size / 255, -128) if relu else (size / 127, 4)
        pairs: list[tuple[int, int]] = []
        bias = np.zeros(layer.rows, np.int32)
        if layer.has_weights:
            # Rows of very different sizes, so that their factors differ too.
            spread = 2.0 ** self.random.uniform(-3, 0, (layer.rows, 1))
            drawn = self.random.normal(0, 1, (layer.rows, layer.row_length)) * spread
            drawn *= 2.5 / layer.row_length**0.5
            own = np.abs(drawn).max(axis=1) / 127
            weights = np.rint(drawn / own[:, np.newaxis]).astype(np.int8)
            self.parameters.append(Parameters(weights, 0))
            bias = np.rint(self.random.normal(0, 0.3, layer.rows) / (sources[0][0] * own))
            pairs = [factor(sources[0][0] * one / scale) for one in own]
        else:
            self.parameters.append(None)
            if kind == "add":
                common = 2 * max(sources[0][0], sources[1][0])
                pairs = [factor(one / common) for one, _ in sources]
                pairs.append(factor(common / (2**20 * scale)))
            elif out[:2] == (1, 1):
                pairs = [factor(sources[0][0] / scale / (shape[0] * shape[1]))]
            else:
                scale, zero = sources[0]
        table = np.array(pairs, np.int32).reshape(-1, 2)
        self.layers.append(layer)
        self.affine.append(
            Affine(
                tuple(one for _, one in sources),
                zero,
                -128,
                127,
                bias.astype(np.int32),
                table[:, 0].copy(),
                table[:, 1].copy(),
            )
        )
        self.scales.append((scale, zero))

    def network(self) -> Network:
        fraction, e = frexp(self.scales[-1][0])
        network = Network(
            "residual",
            self.layers[0].in_shape,
            tuple(self.layers),
            tuple(self.parameters),
            tuple(self.affine),
            (floor(fraction * 2**16), e - 1),
        )
        validate(network)
        return network


def residual(seed: int) -> Network:
    """Depthwise and plain convolutions, two additions, pools that overlap, a mean and a head."""
    net = Quantised(np.random.default_rng([seed, 3]))
    same = ((3, 3), (1, 1), (1, 1))
    net.put("conv2d", (8, 8, 3), (8, 8, 8), *same, relu=True)
    net.put("depthwise", (8, 8, 8), (8, 8, 8), *same, relu=True)
    net.put("conv2d", (8, 8, 8), (8, 8, 8), (1, 1), (1, 1), (0, 0))
    net.put("add", (8, 8, 8), (8, 8, 8), reads=(0, 2), size=4.0)
    net.put("maxpool", (8, 8, 8), (4, 4, 8), (3, 3), (2, 2), (0, 0))
    net.put("conv2d", (4, 4, 8), (4, 4, 8), *same, relu=True)
    net.put("avgpool", (4, 4, 8), (4, 4, 8), (2, 2), (1, 1), (1, 1), reads=(4,))
    net.put("add", (4, 4, 8), (4, 4, 8), reads=(5, 6), size=4.0)
    net.put("depthwise", (4, 4, 8), (2, 2, 8), (3, 3), (2, 2), (0, 0), relu=True)
    net.put("avgpool", (2, 2, 8), (1, 1, 8), (2, 2), (1, 1), (0, 0), size=1.0)
    net.put("linear", (1, 1, 8), (1, 1, 5), size=4.0)
    return net.network()


def real_factors(affine: Affine) -> Real:
    found: Real = affine.multiplier * 2.0 ** (affine.shift.astype(np.float64) - 31)
    return found


def real_errors(
    network: Network, tensors: list[NDArray[np.int8]], label: int
) -> tuple[dict[int, Real], dict[int, Real]]:
    """The derivatives of 128 times the loss, in logits of one nat, by every int8 tensor and weight:
    through the roundings as if they were not there, and through bounds not at all."""
    last = len(network.layers) - 1
    mantissa, exponent = network.logits_scale
    nats = tensors[-1].reshape(-1).astype(np.float64) * mantissa * 2.0 ** (exponent - 15)
    softmax = np.exp(nats - nats.max())
    softmax /= softmax.sum()
    softmax[label] -= 1
    errors = {last: 128 * softmax.reshape(network.layers[last].out_shape)}
    gradients: dict[int, Real] = {}
    for index in range(last, -1, -1):
        layer, affine, held = (
            network.layers[index],
            network.affine[index],
            network.parameters[index],
        )
        error = errors[index].copy()
        output = tensors[index + 1]
        if index != last:
            error[(output == 127) & (affine.high < 127)] = 0
            if affine.low > -128 or affine.low == affine.zero_out:
                error[output == affine.low] = 0
            errors[index] = error
        reads = network.reads(index)
        factors = real_factors(affine)
        into = [np.zeros(layer.in_shape) for _ in reads]
        if held is not None:
            by_sum = error * factors
            inputs = tensors[reads[0] + 1].astype(np.float64) - affine.zero_in[0]
            gradients[index] = np.zeros(held.weights.shape)
            for out, k, source in slow.links(layer):
                into[0][source] += held.weights[out[2], k] * by_sum[out]
                gradients[index][out[2], k] += by_sum[out] * inputs[source]
        elif layer.kind == "add":
            into = [error * factors[place] * factors[2] * 2**20 for place in (0, 1)]
        else:
            source = tensors[reads[0] + 1]
            for y, x, c in np.ndindex(error.shape):
                seen = [(sy, sx, c) for _, sy, sx in slow.window(layer, y, x)]
                share = factors[0] if factors.size else 1 / len(seen)
                if layer.kind == "maxpool":
                    seen, share = [max(seen, key=lambda at: source[at])], 1.0
                for at in seen:
                    into[0][at] += share * error[y, x, c]
        for number, one in zip(reads, into, strict=True):
            errors[number] = errors.get(number, 0) + one
    return errors, gradients


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    a, b = (np.asarray(part, np.float64).reshape(-1) for part in (one, other))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def integers(network: Network, image: NDArray[np.uint8], label: int, dynamic: bool) -> Any:
    """Every tensor, and the gradients."""
    weights = [None if held is None else held.weights for held in network.parameters]
    done = forward_pass(network, weights, image[np.newaxis], dynamic)
    error, _ = output_error(network, done, label)
    gradients = {
        step.layer: step.gradient
        for step in backward_pass(network, weights, done, error, dynamic)
        if step.gradient is not None
    }
    return [one[0] for one in done.activations], gradients


def images(network: Network, seed: int, count: int) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    made = np.clip(np.rint(random.normal(3, 45, (count, *network.input_shape))), -128, 127)
    return list(made.astype(np.int8).view(np.uint8))


@pytest.mark.parametrize("dynamic", [True, False])
def test_gradients_point_where_real_ones_do(dynamic: bool) -> None:
    """The first layers are ten behind the loss, and each on the way rounds errors to int8."""
    found: dict[int, list[float]] = {}
    for seed in range(4):
        network = residual(seed)
        histograms = Histograms.empty(network)
        for number, image in enumerate(images(network, seed, 12)):
            histograms.add(observe(network, image, number % 5))
        network = calibrated(network, histograms)
        for number, image in enumerate(images(network, seed + 50, 8)):
            tensors, gradients = integers(network, image, number % 5, dynamic)
            _, wanted = real_errors(network, tensors, number % 5)
            for index, gradient in gradients.items():
                found.setdefault(index, []).append(cosine(gradient, wanted[index]))
    means = {index: float(np.mean(cosines)) for index, cosines in sorted(found.items())}
    assert list(means) == [0, 1, 2, 5, 8, 10]
    assert min(means.values()) > 0.95, means
    assert min(means[index] for index in (5, 8, 10)) > 0.99, means
