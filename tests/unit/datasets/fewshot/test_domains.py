"""Domains of few-shot tasks: from packs, from downloads, and brought to one shape."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_up import RANDOM, Quiet, sha256, some, store
from picotrain import datasets
from picotrain.datasets import files
from picotrain.datasets.dataset import Bytes
from picotrain.datasets.fewshot import NAMES, UNSEEN, brought, cifar100, load_domain, packs, wand
from picotrain.errors import UserError

pytestmark = pytest.mark.usefixtures("nowhere")


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def stored(tmp_path: Path, pack: files.FileSet, contents: bytes) -> files.FileSet:
    """The pack has these contents from now on, and lies in the cache."""
    file = replace(pack.files[0], sha256=sha256(contents))
    folder = tmp_path / "cache" / "picotrain" / "fewshot"
    store(folder, {f"{file.name}.xz": lzma.compress(contents)})
    return replace(pack, files=(file,))


# Packs


def test_signs_are_training_images_with_tracks(tmp_path: Path) -> None:
    x, y = some(6, 32, 32), np.array([0, 0, 1, 1, 1, 0], np.uint8)
    track = np.array([0, 1, 0, 0, 2, 255], np.uint8)
    split = np.array([0, 0, 0, 0, 0, 1], np.uint8)
    pack = stored(tmp_path, packs.GTSRB, npz(x=x, y=y, track=track, split=split, names=["a", "b"]))
    for _ in range(2):  # the second time from what was kept
        found = packs.gtsrb(False, pack)
        assert (found.images[..., 0] == x[:5]).all()
        assert found.labels.tolist() == [0, 0, 1, 1, 1]
        assert found.tracks is not None
        assert found.tracks.tolist() == [0, 1, 256, 256, 258]
        assert (found.name, found.classes, found.mirror, found.families) == (
            "gtsrb",
            2,
            False,
            None,
        )


def test_characters_have_their_alphabets(tmp_path: Path) -> None:
    x, y = some(6, 32, 32), np.array([0, 0, 1, 1, 2, 2], np.uint8)
    alphabet = np.array([0, 0, 0, 0, 1, 1], np.uint8)
    pack = stored(tmp_path, packs.OMNIGLOT, npz(x=x, y=y, alphabet=alphabet, names=["a"] * 3))
    found = packs.omniglot(False, pack)
    assert found.families is not None
    assert found.families.tolist() == [0, 0, 1]
    assert (found.images[..., 0] == x).all()


def test_flowers_may_be_mirrored_and_digits_are_those_of_the_test(tmp_path: Path) -> None:
    x, y = some(4, 32, 32), np.array([0, 1, 1, 0], np.uint8)
    found = packs.flowers(False, stored(tmp_path, packs.FLOWERS, npz(x=x, y=y)))
    assert found.mirror and found.labels.tolist() == [0, 1, 1, 0]
    split = np.array([0, 0, 1, 1], np.uint8)
    found = packs.usps(False, stored(tmp_path, packs.USPS, npz(x=x, y=y, split=split)))
    assert not found.mirror
    assert (found.images[..., 0] == x[2:]).all() and found.labels.tolist() == [1, 0]


def test_a_pack_that_is_not_there_or_is_damaged(tmp_path: Path) -> None:
    for name in ("gtsrb", "omniglot", "flowers", "usps"):
        with pytest.raises(files.MissingDataError) as caught:
            load_domain(name)
        told = str(caught.value)
        assert f"dataset {name}: " in told and ".npz is missing (1 of 1 files)" in told
        assert "it was made once and comes from no download (docs/data.md): copy it there" in told
        assert "\n" not in told
    store(tmp_path / "cache" / "picotrain" / "fewshot", {"gtsrb.npz": b"damage"})
    with pytest.raises(files.DamagedDataError, match=r"gtsrb\.npz is damaged"):
        load_domain("gtsrb")


def test_names() -> None:
    assert NAMES[:3] == ("cifar100-train", "cifar100-validation", "cifar100-test")
    assert set(UNSEEN) == {
        *("gtsrb", "omniglot", "flowers", "fashion-mnist", "mnist", "usps", "cifar10", "fsdd"),
        "magic-wand",
    }
    with pytest.raises(UserError, match="unknown domain 'cars'; use one of cifar100-train, "):
        load_domain("cars")
    with pytest.raises(UserError, match="'gtsrb' is for few-shot tasks, with nothing to adapt to"):
        datasets.load("gtsrb")


# CIFAR-100

PER_CLASS = 4


def original() -> dict[str, bytes]:
    """Pickles like CIFAR-100's, four images of each class, mixed."""
    contents = {}
    for name in ("train", "test"):
        labels = np.repeat(np.arange(100), PER_CLASS)
        order = RANDOM.permutation(len(labels))
        names = [f"thing_{index % PER_CLASS}.png".encode() for index in range(len(labels))]
        batch = {
            b"data": some(len(labels), 3072),
            b"fine_labels": [int(labels[index]) for index in order],
            b"filenames": [names[index] for index in order],
        }
        contents[name] = pickle.dumps(batch, protocol=2)
    return contents


