"""docs/numerics.md a second time, in plain Python integers and loops: the oracle of these tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain_golden import Layer, Method, Network, Parameters, conv2d, linear, maxpool2

Pixels = dict[tuple[int, int, int], int]
Rows = list[list[int]]
Event = tuple[str, int, list[int]]


def rhu(x: int, k: int) -> int:
    return floor(Fraction(x, 2**k) + Fraction(1, 2)) if k else x


def clamp(x: int, low: int = -127) -> int:
    return min(max(x, low), 127)


def psto(x: int, s: int) -> int:
    if s == 0:
        return x
    half = s // 2
    whole, fraction = divmod(abs(x), 1 << s)
    high, low = divmod(fraction, 1 << half)
    if s % 2 == 1:
        low *= 2
    rounded = whole + int(high > low)
    return -rounded if x < 0 else rounded


def range_bits(values: Sequence[int]) -> int:
    """The least b with max|T| <= 2^b."""
    b = 0
    while max(abs(v) for v in values) > 2**b:
        b += 1
    return b


def pixels(array: NDArray[Any]) -> Pixels:
    return {index: int(array[index]) for index in np.ndindex(array.shape)}


def flat(values: Pixels) -> list[int]:
    return [values[index] for index in sorted(values)]


def joined(rows: Rows) -> list[int]:
    return [value for row in rows for value in row]


def connections(layer: Layer) -> list[tuple[tuple[int, int, int], int, tuple[int, int, int]]]:
    """Every product of the layer as (output, weight k of the output's row, input)."""
    height, width, channels = layer.in_shape
    found = []
    for y, x, o in product(*(range(size) for size in layer.out_shape)):
        if layer.kind == "linear":
            for k, source in enumerate(product(range(height), range(width), range(channels))):
                found.append(((y, x, o), k, source))
            continue
        taps = product(range(layer.kernel[0]), range(layer.kernel[1]), range(channels))
        for k, (ky, kx, i) in enumerate(taps):
            sy = y * layer.stride[0] + ky - layer.padding[0]
            sx = x * layer.stride[1] + kx - layer.padding[1]
            if 0 <= sy < height and 0 <= sx < width:
                found.append(((y, x, o), k, (sy, sx, i)))
    return found


def everywhere(shape: tuple[int, int, int]) -> Pixels:
    height, width, channels = shape
    return dict.fromkeys(product(range(height), range(width), range(channels)), 0)


def forward(layer: Layer, weights: Rows, inputs: Pixels) -> Pixels:
    acc = everywhere(layer.out_shape)
    for out, k, source in connections(layer):
        acc[out] += weights[out[2]][k] * inputs[source]
    return acc


def backward(layer: Layer, weights: Rows, error: Pixels) -> Pixels:
    acc = everywhere(layer.in_shape)
    for out, k, source in connections(layer):
        acc[source] += weights[out[2]][k] * error[out]
    return acc


def gradient(layer: Layer, error: Pixels, inputs: Pixels) -> Rows:
    result = [[0] * layer.row_length for _ in range(layer.rows)]
    for out, k, source in connections(layer):
        result[out[2]][k] += error[out] * inputs[source]
    return result


def window(out: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    y, x, c = out
    return [(2 * y + dy, 2 * x + dx, c) for dy in (0, 1) for dx in (0, 1)]


def pool(layer: Layer, inputs: Pixels) -> Pixels:
    return {out: max(inputs[at] for at in window(out)) for out in everywhere(layer.out_shape)}


def unpool(layer: Layer, inputs: Pixels, error: Pixels) -> Pixels:
    result = everywhere(layer.in_shape)
    for out, value in error.items():
        first = max(window(out), key=lambda at: inputs[at])
        result[first] = value
    return result


def softmax(logits: list[int], exponent: int) -> list[int]:
    """What of each class goes into the softmax, before it is normalised."""
    if exponent >= -6:
        z = [floor(Fraction(v * 47274, 2**15)) for v in logits]
        z = [floor(v * Fraction(2) ** min(exponent, 15)) for v in z]
        z = [max(v - max(z) + 10, 0) for v in z]
        return [2**v - 1 for v in z]
    n = min(-exponent, 9)
    nats = [Fraction(floor(v / Fraction(2) ** min(-exponent - n, 31)), 2**n) for v in logits]
    p = [2 * 4**n * (1 + x + x**2 / 2) for x in nats]
    assert all(v.denominator == 1 for v in p)
    return [int(v) for v in p]


def loss(logits: list[int], exponent: int, target: int) -> list[int]:
    p = softmax(logits, exponent)
    p = [v * 2**11 // sum(p) for v in p]
    p[target] -= sum(p)
    return [clamp(rhu(v, 4)) for v in p]


class SlowSteps:
    """What the trainers of both forms share: weights, scores, and how they move."""

    positions: int
    """So many error terms in a gradient still give products that 32 bits hold."""

    def __init__(self, network: Network, method: Method, starts: list[dict[int, int]]) -> None:
        """`starts`: the first scores of each layer, by edge."""
        self.network, self.method = network, method
        self.weights = [None if p is None else p.weights.tolist() for p in network.parameters]
        self.saturation = [[0, 0, 0] for _ in network.layers]
        self.loss_norm = 0
        self.bits: list[dict[str, int]] = [{} for _ in network.layers]
        self.scores = [dict(scores) for scores in starts]

    def effective(self, index: int) -> Rows:
        weights = self.weights[index]
        assert weights is not None
        k = self.network.layers[index].row_length
        rows = [list(row) for row in weights]
        for edge, score in self.scores[index].items():
            if score < self.method.theta:
                rows[edge // k][edge % k] = 0
        return rows

    def note(self, index: int, name: str, values: list[int]) -> None:
        if any(values):
            self.bits[index][name] = range_bits(values)

    def scale(self, values: list[int], static: int) -> int:
        if self.method.name == "niti-dynamic":
            return max(range_bits(values) - 7, 0)
        return static

    def update(self, index: int, rows: Rows) -> list[Event]:
        layer, held = self.network.layers[index], self.network.parameters[index]
        weights = self.weights[index]
        assert held is not None
        assert weights is not None
        self.note(index, "gradient", joined(rows))
        g = 0
        while self.positions * 2**g < layer.positions:
            g += 1
        products = [
            rhu(one, g) * weight for one, weight in zip(joined(rows), joined(weights), strict=True)
        ]
        assert all(abs(one) < 2**31 for one in products)
        if any(products):
            mean = 16 * sum(map(abs, products)) // len(products)
            self.bits[index]["score"] = min(range_bits([mean]), 31)
            self.bits[index]["score_peak"] = range_bits(products)
        scored = self.method.name.startswith("priot")
        if scored:
            edges = sorted(self.scores[index])
            old = [self.scores[index][edge] for edge in edges]
            wanted = [products[edge] for edge in edges]
            bits = held.score_bits
        else:
            old, wanted, bits = joined(weights), joined(rows), held.gradient_bits
            if self.method.name == "niti-dynamic":
                bits = range_bits(wanted)
        s = min(max(bits - self.method.mu, 0), 31)
        rounded = [psto(value, s) for value in wanted]
        moves = [clamp(value) for value in rounded]
        new = [clamp(a - b) for a, b in zip(old, moves, strict=True)]
        for r, a, b in zip(rounded, old, moves, strict=True):
            self.saturation[index][2] += abs(r) > 127 or abs(a - b) > 127
        if scored:
            self.scores[index] = dict(zip(edges, new, strict=True))
        else:
            k = layer.row_length
            self.weights[index] = [new[i : i + k] for i in range(0, len(new), k)]
        return [("update", index, moves), ("scores" if scored else "weights", index, new)]


class SlowTrainer(SlowSteps):
    """One training step of any method. `events` are what a trace reports; counts as section 9."""

    positions = 1048

    def step(self, image: NDArray[np.uint8], label: int) -> list[Event]:
        layers = self.network.layers
        self.bits = [{} for _ in layers]
        events: list[Event] = []
        acts = [pixels(image // 2)]
        exponent = -7
        events.append(("activation", -1, flat(acts[-1])))
        for index, layer in enumerate(layers):
            held = self.network.parameters[index]
            if held is None:
                acts.append(pool(layer, acts[-1]))
            else:
                acc = forward(layer, self.effective(index), acts[-1])
                self.note(index, "forward", flat(acc))
                k = self.scale(flat(acc), held.forward_shift)
                exponent += held.exponent + k
                out = {at: rhu(value, k) for at, value in acc.items()}
                for value in out.values():
                    if value > 127 or (value < -127 and not layer.relu):
                        self.saturation[index][0] += 1
                low = 0 if layer.relu else -127
                acts.append({at: clamp(value, low) for at, value in out.items()})
            events.append(("activation", index, flat(acts[-1])))
        logits = flat(acts[-1])
        errors = loss(logits, exponent, label)
        self.loss_norm = sum(abs(d) for d in errors)
        if self.loss_norm <= self.method.easy:
            errors = [0 for _ in errors]
        error = {(0, 0, i): d for i, d in enumerate(errors)}
        events.append(("error", len(layers) - 1, flat(error)))
        first = [layer.has_weights for layer in layers].index(True)
        for index in reversed(range(first, len(layers))):
            held, layer = self.network.parameters[index], layers[index]
            below = None
            if index > first:
                if held is None:
                    below = unpool(layer, acts[index], error)
                else:
                    acc = backward(layer, self.effective(index), error)
                    self.note(index, "error", flat(acc))
                    k = self.scale(flat(acc), held.error_shift)
                    below = {at: rhu(value, k) for at, value in acc.items()}
                    over = sum(abs(value) > 127 for value in below.values())
                    self.saturation[index][1] += over
                    below = {at: clamp(value) for at, value in below.items()}
                if layers[index - 1].relu:
                    below = {at: value if acts[index][at] else 0 for at, value in below.items()}
                events.append(("error", index - 1, flat(below)))
            if held is not None:
                events += self.update(index, gradient(layer, error, acts[index]))
            if below is not None:
                error = below
        return events


def random_parameters(rng: np.random.Generator, layer: Layer, **numbers: int) -> Parameters:
    weights = rng.integers(-127, 128, (layer.rows, layer.row_length)).astype(np.int8)
    return Parameters(weights, **{"exponent": -6, **numbers})


def random_network(rng: np.random.Generator, name: str, *layers: Layer) -> Network:
    parameters = tuple(
        random_parameters(rng, layer) if layer.has_weights else None for layer in layers
    )
    return Network(name, layers[0].in_shape, layers, parameters)


def odd_network(rng: np.random.Generator) -> Network:
    """Odd sizes, stride 2, unequal padding, a conv without ReLU, pools that drop a row."""
    return random_network(
        rng,
        "odd",
        conv2d((9, 8, 3), 4, (3, 2), 2, (1, 0), True),
        maxpool2((5, 4, 4)),
        conv2d((2, 2, 4), 3, (2, 2), 1, (1, 1), False),
        maxpool2((3, 3, 3)),
        linear((1, 1, 3), 5, True),
        linear((1, 1, 5), 3, False),
    )


def pool_first_network(rng: np.random.Generator) -> Network:
    """F = 1: the first layer has no weights."""
    return random_network(
        rng,
        "pool first",
        maxpool2((5, 5, 2)),
        linear((2, 2, 2), 6, True),
        linear((1, 1, 6), 4, False),
    )


def wide_network(rng: np.random.Generator) -> Network:
    """More than 1048 output positions, so that G must be made smaller."""
    return random_network(
        rng,
        "wide",
        conv2d((33, 34, 1), 2, (1, 1), 1, (0, 0), True),
        conv2d((33, 34, 2), 1, (3, 3), 2, (1, 1), True),
        linear((17, 17, 1), 3, False),
    )
