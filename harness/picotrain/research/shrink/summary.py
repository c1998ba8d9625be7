"""What a task's file of results says, over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from picotrain.image.firmware import pico_arena_bytes
from picotrain.research.shrink.depth import means
from picotrain.shrink.depth.kept import Outcome
from picotrain.shrink.depth.table import LOSS, choice

COSTS = ("flash", "ram", "cycles")
Results = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1), which is 0 of one value."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(fmean(values), stdev(values) if len(values) > 1 else 0.0, len(values))

    @property
    def error(self) -> float:
        """Of the mean."""
        return self.std / sqrt(self.count)


@dataclass(frozen=True)
class Row:
    """A limit and a method; `lost`: of accuracy on test images, seed by seed, `lost_validation` on
    validation images; `limits` as they were asked for."""

    limit: str
    method: str
    limits: Mapping[str, float]
    test: Spread
    lost: Spread
    lost_validation: Spread
    taken: Mapping[str, float]
    parameters: float


def whole(results: Results) -> tuple[Spread, dict[str, float]]:
    """Test accuracy of the network with all its channels, trained as long, and what it takes."""
    found = [run["whole"] for run in results["pruned"]]
    return Spread.of([one["test"] for one in found]), _taken(found)


def _taken(found: Sequence[Outcome]) -> dict[str, float]:
    names = [name for name in (*COSTS, "ms") if all(one["taken"].get(name) for one in found)]
    return {name: fmean(one["taken"][name] for one in found) for name in names}


def rows(results: Results) -> list[Row]:
    """In the order of the limits, and of the methods in each."""
    runs = results["pruned"]
    made = []
    for cells in zip(*(run["cells"] for run in runs), strict=True):
        first = cells[0]
        asked = {name: row["limit"] for name, row in first["limits"].items() if row["given"]}
        lost = {
            split: Spread.of(
                [run["whole"][split] - one[split] for run, one in zip(runs, cells, strict=True)]
            )
            for split in ("test", "validation")
        }
        made.append(
            Row(
                first["limit"],
                first["method"],
                asked,
                Spread.of([one["test"] for one in cells]),
                lost["test"],
                lost["validation"],
                _taken(cells),
                fmean(one["parameters"] for one in cells),
            )
        )
    return made


def unmet(results: Results) -> list[str]:
    """Networks that exceed a limit as they were measured, by name and seed: there are none."""
    return [
        f"{one['name']} of seed {run['seed']}"
        for run in results["pruned"]
        for one in run["cells"]
        if any(row["measured"] > row["limit"] for row in one["limits"].values())
    ]


def proofs(results: Results) -> dict[str, dict[str, int]]:
    """Networks, logits compared and logits that differ, in float and in int8."""
    found: dict[str, dict[str, int]] = {}
    for run in results["pruned"]:
        for one in run["cells"]:
            for kind, proof in one["proofs"].items():
                total = found.setdefault(kind, {"networks": 0, "logits": 0, "differing": 0})
                total["networks"] += 1
                total["logits"] += proof["logits"]
                total["differing"] += proof["differing"]
    return found


def against(results: Results, one: str, other: str) -> dict[str, Spread]:
    """By limit, by how much a method is right more often than another, seed by seed."""
    found: dict[str, list[float]] = {}
    for run in results["pruned"]:
        by_method = {(cell["limit"], cell["method"]): cell["test"] for cell in run["cells"]}
        for limit in dict.fromkeys(limit for limit, _ in by_method):
            less = by_method[limit, one] - by_method[limit, other]
            found.setdefault(limit, []).append(less)
    return {limit: Spread.of(values) for limit, values in found.items()}


def savings(results: Results, method: str) -> dict[str, tuple[float, str]]:
    """By cost the largest ratio of the whole network to a smaller one that loses at most a point on
    validation images, in the mean, and its limit; nothing where none does."""
    _, before = whole(results)
    found: dict[str, tuple[float, str]] = {}
    for row in rows(results):
        if row.method != method or row.lost_validation.mean > LOSS:
            continue
        for name, value in row.taken.items():
            ratio = before[name] / value
            if name not in found or ratio > found[name][0]:
                found[name] = (ratio, row.limit)
    return found


# Fewer layers


def cut(results: Results) -> tuple[Outcome, list[Outcome], Outcome]:
    """The whole network, the cells, and the one that validation images choose: means over seeds."""
    first, cells = means(results["cut"])
    return first, cells, choice(cells, first)


def ratio(first: Outcome, other: Outcome, name: str) -> float | None:
    """How much less of a cost."""
    if not first["taken"] or not other["taken"] or not other["taken"][name]:
        return None
    found: float = first["taken"][name] / other["taken"][name]
    return found


# All of it together


@dataclass(frozen=True)
class Learnt:
    """Accuracy on what was not trained for, over seeds and orders, and what a step takes."""

    mu: Sequence[int]
    before: Spread
    after: Spread
    gain: Spread
    ram: int
    cycles: float | None

    @property
    def fits(self) -> bool:
        return self.ram <= pico_arena_bytes()


@dataclass(frozen=True)
class Kind:
    name: str
    test: Spread
    taken: Mapping[str, float]
    parameters: float
    learnt: Mapping[str, Learnt]


def kinds(results: Results) -> list[Kind]:
    """The whole network and the smaller ones."""
    combined = results["combined"]
    made = []
    for name in combined["networks"][0]:
        networks = [one[name] for one in combined["networks"]]
        learnt = {}
        for label, step in combined["step"][name].items():
            runs = [
                one for one in combined["runs"] if (one["kind"], one["method"]) == (name, label)
            ]
            learnt[label] = Learnt(
                combined["mu"][f"{name} {label}"],
                Spread.of([one["before"] for one in runs]),
                Spread.of([one["after"] for one in runs]),
                Spread.of([one["after"] - one["before"] for one in runs]),
                step["ram"],
                step["cycles"],
            )
        tests = Spread.of([one["test"] for one in networks])
        parameters = fmean(one["parameters"] for one in networks)
        made.append(Kind(name, tests, _taken(networks), parameters, learnt))
    return made
