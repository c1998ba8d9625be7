"""Milliseconds on a Pico, from a model of its cycles that what was measured corrects."""

from __future__ import annotations

from collections.abc import Callable

from picotrain.learn.adapt import CLOCK_HZ
from picotrain.learn.architectures.architecture import Architecture
from picotrain.shrink.costs import Cost
from picotrain.shrink.groups import Groups

Model = Callable[[Architecture], float]
"""Cycles of one inference."""

_A_MAC = {"conv2d": 6.0, "depthwise": 15.0, "linear": 6.0}
_AN_OUTPUT = {"conv2d": 60.0, "depthwise": 60.0, "linear": 60.0, "add": 60.0}
_OTHERS = 10.0


def rough(architecture: Architecture) -> float:
    """So many cycles a MAC and an output, by the kind of layer: its scale is to be corrected."""
    total = 0.0
    for layer in architecture.layers:
        height, width, channels = layer.out_shape
        each = _AN_OUTPUT.get(layer.kind, _OTHERS)
        total += _A_MAC.get(layer.kind, 0.0) * layer.macs + each * height * width * channels
        if layer.kind in ("avgpool", "maxpool"):
            total += _OTHERS * layer.in_shape[0] * layer.in_shape[1] * channels
    return total


class Milliseconds(Cost):
    """Of one inference at 125 MHz, from SRAM."""

    name, unit = "ms", "ms"

    def __init__(self, architecture: Architecture, groups: Groups, model: Model = rough) -> None:
        super().__init__(architecture, groups)
        self._model = model
        self._factor = 1.0
        self.known = False

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

    def exact(self, architecture: Architecture) -> float:
        return self._factor * self._model(architecture) / CLOCK_HZ * 1000
