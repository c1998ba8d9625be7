"""A network in floating point in a file: what is wrong with one is told in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.architectures import graph
from picotrain.shrink import float_file
from shrinking import tied

FIX = "; name a file that `picotrain pretrain --keep-float` or that of prune wrote"
WANTED = {
    "weights_0": np.ones((2, 3), np.float32),
    "variance_0": np.full(2, 0.5, np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "whole.npz"
    float_file.save(path, tied(), WANTED, "digits")
    return path


def test_it_is_read_as_it_was_written(path: Path) -> None:
    found = float_file.load(path, tied(), WANTED)
    assert {name: one.tobytes() for name, one in found.items()} == {
        name: one.tobytes() for name, one in WANTED.items()
    }
    before = path.read_bytes()
    float_file.save(path, tied(), found, "digits")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"about": None}, " is no network in floating point (it has no text 'about')"),
        ({"about": np.zeros(3)}, " is no network in floating point (it has no text 'about')"),
        ({"about": np.array("[1]")}, " is no network in floating point (it is not of version 1)"),
        ({"about": np.array("{")}, " is no network in floating point (Expecting property name"),
        (
            {"about": np.array('{"float": 1}')},
            " is no network in floating point (its text 'about' has no architecture)",
        ),
        (
            {"about": np.array("[" * 100_000)},
            " is no network in floating point (its text 'about' is nested too deep)",
        ),
        (
            {"about": np.array(json.dumps({"float": 1, "architecture": {"name": "other"}}))},
            " is of network other, not of tied as it is",
        ),
        ({"weights_0": None}, " is damaged: it has no array weights_0"),
        (
            {"weights_0": np.ones((3, 3), np.float32)},
            " is damaged: weights_0 is float32 [3, 3], not float32 [2, 3]",
        ),
        (
            {"weights_0": np.ones((2, 3))},
            " is damaged: weights_0 is float64 [2, 3], not float32 [2, 3]",
        ),
        (
            {"weights_0": np.full((2, 3), np.nan, np.float32)},
            " is damaged: weights_0 is not all finite numbers",
        ),
        (
            {"variance_0": np.array([0.5, -0.5], np.float32)},
            " is damaged: variance_0 has numbers below 0",
        ),
    ],
)
def test_what_is_wrong_is_told(path: Path, change: dict[str, Any], says: str) -> None:
    about = {"float": 1, "architecture": graph.document(tied()), "dataset": "digits"}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), **WANTED, **change}
    np.savez(path, **{name: one for name, one in arrays.items() if one is not None})
    with pytest.raises(UserError) as caught:
        float_file.load(path, tied(), WANTED)
    assert str(caught.value).startswith(f"{path}{says}")
    assert str(caught.value).endswith(FIX)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for path, reason in (
        (tmp_path / "none.npz", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe.npz", "it is a pipe or a device"),
    ):
        with pytest.raises(UserError, match=f"{reason}.*{FIX}"):
            float_file.load(path, tied(), WANTED)


def test_a_name_that_is_too_long_is_told_once() -> None:
    with pytest.raises(UserError) as caught:
        float_file.load(Path("x" * 300), tied(), WANTED)
    said = str(caught.value)
    assert said == f"cannot read {'x' * 300}: File name too long; choose another name or place"


def test_it_is_no_backbone_and_says_so(path: Path) -> None:
    with pytest.raises(UserError) as caught:
        models.load_backbone(path)
    assert str(caught.value) == (
        f"{path} is a network in floating point, for --pretrained of prune and depth-prune; name "
        "the backbone that --out of the same run wrote"
    )
