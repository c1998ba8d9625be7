"""The cache of decoded data sets: the same arrays, and nothing but verified ones."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import cifar10, digits, files
from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.files import FileSet
from picotrain.datasets.kept import decoded

SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICOTRAIN_CACHE", raising=False)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "repository")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PICOTRAIN_DATA", str(tmp_path))


@pytest.fixture
def photos(tmp_path: Path) -> FileSet:
    """Files like CIFAR-10's, with 6 images each."""
    random = np.random.default_rng(3)
    pinned = []
    (tmp_path / "cifar10").mkdir()
    for file in cifar10.FILES.files:
        pixels = random.integers(0, 256, (6, 3072)).astype(np.uint8)
        data = pickle.dumps({b"data": pixels, b"labels": list(range(6))}, protocol=2)
        (tmp_path / "cifar10" / file.name).write_bytes(data)
        pinned.append(replace(file, sha256=hashlib.sha256(data).hexdigest()))
    return replace(cifar10.FILES, files=tuple(pinned))


def load(fileset: FileSet) -> Dataset:
    return cifar10.load(fileset, download=False, validation=4)


def contents(data: Dataset) -> dict[str, tuple[tuple[int, ...], bytes, bytes]]:
    return {
        name: (split.images.shape, split.images.tobytes(), split.labels.tobytes())
        for name, split in data.splits.items()
    }


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry each time a batch is unpickled."""
    done: list[int] = []
    original = cifar10._batch

    def counted(data: bytes) -> Split:
        done.append(1)
        return original(data)

    monkeypatch.setattr(cifar10, "_batch", counted)
    return done


def kept_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "picotrain" / "decoded").iterdir())


def test_the_second_time_nothing_is_decoded(
    tmp_path: Path, photos: FileSet, decodings: list[int]
) -> None:
    first = load(photos)
    assert len(decodings) == 6
    second = load(photos)
    assert len(decodings) == 6
    assert contents(second) == contents(first)
    assert [len(second.splits[name]) for name in SPLITS] == [26, 4, 6]
    assert second.train.images.dtype == np.uint8 and second.sha256 == first.sha256
    assert [path.suffix for path in kept_files(tmp_path)].count(".json") == 1
    for split in (first.train, second.train):
        with pytest.raises(ValueError, match="read-only"):
            split.images[0, 0, 0, 0] = 1


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "index", "other index"])
def test_a_damaged_cache_is_made_anew(
    tmp_path: Path, photos: FileSet, decodings: list[int], damage: str
) -> None:
    good = contents(load(photos))
    victim = max(kept_files(tmp_path), key=lambda path: path.stat().st_size)
    index = next(path for path in kept_files(tmp_path) if path.suffix == ".json")
    data = victim.read_bytes()
    if damage == "flipped":
        victim.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif damage == "cut":
        victim.write_bytes(data[: len(data) // 2])
    elif damage == "gone":
        victim.unlink()
    else:
        index.write_text("[1" if damage == "index" else "[1]")
    assert contents(load(photos)) == good
    assert len(decodings) == 12
    assert victim.read_bytes() == data
    assert contents(load(photos)) == good
    assert len(decodings) == 12


def test_files_that_changed_are_verified_again(
    tmp_path: Path, photos: FileSet, decodings: list[int]
) -> None:
    load(photos)
    path = tmp_path / "cifar10" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(files.DamagedDataError, match="data_batch_2 is damaged"):
        load(photos)


def test_a_cache_of_other_contents_is_another_one(
    tmp_path: Path, photos: FileSet, decodings: list[int]
) -> None:
    load(photos)
    assert len(cifar10.load(photos, download=False, validation=3).validation) == 3
    assert len(decodings) == 12


def test_a_cache_that_cannot_be_is_no_failure(
    tmp_path: Path, photos: FileSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = contents(load(photos))
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "blocked"))
    assert contents(load(photos)) == good


def test_other_code_decodes_again(tmp_path: Path) -> None:
    source, code = tmp_path / "source", tmp_path / "code.py"
    source.write_text("")
    made = []

    def make() -> dict[str, Split]:
        made.append(1)
        return {"train": Split(np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.uint8))}

    for text, count in (("a", 1), ("a", 1), ("b", 2), ("a", 2)):
        code.write_text(text)
        decoded.kept("own", ["key"], [str(code)], [source], make)
        assert len(made) == count


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, photos: FileSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.np, "save", full)
    assert len(load(photos).train) == 26
    assert kept_files(tmp_path) == []


def test_digits_come_from_the_cache_but_are_verified_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(digits.load())

    def unwanted() -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(digits, "bundled", unwanted)
    assert contents(digits.load()) == first
    with pytest.raises(AssertionError, match="read again"):
        datasets.verify("digits")


def test_the_checksum_is_of_names_and_contents() -> None:
    def made(name: str, pixel: int, label: int) -> dict[str, Split]:
        images = np.full((2, 3, 4, 1), pixel, np.uint8)
        return {name: Split(images, np.array([0, label], np.uint8))}

    def digest(key: int, splits: dict[str, Split]) -> str:
        return decoded.kept_with_digest("made", [key], [__file__], [], lambda: splits)[1]

    wanted = hashlib.sha256(b"train (2, 3, 4, 1) " + b"\7" * 24 + b"\0\1").hexdigest()
    assert digest(1, made("train", 7, 1)) == wanted
    # From the cache; then as if it was made of something else.
    assert digest(1, made("test", 0, 0)) == wanted
    assert digest(2, made("train", 7, 1)) == wanted
    others = [made("test", 7, 1), made("train", 8, 1), made("train", 7, 2)]
    assert len({wanted, *(digest(key, one) for key, one in enumerate(others, 3))}) == 4
