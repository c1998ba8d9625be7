"""Networks that nobody would train: what the cost model is fitted to, and some that it is checked
on. Of a seed always the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.reader import parse

_ACTIVATIONS = ("relu", "relu", "relu6", "none")
_MOST_MACS = 4_000_000


class _Drawing:
    """An affine graph that grows from its input; `here` names what the next layer reads."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng([seed, 19])
        self.layers: list[dict[str, Any]] = []
        self.size = self.pick(6, 32), self.pick(6, 32)
        self.channels = self.choose(1, 1, 2, 3, 3, 4, 6)

    def pick(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def choose(self, *options: Any) -> Any:
        return options[self.pick(0, len(options) - 1)]

    def put(self, kind: str, **keys: Any) -> str:
        name = f"n{len(self.layers)}"
        self.layers.append({"kind": kind, "name": name, **keys})
        return name

    def shrink(self, stride: tuple[int, int]) -> None:
        self.size = (-(-self.size[0] // stride[0]), -(-self.size[1] // stride[1]))

    def width(self) -> int:
        """Channels: mostly a multiple of 4, as networks for such chips have them."""
        most = 4_000 // max(1, self.size[0] * self.size[1] // 8) + 8
        low: int = self.choose(4, 8, 8, 16, 24, 32, 48, 64)
        value = min(low, max(4, most // 4 * 4))
        return value if self.pick(0, 2) else max(2, value - self.pick(1, 3))

    def conv2d(self, kernel: int | tuple[int, int], stride: int = 1, **keys: Any) -> str:
        pair = (kernel, kernel) if isinstance(kernel, int) else kernel
        channels = keys.pop("channels", None) or self.width()
        name = self.put(
            "conv2d",
            channels=channels,
            kernel=list(pair),
            stride=stride,
            padding="same",
            activation=keys.pop("activation", None) or self.choose(*_ACTIVATIONS),
            **keys,
        )
        self.shrink((stride, stride))
        self.channels = channels
        return name

    def depthwise(self, kernel: int, stride: int = 1) -> str:
        name = self.put(
            "depthwise",
            kernel=kernel,
            stride=stride,
            padding="same",
            activation=self.choose(*_ACTIVATIONS),
        )
        self.shrink((stride, stride))
        return name

    def pool(self) -> None:
        kind, step = self.choose("maxpool", "avgpool"), self.choose(2, 2, 3)
        if min(self.size) < step:
            return
        self.put(kind, kernel=step)
        self.size = self.size[0] // step, self.size[1] // step

    def valid(self) -> None:
        kernel = self.choose(2, 3, 5)
        if min(self.size) < kernel:
            return
        channels = self.width()
        self.put("conv2d", channels=channels, kernel=kernel, activation="relu")
        self.size = self.size[0] - kernel + 1, self.size[1] - kernel + 1
        self.channels = channels

    def block(self) -> None:
        room = self.size[0] * self.size[1]
        stride = self.choose(1, 1, 2) if min(self.size) > 3 else 1
        match self.choose("conv", "separable", "inverted", "residual", "pool", "valid", "dw"):
            case "conv":
                self.conv2d(self.choose(1, 2, 3, 3, 5, (1, 5), (3, 1)), stride)
            case "separable":
                self.depthwise(3, stride)
                self.conv2d(1)
            case "inverted":
                wide = self.channels * self.choose(2, 3, 4)
                if wide * room > 12_000:
                    return
                before, channels = self.layers[-1]["name"], self.channels
                self.conv2d(1, channels=wide)
                self.depthwise(3)
                after = self.conv2d(1, channels=channels, activation="none")
                self.put("add", inputs=[after, before], activation=self.choose("none", "relu"))
            case "residual":
                before, channels = self.layers[-1]["name"], self.channels
                self.conv2d(3, channels=channels)
                after = self.conv2d(3, channels=channels, activation="none")
                self.put("add", inputs=[after, before], activation=self.choose("none", "relu"))
            case "pool":
                self.pool()
            case "valid":
                self.valid()
            case _:
                self.depthwise(self.choose(2, 3, 5), stride)

    def document(self, name: str, blocks: int) -> dict[str, Any]:
        shape = [*self.size, self.channels]
        self.conv2d(self.choose(1, 3, 3, 5), self.choose(1, 2))
        for _ in range(blocks):
            self.block()
        if self.pick(0, 2):
            self.put("avgpool", **{"global": True})
        elif self.pick(0, 1):
            self.put("linear", outputs=self.pick(10, 60), activation="relu")
        self.put("linear", outputs=self.pick(2, 12))
        return {"form": "affine", "name": name, "input": shape, "layer": self.layers}


def forked(seed: int) -> Architecture:
    """Whose pool, and one of whose sums, reads what a later layer reads too: of what goes back
    through them there is something to be added to. None of the drawn ones does that."""
    drawing = _Drawing(seed)
    drawing.size = drawing.pick(3, 12) * 2, drawing.pick(3, 12) * 2
    shape = [*drawing.size, drawing.channels]
    channels = drawing.choose(4, 8, 12, 16)
    first = drawing.conv2d(3, channels=channels)
    kind = ("maxpool", "avgpool")[seed % 2]
    pooled = drawing.put(kind, kernel=2, inputs=[first])
    other = drawing.conv2d(3, 2, channels=channels, activation="none", inputs=[first])
    total = drawing.put("add", inputs=[pooled, other])
    drawing.put("add", inputs=[total, other], activation=drawing.choose("none", "relu"))
    drawing.put("linear", outputs=drawing.pick(2, 12))
    name = f"forked-{seed}"
    document = {"form": "affine", "name": name, "input": shape, "layer": drawing.layers}
    return parse(document, name)


def _chain(name: str, seed: int) -> dict[str, Any]:
    """Of the power-of-two form."""
    random = np.random.default_rng([seed, 20])

    def pick(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    size, channels = [pick(8, 32), pick(8, 32)], (1, 1, 2, 3, 4)[pick(0, 4)]
    shape = [*size, channels]
    layers: list[dict[str, Any]] = []
    for _ in range(pick(1, 4)):
        kernel = (1, 3, 3, 3, 5)[pick(0, 4)]
        padding = pick(0, kernel // 2)
        stride = 2 if pick(0, 4) == 0 else 1
        new = [(one + 2 * padding - kernel) // stride + 1 for one in size]
        if min(new) < 2:
            break
        channels = (4, 8, 8, 8, 16, 16, 24, 32)[pick(0, 7)] - (pick(1, 3) if pick(0, 4) == 0 else 0)
        layers.append(
            {
                "kind": "conv2d",
                "channels": channels,
                "kernel": kernel,
                "stride": stride,
                "padding": padding,
                "relu": pick(0, 5) > 0,
            }
        )
        size = new
        if min(size) >= 4 and pick(0, 1):
            layers.append({"kind": "maxpool2"})
            size = [one // 2 for one in size]
    for _ in range(pick(0, 2)):
        layers.append({"kind": "linear", "outputs": pick(8, 80), "relu": True})
    layers.append({"kind": "linear", "outputs": pick(2, 12)})
    return {"name": name, "input": shape, "layer": layers}


def architecture(seed: int, affine: bool = True) -> Architecture:
    """Small enough for a Pico that trains it, or nearly."""
    for attempt in range(100):
        name = f"drawn-{seed}" if affine else f"chain-{seed}"
        number = seed * 100 + attempt
        if affine:
            drawing = _Drawing(number)
            document = drawing.document(name, drawing.pick(1, 6))
        else:
            document = _chain(name, number)
        made = parse(document, name)
        macs = sum(layer.macs for layer in made.layers if layer.has_weights)
        if 50_000 <= macs <= _MOST_MACS and made.weight_count <= 60_000:
            return made
    raise ValueError(f"seed {seed} draws no network of a fitting size")