def tar(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def luma(pixels: Bytes) -> Bytes:
    """[3072] planes to grey [32, 32], in floating point."""
    red, green, blue = pixels.reshape(3, 32, 32).astype(float)
    return np.floor(0.299 * red + 0.587 * green + 0.114 * blue + 0.5).astype(np.uint8)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any) -> dict[str, bytes]:
    """CIFAR-100 is 800 images on a server from now on, and there is no pack."""
    contents = original()
    wire = {"cifar-100-python.tar.gz": tar({**contents, "meta": b"names"})}
    archive = replace(
        cifar100.ORIGINAL.archives[0],
        sha256=sha256(wire["cifar-100-python.tar.gz"]),
        size=len(wire["cifar-100-python.tar.gz"]),
    )
    held = tuple(replace(one, sha256=sha256(contents[one.name])) for one in cifar100.ORIGINAL.files)
    monkeypatch.setattr(
        cifar100, "ORIGINAL", replace(cifar100.ORIGINAL, files=held, archives=(archive,))
    )
    store(tmp_path / "www" / "cifar100", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    return contents


def test_the_original_files_give_grey_images_in_order(
    tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar100, "IMAGES", None)
    with pytest.raises(UserError, match=r"give grey images with sha256 [0-9a-f]+, not None; use"):
        load_domain("cifar100-test")
    monkeypatch.setattr(cifar100, "sha256_of", lambda _: None)
    found = load_domain("cifar100-validation")
    assert (len(found.labels), found.classes, found.mirror) == (16 * 2 * PER_CLASS, 16, True)
    beaver = cifar100.NAMES.index("beaver")
    expected = []
    for name in ("train", "test"):
        batch = pickle.loads(tiny[name])
        own = [
            (batch[b"filenames"][index], batch[b"data"][index])
            for index, label in enumerate(batch[b"fine_labels"])
            if label == beaver
        ]
        expected += [luma(pixels) for _, pixels in sorted(own, key=lambda one: one[0])]
    mine = found.images[found.members(0), ..., 0].astype(int)
    # Steps of 2^-16 against floating point: at most the rounding of a half differs.
    difference = np.abs(mine - np.array(expected))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_classes_to_learn_from(tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar100, "IMAGES", None)
    monkeypatch.setattr(cifar100, "sha256_of", lambda _: None)
    found = cifar100.to_learn_from()
    assert [len(split) for split in found.splits.values()] == [256, 128, 128]
    assert np.bincount(found.validation.labels).tolist() == [2] * 64
    assert (found.classes, found.photographs) == (64, True)


def test_the_split_of_the_classes() -> None:
    assert [len(names) for names in cifar100.PARTS.values()] == [64, 16, 20]
    assert len(set(cifar100.NAMES)) == 100
    assert cifar100.NAMES[:3] == ["apple", "aquarium_fish", "baby"]
    for names in cifar100.PARTS.values():
        assert names == sorted(names)


def test_luma_of_colours() -> None:
    colours = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]], np.uint8)
    assert cifar100.grey(colours).reshape(-1).tolist() == [76, 150, 29, 255]


# Others


