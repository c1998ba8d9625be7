"""A gate for each channel: open or shut forward, a real number that learns backward.

A gate is open while its number is at least a half. All begin at 1. What a channel is worth is the
loss that shutting it would cost, by its Fisher information (arXiv 1801.05787): half the mean square
of the loss's gradient by the gate, image by image. The gradient goes through the step as if it were
not there, so that a shut gate can open again. Near 1 the loss is a parabola with that curvature; a
gate takes a part of Newton's step on it, on the gradient and on the penalty: it shuts where a
channel costs more than it is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.shrink.groups import Groups, Kept, counts_of
from picotrain.shrink.limits import Limits

OPEN = 0.5
_STEP = 0.05
"""The part of Newton's step that a batch takes: it averages over some 20 of them."""
_MEMORY = 0.98
"""Of the Fisher information and of the gradients, from batch to batch."""
_BATCHES = (1 + _MEMORY) / (1 - _MEMORY)
"""That a mean with this memory is as good as."""
_NOISE = 4.0
"""Of the variance of a mean gradient: what its square must exceed to count."""
_FIRST = 10
"""Batches that are only looked at."""
_FLOOR = 1e-3
"""Of a group's mean worth: no channel is worth less, or a step would have no bounds."""
_SOFT = 0.05
"""Of a limit: up to so far above it the penalty bends, so that gates come to rest there."""
_GROWTH = math.exp(6)
"""By how much the strength of a penalty grows over the second half while its limit is far; while it
is met the strength falls as fast, so that gates do not all shut and open together."""

Values = list[NDArray[np.float64]]


@dataclass
class Penalty:
    """`strength` is the warm-up loss over the excess at the beginning."""

    strength: float
    now: float = 0.0


class Gates:
    """Those of all free groups, over `steps` batches."""

    def __init__(self, groups: Groups, limits: Limits, kept: Kept, loss: float, steps: int) -> None:
        self._groups, self._limits, self._steps = groups, limits, max(1, steps)
        self._step = 0
        self._allowed = kept
        self.values: Values = [one.astype(np.float64) for one in kept]
        self._worth: Values = [np.zeros(size) for size in groups.sizes]
        self._drift: Values = [np.zeros(size) for size in groups.sizes]
        self._seen = 0.0
        self._counts: tuple[int, ...] = ()
        self._over: list[float] = []
        self._slopes: Values = []
        self._look(counts_of(kept))
        self.penalties = [Penalty(loss / excess if excess else 0.0) for excess in self._over]
        self._leaves: dict[int, Any] = {}

    @property
    def kept(self) -> Kept:
        """The channels whose gates are open; of each group one at the least."""
        found = tuple(one >= OPEN for one in self.values)
        for number, one in enumerate(found):
            if not one.any():
                one[int(np.argmax(self.values[number]))] = True
        return found

    @property
    def worth(self) -> Values:
        """The loss that each channel saves, as it was seen last."""
        return [np.maximum(one, self._floor(one)) for one in self._worth]

    def leaves(self, torch: Any, count: int) -> None:
        """Gates for a batch of so many images, for `of`."""
        self._leaves = {}
        for number, one in enumerate(self.kept):
            if self._groups.free[number]:
                row = torch.from_numpy(one.astype(np.float32))
                self._leaves[number] = row.repeat(count, 1).requires_grad_()

    def of(self, number: int, counts: bool) -> Any:
        """[N, C] of a group, None of one that is not free. Where it does not `count` it is a
        constant."""
        leaf = self._leaves.get(number)
        return leaf if leaf is None or counts else leaf.detach()

    def penalty(self) -> float:
        """What is added to the loss now."""
        self._look(counts_of(self.kept))
        return sum(one.now * excess for one, excess in zip(self.penalties, self._over, strict=True))

    def learn(self) -> None:
        """From the gradients of a batch."""
        self._step += 1
        kept = self.kept
        pull = self._pull(counts_of(kept))
        self._seen = _MEMORY * self._seen + 1 - _MEMORY
        for number, leaf in self._leaves.items():
            # The loss is a mean over the batch, but the information is that of an image.
            each = leaf.grad.numpy().astype(np.float64) * len(leaf)
            self._inform(number, kept[number], each)
            if self._step > _FIRST:
                self._move(number, self._gradient(number, len(each)), pull[number])
        self._leaves = {}

    def _inform(self, number: int, there: NDArray[np.bool_], each: NDArray[np.float64]) -> None:
        # Of a shut gate the gradient says what opening would give, not what was lost.
        seen = np.square(each).mean(axis=0) / 2
        rate = (1 - _MEMORY) / self._seen
        self._worth[number][there] += rate * (seen - self._worth[number])[there]
        self._drift[number] += rate * (each.mean(axis=0) - self._drift[number])

    def _gradient(self, number: int, images: int) -> NDArray[np.float64]:
        """Its mean, as far as it stands out of the noise that the Fisher information says: of an
        open gate in a trained network it is nothing else."""
        mean = self._drift[number]
        variance = 2 * self._worth[number] / (images * _BATCHES)
        share = 1 - _NOISE * variance / np.maximum(np.square(mean), 1e-30)
        found: NDArray[np.float64] = mean * np.maximum(share, 0)
        return found

    def _move(self, number: int, slope: NDArray[np.float64], pull: float) -> None:
        worth = 2 * np.maximum(self._worth[number], self._floor(self._worth[number]))
        aim = np.clip(1 - (slope + pull) / worth, -1, 2)
        values = self.values[number]
        values += _STEP * (aim - values)
        np.clip(values, 0, 1, out=values)
        values[~self._allowed[number]] = 0

    def _look(self, counts: tuple[int, ...]) -> None:
        """What the costs are, where they are not those of the batch before."""
        if counts == self._counts:
            return
        self._counts = counts
        self._over = [limit.guide(counts) for limit in self._limits]
        self._slopes = [
            limit.cost.slope(counts) if over else np.zeros(len(counts))
            for limit, over in zip(self._limits, self._over, strict=True)
        ]

    def _pull(self, counts: tuple[int, ...]) -> NDArray[np.float64]:
        """The slope of the penalty, by group; ramped up over the first half of the batches."""
        self._look(counts)
        half = self._steps / 2
        ramp = min(1.0, self._step / half)
        total = np.zeros(len(counts))
        for penalty, limit, excess, slope in zip(
            self.penalties, self._limits, self._over, self._slopes, strict=True
        ):
            over = excess / limit.most
            if over > _SOFT and self._step > half:
                penalty.strength *= _GROWTH ** (1 / half)
            elif not over:
                penalty.strength /= _GROWTH ** (1 / half)
            penalty.now = penalty.strength * ramp
            if over:
                total += penalty.now * min(1.0, over / _SOFT) * slope
        return total

    @staticmethod
    def _floor(worth: NDArray[np.float64]) -> float:
        return _FLOOR * float(worth.mean()) + 1e-12

    def state(self) -> dict[str, Any]:
        """For `restore`, to go on as if nothing had been between."""
        return {
            "step": self._step,
            "seen": self._seen,
            "values": [one.tolist() for one in self.values],
            "worth": [one.tolist() for one in self._worth],
            "drift": [one.tolist() for one in self._drift],
            "strengths": [one.strength for one in self.penalties],
            "now": [one.now for one in self.penalties],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._step, self._seen = state["step"], state["seen"]
        self.values = [np.array(one) for one in state["values"]]
        self._worth = [np.array(one) for one in state["worth"]]
        self._drift = [np.array(one) for one in state["drift"]]
        self.penalties = [
            Penalty(one, now) for one, now in zip(state["strengths"], state["now"], strict=True)
        ]
