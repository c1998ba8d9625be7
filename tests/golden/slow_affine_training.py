"""Section 15 of docs/numerics.md a second time, in Python integers, fractions and loops."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

import slow_affine
from golden_slow import Event, Pixels, Rows, SlowSteps, clamp, everywhere, flat, pixels, rhu
from picotrain_golden import Affine, Layer

Scale = tuple[int, int]
Link = tuple[tuple[int, int, int], int, tuple[int, int, int]]


# Scales


def cut(p: int, x: int) -> Scale:
    """M and E of p * 2^x: p shifted until it has 16 bits, what falls out is lost."""
    while p >= 2**16:
        p, x = p >> 1, x + 1
    while p < 2**15:
        p, x = p << 1, x - 1
    return p, x + 15


def value(g: Scale) -> Fraction:
    return g[0] * Fraction(2) ** (g[1] - 15)


def times(g: Scale, m: int, s: int) -> Scale:
    if m < 2**30:
        m, s = 2 * m, s - 1
    # m without its last 15 bits, times 2^(s - 31).
    return cut(g[0] * (m >> 15), g[1] - 15 + s - 31 + 15)


def over(g: Scale, n: int) -> Scale:
    return cut((g[0] << 16) // n, g[1] - 15 - 16)


def merge(d: int, g: Scale, c: int, h: Scale) -> int:
    if value(h) > value(g):
        d, g, c, h = c, h, d, g
    t = floor(Fraction(h[0] * 2**15, g[0]))
    return clamp(d + rhu(c * t, min(15 + g[1] - h[1], 30)))


def largest(affine: Affine) -> tuple[int, int]:
    """As (m, s)."""
    pairs = [(s, m) for m, s in zip(affine.multiplier.tolist(), affine.shift.tolist(), strict=True)]
    s, m = max(pair for pair in pairs if pair[1] != 0)
    return m, s


def row_weight(affine: Affine, row: int) -> int:
    m, s = largest(affine)
    own, shift = int(affine.multiplier[row]), int(affine.shift[row])
    if own == 0:
        return 0
    return rhu(2**16 * (own // 2**16) // (m // 2**16), 9 + min(s - shift, 21))


# Where things are


def window(layer: Layer, y: int, x: int) -> list[tuple[int, int, int]]:
    """tap, y and x of the positions in a window that lie in the input, row-major."""
    found = []
    for ky, kx in product(*map(range, layer.kernel)):
        sy = y * layer.stride[0] + ky - layer.padding[0]
        sx = x * layer.stride[1] + kx - layer.padding[1]
        if 0 <= sy < layer.in_shape[0] and 0 <= sx < layer.in_shape[1]:
            found.append((ky * layer.kernel[1] + kx, sy, sx))
    return found


def links(layer: Layer) -> list[Link]:
    """Every product of a layer with weights: output, weight k of the output's row, input."""
    found: list[Link] = []
    channels = layer.in_shape[2]
    for y, x, o in product(*map(range, layer.out_shape)):
        if layer.kind == "linear":
            found += [((y, x, o), k, at) for k, at in enumerate(everywhere(layer.in_shape))]
            continue
        for tap, sy, sx in window(layer, y, x):
            if layer.kind == "depthwise":
                found.append(((y, x, o), tap, (sy, sx, o)))
            else:
                for i in range(channels):
                    found.append(((y, x, o), tap * channels + i, (sy, sx, i)))
    return found


def overlap(layer: Layer) -> int:
    """The least j with 2^j at least the most windows of a position."""
    n = 1
    for axis in (0, 1):
        in_one = ceil(Fraction(layer.kernel[axis], layer.stride[axis]))
        n *= min(in_one, layer.out_shape[axis])
    j = 0
    while 2**j < n:
        j += 1
    return j


