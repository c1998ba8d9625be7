"""Small affine networks that train: graphs with forks, every kind, every sort of number."""

from __future__ import annotations

from math import log2, prod
from typing import Any

import numpy as np

from picotrain_golden import Affine, Kind, Layer, Network, Parameters

Shape = tuple[int, int, int]

MEAN = "mean"
"""An avgpool with a multiplier."""


class Drawing:
    """A network that grows by blocks; `here` is the number of its newest tensor."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng([seed, 15])
        self.layers: list[Layer] = []
        self.kinds: list[str] = []
        self.input: Shape = (self.pick(3, 8), self.pick(3, 8), self.pick(1, 3))

    def pick(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    @property
    def here(self) -> int:
        return len(self.layers) - 1

    def shape(self, number: int) -> Shape:
        return self.input if number < 0 else self.layers[number].out_shape

    def put(self, kind: str, reads: tuple[int, ...], out: Shape, *windows: Any) -> int:
        kernel, stride, padding = windows or ((1, 1), (1, 1), (0, 0))
        plain: Kind = "avgpool" if kind == MEAN else kind  # type: ignore[assignment]
        shape = self.shape(reads[0])
        self.layers.append(Layer(plain, shape, out, kernel, stride, padding, False, reads))
        self.kinds.append(kind)
        return self.here

    def windowed(self, kind: str, source: int, keep: bool = False) -> int:
        """`keep`: an output of the same height, width and channels."""
        shape = self.shape(source)
        kernel, stride, padding, out = [], [], [], []
        for axis in (0, 1):
            kernel.append(self.pick(1, 4))
            stride.append(1 if keep else self.pick(1, 2))
            padding.append(self.pick(0, kernel[-1] - 1))
            most = (shape[axis] - 1 + padding[-1]) // stride[-1] + 1
            out.append(shape[axis] if keep else self.pick(max(1, most - 2), most))
        channels = self.pick(2, 5) if kind == "conv2d" and not keep else shape[2]
        return self.put(
            kind,
            (source,),
            (out[0], out[1], channels),
            tuple(kernel),
            tuple(stride),
            tuple(padding),
        )

    def add(self, one: int, other: int) -> int:
        return self.put("add", (one, other), self.shape(one))

    def linear(self, source: int, outputs: int) -> int:
        return self.put("linear", (source,), (1, 1, outputs))

    def mean(self, source: int) -> int:
        height, width, channels = self.shape(source)
        windows = ((height, width), (1, 1), (0, 0))
        return self.put(MEAN, (source,), (1, 1, channels), *windows)

    def block(self) -> None:
        start = self.here
        choice = self.random.choice(["plain", "plain", "residual", "twice", "three", "two heads"])
        weighted = [str(one) for one in self.random.permutation(["conv2d", "depthwise"])]
        if choice == "plain":
            kind = self.random.choice(["conv2d", "depthwise", "maxpool", "avgpool"])
            self.windowed(str(kind), start)
        elif choice == "residual":
            self.add(start, self.windowed(weighted[0], start, keep=True))
        elif choice == "twice":
            self.add(start, start)
        elif choice == "three":
            branch = self.windowed(weighted[0], start, keep=True)
            other = self.windowed(weighted[1], start, keep=True)
            self.add(self.add(other, start), branch)
        else:
            pooled = self.windowed(
                str(self.random.choice(["maxpool", "avgpool"])), start, keep=True
            )
            self.add(self.windowed(weighted[0], start, keep=True), pooled)

    def numbers(self, index: int) -> tuple[Affine, Parameters | None]:
        layer, kind, random = self.layers[index], self.kinds[index], self.random
        # Far zero points now and then: most outputs are at a bound there, and stop the errors.
        far = 128 if self.pick(0, 7) == 0 else 30
        zeros = random.integers(-far, far, 3).tolist()
        low, high = -128, 127
        bounded = self.pick(0, 3)
        if bounded == 1:
            low = zeros[1]
        elif bounded == 2:
            low, high = zeros[1] // 2 - self.pick(20, 60), zeros[1] // 2 + self.pick(20, 60)
        count = {"add": 3, "maxpool": 0, "avgpool": 0, MEAN: 1}.get(kind, layer.rows)
        multiplier = random.integers(1 << 30, 1 << 31, count)
        shift = np.zeros(count, np.int64)
        if layer.has_weights:
            # So that outputs fill int8: |w| and |a - z| are about 64 and 74.
            usual = -round(log2(64 * 74 * layer.row_length**0.5 / 50))
            shift = usual + random.integers(-2, 2, count)
            if count > 1 and self.pick(0, 3) == 0:
                multiplier[0], shift[0] = 0, self.pick(-31, 4)
        elif kind == "add":
            # Each input about halved, and the sum brought back from 20 bits.
            shift = np.array([self.pick(-2, 0), self.pick(-2, 0), self.pick(-20, -19)])
        elif kind == MEAN:
            multiplier = random.integers(1 << 29, 1 << 31, count)
            shift -= round(log2(prod(layer.kernel)))
        if kind in ("maxpool", "avgpool"):
            zeros[1] = zeros[0]
        held = None
        if layer.has_weights:
            weights = random.integers(-127, 128, (layer.rows, layer.row_length), dtype=np.int8)
            held = Parameters(weights, 0)
        affine = Affine(
            (zeros[0], zeros[2])[: len(layer.inputs)],
            zeros[1],
            max(low, -128),
            min(high, 127),
            random.integers(-2000, 2000, layer.rows).astype(np.int32),
            multiplier.astype(np.int32),
            shift.astype(np.int32),
        )
        return affine, held


def trainable_network(seed: int) -> Network:
    """Of a seed always the same one."""
    drawing = Drawing(seed)
    if drawing.pick(0, 4):
        drawing.windowed("conv2d", -1)
    for _ in range(drawing.pick(1, 4)):
        drawing.block()
    ending = drawing.pick(0, 5)
    if ending == 0 and prod(drawing.shape(drawing.here)) <= 256:
        drawing.windowed("conv2d", drawing.here)
    if ending in (1, 2):
        drawing.mean(drawing.here)
    ends_well = 2 <= prod(drawing.shape(drawing.here)) <= 256
    weighted = any(layer.has_weights for layer in drawing.layers)
    if ending > 1 or not ends_well or not weighted:
        drawing.linear(drawing.here, drawing.pick(2, 6))
    affine, parameters = zip(
        *(drawing.numbers(index) for index in range(len(drawing.layers))), strict=True
    )
    scale = (drawing.pick(1 << 15, (1 << 16) - 1), drawing.pick(-12, 0))
    return Network(
        f"trainable-{seed}", drawing.input, tuple(drawing.layers), parameters, affine, scale
    )
