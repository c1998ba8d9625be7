"""Visual Wake Words in a user's folder: pictures of a person or of none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.datasets.folders import wake_words
from picotrain.datasets.folders.wake_words import LABELS, picture, split_of
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.float_pretrain import suited

pytestmark = pytest.mark.usefixtures("nowhere")

GREY = 40
"""Steps between the pictures' shades."""


def jpeg(pixels: NDArray[np.uint8], form: str = "JPEG") -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, quality=95)
    return stream.getvalue()


def flat(shade: int, height: int = 96, width: int = 96) -> bytes:
    """All of one colour, which JPEG keeps."""
    return jpeg(np.full((height, width, 3), shade, np.uint8))


def write(folder: Path, shade: int, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(flat(shade))


def named(split: str, count: int) -> list[str]:
    """File names that go there."""
    names = (f"COCO_train2014_{number:012}.jpg" for number in range(10_000))
    found = [name for name in names if split_of(name) == split]
    return found[:count]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Shades 200 and 100 of a person and none; all names of a person are of none too."""
    path = tmp_path / "wake words"
    for split, count in (("train", 5), ("validation", 2), ("test", 3)):
        write(path / "person", 200, *named(split, count))
        write(path / "non_person", 100, *named(split, count + 1))
    (path / "person" / "._hidden.jpg").write_bytes(b"no picture")
    (path / "person" / "list.txt").write_text("no picture")
    return path


def test_pictures_go_where_their_names_say(folder: Path) -> None:
    data = datasets.load(f"wake-words:{folder}")
    assert data.name == f"wake-words:{folder}" and LABELS == ("non_person", "person")
    assert (data.classes, data.image_shape, data.angle) == (2, (96, 96, 3), 0.0)
    assert data.photographs and not data.frames and not data.quantised
    assert suited(data).mirror
    models.check_fit(models.resolve("mobilenet-v1-025"), data)
    for name, count in (("train", 5), ("validation", 2), ("test", 3)):
        split = data.splits[name]
        assert split.labels.tolist() == [0] * (count + 1) + [1] * count
        assert (split.images == np.where(split.labels, 200, 100)[:, None, None, None]).all()


def test_eight_in_ten_train() -> None:
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(5000)]
    counts = [sum(split_of(name) == split for name in names) for split in wake_words.FOLDERS]
    assert sum(counts) == 5000
    assert np.allclose(np.array(counts) / 5000, [0.8, 0.1, 0.1], atol=0.015)
    # Whatever machine it is.
    assert [split_of(f"{letter}.jpg") for letter in "abcdef"] == [
        *("train", "train", "train", "validation", "train", "test"),
    ]


def test_folders_of_a_split_are_taken_as_they_are(tmp_path: Path) -> None:
    for shade, split in enumerate(wake_words.FOLDERS.values(), 1):
        write(tmp_path / split / "person", GREY * shade, "a.jpg", "b.JPEG")
        write(tmp_path / split / "non_person", GREY * shade, "a.JPG")
    data = datasets.load(f"wake-words:{tmp_path}")
    for shade, name in enumerate(("train", "validation", "test"), 1):
        split = data.splits[name]
        assert split.labels.tolist() == [0, 1, 1]
        assert (split.images == GREY * shade).all()


def test_other_sizes_and_colours_become_96x96_in_rgb(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 192).astype(np.uint8)[np.newaxis], 144, axis=0)
    (tmp_path / "grey.jpg").write_bytes(jpeg(ramp))
    found = picture(tmp_path / "grey.jpg")
    assert found.shape == (96, 96, 3) and found.dtype == np.uint8
    assert (found[..., 0] == found[..., 1]).all() and (found[..., 0] == found[..., 2]).all()
    wanted = ramp[0].reshape(96, 2).mean(axis=1)
    assert np.abs(found[:, 2:-2, 0] - wanted[2:-2]).max() <= 3
    (tmp_path / "large.jpg").write_bytes(flat(77, 50, 300))
    assert (picture(tmp_path / "large.jpg") == 77).all()


def test_it_is_kept_decoded_until_a_file_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"wake-words:{folder}"
    first = datasets.load(name)
    original, read = wake_words.picture, []
    monkeypatch.setattr(wake_words, "picture", lambda path: read.append(path) or original(path))
    second = datasets.load(name)
    assert read == [] and second.sha256 == first.sha256 and list(first.sha256) == ["wake words"]
    assert (second.test.images == first.test.images).all()
    (folder / "person" / named("test", 1)[0]).write_bytes(flat(7))
    changed = datasets.load(name)
    assert len(read) == 23 and changed.sha256 != first.sha256
    assert np.unique(changed.test.images).tolist() == [7, 100, 200]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "nowhere: there is no such folder; give the folder that the data set is"),
        ("above", r"has no folder non_person, only .*wake words.*; name the folder with person"),
        ("one class", "has no folder person, only non_person; name the folder with person and"),
        ("empty class", "person has no .jpg file; unpack the data set again"),
        ("empty split", "no picture of it validates; give it more of them"),
        ("no val", "it has a folder train, but none named val; give it all of train, val, test"),
        ("no jpeg", r"person/COCO_.*\.jpg is no JPEG file; unpack the data set again"),
        ("a png", r"person/COCO_.*\.jpg is no JPEG file; unpack the data set again"),
        ("cut", r"person/COCO_.*\.jpg cannot be read: .*truncated.*; unpack the data set again"),
        ("loop", r"cannot read .*person/COCO_.*\.jpg: Too many levels.*; put the file there, or"),
    ],
)
def test_bad_folders(folder: Path, how: str, says: str) -> None:
    path, victim = folder, folder / "person" / named("train", 1)[0]
    if how == "missing":
        path = folder / "nowhere"
    elif how == "above":
        path = folder.parent
    elif how == "one class":
        (folder / "person").rename(folder.parent / "person")
    elif how == "empty class":
        (folder / "person").rename(folder.parent / "person")
        (folder / "person").mkdir()
    elif how == "empty split":
        for name in named("validation", 3):
            for label in LABELS:
                (folder / label / name).unlink(missing_ok=True)
    elif how == "no val":
        (folder / "train").mkdir()
    elif how == "no jpeg":
        victim.write_bytes(b"<html>")
    elif how == "a png":
        victim.write_bytes(jpeg(np.zeros((96, 96, 3), np.uint8), "PNG"))
    elif how == "cut":
        noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
        victim.write_bytes(jpeg(noise)[:3000])
    elif how == "loop":
        victim.unlink()
        victim.symlink_to(victim.name)
    with pytest.raises(UserError, match=says) as caught:
        datasets.load(f"wake-words:{path}")
    assert "\n" not in str(caught.value)


def test_a_folder_is_needed() -> None:
    with pytest.raises(UserError, match="'wake-words' is of your own: say where it is, as wake-wo"):
        datasets.load("wake-words")