def loss(v: list[int], scale: Scale, target: int) -> list[int]:
    m, e = scale
    if e >= -7:
        factor = floor(Fraction(m * 47274, 2**15) + Fraction(1, 2))
        z = [floor(Fraction(one * factor, 2 ** (15 - e))) for one in v]
        z = [max(one - max(z) + 10, 0) for one in z]
        p = [2**one - 1 for one in z]
    else:
        c = floor(Fraction(max(v) + min(v), 2))
        u = [floor(Fraction((one - c) * m, 2 ** (7 - e))) for one in v]
        assert all(abs(one) <= 256 for one in u)
        p = [(one + 256) ** 2 + 2**16 for one in u]
    p = [one * 2**11 // sum(p) for one in p]
    p[target] -= sum(p)
    return [clamp(rhu(one, 4)) for one in p]


class SlowTrainer(SlowSteps):
    """One training step at a time of any method, and what it notes."""

    positions = 518

    def learns(self, index: int) -> bool:
        if index < 0:
            return False
        below = any(self.learns(number) for number in self.network.reads(index))
        return self.network.layers[index].has_weights or below

    def forward(self, image: NDArray[np.uint8]) -> list[NDArray[np.int8]]:
        tensors = [image.view(np.int8)]
        for index, layer in enumerate(self.network.layers):
            weights = np.array(self.effective(index), np.int8) if layer.has_weights else None
            inputs = [tensors[number + 1] for number in self.network.reads(index)]
            affine = self.network.affine[index]
            tensors.append(slow_affine.layer_forward(layer, affine, weights, inputs))
        return tensors

    def step(self, image: NDArray[np.uint8], label: int) -> list[Event]:
        network, layers = self.network, self.network.layers
        self.bits = [{} for _ in layers]
        tensors = self.forward(image)
        events: list[Event] = [
            ("activation", index - 1, one.reshape(-1).tolist()) for index, one in enumerate(tensors)
        ]
        last = len(layers) - 1
        zero = network.affine[last].zero_out
        v = [q - zero for q in tensors[-1].reshape(-1).tolist()]
        errors = loss(v, network.logits_scale, label)
        self.loss_norm = sum(abs(d) for d in errors)
        if self.loss_norm <= self.method.easy:
            errors = [0 for _ in errors]
        start = dict(zip(everywhere(layers[last].out_shape), errors, strict=True))
        held: dict[int, tuple[Pixels, Scale]] = {
            last: (self.finish(last, tensors[-1], start), (2**15, 0))
        }
        events.append(("error", last, flat(held[last][0])))
        for index in range(last, -1, -1):
            if not self.learns(index):
                continue
            error, g = held[index]
            inputs = [tensors[number + 1] for number in network.reads(index)]
            for place, number in enumerate(network.reads(index)):
                if self.learns(number):
                    c, h = self.contribution(index, place, inputs, error, g)
                    if number in held:
                        d, old = held[number]
                        c = {at: merge(d[at], old, c[at], h) for at in c}
                        h = max(old, h, key=value)
                    held[number] = c, h
            told = []
            for number in network.reads(index):
                if not self.learns(number) or number in told:
                    continue
                told.append(number)
                if all(number not in network.reads(other) for other in range(index)):
                    done = self.finish(number, tensors[number + 1], held[number][0])
                    held[number] = done, held[number][1]
                events.append(("error", number, flat(held[number][0])))
            if layers[index].has_weights:
                events += self.update(index, self.gradient(index, inputs[0], error))
        return events

    def finish(self, index: int, output: NDArray[np.int8], error: Pixels) -> Pixels:
        affine, result = self.network.affine[index], dict(error)
        if index != len(self.network.layers) - 1:
            for at in result:
                q = int(output[at])
                active = affine.low > -128 or affine.low == affine.zero_out
                if (q == affine.low and active) or (q == affine.high and affine.high < 127):
                    result[at] = 0
        if self.network.layers[index].has_weights:
            weights = [row_weight(affine, row) for row in range(affine.multiplier.size)]
            assert max(weights) == 128
            assert min(weights) >= 0
            result = {at: rhu(d * weights[at[2]], 7) for at, d in result.items()}
        return result

    def contribution(
        self, index: int, place: int, inputs: list[NDArray[np.int8]], error: Pixels, g: Scale
    ) -> tuple[Pixels, Scale]:
        layer, affine = self.network.layers[index], self.network.affine[index]
        m, s = affine.multiplier.tolist(), affine.shift.tolist()
        if layer.kind == "add":
            h = times(times(g, m[place], s[place]), m[2], s[2])
            return error, (h[0], h[1] + 20)
        sums = everywhere(layer.in_shape)
        if layer.has_weights:
            return self.spread(index, sums, error, g)
        for (y, x, c), d in error.items():
            seen = [(sy, sx, c) for _, sy, sx in window(layer, y, x)]
            if layer.kind == "maxpool":
                highest = max(int(inputs[0][at]) for at in seen)
                seen = [next(at for at in seen if inputs[0][at] == highest)]
            for at in seen:
                sums[at] += d
        if layer.kind == "maxpool":
            return {at: clamp(total) for at, total in sums.items()}, g
        j = overlap(layer)
        values = {at: rhu(total, j) for at, total in sums.items()}
        assert all(abs(one) <= 127 for one in values.values())
        if m:
            return values, times(g, m[0], s[0])
        return values, over((g[0], g[1] + j), layer.kernel[0] * layer.kernel[1])

    def spread(self, index: int, sums: Pixels, error: Pixels, g: Scale) -> tuple[Pixels, Scale]:
        layer, held = self.network.layers[index], self.network.parameters[index]
        rows = self.effective(index)
        assert held is not None
        for out, k, source in links(layer):
            sums[source] += rows[out[2]][k] * error[out]
        assert all(abs(total) + 2**23 < 2**31 for total in sums.values())
        self.note(index, "error", flat(sums))
        k = self.scale(flat(sums), held.error_shift)
        rounded = {at: rhu(total, k) for at, total in sums.items()}
        self.saturation[index][1] += sum(abs(one) > 127 for one in rounded.values())
        h = times(g, *largest(self.network.affine[index]))
        return {at: clamp(one) for at, one in rounded.items()}, (h[0], h[1] + k)

    def gradient(self, index: int, inputs: NDArray[np.int8], error: Pixels) -> Rows:
        layer = self.network.layers[index]
        zero = self.network.affine[index].zero_in[0]
        values = pixels(inputs)
        result = [[0] * layer.row_length for _ in range(layer.rows)]
        for out, k, source in links(layer):
            result[out[2]][k] += error[out] * (values[source] - zero)
        return result
