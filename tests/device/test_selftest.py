"""Faults that are planted on purpose are named, and nothing is where none is."""

from __future__ import annotations

from collections.abc import Callable

from picotrain.cli.material import random_material
from picotrain.device.targets.base import Target
from picotrain.hardware.selftest.faults import Bench
from picotrain.hardware.selftest.running import Outcome, selftest


def test_every_fault_is_named(connect: Callable[[], Target]) -> None:
    network, split = random_material("oddnet", 1, 6)
    kept: list[Outcome] = []
    found = selftest(Bench(connect(), network, split.images, split.labels), kept.append)
    assert [outcome for outcome in found.outcomes if not outcome.named] == []
    assert (found.passed, found.difference, found.named) == (True, "", 20)
    assert kept == found.outcomes
    # Both controls, each with three methods.
    assert (found.tensors, found.elements) == (306, 95332)
