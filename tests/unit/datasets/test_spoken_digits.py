"""Recordings of spoken digits, however they are packed."""

from __future__ import annotations

import gzip
import io
import tarfile
import wave
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from made_up import PACK, RANDOM, Quiet, sha256, store
from picotrain import datasets
from picotrain.datasets import files, fsdd
from picotrain.errors import UserError

pytestmark = pytest.mark.usefixtures("nowhere")


def sound(samples: NDArray[np.int16]) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()


@pytest.fixture(scope="module")
def spoken() -> dict[str, bytes]:
    """Files named like the 3,000 recordings, with 20 ms of noise each."""
    return {
        f"recordings/{digit}_{speaker}_{index}.wav": sound(RANDOM.integers(-9999, 9999, 160))
        for digit in range(10)
        for speaker in fsdd.SPEAKERS
        for index in range(50)
    }


def tar_of(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def as_github_packs(contents: dict[str, bytes]) -> bytes:
    """In a folder, in another order, with other files."""
    more = {"README.md": b"hello", "recordings/notes.txt": b"", "utils/0_theo_0.wav": b"RIFF"}
    backwards = dict(reversed(list({**contents, **more}.items())))
    return tar_of({f"repository-1234/{name}": data for name, data in backwards.items()})


@pytest.fixture
def few_seconds(monkeypatch: pytest.MonkeyPatch, spoken: dict[str, bytes]) -> None:
    """The spoken digits are that noise from now on."""
    lines = [f"{sha256(spoken[name])}  {name}\n" for name in sorted(spoken)]
    listed = sha256("".join(lines).encode())
    file = replace(fsdd.FILES.files[0], sha256=listed)
    archive = replace(fsdd.FILES.archives[0], size=8_000_000)
    monkeypatch.setattr(fsdd, "FILES", replace(fsdd.FILES, files=(file,), archives=(archive,)))


def test_spoken_digits_need_a_speaker() -> None:
    for name in ("fsdd", "fsdd-nobody"):
        with pytest.raises(UserError, match=f"'{name}' needs one of its speakers .*fsdd-theo"):
            datasets.load(name)


@pytest.mark.parametrize("suffix", PACK)
def test_spoken_digits_are_found_however_they_are_packed(
    suffix: str, tmp_path: Path, few_seconds: None, spoken: dict[str, bytes]
) -> None:
    folder = tmp_path / "shared" / "data" / "fsdd"
    packed_by_us = PACK[suffix](tar_of(spoken))
    store(folder, {"recordings.tar" + suffix: packed_by_us})
    status = datasets.verify("fsdd-lucas")
    assert status == datasets.Status("fsdd", "present", str(folder), len(packed_by_us))
    assert datasets.verify("fsdd") == status


def test_spoken_digits_go_where_their_names_say(
    tmp_path: Path, few_seconds: None, spoken: dict[str, bytes]
) -> None:
    store(tmp_path / "shared" / "data" / "fsdd", {"recordings.tar": tar_of(spoken)})
    data = datasets.load("fsdd-lucas", download=False)
    assert data.name == "fsdd-lucas"
    assert (data.classes, data.image_shape) == (10, (28, 28, 1))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 2000,
        "validation": 250,
        "test": 250,
        "device-train": 250,
        "device-validation": 100,
        "device-test": 150,
    }
    for split in data.splits.values():
        assert np.bincount(split.labels).tolist() == [len(split) // 10] * 10

    def pixels(name: str) -> bytes:
        with wave.open(io.BytesIO(spoken[f"recordings/{name}.wav"])) as file:
            samples = np.frombuffer(file.readframes(160), "<i2").astype(np.float64)
        return fsdd.melspectrogram.image(samples).tobytes()

    def first_and_last(split: str) -> list[bytes]:
        images = data.splits[split].images
        return [images[0].tobytes(), images[-1].tobytes()]

    for split, first, last in (
        ("train", "0_george_10", "9_yweweler_49"),
        ("validation", "0_george_5", "9_yweweler_9"),
        ("test", "0_george_0", "9_yweweler_4"),
        ("device-train", "0_lucas_25", "9_lucas_49"),
        ("device-validation", "0_lucas_15", "9_lucas_24"),
        ("device-test", "0_lucas_0", "9_lucas_14"),
    ):
        assert first_and_last(split) == [pixels(first), pixels(last)]
    seen = [image.tobytes() for split in data.splits.values() for image in split.images]
    assert len(set(seen)) == len(seen) == 3000


@pytest.mark.parametrize("damage", ["changed", "missing", "cut", "noise", "empty"])
def test_damaged_recordings(
    damage: str, tmp_path: Path, few_seconds: None, spoken: dict[str, bytes]
) -> None:
    name = "recordings/3_theo_7.wav"
    good = tar_of(spoken)
    bad = {
        "changed": tar_of({**spoken, name: spoken[name][:-1] + b"?"}),
        "missing": tar_of({key: data for key, data in spoken.items() if key != name}),
        "cut": good[: len(good) // 2],
        "noise": b"<html>not found</html>" * 99,
        "empty": b"",
    }[damage]
    store(tmp_path / "shared" / "data" / "fsdd", {"recordings.tar": bad})
    with pytest.raises(files.DamagedDataError, match=r"recordings\.tar is damaged"):
        datasets.load("fsdd-theo")
    assert {status.name: status.state for status in datasets.describe()}["fsdd"] == "damaged"


def test_download_of_recordings_that_the_server_packs_itself(
    tmp_path: Path, serve: Any, few_seconds: None, spoken: dict[str, bytes]
) -> None:
    wire = {"recordings.tar.gz": gzip.compress(as_github_packs(spoken))}
    store(tmp_path / "www" / "fsdd", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    cache = tmp_path / "cache" / "picotrain" / "fsdd"
    assert datasets.fetch("fsdd").where == str(cache)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == wire
    assert len(datasets.load("fsdd-theo", download=False).train) == 2000


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        (gzip.compress(tar_of({"recordings/0_theo_0.wav": b""})), "its contents are not those"),
        (b"<html>not found</html>", "its contents are not those"),
        (bytes(8_000_001), "expected at most 8,000,000 bytes, got more than that"),
    ],
)
def test_download_of_other_recordings(
    contents: bytes, match: str, tmp_path: Path, serve: Any, few_seconds: None
) -> None:
    store(tmp_path / "www" / "fsdd", {"recordings.tar.gz": contents})
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    address = r"the download of http://127\.0\.0\.1:\d+/fsdd/recordings\.tar\.gz is damaged"
    with pytest.raises(files.DamagedDataError, match=f"{address}: {match}.*try again"):
        datasets.load("fsdd-theo")
    assert not list((tmp_path / "cache" / "picotrain" / "fsdd").iterdir())
