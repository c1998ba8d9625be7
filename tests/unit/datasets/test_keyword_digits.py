"""Sounds as a keyword spotter takes them, and spoken digits made of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import Dataset, files, fsdd
from picotrain.datasets.keywords import mfcc, sounds, spoken
from picotrain.datasets.keywords.sounds import one_second
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.float_pretrain import suited
from picotrain.learn.turning import angle_of, calibration_angle_of


def test_silence_is_where_the_int8_input_of_the_network_begins() -> None:
    silent = mfcc.coefficients(np.zeros(mfcc.RATE_HZ))
    assert silent.shape == mfcc.SHAPE
    # 40 bands of log(1e-6), over the square root of 80, twice: the network's least is -123.37.
    assert silent[:, 0, 0] == pytest.approx(2 * 40 * np.log(1e-6) / np.sqrt(80))
    assert silent[:, 1:, 0] == pytest.approx(0.0, abs=1e-9)
    assert mfcc.pixels(silent)[:, 0].tolist() == [[0]] * 49
    assert set(mfcc.pixels(silent)[:, 1:].flat) == {211}


def test_pixels_count_steps_from_silence() -> None:
    step = 0.584702909
    values = np.array([-999.0, -211.6, -211.4, -1.4, 0.0, 0.6, 43.4, 44.4, 999.0]) * step
    assert mfcc.pixels(values).tolist() == [0, 0, 0, 210, 211, 212, 254, 255, 255]


def test_coefficients_are_those_of_the_definition() -> None:
    sound = np.random.default_rng(0).normal(size=mfcc.RATE_HZ) / 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    frame = sound[7 * 320 : 7 * 320 + 480] * window
    pitch = 1127 * np.log(1 + np.arange(257) * 31.25 / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 4000 / 700), 42)
    magnitudes = np.abs(np.fft.fft(frame, 512))[:257]
    bands = [
        sum(
            magnitude * max(0.0, min((mel - low) / (top - low), (high - mel) / (high - top)))
            for mel, magnitude in zip(pitch, magnitudes, strict=True)
        )
        for low, top, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    wanted = [
        2
        / np.sqrt(80)
        * sum(
            np.log(band + 1e-6) * np.cos(np.pi * k * (n + 0.5) / 40) for n, band in enumerate(bands)
        )
        for k in range(10)
    ]
    assert mfcc.coefficients(sound)[7, :, 0] == pytest.approx(wanted)


def test_a_recording_lies_in_the_middle_with_a_peak_of_1() -> None:
    samples = np.zeros(2000)
    samples[1000] = -3000.0
    sound = one_second(samples)
    assert sound.shape == (16000,)
    assert int(np.abs(sound).argmax()) == 8000
    assert np.abs(sound).max() == pytest.approx(1.0)


def test_of_what_is_too_long_the_middle_of_its_energy_is_kept() -> None:
    samples = np.zeros(12000)
    samples[11000:11010] = 1000.0
    sound = one_second(samples)
    assert np.abs(sound[13000:15000]).max() == pytest.approx(1.0)


# Spoken digits


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, nowhere: None) -> None:
    """Each recording is a tone as loud as its digit, speaker and number say."""

    def recordings(fileset: files.FileSet, download: bool) -> dict[str, np.ndarray]:
        return {
            name: np.full(100, 1000 * digit + 50 * place + number, np.int16)
            for place, speaker in enumerate(fsdd.SPEAKERS)
            for number in range(50)
            for digit, name in fsdd.chosen((speaker,), range(number, number + 1))
        }

    def told(sound: np.ndarray) -> np.ndarray:
        """An image that says whose recording it is of, in the last three columns."""
        digit, rest = divmod(int(sound[0]), 1000)
        image = np.zeros(mfcc.SHAPE)
        image[0, 7:, 0] = digit, rest // 50, rest % 50
        return image

    monkeypatch.setattr(spoken, "require", lambda fileset, download: {})
    monkeypatch.setattr(fsdd, "recordings", recordings)
    monkeypatch.setattr(sounds, "one_second", lambda samples: samples)
    monkeypatch.setattr(mfcc, "coefficients", told)
    monkeypatch.setattr(mfcc, "pixels", lambda heard: heard.astype(np.uint8))


def whose(dataset: Dataset, split: str) -> tuple[list[int], list[int], set[int]]:
    """First and last recording (digit, speaker, number) of a split, and all of its speakers."""
    columns = dataset.splits[split].images[:, 0, 7:, 0]
    assert (columns[:, 0] == dataset.splits[split].labels).all()
    assert len(np.unique(columns, axis=0)) == len(columns)
    return columns[0].tolist(), columns[-1].tolist(), set(columns[:, 1].tolist())


@pytest.mark.parametrize(
    ("name", "speakers"),
    [
        ("spoken-digits", [0, 1, 2, 3, 4, 5]),
        ("spoken-digits-without-jackson", [0, 2, 3, 4, 5]),
        ("spoken-digits-jackson", [1]),
        ("spoken-digits-without-yweweler", [0, 1, 2, 3, 4]),
    ],
)
def test_recordings_go_where_speaker_and_number_say(
    name: str, speakers: list[int], made_up: None
) -> None:
    dataset = datasets.load(name, download=False)
    assert (dataset.name, dataset.classes, dataset.image_shape) == (name, 10, (49, 10, 1))
    sizes = {split: len(held) for split, held in dataset.splits.items()}
    count = 10 * len(speakers)
    assert sizes == {"train": 40 * count, "validation": 5 * count, "test": 5 * count}
    first, last = speakers[0], speakers[-1]
    assert whose(dataset, "train") == ([0, first, 10], [9, last, 49], set(speakers))
    assert whose(dataset, "validation") == ([0, first, 5], [9, last, 9], set(speakers))
    assert whose(dataset, "test") == ([0, first, 0], [9, last, 4], set(speakers))


def test_they_are_frames_that_move_in_time_alone_and_are_not_turned(made_up: None) -> None:
    dataset = datasets.load("spoken-digits")
    assert dataset.frames and dataset.angle == 0 and not dataset.photographs
    assert not suited(dataset).across and suited(dataset).batch == 64
    assert angle_of(dataset, None) == 0 and calibration_angle_of(dataset, None) == 0
    with pytest.raises(UserError, match=r"angle is 30, .* spoken-digits is of frames, .* no pict"):
        angle_of(dataset, 30.0)
    with pytest.raises(UserError, match=r"calibration angle is 45, .* is of frames, .* use 0"):
        calibration_angle_of(dataset, 45)


def test_names() -> None:
    assert len(spoken.NAMES) == len(set(spoken.NAMES)) == 13
    assert set(spoken.NAMES) < set(datasets.NAMES)
    for name in ("spoken-digits-nobody", "spoken-digits-without", "spoken-digits-without-"):
        with pytest.raises(UserError, match=f"'{name}' is of nobody; use spoken-digits, "):
            datasets.load(name)


@pytest.mark.parametrize("name", ["spoken-digits", "spoken-digits-without-theo", "digits"])
def test_a_missing_backbone_says_how_it_is_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "MADE_BACKBONES", tmp_path)
    with pytest.raises(UserError, match=f"pretrain --model ds-cnn --dataset {name} --out "):
        models.load_backbone(models.backbone_path("ds-cnn", name))


def test_real_recordings_give_the_images_that_were_measured_with() -> None:
    try:
        dataset = datasets.load("spoken-digits", download=False)
    except files.MissingDataError as error:
        pytest.skip(str(error))
    digest = hashlib.sha256()
    for _, split in sorted(dataset.splits.items()):
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    assert digest.hexdigest() == "59b3eed4fb1b11f434c010c7fc513dc443398ba3800d9c376afdd9a5006097c2"
    lone = datasets.load("spoken-digits-theo", download=False)
    known = {image.tobytes() for image in dataset.test.images}
    assert {image.tobytes() for image in lone.test.images} < known
