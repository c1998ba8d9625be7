"""One bound of angles for verbs, programs and grids."""

from __future__ import annotations

import math

import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.errors import UserError
from picotrain.learn.turning import MOST, angle_of
from picotrain.research.sweep.grid import KEYS


@pytest.mark.parametrize("verb", ["adapt", "verify", "profile", "bench"])
def test_more_than_a_turn_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--dataset", "digits", "--angle", "400"]) == 2
    assert "the angle is 400; use degrees from -360 to 360" in capsys.readouterr().err


@pytest.mark.parametrize("angle", [-360.0, 0.0, 360.0])
def test_a_whole_turn_is_taken(angle: float) -> None:
    assert angle_of(datasets.load("digits"), angle) == angle


@pytest.mark.parametrize("angle", [360.5, -361.0, math.inf, math.nan])
def test_other_angles_are_refused(angle: float) -> None:
    with pytest.raises(UserError, match=f"use degrees from -{MOST} to {MOST}"):
        angle_of(datasets.load("digits"), angle)


def test_the_bound_of_grids_is_the_same() -> None:
    assert KEYS["angle"].use == f"degrees from -{MOST} to {MOST}"
