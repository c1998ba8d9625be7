"""Training what was cut: the head alone behind a trunk that stays as it is, or all of it."""

from __future__ import annotations

from typing import Any

from picotrain.datasets import Dataset
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.training import FloatOptions
from picotrain.shrink.depth.cuts import Cut
from picotrain.shrink.groups import groups_of
from picotrain.shrink.pruning.training import GatedTraining
from picotrain_golden.network import Layer

EPOCHS, RATE = 50, 1e-3
_SHARES = ((0.4, 1.0), (0.6, 0.5), (1.0, 0.25))
"""Up to which share of the epochs which share of the first step size holds."""


def factor(epoch: int, epochs: int) -> float:
    """Of the first step size, in an epoch from 0."""
    return next((part for end, part in _SHARES if epoch < round(end * epochs)), _SHARES[-1][1])


class DepthTraining(GatedTraining):
    """By Adam, without gates; up to `frozen` no layer learns, and norms use what they know."""

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        options: FloatOptions,
        torch: Any,
        frozen: Cut | None,
    ) -> None:
        super().__init__(architecture, dataset, options, torch, groups_of(architecture))
        self._frozen = -1 if frozen is None else frozen.index
        for name, values in self._named().items():
            if int(name.rpartition("_")[2]) <= self._frozen:
                values.requires_grad_(False)

    def _made(self, index: int, layer: Layer, reads: list[Any], learn: bool) -> Any:
        return super()._made(index, layer, reads, learn and index > self._frozen)

    def _trained(self) -> tuple[list[Any], list[Any]]:
        weights, others = (
            [one for one in part if one.requires_grad] for part in super()._trained()
        )
        return weights, others

    def _optimise(self, rate: float, epochs: int) -> None:
        weights, others = self._trained()
        self._optimiser = self._torch.optim.Adam([*weights, *others], lr=rate)
        batches = self._batches
        self._schedule = self._torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: factor(step // batches, epochs)
        )
