"""The angle that nobody gave: of pictures, of one's own data, and of what a device has itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.datasets import Dataset, Split
from picotrain.errors import UserError
from picotrain.learn import calibration, models
from picotrain.learn.calibration import calibrate, calibrated_by
from picotrain.learn.turning import angle_of, calibration_angle_of, in_words
from picotrain.research.sweep.grid import load_grid
from picotrain_golden import Histograms, Network
from support import build, linear


def made(
    angle: float = 0.0, shape: tuple[int, int, int] = (6, 6, 1), device: bool = False
) -> Dataset:
    """Of each split, images that all have the number of the split as their pixels."""
    names = ["train", "validation", "test"]
    names += [f"device-{name}" for name in names] if device else []
    splits = {
        name: Split(np.full((count, *shape), pixel, np.uint8), np.zeros(count, np.uint8))
        for pixel, (name, count) in enumerate(zip(names, (12, 5, 4) * 2, strict=False), start=1)
    }
    return Dataset("made", splits, 2, "made here", {}, angle)


@pytest.mark.parametrize(
    ("data", "given", "angle"),
    [
        (made(30.0), None, 30.0),
        (made(30.0), 0.0, 0.0),
        (made(30.0), 45.0, 45.0),
        (made(), None, 0.0),
        (made(), 30.0, 30.0),
        (made(device=True), None, 0.0),
        (made(device=True), 0.0, 0.0),
        (made(shape=(1, 30, 1)), None, 0.0),
    ],
)
def test_angle(data: Dataset, given: float | None, angle: float) -> None:
    assert angle_of(data, given) == angle


def test_what_cannot_be_turned_is_not() -> None:
    with pytest.raises(UserError, match=r"the angle is 30, .* made has images of the device's own"):
        angle_of(made(device=True), 30.0)
    for shape in ((1, 30, 1), (30, 3, 1)):
        with pytest.raises(UserError, match=r"the angle is 30, .* no picture that could be turned"):
            angle_of(made(shape=shape), 30.0)
        with pytest.raises(
            UserError, match=r"the calibration angle is 45, but the images of .* are"
        ):
            calibration_angle_of(made(shape=shape), 45)
    assert angle_of(made(shape=(4, 4, 1)), 30.0) == 30.0


def test_calibration_turns_what_is_going_to_be_turned() -> None:
    assert calibration_angle_of(made(30.0), None) == 45
    assert calibration_angle_of(made(30.0), 0) == 0
    assert calibration_angle_of(made(), None) == 0
    assert calibration_angle_of(made(), 45) == 45
    assert calibration_angle_of(made(), None, angle=20.0) == 45


def test_every_shipped_picture_is_turned_and_nothing_else() -> None:
    assert datasets.load("digits").angle == 30.0
    assert in_words(30.0) == "rotated by 30 degrees" and in_words(0.0) == "as they are"


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pixels of the images that calibration looks at, in order."""
    seen: list[int] = []

    def observe(network: Network, image: np.ndarray, label: int) -> list[object]:
        seen.append(int(image[3, 3, 0]))
        return []

    monkeypatch.setattr(calibration, "observe", observe)
    monkeypatch.setattr(Histograms, "add", lambda self, ranges: None)
    return seen


@pytest.mark.parametrize(
    ("data", "samples", "angle", "known", "pixels"),
    [
        (made(30.0), 8, None, False, [1] * 8),
        (made(30.0), 8, 0, False, [1] * 8),
        (made(30.0), 100, None, False, [1] * 12),
        (made(), 4, None, False, [2] * 4),
        (made(), 8, None, False, [2] * 5 + [1] * 3),
        (made(), 100, 0, False, [2] * 5 + [1] * 12),
        (made(), 8, 45, False, [1] * 8),
        (made(), 8, None, True, [1] * 8),
        (made(device=True), 8, None, False, [2] * 5 + [1] * 3),
    ],
)
def test_what_calibration_looks_at(
    observed: list[int],
    data: Dataset,
    samples: int,
    angle: int | None,
    known: bool,
    pixels: list[int],
) -> None:
    network = build("flat", (6, 6, 1), [linear((6, 6, 1), 2, False)])
    calibrate(network, data, samples, angle, known=known)
    assert observed == pixels


@pytest.mark.parametrize(
    ("rule", "own", "pixels"),
    [("nonzero", 0.0, {1}), ("fair", 0.0, {1, 2}), ("nonzero", 30.0, {1}), ("fair", 30.0, {1})],
)
def test_rules_on_upright_data(
    observed: list[int], rule: str, own: float, pixels: set[int]
) -> None:
    network = build("flat", (6, 6, 1), [linear((6, 6, 1), 2, False)])
    calibrated_by(network, made(own), rule, cache=None)
    assert set(observed) == pixels


def own_file(folder: Path, **more: np.ndarray) -> str:
    digits = datasets.load("digits")
    path = folder / "own.npz"
    np.savez_compressed(path, x=digits.test.images, y=digits.test.labels, **more)
    return f"npz:{path}"


def test_the_verbs_say_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = models.BACKBONES / "tinycnn-digits.npz"
    common = ["--dataset", own_file(tmp_path), "--backbone", str(backbone)]
    out = tmp_path / "result.json"
    adapt = ["adapt", *common, "--target", "host", "--epochs", "1", "--json", str(out)]
    few = ["--train-samples", "2", "--test-samples", "2"]
    assert main([*adapt, *few]) == 0
    assert "own.npz as they are, priot on host" in capsys.readouterr().out
    assert json.loads(out.read_text())["angle"] == 0.0
    assert main([*adapt, *few, "--angle", "20"]) == 0
    assert "own.npz rotated by 20 degrees, priot" in capsys.readouterr().out
    assert json.loads(out.read_text())["angle"] == 20.0
    assert main(["verify", *common, "--method", "infer", "--steps", "1"]) == 0
    assert "own.npz as they are: host" in capsys.readouterr().out
    adapt[adapt.index("--dataset") + 1] = "digits"
    assert main([*adapt, *few]) == 0
    assert "digits rotated by 30 degrees, priot" in capsys.readouterr().out


def test_a_grid_takes_the_angle_of_the_data(tmp_path: Path) -> None:
    name = own_file(tmp_path)
    backbone = models.BACKBONES / "tinycnn-digits.npz"
    grid = tmp_path / "grid.toml"
    for angle, found in (("", 0.0), ("angle = 30", 30.0)):
        grid.write_text(
            f"[[grid]]\ndataset = {json.dumps(name)}\nbackbone = {json.dumps(str(backbone))}\n"
            f"{angle}\n"
        )
        assert [cell.angle for cell in load_grid(grid)] == [found]
