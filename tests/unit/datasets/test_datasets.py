"""Datasets: where they are found, what is refused, how they are split and turned."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import pickle
import struct
import sys
import tarfile
import threading
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.datasets import cifar10, digits, files, fsdd, mnist, npz
from picotrain.datasets.dataset import Bytes, Split
from picotrain.errors import UserError

RANDOM = np.random.default_rng(0)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def idx(array: Bytes) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def small_mnist() -> dict[str, bytes]:
    """Files like MNIST's, with 20 train and 5 test images."""
    contents = {}
    for part, count in (("train", 20), ("t10k", 5)):
        images = RANDOM.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = idx(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
    return contents


def small_cifar10() -> dict[str, bytes]:
    """Files like CIFAR-10's, with 6 images each."""
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    return {
        name: pickle.dumps(
            {
                b"data": RANDOM.integers(0, 256, (6, 3072)).astype(np.uint8),
                b"labels": list(range(6)),
            },
            protocol=2,
        )
        for name in names
    }


def tar(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def pinned(fileset: files.FileSet, contents: dict[str, bytes], wire: dict[str, bytes]) -> Any:
    """The file set with the checksums of these contents and downloads."""
    return replace(
        fileset,
        files=tuple(replace(file, sha256=sha256(contents[file.name])) for file in fileset.files),
        archives=tuple(
            replace(archive, sha256=sha256(wire[archive.name]), size=len(wire[archive.name]))
            for archive in fileset.archives
        ),
    )


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data on this machine, and no network but this machine's own."""
    monkeypatch.delenv("PICOTRAIN_DATA", raising=False)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "repository")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PICOTRAIN_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")


def store(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class CutOff(BaseHTTPRequestHandler):
    """Promises 1,000 bytes and sends 10."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts servers on this machine, each the mirror from then on."""
    servers = []

    def start(handler: Any) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        monkeypatch.setenv("PICOTRAIN_MIRROR", f"http://127.0.0.1:{server.server_port}/")

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


# Names


def test_unknown_name_lists_the_known_ones() -> None:
    known = "use mnist, digits, cifar10, fsdd-SPEAKER or npz:FILE"
    with pytest.raises(UserError, match=f"unknown dataset 'fashion'; {known}"):
        datasets.load("fashion")
    with pytest.raises(UserError, match="unknown dataset"):
        datasets.fetch("fashion")
    with pytest.raises(UserError, match="unknown dataset"):
        datasets.verify("fashion")


# Finding and verifying


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST is 25 images from now on; these are its contents."""
    contents = small_mnist()
    wire = {name + ".gz": gzip.compress(data, mtime=0) for name, data in contents.items()}
    monkeypatch.setattr(mnist, "FILES", pinned(mnist.FILES, contents, wire))
    return contents


def packed(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name + ".gz": gzip.compress(data, mtime=0) for name, data in contents.items()}


def load_tiny() -> datasets.Dataset:
    return mnist.load(mnist.FILES, download=False, validation=5)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_plain_and_compressed_files_are_the_same(
    suffix: str, tmp_path: Path, tiny: dict[str, bytes]
) -> None:
    store(
        tmp_path / "shared" / "data" / "mnist",
        {name + suffix: PACK[suffix](data) for name, data in tiny.items()},
    )
    data = load_tiny()
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [15, 5, 5]
    assert data.image_shape == (28, 28, 1)
    assert data.train.images.dtype == data.train.labels.dtype == np.uint8
    assert data.validation.labels.tolist() == [5, 6, 7, 8, 9]
    whole = tiny["train-images-idx3-ubyte"][16:]
    assert data.train.images.tobytes() + data.validation.images.tobytes() == whole
    assert data.sha256["t10k-labels-idx1-ubyte"] == sha256(tiny["t10k-labels-idx1-ubyte"])


def test_missing_files_say_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICOTRAIN_DATA", str(tmp_path))
    with pytest.raises(UserError) as caught:
        datasets.load("mnist", download=False)
    text = str(caught.value)
    assert "train-images-idx3-ubyte is missing (4 of 4 files)" in text
    for place in (tmp_path, tmp_path / "shared" / "data", tmp_path / "cache" / "picotrain"):
        assert str(place / "mnist") in text
    assert "PICOTRAIN_DATA" in text


def test_own_folder_comes_first_then_shared_then_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: dict[str, bytes]
) -> None:
    places = [tmp_path / "own", tmp_path / "shared" / "data", tmp_path / "cache" / "picotrain"]
    for place in places:
        store(place / "mnist", packed(tiny))
    monkeypatch.setenv("PICOTRAIN_DATA", str(places[0]))
    for place in places:
        assert datasets.verify("mnist").where == str(place / "mnist")
        for path in (place / "mnist").iterdir():
            path.unlink()


def test_a_damaged_file_is_reported_even_if_a_good_one_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: dict[str, bytes]
) -> None:
    store(tmp_path / "shared" / "data" / "mnist", packed(tiny))
    store(tmp_path / "own" / "mnist", {"t10k-labels-idx1-ubyte": b"damage"})
    monkeypatch.setenv("PICOTRAIN_DATA", str(tmp_path / "own"))
    with pytest.raises(UserError) as caught:
        load_tiny()
    text = str(caught.value)
    assert str(tmp_path / "own" / "mnist" / "t10k-labels-idx1-ubyte") in text
    assert sha256(tiny["t10k-labels-idx1-ubyte"]) in text
    assert sha256(b"damage") in text
    assert "delete it and fetch" in text


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "noise"])
def test_a_damaged_compressed_file(
    suffix: str, damage: str, tmp_path: Path, tiny: dict[str, bytes]
) -> None:
    good = PACK[suffix](tiny["train-images-idx3-ubyte"])
    middle = len(good) // 2
    bad = {
        "cut": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 0x10]) + good[middle + 1 :],
        "empty": b"",
        "noise": b"<html>not found</html>",
    }[damage]
    folder = tmp_path / "shared" / "data" / "mnist"
    store(folder, packed(tiny))
    (folder / "train-images-idx3-ubyte.gz").unlink()
    store(folder, {"train-images-idx3-ubyte" + suffix: bad})
    with pytest.raises(
        files.DamagedDataError, match=r"train-images-idx3-ubyte.*is damaged"
    ) as caught:
        load_tiny()
    assert sha256(tiny["train-images-idx3-ubyte"]) in str(caught.value)
    status = {status.name: status for status in datasets.describe()}["mnist"]
    assert status.state == "damaged"
    assert "is damaged" in status.detail


def test_own_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PICOTRAIN_DATA", str(tmp_path / "nope"))
    with pytest.raises(UserError, match=r"PICOTRAIN_DATA is .*nope.*not a folder"):
        datasets.load("mnist")


def test_describe_says_what_is_here(tmp_path: Path, tiny: dict[str, bytes]) -> None:
    store(tmp_path / "shared" / "data" / "mnist", packed(tiny))
    states = {status.name: status for status in datasets.describe()}
    assert list(states) == ["mnist", "digits", "cifar10", "fsdd"]
    assert states["mnist"].state == "present"
    assert states["mnist"].bytes == sum(map(len, packed(tiny).values()))
    assert states["cifar10"].state == "absent"
    assert "6 of 6 files" in states["cifar10"].detail
    assert states["fsdd"].state == "absent"


def test_nothing_is_unpickled_before_its_checksum_passed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    names = [file.name for file in cifar10.FILES.files]
    store(tmp_path / "shared" / "data" / "cifar10", dict.fromkeys(names, pickle.dumps(Evil())))
    with pytest.raises(files.DamagedDataError):
        datasets.load("cifar10")
    assert not (tmp_path / "ran").exists()


# Downloading


def test_download_then_load_from_the_cache(
    tmp_path: Path, serve: Any, tiny: dict[str, bytes]
) -> None:
    store(tmp_path / "www" / "mnist", packed(tiny))
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    status = datasets.fetch("mnist")
    cache = tmp_path / "cache" / "picotrain" / "mnist"
    assert (status.state, status.where) == ("present", str(cache))
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == packed(tiny)
    for path in (tmp_path / "www" / "mnist").iterdir():
        path.unlink()
    assert len(load_tiny().train) == 15


def test_download_of_a_tar_file_stores_its_batches(tmp_path: Path, serve: Any) -> None:
    contents = small_cifar10()
    wire = {"cifar-10-python.tar.gz": tar({**contents, "readme.html": b"hello"})}
    fileset = pinned(cifar10.FILES, contents, wire)
    store(tmp_path / "www" / "cifar10", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    data = cifar10.load(fileset, validation=2)
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [28, 2, 6]
    assert data.validation.labels.tolist() == [4, 5]
    pixels = pickle.loads(contents["data_batch_1"])[b"data"][3]
    assert data.train.images[3, 5, 7].tolist() == [pixels[p * 1024 + 5 * 32 + 7] for p in range(3)]
    cache = tmp_path / "cache" / "picotrain" / "cifar10"
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == contents


def test_all_layouts_of_cifar10_load_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = small_cifar10()
    fileset = pinned(cifar10.FILES, contents, {"cifar-10-python.tar.gz": b""})
    store(tmp_path / "a" / "cifar10", {n + ".xz": lzma.compress(d) for n, d in contents.items()})
    store(tmp_path / "b" / "cifar10", contents)
    store(tmp_path / "c" / "cifar-10-batches-py", contents)
    images = []
    for place in "abc":
        monkeypatch.setenv("PICOTRAIN_DATA", str(tmp_path / place))
        images.append(cifar10.load(fileset, download=False, validation=2).train.images.tobytes())
    assert images[0] == images[1] == images[2]


def refused_download(tmp_path: Path, match: str) -> None:
    """A download fails with that sentence and leaves nothing behind."""
    with pytest.raises(UserError, match=match):
        datasets.load("mnist")
    cache = tmp_path / "cache" / "picotrain" / "mnist"
    assert not list(cache.iterdir())


def test_download_with_a_wrong_checksum(tmp_path: Path, serve: Any, tiny: dict[str, bytes]) -> None:
    wire = packed(tiny)
    first = "train-images-idx3-ubyte.gz"
    wire[first] = wire[first][:-1] + b"?"
    store(tmp_path / "www" / "mnist", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    refused_download(
        tmp_path, f"expected sha256 {sha256(packed(tiny)[first])}, found {sha256(wire[first])}"
    )


def test_download_that_is_cut_off(tmp_path: Path, serve: Any, tiny: dict[str, bytes]) -> None:
    serve(CutOff)
    refused_download(tmp_path, r"/mnist/train-images-idx3-ubyte\.gz is damaged: .* got 10;")


def test_download_that_is_too_long(tmp_path: Path, serve: Any, tiny: dict[str, bytes]) -> None:
    store(tmp_path / "www" / "mnist", {name: data + b"more" for name, data in packed(tiny).items()})
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    refused_download(tmp_path, "got more than that")


def test_download_that_is_not_there(tmp_path: Path, serve: Any) -> None:
    (tmp_path / "www").mkdir()
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    refused_download(tmp_path, "HTTP 404 .*PICOTRAIN_MIRROR")


def test_download_without_a_server(tmp_path: Path) -> None:
    refused_download(tmp_path, "cannot download http://127.0.0.1:9/mnist/.*refused")


def test_download_from_a_mirror_that_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PICOTRAIN_MIRROR", "example")
    refused_download(tmp_path, "unknown url type")


def test_a_failed_download_keeps_what_was_there(
    tmp_path: Path, serve: Any, tiny: dict[str, bytes]
) -> None:
    cache = tmp_path / "cache" / "picotrain" / "mnist"
    wire = packed(tiny)
    name = "train-images-idx3-ubyte.gz"
    store(cache, {name: wire[name]})
    serve(CutOff)
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz is damaged"):
        datasets.load("mnist")
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == {name: wire[name]}


def test_download_to_a_cache_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot create .*XDG_CACHE_HOME"):
        datasets.load("mnist")


# Digits


@pytest.fixture(scope="module")
def all_digits() -> datasets.Dataset:
    pytest.importorskip("sklearn", reason="dataset digits comes with scikit-learn")
    return datasets.load("digits")


def test_digits_splits_hold_each_image_once(all_digits: datasets.Dataset) -> None:
    counts = {name: len(split) for name, split in all_digits.splits.items()}
    assert counts == {"train": 1197, "validation": 200, "test": 400}
    labels = np.concatenate([split.labels for split in all_digits.splits.values()])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for split in all_digits.splits.values():
        assert set(split.labels.tolist()) == set(range(10))
        assert split.images.dtype == np.uint8
        assert split.images.shape[1:] == (28, 28, 1)


def test_digits_are_centred_and_fill_their_box(all_digits: datasets.Dataset) -> None:
    images = np.concatenate([split.images[..., 0] for split in all_digits.splits.values()])
    mass = images.sum(axis=(1, 2), dtype=np.int64)
    for axis in (1, 2):
        profile = images.sum(axis=axis, dtype=np.int64)
        centre = (profile * np.arange(28)).sum(axis=1) / mass
        assert np.abs(centre - 13.5).max() <= 0.5
    rows = images.any(axis=2).sum(axis=1)
    columns = images.any(axis=1).sum(axis=1)
    longest = np.maximum(rows, columns)
    assert longest.max() == 20
    assert (longest >= 18).all()
    assert images.max(axis=(1, 2)).min() > 200


def test_digits_are_the_same_everywhere(all_digits: datasets.Dataset) -> None:
    # Integer arithmetic on data with a pinned checksum, so no library version changes this.
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(all_digits.splits[name].images.tobytes())
        digest.update(all_digits.splits[name].labels.tobytes())
    assert digest.hexdigest() == "43428ef0d6f7165edd6f6668b7e8ac5f26dd12a3596f8720cb487164042f88ea"


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match="install scikit-learn"):
        datasets.load("digits")
    states = {status.name: status.state for status in datasets.describe()}
    assert states["digits"] == "absent"


def test_a_digit_keeps_its_proportions() -> None:
    bar = np.zeros((8, 8), np.uint8)
    bar[0:8, 3:5] = 16
    image = digits.like_mnist(bar)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[0], rows[-1], len(columns)) == (4, 23, 5)
    assert (image[::-1] == image).all()
    around = image[:, columns[0] : columns[-1] + 1]
    assert (around == around[:, ::-1]).all()


# Spoken digits


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


# A user's own file


def own(path: Path, **arrays: NDArray[Any]) -> str:
    np.savez(path / "own.npz", **arrays)  # type: ignore[arg-type]
    return f"npz:{path / 'own.npz'}"


def some(count: int, *shape: int) -> Bytes:
    return RANDOM.integers(0, 256, (count, *shape)).astype(np.uint8)


def test_npz_is_split_the_same_way_each_time(tmp_path: Path) -> None:
    x = some(100, 6, 5)
    name = own(tmp_path, x=x, y=np.arange(100) % 7)
    data = datasets.load(name)
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [70, 10, 20]
    assert (data.classes, data.image_shape) == (7, (6, 5, 1))
    assert data.name == name
    again = datasets.load(name)
    for split in data.splits:
        assert (data.splits[split].images == again.splits[split].images).all()
    seen = {image.tobytes() for split in data.splits.values() for image in split.images}
    assert seen == {image.tobytes() for image in x}
    assert datasets.verify(name).state == "present"


def test_npz_with_its_own_test_images(tmp_path: Path) -> None:
    x, x_test = some(50, 4, 4, 3), some(7, 4, 4, 3)
    y, y_test = np.arange(50) % 3, np.full(7, 4, np.int8)
    data = datasets.load(own(tmp_path, x=x, y=y, x_test=x_test, y_test=y_test))
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [45, 5, 7]
    assert data.classes == 5
    assert (data.test.images == x_test).all()


X = some(10, 4, 4)
Y = np.arange(10)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"images": X, "labels": Y}, "found images, labels; expected x uint8"),
        ({"x": X}, "found x; expected"),
        ({"x": X, "y": Y, "x_test": X}, "found x, x_test, y; expected"),
        ({"x": X / 255, "y": Y}, r"x is float64 \[10, 4, 4\]; expected uint8"),
        ({"x": X.reshape(10, 16), "y": Y}, r"x is uint8 \[10, 16\]; expected"),
        ({"x": X[:0], "y": Y[:0]}, r"x is uint8 \[0, 4, 4\]; expected"),
        ({"x": X, "y": Y[:9]}, r"y is int64 \[9\]; expected integer labels \[10\]"),
        ({"x": X, "y": Y.astype(float)}, r"y is float64 \[10\]; expected integer"),
        ({"x": X, "y": Y - 1}, r"labels -1\.\.8; expected 0\.\.255"),
        ({"x": X, "y": Y + 250}, r"labels 250\.\.259; expected 0\.\.255"),
        ({"x": X[:9], "y": Y[:9]}, "9 images, too few to split; give it at least 10"),
        ({"x": X, "y": Y, "x_test": some(2, 4, 5), "y_test": Y[:2]}, "make them the same"),
        ({"x": X, "y": np.array(["a"] * 10)}, "y is <U1"),
        ({"x": X, "y": np.array([{}] * 10)}, "cannot be read as a .npz file of plain arrays"),
    ],
)
def test_npz_that_is_not_as_expected(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        datasets.load(own(tmp_path, **arrays))


@pytest.mark.parametrize("damage", ["missing", "folder", "text", "npy", "cut", "empty", "flipped"])
def test_npz_that_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=X, y=Y)
    good = path.read_bytes()
    if damage in ("missing", "folder"):
        path.unlink()
    if damage == "folder":
        path.mkdir()
    if damage == "text":
        path.write_text("hello")
    if damage == "npy":
        np.save(path.open("wb"), X)
    if damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "flipped":
        path.write_bytes(good[:60] + bytes([good[60] ^ 0xFF]) + good[61:])
    with pytest.raises(UserError, match=r"own\.npz"):
        datasets.load(f"npz:{path}")


def test_npz_error_names_the_whole_expectation() -> None:
    assert "x_test" in npz.EXPECTED


# Rotation and sampling


def test_rotation_by_nothing_is_a_copy() -> None:
    images = some(3, 7, 5, 2)
    turned = datasets.rotate(images, 0)
    assert (turned == images).all()
    assert not np.shares_memory(turned, images)


def test_rotation_by_half_a_turn_is_exact() -> None:
    images = some(3, 7, 5, 2)
    assert (datasets.rotate(images, 180) == images[:, ::-1, ::-1]).all()
    assert (datasets.rotate(images, -180) == images[:, ::-1, ::-1]).all()


def test_rotation_is_counter_clockwise() -> None:
    images = some(2, 6, 6, 1)
    assert (datasets.rotate(images, 90) == np.rot90(images, axes=(1, 2))).all()


def test_rotation_keeps_shape_and_rounds_half_up() -> None:
    images = some(2, 9, 6, 3)
    turned = datasets.rotate(images, 30)
    assert turned.shape == images.shape
    assert turned.dtype == np.uint8
    full = np.full((1, 21, 21, 1), 255, np.uint8)
    turned = datasets.rotate(full, 45)
    assert (turned[0, 10, :, 0] == 255).all()
    assert turned[0, 0, 0, 0] == 0
    # A lone 1 spreads over pixels by less than a half each but its own.
    lone = np.zeros((1, 5, 5, 1), np.uint8)
    lone[0, 2, 2] = 1
    assert (datasets.rotate(lone, 45) == lone).all()


def test_rotation_by_no_number() -> None:
    with pytest.raises(UserError, match="turned by nan degrees"):
        datasets.rotate(some(1, 2, 2, 1), float("nan"))


def test_sample_is_deterministic_and_without_repeats() -> None:
    split = Split(some(50, 2, 2, 1), np.arange(50, dtype=np.uint8))
    first = datasets.sample(split, 20, seed=1, stream=0xFFFFFF01)
    assert len(set(first.labels.tolist())) == 20
    assert (first.images == split.images[first.labels]).all()
    again = datasets.sample(split, 30, seed=1, stream=0xFFFFFF01)
    assert again.labels[:20].tolist() == first.labels.tolist()
    for seed, stream in ((2, 0xFFFFFF01), (1, 0xFFFFFF02)):
        other = datasets.sample(split, 20, seed, stream)
        assert other.labels.tolist() != first.labels.tolist()
    assert sorted(datasets.sample(split, 50, 1, 0).labels) == list(range(50))


@pytest.mark.parametrize("count", [51, 0, -1])
def test_sample_of_more_than_there_are(count: int) -> None:
    split = Split(some(50, 2, 2, 1), np.arange(50, dtype=np.uint8))
    with pytest.raises(UserError, match=f"sample of {count} images .* the split has 50; ask for 1"):
        datasets.sample(split, count, 0, 0)


# The real files


def real(name: str, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    monkeypatch.undo()
    try:
        return datasets.load(name, download=False)
    except files.MissingDataError as error:
        pytest.skip(str(error))


def test_real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("mnist", monkeypatch)
    assert [len(data.splits[name]) for name in data.splits] == [55_000, 5_000, 10_000]
    assert data.image_shape == (28, 28, 1)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.test.labels).tolist() == counts


def test_real_cifar10(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("cifar10", monkeypatch)
    assert [len(data.splits[name]) for name in data.splits] == [45_000, 5_000, 10_000]
    assert data.image_shape == (32, 32, 3)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    labels = np.concatenate([data.train.labels, data.validation.labels])
    assert np.bincount(labels).tolist() == [5000] * 10


def test_real_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("fsdd-theo", monkeypatch)
    digest = hashlib.sha256()
    for split in data.splits.values():
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    assert digest.hexdigest() == "8863fb911c1716ee6dac505bad724733de811c97e9211c5b11f836680b85df5b"
