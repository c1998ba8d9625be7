"""Exercises under a smart watch: the file, windows, and who learns from whom."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_up import PACK, RANDOM, Quiet, sha256, store
from picotrain import datasets
from picotrain.datasets import files, watch
from picotrain.errors import UserError

pytestmark = pytest.mark.usefixtures("nowhere")

FILE = "watch_dataset.npy"
LENGTHS = {person: 1000 + 40 * person for person in watch.PEOPLE}
"""Samples at 50 Hz: 250 and more at 12.5."""


@pytest.fixture(scope="module")
def contents() -> bytes:
    """A file like the published one: the recordings in no order, noise that grows with the person,
    and a constant that names the exercise and the arm."""
    keys = [(p, e, side) for side in (1.0, 0.0) for p in (10, *range(1, 10)) for e in range(7)]
    samples = []
    for person, exercise, side in keys:
        noise = RANDOM.normal(0, person / 100, (LENGTHS[person], 6))
        samples.append(noise + exercise + 10 * side)
    people, exercises, sides = (np.array(column) for column in zip(*keys, strict=True))
    data = {"X": samples, "y": exercises, "subject": people, "side": sides}
    stream = io.BytesIO()
    np.save(stream, np.array(data, dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch, contents: bytes) -> None:
    """That file is the published one from now on, and no package has it."""
    digest = sha256(contents)
    file = replace(watch.FILES.files[0], sha256=digest)
    archive = replace(watch.FILES.archives[0], sha256=digest, size=len(contents))
    monkeypatch.setattr(watch, "FILES", files.FileSet("watch", ("watch",), (file,), (archive,)))


@pytest.fixture
def here(tmp_path: Path, pinned: None, contents: bytes) -> Path:
    folder = tmp_path / "shared" / "data" / "watch"
    store(folder, {FILE: contents})
    return folder


def test_it_needs_a_person() -> None:
    for name in ("watch", "watch-11", "watch-x"):
        with pytest.raises(UserError, match=f"'{name}' needs one of its people .*watch-1 to "):
            datasets.load(name)


def test_recordings_are_in_order_and_means_of_four_samples(here: Path) -> None:
    found = watch.recordings(watch.FILES)
    assert [(one.person, one.exercise, one.right) for one in found] == [
        (person, exercise, right)
        for person in range(1, 11)
        for exercise in range(7)
        for right in (False, True)
    ]
    assert {len(one.samples) for one in found if one.person == 3} == {LENGTHS[3] // 4}
    one = next(one for one in found if (one.person, one.exercise, one.right) == (1, 5, True))
    assert one.samples.mean() == pytest.approx(15, abs=0.01)
    # Of four independent samples the mean spreads half as much.
    assert one.samples.std() == pytest.approx(0.005, rel=0.1)
    assert watch._slower(np.arange(66.0).reshape(11, 6)).tolist() == [
        [9.0, 10, 11, 12, 13, 14],
        [33.0, 34, 35, 36, 37, 38],
    ]


def test_ranges_are_central_and_pixels_rounded_half_up() -> None:
    samples = np.repeat(np.arange(1001.0)[:, np.newaxis], 6, axis=1)
    ranges = watch.Ranges.of([watch.Recording(1, 0, True, samples)])
    assert (ranges.low.tolist(), ranges.high.tolist()) == ([5.0] * 6, [995.0] * 6)
    plain = watch.Ranges(np.zeros(6), np.full(6, 255.0))
    row = np.array([[-3.0, 0.49, 0.5, 127.5, 254.6, 900.0]])
    assert plain.pixels(row).tolist() == [[0, 0, 1, 128, 255, 255]]


def test_windows_follow_each_other_by_half() -> None:
    samples = np.repeat(np.arange(130.0)[:, np.newaxis], 6, axis=1)
    plain = watch.Ranges(np.zeros(6), np.full(6, 255.0))
    one = watch.Recording(1, 4, True, samples)
    split = watch.windows([one], plain)
    assert split.images.shape == (4, 50, 1, 6)
    assert split.images[:, 0, 0, 0].tolist() == [0, 25, 50, 75]
    assert split.labels.tolist() == [4] * 4
    assert watch.windows([one], plain, stop=100).images[:, -1, 0, 5].tolist() == [49, 74, 99]
    assert watch.windows([one], plain, start=-100).images[:, 0, 0, 0].tolist() == [30, 55, 80]


def test_what_goes_where(here: Path) -> None:
    data = datasets.load("watch-9", download=False)
    assert (data.name, data.classes, data.image_shape) == ("watch-9", 7, (50, 1, 6))
    assert data.angle == 0 and not data.photographs
    others = range(2, 9)  # 10 and 1 follow 9, in a circle, and validate

    def count(samples: int) -> int:
        return 14 * ((samples - 50) // 25 + 1)

    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": sum(count(LENGTHS[one] // 4 - 100) for one in others),
        "validation": count(LENGTHS[10] // 4) + count(LENGTHS[1] // 4),
        "test": 7 * 14 * 3,
        "device-train": 14 * 3,
        "device-validation": 14,
        "device-test": count(LENGTHS[9] // 4 - 150),
    }
    ranges = watch.Ranges.of([one for one in watch.recordings(watch.FILES) if one.person in others])
    own = next(one for one in watch.recordings(watch.FILES) if one.person == 9)
    pixels = ranges.pixels(own.samples)
    for split, first, start in (("train", 2, 50), ("validation", 0, 100), ("test", 1, 175)):
        image = data.splits[f"device-{split}"].images[first]
        assert image[:, 0].tolist() == pixels[start : start + 50].tolist()


def test_nothing_that_teaches_a_new_person_tests_it() -> None:
    """Not even a part of a repetition, which takes 2.6 s at most."""
    assert watch.SUPPORT + 2.6 * watch.RATE_HZ <= watch.QUERY
    assert [watch.validating(person) for person in (1, 8, 9, 10)] == [
        (2, 3),
        (9, 10),
        (10, 1),
        (1, 2),
    ]


def test_the_ranges_are_not_those_of_who_is_new(here: Path, monkeypatch: Any) -> None:
    seen: list[set[int]] = []
    plain = watch.Ranges(np.zeros(6), np.ones(6))

    def of(some: Any) -> watch.Ranges:
        seen.append({one.person for one in some})
        return plain

    monkeypatch.setattr(watch.Ranges, "of", of)
    datasets.load("watch-4", download=False)
    assert seen == [{1, 2, 3, 7, 8, 9, 10}]


@pytest.mark.parametrize("suffix", PACK)
def test_the_file_is_found_however_it_is_packed(
    suffix: str, tmp_path: Path, pinned: None, contents: bytes
) -> None:
    folder = tmp_path / "shared" / "data" / "watch"
    packed = PACK[suffix](contents)
    store(folder, {FILE + suffix: packed})
    assert datasets.verify("watch-2") == datasets.Status(
        "watch", "present", str(folder), len(packed)
    )


def test_an_installed_seglearn_has_it(tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "site" / "seglearn"
    store(package, {"__init__.py": b"raise RuntimeError('it is not to be imported')\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert watch._installed() == (str(package / "data"),)


def test_without_seglearn_no_package_has_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(watch, "find_spec", lambda _: None)
    assert watch._installed() == ()


def test_a_file_of_the_package_is_taken(
    tmp_path: Path, pinned: None, contents: bytes, monkeypatch: Any
) -> None:
    folder = tmp_path / "site" / "seglearn" / "data"
    store(folder, {FILE: contents})
    monkeypatch.setattr(watch, "FILES", replace(watch.FILES, folders=("watch", str(folder))))
    assert datasets.verify("watch").where == str(folder)
    assert len(datasets.load("watch-1", download=False).splits["device-train"]) == 42


def test_download(tmp_path: Path, serve: Any, pinned: None, contents: bytes) -> None:
    store(tmp_path / "www" / "watch", {FILE: contents})
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    cache = tmp_path / "cache" / "picotrain" / "watch"
    assert datasets.fetch("watch").where == str(cache)
    assert (cache / FILE).read_bytes() == contents


@pytest.mark.parametrize("damage", ["other", "cut"])
def test_another_download_is_never_unpickled(
    damage: str, tmp_path: Path, serve: Any, pinned: None, contents: bytes, monkeypatch: Any
) -> None:
    def load(*_: object, **__: object) -> None:
        pytest.fail("what was not verified was read")

    monkeypatch.setattr(watch.np, "load", load)
    bad = {"other": contents[:-1] + b"?", "cut": contents[:99]}[damage]
    store(tmp_path / "www" / "watch", {FILE: bad})
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    with pytest.raises(files.DamagedDataError, match=r"watch_dataset\.npy is damaged: expected"):
        datasets.load("watch-1")
    store(tmp_path / "shared" / "data" / "watch", {FILE: bad})
    with pytest.raises(files.DamagedDataError, match=r"watch_dataset\.npy is damaged: expected"):
        datasets.load("watch-1")


def test_missing(pinned: None) -> None:
    with pytest.raises(files.MissingDataError, match="run `picotrain data fetch watch`"):
        datasets.load("watch-5", download=False)
