"""What is kept of training: whole or not at all, of these choices, and never lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn.floating.training import Diverged
from picotrain.shrink.pruning.stages import WARM_FIX, Stages

torch = pytest.importorskip("torch")

ONE, OTHER = {"rate": 1}, {"rate": 2}
WARM = {"warm": {"seed": 0}}


class Training:
    """Adds 1 in every epoch, and diverges in the one that is named."""

    gates = None

    def __init__(self, diverges: int = 0) -> None:
        self.value, self.diverges, self.went_on = 0.0, diverges, False

    def epoch(self, number: int) -> dict[str, Any]:
        if number == self.diverges:
            what = f"the loss of epoch {number} is not a finite number"
            raise Diverged(what, "use a smaller step size (--rate)")
        self.value += 1
        return {"epoch": number}

    def parameters(self) -> dict[str, Any]:
        return {"weights_0": np.full(1000, self.value, np.float32)}

    def set_parameters(self, values: dict[str, Any]) -> None:
        self.value = float(values["weights_0"][0])

    def progress(self) -> dict[str, Any]:
        return {}

    def go_on(self, _: dict[str, Any]) -> None:
        self.went_on = True


def trained(stages: Stages, name: str, epochs: int, training: Training | None = None) -> Training:
    training = training or Training()
    stages.train(name, training, epochs, lambda _: None)  # type: ignore[arg-type]
    return training


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a run that was stopped after two epochs of warm-up and one more."""
    path = tmp_path / "run.state"
    stages = Stages(torch, path, ONE, WARM)
    assert stages.told == ""
    trained(stages, "warm", 2)
    trained(stages, "gates", 1)
    return path


def test_the_same_choices_go_on(path: Path) -> None:
    stages = Stages(torch, path, ONE, WARM)
    assert stages.told == f"goes on from {path}, after 3 epochs"
    assert trained(stages, "warm", 2).value == 2
    more = trained(stages, "gates", 3)
    assert more.value == 3 and more.went_on
    stages.forget()
    assert list(path.parent.iterdir()) == []


def test_any_byte_that_is_another_one_is_seen(path: Path) -> None:
    """PyTorch itself takes a tensor of other numbers."""
    content = path.read_bytes()
    numbers = np.full(1000, 2, np.float32).tobytes()
    places = [0, content.find(numbers), content.find(numbers) + 2001, len(content) - 1]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        stages = Stages(torch, path, ONE, WARM)
        assert stages.history == []
        assert stages.told == (
            f"{path} is damaged, or is no such file: training begins; that file becomes "
            "run.state.before"
        )
    for end in (0, 1, 100, len(content) - 100):
        path.write_bytes(content[:end])
        assert Stages(torch, path, ONE, WARM).history == []


def test_a_file_without_a_digest_is_taken(path: Path) -> None:
    """As they were written before."""
    path.write_bytes(path.read_bytes()[: -len("sha256 ") - 64])
    assert Stages(torch, path, ONE, WARM).told == f"goes on from {path}, after 3 epochs"


def test_other_choices_keep_the_file_and_what_is_the_same(path: Path) -> None:
    before = path.read_bytes()
    stages = Stages(torch, path, OTHER, WARM)
    assert stages.told == (
        f"{path} is of other choices: of it 2 epochs are the same, the rest is trained anew; that "
        "file becomes run.state.before"
    )
    assert path.read_bytes() == before  # Nothing has been trained yet.
    assert trained(stages, "warm", 2).value == 2
    assert path.read_bytes() == before
    assert trained(stages, "gates", 1).value == 1
    assert (path.parent / "run.state.before").read_bytes() == before
    assert Stages(torch, path, OTHER, WARM).told == f"goes on from {path}, after 3 epochs"


def test_another_warm_up_begins_anew(path: Path) -> None:
    stages = Stages(torch, path, OTHER, {"warm": {"seed": 1}})
    assert stages.told == (
        f"{path} is of other choices: training begins anew; that file becomes run.state.before"
    )
    assert trained(stages, "warm", 1).value == 1
    assert (path.parent / "run.state.before").is_file()


def test_what_was_never_written_over_is_not_removed(path: Path) -> None:
    Stages(torch, path, OTHER, {}).forget()
    assert path.is_file()


@pytest.mark.parametrize("epochs", [0, 1])
def test_what_is_kept_is_told_only_where_something_is(path: Path, epochs: int) -> None:
    """Not of a file that is another run's."""
    stages = Stages(torch, path, OTHER, {})
    with pytest.raises(UserError) as caught:
        trained(stages, "tune 1", 3, Training(diverges=epochs + 1))
    kept = f"; what was trained before it is kept in {path}" if epochs else ""
    assert str(caught.value) == (
        f"stage tune 1: the loss of epoch {epochs + 1} is not a finite number; use a smaller step "
        f"size (--rate){kept}"
    )


def test_warm_up_has_a_fix_of_its_own(tmp_path: Path) -> None:
    """No option of prune and depth-prune changes its step size."""
    stages = Stages(torch, tmp_path / "run.state", ONE)
    with pytest.raises(UserError) as caught:
        stages.train("warm", Training(diverges=1), 2, lambda _: None, WARM_FIX)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "stage warm: the loss of epoch 1 is not a finite number; train the whole network by "
        "`picotrain pretrain` with a smaller --rate and --keep-float FILE, and go on with "
        "--pretrained FILE"
    )


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link to nothing"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for."""
    path = tmp_path / "run.state"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UserError) as caught:
        Stages(torch, path, ONE)
    assert str(caught.value) == (
        f"{path} is no plain file, and what is trained is kept there; move it away"
    )


@pytest.mark.parametrize("parts", [{"stages": []}, {"own": 5}, {"digest": None}, {"facts": 1}])
def test_a_state_of_another_form_is_none(tmp_path: Path, parts: dict[str, Any]) -> None:
    path = tmp_path / "run.state"
    torch.save({"digest": "0", "stages": {}, "facts": {}} | parts, path)
    assert "is damaged, or is no such file" in Stages(torch, path, ONE, WARM).told
