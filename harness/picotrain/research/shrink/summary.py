"""What a task's file of results says, over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from picotrain.research.reproduce.results import Spread
from picotrain.research.shrink.depth import TAKEN
from picotrain.shrink.depth.kept import Outcome
from picotrain.shrink.depth.table import LOSS, choice
from picotrain.shrink.pruning.prune import again

COSTS = ("flash", "ram", "cycles")
Results = Mapping[str, Any]


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


def predicted(results: Results) -> bool:
    """Whether what the whole network takes was not measured: the device has no room for it."""
    return any(run["whole"].get("predicted", False) for run in results["pruned"])


def methods(results: Results) -> list[str]:
    """That channels went by; the others are compared with the first one."""
    return list(dict.fromkeys(one["method"] for one in results["pruned"][0]["cells"]))


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


@dataclass(frozen=True)
class Further:
    """A network that took more than one round, and how many epochs that are in all."""

    name: str
    seed: int
    rounds: int
    epochs: int


def further(results: Results) -> list[Further]:
    """Those whose training is not of `warm` and `tune` epochs alone."""
    epochs = results["epochs"]
    return [
        Further(
            *(one["name"], run["seed"], one["rounds"]),
            epochs["warm"] + epochs["tune"] + (one["rounds"] - 1) * again(epochs["tune"]),
        )
        for run in results["pruned"]
        for one in run["cells"]
        if one["rounds"] > 1
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
    """By limit, by how much a method is right more often than another, seed by seed: the mean and
    its standard error."""
    found: dict[str, list[float]] = {}
    for run in results["pruned"]:
        by_method = {(cell["limit"], cell["method"]): cell["test"] for cell in run["cells"]}
        for limit in dict.fromkeys(limit for limit, _ in by_method):
            less = by_method[limit, one] - by_method[limit, other]
            found.setdefault(limit, []).append(less)
    return {limit: Spread.of_mean(values) for limit, values in found.items()}


def savings(results: Results, method: str) -> dict[str, tuple[float, str]]:
    """By cost the largest ratio of the whole network to a smaller one that loses at most a point on
    validation images, in the mean, and its limit; nothing where none does."""
    found: dict[str, tuple[float, str]] = {}
    for row in rows(results):
        if row.method != method or row.lost_validation.mean > LOSS:
            continue
        for name, ratio in times(results, row).items():
            if name not in found or ratio > found[name][0]:
                found[name] = (ratio, row.limit)
    return found


def times(results: Results, row: Row) -> dict[str, float]:
    """By cost, the whole network's over that of a smaller one."""
    _, before = whole(results)
    return {name: before[name] / value for name, value in row.taken.items()}


# Fewer layers

_MEANS = ("float_validation", "validation", "test")


def means(runs: Sequence[Results]) -> tuple[Outcome, list[Outcome]]:
    """Over the seeds of a task: the whole network and its cells, with the standard deviation of
    their accuracies, `test_std` and so on, 0 of a single seed."""
    whole = _mean([run["whole"] for run in runs])
    return whole, [_mean(cells) for cells in zip(*(run["cells"] for run in runs), strict=True)]


def _mean(outcomes: Sequence[Outcome]) -> Outcome:
    """Of one cell, over seeds; what not all of them take is not known."""
    found = dict(outcomes[0])
    for name in _MEANS:
        spread = Spread.of(one[name] for one in outcomes)
        found |= {name: spread.mean, f"{name}_std": spread.std}
    found["taken"] = None
    if all(one["taken"] for one in outcomes):
        found["taken"] = {
            name: _mean_of([one["taken"][name] for one in outcomes]) for name in TAKEN
        }
    return found


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if len(known) == len(values) else None


def cut(results: Results) -> tuple[Outcome, list[Outcome], Outcome]:
    """The whole network, the cells, and the one that validation images choose: means over seeds."""
    first, cells = means(results["cut"])
    return first, cells, choice(cells, first)


def cuts_of_the_same(results: Results) -> bool:
    """Whether layers went from the networks that channels went from, and not from others of the
    same seeds."""
    return all(
        cut["whole"]["validation"] == pruned["whole"]["validation"]
        for cut, pruned in zip(results["cut"], results["pruned"], strict=True)
    )


def combined_of_the_same(results: Results) -> bool:
    """Whether what adapts are the networks that channels went from, of the first method."""
    combined, first = results["combined"], methods(results)[0]
    return all(
        networks["pruned"]["test"] == cell["test"]
        for networks, run in zip(combined["networks"], results["pruned"], strict=True)
        for cell in run["cells"]
        if (cell["limit"], cell["method"]) == (combined["limit"], first)
    )


def ratio(first: Outcome, other: Outcome, name: str) -> float | None:
    """How much less of a cost."""
    if not first["taken"] or not other["taken"] or not other["taken"][name]:
        return None
    found: float = first["taken"][name] / other["taken"][name]
    return found


# All of it together


@dataclass(frozen=True)
class Learnt:
    """Accuracy on what was not trained for, of each seed the mean of its orders, over seeds; and
    what a step takes."""

    mu: Sequence[int]
    before: Spread
    after: Spread
    gain: Spread
    ram: int
    fits: bool
    cycles: float | None


@dataclass(frozen=True)
class Kind:
    test: Spread
    taken: Mapping[str, float]
    learnt: Mapping[str, Learnt]


def kinds(results: Results) -> dict[str, Kind]:
    """The whole network and the smaller ones, by kind."""
    combined = results["combined"]
    made = {}
    for kind in combined["networks"][0]:
        networks = [one[kind] for one in combined["networks"]]
        made[kind] = Kind(
            Spread.of(one["test"] for one in networks),
            _taken(networks),
            {label: _learnt(combined, kind, label) for label in combined["step"][kind]},
        )
    return made


def _learnt(combined: Results, kind: str, label: str) -> Learnt:
    by_seed: dict[int, list[Mapping[str, float]]] = {}
    for one in combined["runs"]:
        if (one["kind"], one["method"]) == (kind, label):
            by_seed.setdefault(one["seed"], []).append(one)
    before, after = (
        [fmean(one[when] for one in orders) for orders in by_seed.values()]
        for when in ("before", "after")
    )
    step = combined["step"][kind][label]
    return Learnt(
        combined["mu"][kind][label],
        Spread.of(before),
        Spread.of(after),
        Spread.of(last - first for first, last in zip(before, after, strict=True)),
        step["ram"],
        step["fits"],
        step["cycles"],
    )
