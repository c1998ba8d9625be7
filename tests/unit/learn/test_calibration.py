"""Calibration rules: the shipped numbers again, what each rule changes, and the cache."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.errors import UserError
from picotrain.learn import calibration, models, turning
from picotrain.learn.calibration import RULES, calibrate, calibrated_by
from picotrain.learn.pretrain import static_numbers
from picotrain_golden import RANGE_NAMES, Reading


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all rules: they need two sets of histograms."""
    return tmp_path_factory.mktemp("calibrations")


def test_fair_is_what_made_the_shipped_backbone(cache: Path) -> None:
    path = models.BACKBONES / "tinycnn-digits.npz"
    network, info = models.load_backbone(path)
    options = info["options"]
    assert options["calibration_samples"] == calibration.SAMPLES
    assert (options["calibration_angle"], options["seed"]) == (turning.CALIBRATION_ANGLE, 0)
    data = datasets.load("digits")
    blank = network.copy()
    for held in blank.parameters:
        if held is not None:
            held.forward_shift = held.error_shift = held.gradient_bits = held.score_bits = 0
    assert static_numbers(calibrated_by(blank, data, "fair", cache=cache)) == info["static"]
    assert static_numbers(blank) != info["static"]
    kept = models.load_histograms(path)
    assert kept is not None
    made = calibrate(network, data)
    assert made.images == len(data.train)
    for one, other in zip(kept.layers, made.layers, strict=True):
        assert all((one[name] == other[name]).all() for name in RANGE_NAMES)


def test_each_rule_changes_one_thing() -> None:
    assert list(RULES) == ["naive", "steps", "nonzero", "turned", "most", "fair"]
    rules = [(rule.turned, *vars(rule.reading).values()) for rule in RULES.values()]
    for before, after in pairwise(rules):
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert RULES["fair"].reading == Reading()


def test_rules_on_digits(cache: Path) -> None:
    network, info = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    data = datasets.load("digits")
    numbers = {
        rule: static_numbers(calibrated_by(network, data, rule, cache=cache)) for rule in RULES
    }
    # Hardly any upright digit makes an error, so the plain mode says that there are none.
    assert numbers["naive"]["error_shift"] == [0, None, 0, None, 0, 0]
    assert numbers["naive"]["gradient_bits"] == [0, None, 0, None, 0, 0]
    assert numbers["naive"]["score_bits"] == [0, None, 0, None, 0, 0]
    assert numbers["steps"]["error_shift"] == numbers["naive"]["error_shift"]
    assert numbers["steps"]["gradient_bits"] == numbers["nonzero"]["gradient_bits"]
    assert numbers["steps"]["score_bits"] == numbers["nonzero"]["score_bits"]
    assert numbers["nonzero"]["error_shift"] == [0, None, 9, None, 8, 1]
    assert numbers["nonzero"]["gradient_bits"] == [15, None, 14, None, 13, 7]
    assert numbers["turned"]["error_shift"] == [0, None, 9, None, 8, 8]
    assert numbers["turned"]["gradient_bits"] == [15, None, 14, None, 13, 14]
    assert numbers["most"]["error_shift"] == [0, None, 9, None, 9, 8]
    assert numbers["turned"]["score_bits"] == numbers["most"]["score_bits"]
    assert numbers["most"]["score_bits"] == [22, None, 20, None, 20, 20]
    assert numbers["fair"]["score_bits"] == [23, None, 20, None, 16, 18]
    for rule in RULES:
        assert numbers[rule]["forward_shift"] == [9, None, 9, None, 9, 8]
    assert len(list(cache.glob("*"))) == 2
    assert numbers["fair"] == info["static"]
    assert static_numbers(calibrated_by(network, data, "shipped")) == info["static"]


def test_what_is_cached_is_used_while_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    data = datasets.load("digits")
    runs = []

    def counted(*arguments: object, **known: bool) -> object:
        runs.append(arguments[2:])
        return calibrate(*arguments, **known)  # type: ignore[arg-type]

    monkeypatch.setattr(calibration, "calibrate", counted)

    def numbers(rule: str, samples: int = 8) -> object:
        return static_numbers(calibrated_by(network, data, rule, samples, tmp_path))

    first = numbers("fair")
    assert numbers("fair") == first
    numbers("most"), numbers("turned")
    assert runs == [(8, 45)]
    numbers("naive"), numbers("nonzero")
    assert runs == [(8, 45), (8, 0)]
    numbers("fair", samples=9)
    assert runs[2:] == [(9, 45)]
    # Other weights, other histograms; a damaged file is made again.
    network.of(0).weights[-1, -1] ^= 1
    numbers("fair")
    assert runs[3:] == [(8, 45)]
    network.of(0).weights[-1, -1] ^= 1
    damaged = {path: path.read_bytes()[:-40] for path in tmp_path.iterdir()}
    for path, content in damaged.items():
        path.write_bytes(content)
    assert numbers("fair") == first
    (mended,) = (path for path, content in damaged.items() if path.read_bytes() != content)
    assert runs[4:] == [(8, 45)]
    assert numbers("fair") == first
    assert len(runs) == 5
    # So is one of another number of layers, or of ranges.
    for cut in (lambda table: table[:-1], lambda table: table[:, :-1]):
        with np.load(mended) as kept:
            arrays = {name: cut(kept[name]) if kept[name].ndim else kept[name] for name in kept}
        np.savez(mended, **arrays)
        assert numbers("fair") == first
    assert runs[5:] == [(8, 45)] * 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}
    calibrated_by(network, data, "fair", 8, None)
    assert len(runs) == 8


def test_an_unknown_rule_is_refused() -> None:
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    with pytest.raises(UserError, match="unknown calibration rule 'best'; use one of shipped, nai"):
        calibrated_by(network, datasets.load("digits"), "best")


def test_as_many_images_as_there_are() -> None:
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    histograms = calibrate(network, datasets.load("digits"), samples=5, angle=0)
    assert histograms.images == 5
    counts = [int(layer["forward"].sum()) for layer in histograms.layers]
    assert counts == [5, 0, 5, 0, 5, 5]
    for layer in histograms.layers:
        assert layer["score"].sum() == layer["score_peak"].sum() == layer["gradient"].sum()


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    network, _ = models.load_backbone(models.BACKBONES / "tinycnn-digits.npz")
    data = datasets.load("digits")
    (tmp_path / "file").write_text("")
    kept = calibrated_by(network, data, "fair", 8, tmp_path / "file" / "calibrations")
    assert static_numbers(kept) == static_numbers(calibrated_by(network, data, "fair", 8, None))
