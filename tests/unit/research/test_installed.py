"""Sweeps and the reproduction where picotrain is installed and there is no checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

import picotrain
import picotrain_golden
from picotrain.places import RESULTS, SHIPPED
from picotrain.research.reproduce import steps
from picotrain.research.sweep import cell


def test_what_decides_a_result_is_found_in_the_packages() -> None:
    found = {
        path
        for package, pattern in cell._DECIDING
        for path in Path(package.__path__[0]).glob(pattern)
    }
    for package, pattern in cell._DECIDING:
        assert list(Path(package.__path__[0]).glob(pattern)), pattern
    assert Path(picotrain_golden.__path__[0]) / "layers.py" in found
    assert Path(picotrain.__path__[0]) / "learn" / "adapt.py" in found


def test_results_of_a_full_run_go_below_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps.full().page == SHIPPED / "docs" / "results.md"
    monkeypatch.setattr(steps, "IN_CHECKOUT", False)
    place = steps.full()
    for path in (place.results, place.page, place.figures, place.cells, steps.small().results):
        assert not path.is_absolute()
        assert path.is_relative_to(RESULTS)
    assert place.grids == SHIPPED / "experiments"
