"""UserError is a ValueError too: nothing words it anew on its way to the user."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import picotrain
from picotrain.errors import PartedError
from picotrain.learn.floating.training import Diverged
from picotrain.learn.models import load_backbone
from picotrain.profile.baseline import read_baseline
from picotrain.profile.memory.budget import read_budget
from picotrain.profile.report.run_file import read_run
from picotrain.quantise.quantise import NotFinite
from picotrain.shrink.float_file import NotThat


def test_one_class_for_all_mistakes() -> None:
    assert issubclass(picotrain.UserError, ValueError)
    assert not issubclass(picotrain.DeviceFailure, ValueError)
    with pytest.raises(ValueError, match="mu is 99, outside"):
        picotrain.Method("priot", mu=99)


@pytest.mark.parametrize("kind", [PartedError, NotFinite, NotThat, Diverged])
def test_parts_of_a_sentence_come_whole_from_another_process(kind: type[PartedError]) -> None:
    """Where what a worker raises is pickled."""
    there = pickle.loads(pickle.dumps(kind("x is 1", "use 2")))
    assert type(there) is kind and isinstance(there, picotrain.UserError)
    assert (str(there), there.what, there.fix) == ("x is 1; use 2", "x is 1", "use 2")


@pytest.mark.parametrize(
    ("read", "fix"),
    [
        (read_run, "make it with `picotrain adapt --json {}`"),
        (read_baseline, "choose another file"),
        (read_budget, "name one such as tests/baselines/memory.json"),
    ],
)
def test_a_file_that_is_not_there(tmp_path: Path, read: Callable[[Path], object], fix: str) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(picotrain.UserError) as caught:
        read(path)
    sentence = f"cannot read {path}: No such file or directory; {fix.format(path)}"
    assert str(caught.value) == sentence


def test_a_backbone_that_is_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "mynet.npz"
    path.mkdir()
    with pytest.raises(picotrain.UserError) as caught:
        load_backbone(path)
    assert str(caught.value).count(str(path)) == 1
