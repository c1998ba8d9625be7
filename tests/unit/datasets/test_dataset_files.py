"""Files of data sets: finding, verifying and downloading them."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import pickle
import struct
import tarfile
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_up import PACK, RANDOM, Quiet, sha256, store
from picotrain import datasets
from picotrain.datasets import cifar10, files, mnist
from picotrain.datasets.dataset import Bytes
from picotrain.errors import UserError

pytestmark = pytest.mark.usefixtures("nowhere")


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


class CutOff(BaseHTTPRequestHandler):
    """Promises 1,000 bytes and sends 10."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, format: str, *args: Any) -> None:
        pass


# Names


def test_unknown_name_lists_the_known_ones() -> None:
    known = (
        "use mnist, digits, cifar10, fsdd-SPEAKER, spoken-digits, watch-PERSON, npz:FILE, "
        "speech-commands:FOLDER or wake-words:FOLDER"
    )
    with pytest.raises(UserError, match=f"unknown dataset 'fashion'; {known}"):
        datasets.load("fashion")
    with pytest.raises(UserError, match="unknown dataset"):
        datasets.fetch("fashion")
    with pytest.raises(UserError, match="unknown dataset"):
        datasets.verify("fashion")


def test_a_name_of_ones_own_data_has_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home of me")
    assert datasets.own("npz:a b.npz") == ("npz:", Path("a b.npz"))
    assert datasets.own("speech-commands:~/x") == ("speech-commands:", Path("/home of me/x"))
    assert datasets.own("wake-words:a:b") == ("wake-words:", Path("a:b"))
    assert datasets.own("digits") is None and datasets.own("wake-words") is None


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
    assert list(states) == [
        *("mnist", "digits", "cifar10", "fsdd", "watch", "mlperf-tiny"),
        *("cifar100", "gtsrb", "omniglot", "flowers", "usps", "fashion-mnist", "magic-wand"),
    ]
    assert states["mnist"].state == "present"
    assert states["mnist"].bytes == sum(map(len, packed(tiny).values()))
    assert states["cifar10"].state == "absent"
    assert "6 of 6 files" in states["cifar10"].detail
    assert states["fsdd"].state == "absent"


def test_a_network_is_found_as_data_are_and_holds_none(tmp_path: Path) -> None:
    with pytest.raises(files.MissingDataError, match=r"kws_ref_model\.tflite is missing"):
        datasets.verify("mlperf-tiny")
    store(tmp_path / "shared" / "data" / "mlperf-tiny" / "models", {"kws_ref_model.tflite": b"x"})
    with pytest.raises(files.DamagedDataError, match=r"kws_ref_model\.tflite is damaged"):
        datasets.verify("mlperf-tiny")
    with pytest.raises(UserError, match="'mlperf-tiny' is a network, with no images to load"):
        datasets.load("mlperf-tiny")


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


def test_a_tar_file_with_another_batch_stores_none_of_it(tmp_path: Path, serve: Any) -> None:
    contents = small_cifar10()
    wire = {"cifar-10-python.tar.gz": tar(contents)}
    fileset = pinned(cifar10.FILES, {**contents, "test_batch": b"another"}, wire)
    store(tmp_path / "www" / "cifar10", wire)
    serve(partial(Quiet, directory=str(tmp_path / "www")))
    with pytest.raises(UserError, match=f"expected contents with sha256 {sha256(b'another')}"):
        cifar10.load(fileset, validation=2)
    assert not (tmp_path / "cache" / "picotrain" / "cifar10" / "test_batch").exists()


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
    with pytest.raises(UserError, match=r"cannot create .*PICOTRAIN_CACHE"):
        datasets.load("mnist")


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
