"""What the traces of Figure 2 say: how far the last layer's sums go, and what that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from picotrain.learn.health import FALL
from picotrain.research.reproduce.findings import silent_from

Trace = Mapping[str, Any]

EARLY = 1024
"""Images of the first windows that a run is compared with."""
LATE = 4
"""Windows at the end whose mean stands for it: one alone is a matter of luck."""


@dataclass(frozen=True)
class Story:
    """A run in numbers. Sums are in units of the clamp, the largest one that it lets through.

    `fell_at`: the image by which accuracy was FALL below its best until then, for good; None where
    it never was. `dead_from`: the image from which all logits are 0. `early`: over the first EARLY
    images; `late`: mean over the LATE last windows; `first`, `most`, `least`: of the windows;
    `ties_most`: of those in which any sum was not 0.
    `bound`: how far the sums could go with the weights at the start, under any mask; `reach`: with
    those of a window.
    """

    name: str
    label: str
    scored: bool
    gap: int | None
    before: float
    best: float
    best_at: int
    last: float
    fell_at: int | None
    dead_from: int | None
    least: float
    least_at: int
    clamped_early: float
    clamped_most: float
    clamped_late: float
    sum_first: float
    sum_most: float
    sum_most_at: int
    bound: float
    magnitude: float
    reach_most: float
    reach_least: float
    principle: float
    hidden_first: float
    hidden_most: float
    ties_most: float
    zero_errors_late: float
    loss_norm_least: float
    loss_norm_most: float
    loss_norm_late: float
    loss_of_right_late: float
    moved_late: float
    accuracy_late: float
    accuracy_late_spread: float
    exponent_first: float
    exponent_late: float

    @property
    def hidden_growth(self) -> float:
        return self.hidden_most / self.hidden_first

    @property
    def reach_growth(self) -> float:
        return self.reach_most / self.bound


def story(trace: Trace) -> Story:
    windows: Sequence[Mapping[str, Any]] = trace["windows"]
    late, clamp = windows[-LATE:], trace["clamp"]
    start = {"accuracy": trace["accuracy_before"], "images": 0}
    best = max((start, *windows), key=lambda one: one["accuracy"])
    largest = max(windows, key=lambda one: one["accumulator"])
    least = min(windows, key=lambda one: one["accuracy"])
    accuracies = [one["accuracy"] for one in late]
    return Story(
        name=trace["name"],
        label=trace["label"],
        scored="pruned" in windows[0],
        gap=trace["gap_without_error"],
        before=trace["accuracy_before"],
        best=best["accuracy"],
        best_at=best["images"],
        last=trace["accuracy_after"],
        fell_at=fell_at(trace),
        dead_from=silent_from(trace),
        least=least["accuracy"],
        least_at=least["images"],
        clamped_early=_clamped(windows, EARLY),
        clamped_most=max(clamped(one) for one in windows),
        clamped_late=_mean([clamped(one) for one in late]),
        sum_first=windows[0]["accumulator"] / clamp,
        sum_most=largest["accumulator"] / clamp,
        sum_most_at=largest["images"],
        bound=trace["reach_before"] / clamp,
        magnitude=trace["magnitude_before"] / clamp,
        reach_most=max(one["reach"] for one in windows) / clamp,
        reach_least=min(one["reach"] for one in windows) / clamp,
        principle=trace["reach_in_principle"] / clamp,
        hidden_first=windows[0]["hidden"],
        hidden_most=max(one["hidden"] for one in windows),
        ties_most=max((one["ties"] for one in windows if one["accumulator"]), default=0.0),
        zero_errors_late=_mean([one["zero_errors"] for one in late]),
        loss_norm_least=min(one["loss_norm"] for one in windows),
        loss_norm_most=max(one["loss_norm"] for one in windows),
        loss_norm_late=_mean([one["loss_norm"] for one in late]),
        loss_of_right_late=_mean([one["loss_of_right"] for one in late]),
        moved_late=_mean([max(one["moved"]) for one in late]),
        accuracy_late=_mean(accuracies),
        accuracy_late_spread=max(accuracies) - min(accuracies),
        exponent_first=windows[0].get("exponent", trace["logits_exponent"]),
        exponent_late=_mean([one.get("exponent", trace["logits_exponent"]) for one in late]),
    )


def stories(traces: Sequence[Trace]) -> dict[str, Story]:
    return {trace["name"]: story(trace) for trace in traces}


def clamped(window: Mapping[str, Any]) -> float:
    """The share of a window's logits that were clamped."""
    return float(window["saturated"]["forward"][-1])


def fell_at(trace: Trace) -> int | None:
    best, found = trace["accuracy_before"], None
    for one in trace["windows"]:
        if best - one["accuracy"] <= FALL:
            found = None
        elif found is None:
            found = int(one["images"])
        best = max(best, one["accuracy"])
    return found


def _clamped(windows: Sequence[Mapping[str, Any]], until: int) -> float:
    """The share of clamped logits over the windows that end by then."""
    start, total, images = 0, 0.0, 0
    for one in windows:
        if start and one["images"] > until:
            break
        total += clamped(one) * (one["images"] - start)
        start = images = one["images"]
    return total / images


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
