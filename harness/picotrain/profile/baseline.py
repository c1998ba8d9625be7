"""Cycle counts to compare later runs with: what got slower, vanished or is new.

The emulator counts the same cycles for the same run every time, so any growth is a change. What a
baseline pins is in docs/profile.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from picotrain.errors import UserError
from picotrain.inputs import read_json

_FORMAT = "picotrain-baseline"
_VERSION = 2
_CONDITIONS = (
    *("unit", "target", "model", "network_sha256"),
    *("dataset", "angle", "seed", "images", "images_sha256"),
    *("method", "mu", "theta", "permille", "select", "start", "easy"),
    *("plan", "kernels"),
)
"""What must agree for two counts to mean the same, in the order in which it is compared. The
firmware is what a gate compares, so it may differ: it is recorded and shown."""

PER_IMAGE = "cycles per image"

_DIGEST_DIGITS = 12
"""Of a digest in a sentence."""

_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%", re.ASCII)


@dataclass(frozen=True)
class Regression:
    """One number that grew, vanished (`after` is None) or is new (`before` is None)."""

    name: str
    kind: Literal["slower", "vanished", "new"]
    before: float | None
    after: float | None
    unit: str = PER_IMAGE

    @property
    def growth(self) -> float | None:
        """0.01 where it grew by 1 %; infinite from 0; None if there is nothing to compare."""
        if self.before is None or self.after is None:
            return None
        return self.after / self.before - 1 if self.before else math.inf

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name}: new, {self.after:,.1f} {self.unit}"
        if self.after is None:
            return f"{self.name}: vanished, was {self.before:,.1f} {self.unit}"
        return (
            f"{self.name}: {self.before:,.1f} -> {self.after:,.1f} {self.unit} ({self.growth:+.2%})"
        )


def parse_percent(text: str) -> float:
    """The fraction that a text like "0.5%" means, here 0.005."""
    found = _PERCENT.fullmatch(text.strip())
    if not found:
        raise UserError(f"{text!r} is no percentage; write one like 0.5%")
    # Decimal, so that 0.7% becomes the float nearest to 0.007.
    value = float(Decimal(found[1]) / 100)
    if not math.isfinite(value):
        raise UserError(f"{text!r} is too large a percentage; write one like 0.5%")
    return value


def number(value: object, name: str) -> float:
    # JSON has no NaN, but Python reads and writes it; every comparison with it would pass.
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # JSON's integers are of any size
        number = math.inf
    if isinstance(value, bool) or not math.isfinite(number):
        raise UserError(f"the cycles of {name} are {value!r}, not a number; make the profile again")
    return number


@dataclass(frozen=True)
class Comparison:
    """All numbers of both sides, and those of them that are worse."""

    before: dict[str, float]
    after: dict[str, float]
    limit: float
    regressions: list[Regression]
    firmware_before: dict[str, str]
    firmware_after: dict[str, str]
    unit: str = PER_IMAGE

    @property
    def names(self) -> list[str]:
        """Of the numbers, in the order of the baseline; new ones follow."""
        return [*self.before, *(name for name in self.after if name not in self.before)]

    def to_json(self) -> dict[str, Any]:
        """For the profile that was compared; JSON has no infinity, so growth from 0 is null."""
        listed = []
        for one in self.regressions:
            growth = one.growth
            finite = growth is not None and math.isfinite(growth)
            told = {name: value for name, value in asdict(one).items() if name != "unit"}
            listed.append({**told, "growth": growth if finite else None})
        return {
            "max_regress": self.limit,
            "regressions": listed,
            "baseline": {"firmware": self.firmware_before, "numbers": self.before},
        }


def make_baseline(profile_json: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers to compare, cycles per image, from what `picotrain profile --json` writes.

    UserError if that is something else.
    """
    try:
        conditions = {name: profile_json[name] for name in _CONDITIONS}
        firmware = {str(name): str(text) for name, text in profile_json["firmware"].items()}
        named = [("train", profile_json["train"]), ("infer", profile_json["infer"])]
        named += [
            (f"layer {entry['layer']} {entry['kind']} {entry['phase']}", entry["cycles"])
            for entry in profile_json["phases"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        why = f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else "its parts differ"
        raise UserError(
            f"this is no profile ({why}); make one with `picotrain profile --json FILE`"
        ) from error
    if named[0][1] is None:  # a method that does not train
        del named[0]
    numbers: dict[str, float] = {}
    for name, value in named:
        if name in numbers:
            raise UserError(f"the profile has {name} twice; make the profile again")
        numbers[name] = number(value, name)
    tail = {"firmware": firmware, "numbers": numbers}
    return {"format": _FORMAT, "version": _VERSION, **conditions, **tail}


def read_baseline(path: Path) -> dict[str, Any]:
    """The baseline in a JSON file; a profile counts as one. UserError for anything else."""
    content = read_json(path, "choose another file")
    try:
        if content.get("format") != _FORMAT:
            content = make_baseline(content)
        _check(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return content


def _check(baseline: Any) -> dict[str, float]:
    """The numbers of a well-formed baseline."""
    if (
        not isinstance(baseline, Mapping)
        or baseline.get("format") != _FORMAT
        or baseline.get("version") != _VERSION
        or not isinstance(baseline.get("numbers"), Mapping)
        or not isinstance(baseline.get("firmware"), Mapping)
        or any(name not in baseline for name in _CONDITIONS)
    ):
        raise UserError("this is no baseline of this version; make it again from a profile")
    return {name: number(value, name) for name, value in baseline["numbers"].items()}


def check_conditions(baseline: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UserError, which names the first thing that differs, where a profile of `now` could not
    be compared with the baseline. All of it is known before anything is counted."""
    for name in _CONDITIONS:
        if baseline[name] != now[name]:
            theirs, ours = (_shown(name, side[name]) for side in (baseline, now))
            raise UserError(
                f"the baseline is of {name} {theirs}, this run of {ours}; "
                "compare runs of the same, or make the baseline again"
            )


def compare(baseline: Mapping[str, Any], now: Mapping[str, Any], max_regress: float) -> Comparison:
    """Its regressions are what grew by more than the fraction `max_regress`, vanished or is new, in
    that order.

    Both come from `make_baseline`. Each number is held to the limit by itself, so the growth of
    one layer is not hidden in the total. The worst growth is first. UserError, which names the
    first thing that differs, if the two are not of the same network, images, method, plan, kernels
    and target.
    """
    before, after = _check(baseline), _check(now)
    check_conditions(baseline, now)
    return comparison(before, after, max_regress, baseline["firmware"], now["firmware"])


def comparison(
    before: Mapping[str, float],
    after: Mapping[str, float],
    max_regress: float,
    firmware_before: Mapping[str, str],
    firmware_after: Mapping[str, str],
    unit: str = PER_IMAGE,
) -> Comparison:
    """Of the same numbers of two firmwares, as `compare` compares them."""
    if not 0 <= max_regress < math.inf:
        raise UserError(f"the limit of growth must be 0 % or more, not {max_regress:%}")
    # As a fraction of decimals: 1005 is not above 1000 by more than 0.5 %, floats would say it is.
    limit = 1 + Fraction(str(max_regress))
    slower = [
        Regression(name, "slower", old, after[name], unit)
        for name, old in before.items()
        if name in after and Fraction(after[name]) > Fraction(old) * limit
    ]
    slower.sort(key=lambda one: -(one.growth or 0))
    vanished = [
        Regression(name, "vanished", old, None, unit)
        for name, old in before.items()
        if name not in after
    ]
    new = [
        Regression(name, "new", None, value, unit)
        for name, value in after.items()
        if name not in before
    ]
    return Comparison(
        dict(before),
        dict(after),
        max_regress,
        [*slower, *vanished, *new],
        dict(firmware_before),
        dict(firmware_after),
        unit,
    )


def _shown(name: str, value: Any) -> str:
    return repr(str(value)[:_DIGEST_DIGITS] if name.endswith("sha256") else value)
