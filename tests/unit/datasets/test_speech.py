"""Speech: mel spectrograms, and where the backbones that are made for it are looked for."""

from __future__ import annotations

import io
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from picotrain.datasets import files, fsdd
from picotrain.datasets import melspectrogram as mel
from picotrain.datasets.melspectrogram import Floats
from picotrain.errors import UserError
from picotrain.learn import models


def tone(hertz: float, seconds: float, loudness: float = 4000.0) -> Floats:
    return loudness * np.sin(2 * np.pi * hertz * np.arange(round(8000 * seconds)) / 8000)


def filled(image: NDArray[np.uint8]) -> list[int]:
    """First and last column that is not empty, and their number."""
    columns = np.flatnonzero(image.any(axis=(0, 2)))
    return [int(columns[0]), int(columns[-1]), len(columns)]


def test_bands_are_triangles_of_even_width_in_mel() -> None:
    triangles = mel.filterbank()
    assert triangles.shape == (28, 257)
    # Between the tops of the first and the last one they add up to one everywhere.
    edges = 700 * (10 ** (np.linspace(77.8, 2146.1, 30) / 2595) - 1)
    pitch = np.arange(257) * 8000 / 512
    inside = (pitch > edges[1]) & (pitch < edges[-2])
    assert np.allclose(triangles.sum(axis=0)[inside], 1.0, atol=1e-12)
    assert (triangles[:, pitch < 49] == 0).all()
    tops = pitch[triangles.argmax(axis=1)]
    assert np.abs(tops - edges[1:-1]).max() <= 8000 / 512


@pytest.mark.parametrize(("hertz", "band"), [(250, 3), (1000, 12), (3000, 24)])
def test_a_tone_is_a_line_at_its_pitch(hertz: float, band: int) -> None:
    # Band b is on top at 700 (10^((77.8 + 71.3 (b + 1)) / 2595) - 1) Hz.
    image = mel.image(tone(hertz, 1.0))
    assert image.shape == (28, 28, 1)
    assert image.dtype == np.uint8
    assert image.max() == 255
    assert (image[..., 0].argmax(axis=0) == 27 - band).all()


def test_how_loud_it_was_does_not_matter() -> None:
    soft = tone(700, 0.3) + tone(1900, 0.3, 300.0)
    assert (mel.image(soft) == mel.image(4 * soft)).all()
    assert mel.image(soft).tobytes() != mel.image(tone(700, 0.3)).tobytes()


def test_silence_around_is_cut_off() -> None:
    spoken = tone(700, 0.3)
    around = np.concatenate([np.zeros(160 * 9), spoken, np.zeros(160 * 30)])
    assert (mel.image(around) == mel.image(spoken)).all()


def test_what_is_short_is_in_the_middle() -> None:
    # Frames are 160 samples apart and overlap: 800 samples make six, and 128 two.
    assert filled(mel.image(tone(700, 0.1))) == [11, 16, 6]
    assert filled(mel.image(tone(700, 0.016))) == [13, 14, 2]


def test_of_what_is_long_the_middle_is_taken() -> None:
    low, high = tone(500, 0.4), tone(2500, 0.4)
    rows = mel.image(np.concatenate([low, high]))[..., 0].argmax(axis=0)
    # 40 frames, of which 28 are left: 14 of each.
    assert (rows[:13] == rows[0]).all()
    assert (rows[15:] == rows[27]).all()
    assert rows[0] > rows[27]


@pytest.mark.parametrize("samples", [128, 8000])
def test_silence_is_black(samples: int) -> None:
    assert not mel.image(np.zeros(samples)).any()


def test_pixels_round_half_up() -> None:
    samples = tone(700, 0.3) + tone(1900, 0.3, 300.0)
    levels = mel.levels(samples)
    assert levels.max() == 255.0
    assert levels.min() == 0.0
    assert (mel.image(samples)[..., 0] == np.floor(levels + 0.5)).all()


def test_no_real_pixel_is_near_a_half() -> None:
    """Another machine's last bits, some 1e-12 of a pixel, cannot change an image."""
    try:
        contents = files.read_all(fsdd.FILES, download=False)["recordings.tar"]
    except files.MissingDataError as error:
        pytest.skip(str(error))
    nearest = 1.0
    with tarfile.open(fileobj=io.BytesIO(contents)) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.name.endswith(".wav") else None
            if source is None:
                continue
            with wave.open(io.BytesIO(source.read())) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
            fractions = mel.levels(samples.astype(np.float64)) % 1.0
            nearest = min(nearest, float(np.abs(fractions - 0.5).min()))
    assert 1e-9 < nearest < 0.01


# Backbones


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders for the backbones that are shipped, and for those that are made; both empty."""
    shipped, made = tmp_path / "shipped", tmp_path / "made"
    shipped.mkdir()
    made.mkdir()
    monkeypatch.setattr(models, "BACKBONES", shipped)
    monkeypatch.setattr(models, "MADE_BACKBONES", made)
    return shipped, made


def test_a_made_backbone_is_found_after_the_shipped_one(places: tuple[Path, Path]) -> None:
    shipped, made = places
    name = "tinycnn-fsdd-theo.npz"
    assert models.backbone_path("tinycnn", "fsdd-theo") == made / name
    (made / name).write_bytes(b"")
    assert models.backbone_path("tinycnn", "fsdd-theo") == made / name
    (shipped / name).write_bytes(b"")
    assert models.backbone_path("tinycnn", "fsdd-theo") == shipped / name


def test_a_missing_backbone_says_how_it_is_made(places: tuple[Path, Path]) -> None:
    (places[0] / "tinycnn-mnist.npz").write_bytes(b"")
    (places[1] / "vgg11-cifar10.npz").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        models.load_backbone(models.backbone_path("tinycnn", "fsdd-theo"))
    text = str(caught.value)
    assert f"no backbone at {places[1] / 'tinycnn-fsdd-theo.npz'};" in text
    assert "make backbones-speech" in text
    assert f"in {places[0]}: tinycnn-mnist.npz" in text and "vgg11" not in text
