"""Cycle counts to compare later runs with: what got slower, vanished or is new.

The emulator counts the same cycles for the same run every time, so any growth is a change.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from picotrain.errors import UserError
from picotrain.inputs import read_text

_FORMAT = "picotrain-baseline"
_VERSION = 1
_CONDITIONS = ("model", "method", "dataset", "angle", "seed", "images", "unit")
"""What must agree for two counts to mean the same."""

_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%", re.ASCII)


@dataclass(frozen=True)
class Regression:
    """One number that grew, vanished (`after` is None) or is new (`before` is None).

    The numbers are cycles per image.
    """

    name: str
    kind: Literal["slower", "vanished", "new"]
    before: float | None
    after: float | None

    @property
    def growth(self) -> float | None:
        """0.01 where it grew by 1 %; infinite from 0; None if there is nothing to compare."""
        if self.before is None or self.after is None:
            return None
        return self.after / self.before - 1 if self.before else math.inf

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name}: new, {self.after:,.1f} cycles per image"
        if self.after is None:
            return f"{self.name}: vanished, was {self.before:,.1f} cycles per image"
        return (
            f"{self.name}: {self.before:,.1f} -> {self.after:,.1f} cycles per image "
            f"({self.growth:+.2%})"
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


def _number(value: object, name: str) -> float:
    # JSON has no NaN, but Python reads and writes it; every comparison with it would pass.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"the cycles of {name} are {value!r}, not a number; make the profile again")
    return float(value)


def make_baseline(profile_json: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers to compare, cycles per image, from what `picotrain profile --json` writes.

    UserError if that is something else.
    """
    try:
        conditions = {name: profile_json[name] for name in _CONDITIONS}
        named = [("train", profile_json["train"]), ("infer", profile_json["infer"])]
        named += [
            (f"layer {entry['layer']} {entry['kind']} {entry['phase']}", entry["cycles"])
            for entry in profile_json["phases"]
        ]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"this is no profile ({error!r}); make one with `picotrain profile --json FILE`"
        ) from error
    if named[0][1] is None:  # a method that does not train
        del named[0]
    numbers: dict[str, float] = {}
    for name, value in named:
        if name in numbers:
            raise UserError(f"the profile has {name} twice; make the profile again")
        numbers[name] = _number(value, name)
    return {"format": _FORMAT, "version": _VERSION, **conditions, "numbers": numbers}


def read_baseline(path: Path) -> dict[str, Any]:
    """The baseline in a JSON file; a profile counts as one. UserError for anything else."""
    try:
        content = json.loads(read_text(path, "choose another file"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}); choose another file") from error
    try:
        if isinstance(content, dict) and content.get("format") != _FORMAT:
            content = make_baseline(content)
        _check(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    result: dict[str, Any] = content
    return result


def _check(baseline: Any) -> dict[str, float]:
    """The numbers of a well-formed baseline."""
    if (
        not isinstance(baseline, Mapping)
        or baseline.get("format") != _FORMAT
        or baseline.get("version") != _VERSION
        or not isinstance(baseline.get("numbers"), Mapping)
        or any(name not in baseline for name in _CONDITIONS)
    ):
        raise UserError("this is no baseline of this version; make it again from a profile")
    return {name: _number(value, name) for name, value in baseline["numbers"].items()}


def compare(
    baseline: Mapping[str, Any], now: Mapping[str, Any], max_regress: float
) -> list[Regression]:
    """What grew by more than the fraction `max_regress`, vanished or is new, in that order.

    Both come from `make_baseline`. Each number is held to the limit by itself, so the growth of
    one layer is not hidden in the total. The worst growth is first. UserError if the two were not
    made from runs of the same model, method, dataset and number of images.
    """
    if not 0 <= max_regress < math.inf:
        raise UserError(f"the limit of growth must be 0 % or more, not {max_regress:%}")
    before, after = _check(baseline), _check(now)
    for name in _CONDITIONS:
        if baseline[name] != now[name]:
            raise UserError(
                f"the baseline is of {name} {baseline[name]!r}, this run of {now[name]!r}; "
                "compare runs of the same, or make the baseline again"
            )
    # As a fraction of decimals: 1005 is not above 1000 by more than 0.5 %, floats would say it is.
    limit = 1 + Fraction(str(max_regress))
    slower = [
        Regression(name, "slower", old, after[name])
        for name, old in before.items()
        if name in after and Fraction(after[name]) > Fraction(old) * limit
    ]
    slower.sort(key=lambda one: -(one.growth or 0))
    vanished = [
        Regression(name, "vanished", old, None) for name, old in before.items() if name not in after
    ]
    new = [
        Regression(name, "new", None, value) for name, value in after.items() if name not in before
    ]
    return [*slower, *vanished, *new]
