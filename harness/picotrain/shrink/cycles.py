"""Milliseconds on a Pico, from a model of its cycles that what was measured corrects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from picotrain.device.meter import CLOCK_HZ
from picotrain.learn.architectures.architecture import Architecture
from picotrain.profile.fit.model import load
from picotrain.profile.fit.terms.affine import forward, pool_forward
from picotrain.profile.fit.terms.shapes import Shape
from picotrain.quantise.graph import FloatLayer
from picotrain.shrink.costs import Cost
from picotrain.shrink.groups import Groups, resized

Model = Callable[[Architecture], float]
"""Cycles of one inference."""


def predicted(architecture: Architecture) -> float:
    """By the cost model (docs/fit.md), of usual factors; smooth where channels are floats."""
    model = load()
    total = 0.0
    for layer in architecture.layers:
        shape = Shape.of(layer)
        pool = layer.kind in ("avgpool", "maxpool")
        terms = pool_forward(shape, FloatLayer(layer).is_mean) if pool else forward(shape)
        total += model.cycles(terms)
    height, width, channels = architecture.input_shape
    around = {
        "steps": 1,
        "operations": len(architecture.layers) + 1,
        "image words": height * width * channels / 4,
    }
    return total + float(model.cycles(around))


class Milliseconds(Cost):
    """Of one inference at 125 MHz, from SRAM."""

    name, unit, varies = "ms", "ms", 0.05

    def __init__(
        self, architecture: Architecture, groups: Groups, model: Model = predicted
    ) -> None:
        super().__init__(architecture, groups)
        self._model = model
        self._factor = 1.0
        self.known = False
        self._rounding = model(architecture) / self._smooth(groups.sizes)
        self._seen: dict[tuple[int, ...], float] = {}

    @property
    def factor(self) -> float:
        """What was measured over what the model said."""
        return self._factor

    def correct(self, architecture: Architecture, measured_cycles: float) -> None:
        """From now on the model says of this architecture what was measured."""
        self.use(measured_cycles / self._model(architecture))

    def use(self, factor: float) -> None:
        self._factor, self.known = factor, True
        self._known.clear()

    def note(self, counts: Sequence[int], ms: float) -> None:
        """Of so many channels this was measured, whatever the model says of them."""
        self._seen[tuple(counts)] = ms

    def value(self, counts: Sequence[int]) -> float:
        seen = self._seen.get(tuple(counts))
        return super().value(counts) if seen is None else seen

    def exact(self, architecture: Architecture) -> float:
        return self._factor * self._model(architecture) / CLOCK_HZ * 1000

    def guide(self, counts: Sequence[int]) -> float:
        """Without the steps of kernels that take channels in fours and eights: they are in it on
        the whole."""
        return self._factor * self._rounding * self._smooth(counts) / CLOCK_HZ * 1000

    def _smooth(self, counts: Sequence[int]) -> float:
        # A channel that is no int is a number like any other to the model.
        floats: list[Any] = [float(one) for one in counts]
        return self._model(resized(self.architecture, self.groups, floats))