def idx(array: Bytes) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def test_fashion_from_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Any) -> None:
    images = some(20, 28, 28)
    labels = (np.arange(20) % 10).astype(np.uint8)
    contents = {
        name: idx(images if "images" in name else labels)
        for name in (file.name for file in brought.FASHION.files)
    }
    held = tuple(replace(one, sha256=sha256(contents[one.name])) for one in brought.FASHION.files)
    fileset = replace(brought.FASHION, files=held)
    monkeypatch.setattr(brought, "FASHION", fileset)
    with pytest.raises(files.MissingDataError, match="run `picotrain data fetch fashion-mnist`"):
        load_domain("fashion-mnist", download=False)
    wire = {f"{name}.gz": gzip.compress(data) for name, data in contents.items()}
    store(tmp_path / "www" / "fashion-mnist", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    found = load_domain("fashion-mnist")
    assert found.images.shape == (20, 32, 32, 1)
    assert (found.images[:, 2:30, 2:30, 0] == images).all()
    assert int(found.images.sum()) == int(images.sum())
    assert found.labels.tolist() == labels.tolist()
    assert (found.name, found.source) == ("fashion-mnist", "Fashion-MNIST (Xiao, Rasul, Vollgraf)")


def stroke(*points: tuple[float, float]) -> dict[str, Any]:
    return {"strokePoints": [{"x": x, "y": y} for x, y in points]}


def test_air_drawn_digits_from_a_server(tmp_path: Path, serve: Any) -> None:
    contents = {
        file.name: json.dumps({"strokes": [stroke((0.0, 0.0), (0.0, 1.0 + number))]}).encode()
        for number, file in enumerate(wand.FILES.files)
    }
    fileset = replace(
        wand.FILES,
        files=tuple(replace(one, sha256=sha256(contents[one.name])) for one in wand.FILES.files),
        archives=tuple(
            replace(one, sha256=sha256(contents[one.name]), size=len(contents[one.name]))
            for one in wand.FILES.archives
        ),
    )
    store(tmp_path / "www" / "magic-wand-digits", contents)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    found = wand.load(True, fileset)
    assert found.labels.tolist() == list(range(10))
    # However long, a stroke is brought to one size.
    assert (found.images == found.images[0]).all()


def test_a_stroke_is_drawn_to_scale() -> None:
    upright = wand.drawn(np.array([[0.3, -1.0], [0.3, 2.0]]))[..., 0]
    # From y 4 to 27 through x 15.5: the pixels beside it are half a pixel off, so white.
    assert (upright[4:28, 15:17] == 255).all()
    assert (upright[4:28, [14, 17]] == 0).all()
    assert upright[3, 15] == round(255 * (1.5 - np.hypot(1, 0.5)))
    assert upright[:3].sum() == upright[29:].sum() == 0
    corner = wand.drawn(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))[..., 0]
    # To the right along the bottom, then up.
    assert (corner[27, 4:28] > 0).all() and (corner[4:28, 27] > 0).all()
    assert corner[4:20, 4:20].sum() == 0
    point = wand.drawn(np.array([[5.0, 5.0]]))[..., 0]
    assert point[15:17, 15:17].tolist() == [[202, 202], [202, 202]]


# The real files


@pytest.mark.parametrize(
    ("name", "count", "classes", "digest"),
    [
        ("cifar100-train", 38_400, 64, "6e410aec0e65de4d"),
        ("cifar100-validation", 9_600, 16, "6883a6af25ecb613"),
        ("cifar100-test", 12_000, 20, "bbb4e4b0dd498b8b"),
        ("gtsrb", 25_087, 43, "e19a56d2548e84a2"),
        ("omniglot", 4_840, 242, "3dee3f65c8ab700b"),
        ("flowers", 4_317, 5, "c66f8ac211c96c36"),
        ("fashion-mnist", 10_000, 10, "57a662c950d85a8d"),
        ("mnist", 10_000, 10, "f339c42f356a0e02"),
        ("usps", 2_007, 10, "71841d50ed3b195a"),
        ("cifar10", 10_000, 10, "b9698215d9a6d222"),
        ("fsdd", 3_000, 10, "f4342b439a348c86"),
        ("magic-wand", 1_000, 10, "efa9654cea0f5d3c"),
    ],
)
def test_real_domains(
    name: str, count: int, classes: int, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    try:
        found = load_domain(name, download=False)
    except files.MissingDataError as error:
        pytest.skip(str(error))
    assert (len(found.labels), found.classes) == (count, classes)
    assert sha256(found.images.tobytes() + found.labels.tobytes())[:16] == digest
