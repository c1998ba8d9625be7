"""The cost of each term, from cycles that the emulator counts on drawn networks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import told
from picotrain.output import write_json
from picotrain.profile.fit.fitting.material import Case, drawn_cases, forked_cases
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
FORKED_SEEDS = range(6)
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


def fitted(found: Iterable[Sample], known: Mapping[str, float] | None = None) -> dict[str, float]:
    """Cycles of each term, but for those that are known, by least squares of relative errors."""
    known = known or {}
    every = [one for one in found if not set(one.terms) <= set(known)]
    names = sorted({name for one in every for name in one.terms} - set(known))
    matrix = np.array([[float(one.terms.get(name, 0)) for name in names] for one in every])
    whole = np.array([one.cycles for one in every], np.float64)
    spent = [sum(known.get(name, 0) * float(n) for name, n in one.terms.items()) for one in every]
    weight = np.maximum(whole, _LEAST) ** -_RELATIVE
    costs = nnls(matrix * weight[:, None], (whole - np.array(spent)) * weight)
    return {name: round(float(cost), 3) for name, cost in zip(names, costs, strict=True)}


def with_forks(device: MailboxDevice, costs: dict[str, float]) -> dict[str, float]:
    """And the terms that only forked networks have, all others as they are."""
    found: list[Sample] = []
    for seed in FORKED_SEEDS:
        for case in forked_cases(seed):
            seen = observe(case.network, case.method, case.images, case.selection)
            found += samples(device, case, seen)
    return dict(sorted((costs | fitted(found, costs)).items()))


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
        costs = with_forks(device, fitted(found))
    return {
        "cycles": costs,
        "samples": len(found),
        "seeds": {
            "affine": len(AFFINE_SEEDS),
            "chain": len(CHAIN_SEEDS),
            "forked": len(FORKED_SEEDS),
        },
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


def main() -> None:
    content = make()
    write_json(COEFFICIENTS, content)
    print(f"{len(content['cycles'])} terms from {content['samples']:,} samples: {COEFFICIENTS}")


if __name__ == "__main__":
    sys.exit(told("cost-model", lambda _: main()))
