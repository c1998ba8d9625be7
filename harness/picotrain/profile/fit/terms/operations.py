"""The operations of a step, each with its terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from picotrain.profile.fit.terms import affine, affine_backward, chain
from picotrain.profile.fit.terms.activity import Activity
from picotrain.profile.fit.terms.affine import Masks, Terms
from picotrain.profile.fit.terms.affine_backward import Target
from picotrain.profile.fit.terms.shapes import Shape
from picotrain_golden import Method, Network, Selection, learning, operations, scored_counts
from picotrain_golden.operators.scales import row_weights

_MOST_POSITIONS, _MOST_AFFINE_POSITIONS = 1048, 518
"""Of pt_trainer.c and pt_affine_step.c: with more a gradient is halved before its weight."""


@dataclass(frozen=True)
class Counted:
    phase: str
    layer: int
    terms: Terms


class Steps:
    """What a network, a method and a selection do in each step."""

    def __init__(
        self, network: Network, method: Method, selection: Selection | None = None
    ) -> None:
        self.network, self.method = network, method
        self.selection = selection if method.selects else None
        self.masks = _masks(network, method, self.selection)
        self.learns = learning(network, self.selection)
        self.listed = operations(network, method, self.selection)

    def counted(self, seen: Sequence[Activity]) -> Iterator[Counted]:
        for phase, index in self.listed:
            yield Counted(phase, index, self.terms(phase, index, seen[index]))

    def terms(self, phase: str, index: int, seen: Activity) -> Terms:
        if phase == "loss":
            return self._loss()
        shape = Shape.of(self.network.layers[index])
        if self.network.affine:
            return self._affine(phase, index, shape, seen)
        return self._chain(phase, index, shape, seen)

    def _affine(self, phase: str, index: int, shape: Shape, seen: Activity) -> Terms:
        masks, dynamic, scored = self.masks[index], self.method.dynamic, self.method.scored
        if phase == "forward":
            return affine.forward(shape, self.network.affine[index], masks, seen)
        if phase == "error":
            return affine_backward.error(shape, self._targets(index), masks, seen, dynamic)
        rows = shape.out_c if self.selection is None else self.selection.count(index)
        halved = shape.positions > _MOST_AFFINE_POSITIONS
        return affine_backward.update(shape, rows, masks, seen, halved, scored, dynamic)

    def _chain(self, phase: str, index: int, shape: Shape, seen: Activity) -> Terms:
        masks, dynamic, scored = self.masks[index], self.method.dynamic, self.method.scored
        layers = self.network.layers
        if phase == "forward":
            return chain.forward(shape, masks, seen, layers[index].relu, dynamic)
        if phase == "error":
            return chain.error(shape, masks, seen, layers[index - 1].relu, dynamic)
        halved = shape.positions > _MOST_POSITIONS
        return chain.update(shape, masks, seen, halved, scored, dynamic)

    def around(self) -> Terms:
        """What a step does beside its operations."""
        height, width, channels = self.network.input_shape
        return {
            "steps": 1,
            "operations": len(self.listed),
            "image words": height * width * channels / 4,
        }

    def _loss(self) -> Terms:
        classes = self.network.classes
        if not self.method.goes_back:
            return {"prediction": 1, "predicted classes": classes}
        of = affine_backward.loss if self.network.affine else chain.loss
        return of(classes)

    def _targets(self, index: int) -> list[Target]:
        """Of the tensors that the layer reads, those that learn, as often as it reads them."""
        network = self.network
        reads = network.reads(index)
        return [
            self._target(number, index, place, reads)
            for place, number in enumerate(reads)
            if number >= 0 and self.learns[number]
        ]

    def _target(self, number: int, index: int, place: int, reads: tuple[int, ...]) -> Target:
        network = self.network
        readers = [
            layer
            for layer in range(len(network.layers))
            if number in network.reads(layer) and self.learns[layer]
        ]
        layer, integers = network.layers[number], network.affine[number]
        weighted = float((row_weights(integers) != 128).mean()) if layer.has_weights else 0.0
        return Target(
            layer.out_shape,
            first=index == max(readers) and number not in reads[:place],
            last=index == min(readers) and number not in reads[place + 1 :],
            weighted=weighted,
            rows=layer.rows,
            masked=affine.stops(integers),
        )


def _masks(network: Network, method: Method, selection: Selection | None) -> list[Masks]:
    layers = network.layers
    if not method.scored:
        return [Masks()] * len(layers)
    if selection is not None:
        counts = [selection.count(i) * layer.row_length for i, layer in enumerate(layers)]
    elif method.name == "priot":
        return [Masks("all") if layer.has_weights else Masks() for layer in layers]
    else:
        counts = list(scored_counts([layer.weight_count for layer in layers], method.permille))
    return [Masks("some", count) if count else Masks() for count in counts]
