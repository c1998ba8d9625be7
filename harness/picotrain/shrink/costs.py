"""What a network costs on a device: the exact number, which decides, and its slope, which guides.

A slope is by how much a cost falls for each channel less in a group. Most are differences of exact
costs. Peak RAM is a maximum over operations, whose difference sees one of them: it is smoothed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from picotrain.device.blob import blob_size
from picotrain.image.firmware import layout
from picotrain.learn.architectures.architecture import Architecture
from picotrain.shrink.groups import Groups, changed_groups, fewer, outline, reads, resized
from picotrain_golden import Method, Plan, plan

Slope = NDArray[np.float64]
"""[groups]; 0 where a group can lose nothing."""

_SMOOTHNESS = 0.03
"""Operations whose bytes are within about so much of the peak share its slope."""


class Cost(ABC):
    """One kind of cost of networks of one architecture, by the channels of its groups."""

    name = ""
    unit = ""
    known = True
    """Without a measurement."""
    varies = 0.0
    """By which share what weights become may change it: a kernel leaves out zeros."""

    def __init__(self, architecture: Architecture, groups: Groups) -> None:
        self.architecture, self.groups = architecture, groups
        self._known: dict[tuple[int, ...], float] = {}

    @abstractmethod
    def exact(self, architecture: Architecture) -> float:
        """Of an architecture that may be smaller than this one."""

    def value(self, counts: Sequence[int]) -> float:
        key = tuple(counts)
        if key not in self._known:
            self._known[key] = self.exact(resized(self.architecture, self.groups, key))
        return self._known[key]

    def guide(self, counts: Sequence[int]) -> float:
        """What training goes by: a number that no channel less makes larger."""
        return self.value(counts)

    def slope(self, counts: Sequence[int]) -> Slope:
        return self._differences(self.guide, counts)

    def _differences(self, of: Callable[[Sequence[int]], float], counts: Sequence[int]) -> Slope:
        found = np.zeros(len(counts))
        now = of(counts)
        for number in changed_groups(self.groups, counts):
            less = fewer(self.groups, counts, number)
            found[number] = (now - of(less)) / (counts[number] - less[number])
        return np.maximum(found, 0)

    def least(self) -> float:
        """With one channel in every group that may lose some."""
        return self.value(self.groups.least())


class Macs(Cost):
    """Multiply-accumulates of one inference, padding counted, as `picotrain profile` has them."""

    name, unit = "macs", "MACs"

    def exact(self, architecture: Architecture) -> float:
        return sum(layer.macs for layer in architecture.layers)


class Flash(Cost):
    """Bytes of the model in flash: its blob."""

    name, unit = "flash", "bytes"

    def exact(self, architecture: Architecture) -> float:
        return blob_size(outline(architecture), layout())


class Ram(Cost):
    """Bytes of the least arena of a method, by the memory plan; weights in flash if `lean`."""

    name, unit = "ram", "bytes"

    def __init__(
        self, architecture: Architecture, groups: Groups, method: Method, lean: bool
    ) -> None:
        super().__init__(architecture, groups)
        self._method, self._lean = method, lean

    def _plan(self, architecture: Architecture) -> Plan:
        network = outline(architecture)
        blob = 0 if self._lean else blob_size(network, layout())
        return plan(network, self._method, blob)

    def exact(self, architecture: Architecture) -> float:
        return self._plan(architecture).total

    def slope(self, counts: Sequence[int]) -> Slope:
        """Half of it is a difference of exact plans, which sees where buffers really lie, and half
        that of the smoothed peak, which sees all operations that are near it."""
        found: Slope = self._differences(self.value, counts) + self._smooth(counts)
        if self._lasting(counts):  # Weights and scores in the arena: there is no peak to smooth.
            found += self._differences(self._lasting, counts)
        return found / 2

    def guide(self, counts: Sequence[int]) -> float:
        """The most bytes that are in use at once: the plan may need more, because buffers do not
        move."""
        made = self._plan(resized(self.architecture, self.groups, counts))
        used = np.zeros(1 + max(buffer.last for buffer in made.buffers))
        for buffer in made.buffers:
            used[buffer.first : buffer.last + 1] += buffer.size
        return made.blob + made.scores + made.io_minimum + float(used.max())

    def _lasting(self, counts: Sequence[int]) -> int:
        made = self._plan(resized(self.architecture, self.groups, counts))
        return made.blob + made.scores

    def _smooth(self, counts: Sequence[int]) -> Slope:
        """Of the bytes in use at each operation, a mean that is weighted towards the peak."""
        less = tuple(
            fewer(self.groups, counts, number)[number] if free else counts[number]
            for number, free in enumerate(self.groups.free)
        )
        now, then = (
            self._plan(resized(self.architecture, self.groups, one)) for one in (counts, less)
        )
        smaller = {buffer.name: buffer.size for buffer in then.buffers}
        steps = 1 + max(buffer.last for buffer in now.buffers)
        used = np.zeros(steps)
        rates = np.zeros((steps, len(counts)))
        for buffer in now.buffers:
            alive = slice(buffer.first, buffer.last + 1)
            used[alive] += buffer.size
            number = self._decides(buffer.kind, buffer.layer)
            if counts[number] > less[number]:
                saved = buffer.size - smaller.get(buffer.name, 0)
                rates[alive, number] += saved / (counts[number] - less[number])
        weights = np.exp((used - used.max()) / (_SMOOTHNESS * used.max()))
        found: Slope = np.maximum(weights @ rates / weights.sum(), 0)
        return found

    def _decides(self, kind: str, layer: int) -> int:
        """The group whose channels a buffer is as large as: an operation's scratch is made for
        what it reads."""
        if kind != "scratch":
            return self.groups.made(layer)
        return self.groups.made(reads(self.architecture, layer)[0])
