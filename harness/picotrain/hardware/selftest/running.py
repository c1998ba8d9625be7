"""The faults one after another, and whether each was named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import DeviceFailure
from picotrain.hardware.selftest.faults import (
    CONTROLS,
    FAULTS,
    WIRE_FAULTS,
    Bench,
    Fault,
    Part,
    control,
)


@dataclass(frozen=True)
class Outcome:
    """What was said of a fault, or that nothing was; `named`: whether it was the right thing."""

    name: str
    part: Part
    fault: str
    said: str
    named: bool


@dataclass
class Selftest:
    """The controls, before the faults and after them, and the outcome of each fault."""

    tensors: int = 0
    elements: int = 0
    difference: str = ""
    """What was said without a fault, of the first control that failed."""
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def named(self) -> int:
        return sum(outcome.named for outcome in self.outcomes)

    @property
    def passed(self) -> bool:
        """Each fault was named, and nothing where there was none."""
        return not self.difference and self.named == len(self.outcomes) > 0


def selftest(bench: Bench, keep: Callable[[Outcome], object]) -> Selftest:
    """Each outcome goes to `keep` as soon as it is there.

    A harness that accuses a device without a fault shows nothing by its accusations, so then no
    fault is planted.
    """
    begun = time.monotonic()
    found = Selftest()
    faults = FAULTS + (WIRE_FAULTS if isinstance(bench.target, SerialTarget) else ())
    if _controls(bench, found):
        for fault in faults:
            found.outcomes.append(_outcome(bench, fault))
            keep(found.outcomes[-1])
        _controls(bench, found)
    found.seconds = time.monotonic() - begun
    return found


def _controls(bench: Bench, found: Selftest) -> bool:
    """Whether there is no difference without a fault."""
    try:
        for method in CONTROLS:
            tensors, elements = control(bench, method)
            found.tensors += tensors
            found.elements += elements
    except DeviceFailure as failure:
        found.difference = failure.told
    return not found.difference


def _outcome(bench: Bench, fault: Fault) -> Outcome:
    try:
        fault.plant(bench)
    except DeviceFailure as failure:
        return Outcome(
            fault.name, fault.part, fault.what, failure.told, fault.is_named(failure.told)
        )
    return Outcome(fault.name, fault.part, fault.what, "", False)
