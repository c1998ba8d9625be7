"""From terms to cycles: what each term costs, fitted once, and the cycles of a step with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from picotrain.profile.fit.terms.activity import Activity, Lists
from picotrain.profile.fit.terms.affine import Terms, stops
from picotrain.profile.fit.terms.operations import Steps
from picotrain.profile.fit.terms.shapes import Number
from picotrain_golden import Method, Network, Selection

COEFFICIENTS = Path(__file__).with_name("coefficients.json")
"""Made by `make cost-model`."""


@dataclass(frozen=True)
class OperationCycles:
    phase: str
    layer: int
    kind: str
    cycles: float


@dataclass(frozen=True)
class Prediction:
    """Cycles of one step, a mean over those that were looked at."""

    operations: tuple[OperationCycles, ...]
    around: float
    """What is no operation: the image, the loop over operations."""

    @property
    def total(self) -> float:
        return self.around + sum(one.cycles for one in self.operations)

    def of(self, *phases: str) -> float:
        return sum(one.cycles for one in self.operations if one.phase in phases)

    @property
    def backward(self) -> float:
        return self.of("error", "update")


@dataclass(frozen=True)
class CostModel:
    costs: Mapping[str, float]
    """Cycles of each term."""
    usual: Mapping[str, Mapping[str, float]]
    """By form: the activity that the networks it was fitted to had in the middle."""

    def cycles(self, terms: Terms) -> Number:
        """A float, or what the terms are made of. KeyError for a term that was never fitted."""
        total: Number = 0.0
        for name, count in terms.items():
            total = total + self.costs[name] * count
        return total

    def predict(
        self,
        network: Network,
        method: Method,
        seen: Sequence[Sequence[Activity]],
        selection: Selection | None = None,
    ) -> Prediction:
        """`seen`: of each step of a kind, the activity of each layer."""
        steps = Steps(network, method, selection)
        made = [[self.cycles(one.terms) for one in steps.counted(layers)] for layers in seen]
        kinds = [(one.phase, one.layer) for one in steps.counted(seen[0])]
        operations = tuple(
            OperationCycles(phase, layer, network.layers[layer].kind, float(sum(costs)) / len(seen))
            for (phase, layer), costs in zip(kinds, zip(*made, strict=True), strict=True)
        )
        return Prediction(operations, float(self.cycles(steps.around())))

    def usual_activity(self, network: Network) -> list[Activity]:
        """Of each layer, where nobody looked."""
        form = self.usual["affine" if network.affine else "chain"]
        seen = _with_numbers(Activity(), form, "")
        if not network.affine:
            return [seen] * len(network.layers)
        # Only a layer with an activation is often at a bound.
        plain = replace(seen, low=0.0, high=0.0)
        return [seen if stops(one) else plain for one in network.affine]


def numbers_of(seen: Activity) -> dict[str, float]:
    """An activity as a flat table."""
    found: dict[str, float] = {}
    for one in fields(Activity):
        value = getattr(seen, one.name)
        if isinstance(value, Lists):
            found |= {f"{one.name}.{key}": float(number) for key, number in vars(value).items()}
        else:
            found[one.name] = float(value)
    return found


def _with_numbers(seen: Any, numbers: Mapping[str, float], prefix: str) -> Any:
    given: dict[str, Any] = {}
    for name, value in vars(seen).items():
        if isinstance(value, Lists):
            given[name] = _with_numbers(value, numbers, f"{name}.")
        elif prefix + name in numbers:
            number = numbers[prefix + name]
            given[name] = number > 0.5 if isinstance(value, bool) else number
    return replace(seen, **given)


WORST = Activity(
    errors=1.0,
    row_errors=1.0,
    error_rows=1.0,
    stopped=0.0,
    stepping=1.0,
    moving=1.0,
    pruned_words=1.0,
    inputs=Lists(values=1.0, words=1.0, taken=1.0, spills=0.5),
    output_errors=Lists(values=1.0, words=1.0, taken=1.0, spills=0.5, signed=True),
    outputs=1.0,
)
"""Nothing is 0, no output at a bound, every edge moves: what the dearest image could cost."""


@cache
def load() -> CostModel:
    """The one that is shipped."""
    content = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    return CostModel(content["cycles"], content["usual"])


def backward_cycles(
    network: Network,
    method: Method,
    selection: Selection | None = None,
    seen: Sequence[Sequence[Activity]] | None = None,
) -> float:
    """Predicted cycles of the error and update operations of a step that updates a selection, or
    all rows; without `seen` for usual activity."""
    model = load()
    looked = [model.usual_activity(network)] if seen is None else seen
    return model.predict(network, method, looked, selection).backward
