"""The flame graph: one box per function and chain of calls, as wide as its cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from picotrain.device.cycles import CallNode
from picotrain.profile.costs import depth_first


@dataclass(frozen=True)
class FlameBox:
    """A function reached through one chain of calls.

    `start` and `cycles` (with its callees') are its place among all cycles; `own` those without
    its callees'; `depth` is 0 at the root.
    """

    name: str
    depth: int
    start: int
    cycles: int
    own: int
    calls: int


@dataclass
class _Frame:
    """Calls of one function from one chain of calls, whichever places they came from."""

    name: str
    own: int = 0
    calls: int = 0
    cycles: int = 0
    callees: dict[str, _Frame] = field(default_factory=dict)

    def callee(self, name: str) -> _Frame:
        return self.callees.setdefault(name, _Frame(name))


def flame_boxes(nodes: Sequence[CallNode], names: Sequence[str]) -> tuple[FlameBox, ...]:
    """The boxes of a call tree, each before its callees, the widest callee first.

    `names` holds the function of each node. What took no cycles is left out.
    """
    top = _Frame("")
    frames: dict[int, _Frame] = {-1: top}
    order = depth_first(nodes)
    for index in order:
        node = nodes[index]
        frame = frames[index] = frames[node.parent].callee(names[index])
        frame.own += node.cycles
        frame.calls += node.calls
    _add_up(top)
    boxes: list[FlameBox] = []
    waiting = [(top, -1, 0)]
    while waiting:
        frame, depth, start = waiting.pop()
        if depth >= 0:
            boxes.append(FlameBox(frame.name, depth, start, frame.cycles, frame.own, frame.calls))
        callees = sorted(frame.callees.values(), key=lambda one: (-one.cycles, one.name))
        below = []
        for callee in callees:
            if callee.cycles:
                below.append((callee, depth + 1, start))
                start += callee.cycles
        waiting += reversed(below)
    return tuple(boxes)


def _add_up(top: _Frame) -> None:
    """Set `cycles` of every frame."""
    order, waiting = [], [top]
    while waiting:
        order.append(frame := waiting.pop())
        waiting += frame.callees.values()
    for frame in reversed(order):
        frame.cycles = frame.own + sum(callee.cycles for callee in frame.callees.values())
