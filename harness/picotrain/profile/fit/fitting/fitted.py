"""The cost of each term, from cycles that the emulator counts on drawn networks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from picotrain.device.mailbox import MailboxDevice
from picotrain.output import write_json
from picotrain.profile.fit.fitting.material import Case, drawn_cases
from picotrain.profile.fit.fitting.measure import measure, open_counter
from picotrain.profile.fit.fitting.nnls import nnls
from picotrain.profile.fit.model import COEFFICIENTS, numbers_of
from picotrain.profile.fit.observe import observe
from picotrain.profile.fit.terms.activity import Activity
from picotrain.profile.fit.terms.affine import Terms
from picotrain.profile.fit.terms.operations import Steps
from picotrain.progress import progress_bar

AFFINE_SEEDS = range(40)
CHAIN_SEEDS = range(32)
CHECK_SEED = 1000
"""From here on, seeds are kept for checks."""

_RELATIVE = 0.8
"""Errors count by this power of the cycles: nearly by their share."""
_LEAST = 300.0


@dataclass(frozen=True)
class Sample:
    """Something that was counted, and what was done in it."""

    terms: Terms
    cycles: int


def samples(device: MailboxDevice, case: Case, seen: list[list[Activity]]) -> Iterator[Sample]:
    """Of each operation, and of what is around them in a whole step."""
    found = measure(device, case.network, case.method, case.images, case.selection)
    steps = Steps(case.network, case.method, case.selection)
    totals = found.train if case.method.trains else found.infer
    for number, layers in enumerate(seen):
        counted = found.operations[number]
        for one in steps.counted(layers):
            yield Sample(one.terms, counted[one.phase, one.layer])
        if not case.method.trains or found.losses[number]:
            yield Sample(steps.around(), totals[number] - sum(counted.values()))


def fitted(found: Iterable[Sample]) -> dict[str, float]:
    """Cycles of each term, by least squares of relative errors."""
    every = list(found)
    names = sorted({name for one in every for name in one.terms})
    matrix = np.array([[float(one.terms.get(name, 0)) for name in names] for one in every])
    wanted = np.array([one.cycles for one in every], np.float64)
    weight = np.maximum(wanted, _LEAST) ** -_RELATIVE
    costs = nnls(matrix * weight[:, None], wanted * weight)
    return {name: round(float(cost), 3) for name, cost in zip(names, costs, strict=True)}


def make() -> dict[str, Any]:
    """The content of coefficients.json."""
    seeds = [(seed, True) for seed in AFFINE_SEEDS] + [(seed, False) for seed in CHAIN_SEEDS]
    found: list[Sample] = []
    usual: dict[str, list[dict[str, float]]] = {"affine": [], "chain": []}
    with open_counter(large=True) as device, progress_bar("cost model", len(seeds), "net") as step:
        for seed, affine in seeds:
            for case in drawn_cases(seed, affine):
                seen = observe(case.network, case.method, case.images, case.selection)
                found += samples(device, case, seen)
                if case.method.trains and case.selection is None:
                    usual["affine" if affine else "chain"] += _numbers(case, seen)
            step(1)
    return {
        "cycles": fitted(found),
        "samples": len(found),
        "seeds": {"affine": len(AFFINE_SEEDS), "chain": len(CHAIN_SEEDS)},
        "usual": {form: _medians(every) for form, every in usual.items()},
    }


def _numbers(case: Case, seen: list[list[Activity]]) -> list[dict[str, float]]:
    layers = case.network.layers
    return [
        numbers_of(one)
        for step in seen
        for layer, one in zip(layers, step, strict=True)
        if layer.has_weights
    ]


def _medians(every: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(one[name] for one in every), 4) for name in every[0]}


def main() -> int:
    content = make()
    write_json(COEFFICIENTS, content)
    print(f"{len(content['cycles'])} terms from {content['samples']:,} samples: {COEFFICIENTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
