"""`picotrain data` reads a file once, and again when it has changed; `verify` always."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from picotrain import datasets
from picotrain.datasets import files, mnist

CONTENTS = b"an image"


@pytest.fixture
def read(nowhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files of `mnist`, a set of one file here, that are read."""
    file = files.DataFile("images", hashlib.sha256(CONTENTS).hexdigest())
    monkeypatch.setattr(mnist, "FILES", files.FileSet("mnist", ("mnist",), (file,), ()))
    folder = tmp_path / "cache" / "picotrain" / "mnist"
    folder.mkdir(parents=True)
    (folder / "images").write_bytes(CONTENTS)
    names: list[str] = []
    original = files.read

    def noted(path: Path, wanted: files.DataFile) -> bytes:
        names.append(path.name)
        return original(path, wanted)

    monkeypatch.setattr(files, "read", noted)
    return names


def state() -> str:
    return next(one.state for one in datasets.describe() if one.name == "mnist")


def test_a_file_is_read_once(read: list[str]) -> None:
    assert (state(), read) == ("present", ["images"])
    assert (state(), read) == ("present", ["images"])
    datasets.verify("mnist")
    assert read == ["images", "images"]


def test_a_file_that_changed_is_read_again(read: list[str], tmp_path: Path) -> None:
    assert state() == "present"
    path = tmp_path / "cache" / "picotrain" / "mnist" / "images"
    path.write_bytes(CONTENTS[::-1])
    os.utime(path, ns=(0, 1))
    assert (state(), read) == ("damaged", ["images", "images"])
    assert (state(), len(read)) == ("damaged", 3)
    path.write_bytes(CONTENTS)
    assert (state(), len(read)) == ("present", 4)
    path.unlink()
    assert state() == "absent"


@pytest.mark.parametrize("note", ["", "[]", '{"x": 1}', "\0"])
def test_a_note_that_is_damaged_is_none(read: list[str], tmp_path: Path, note: str) -> None:
    (tmp_path / "cache" / "picotrain" / "verified.json").write_text(note)
    assert (state(), read) == ("present", ["images"])
    assert (state(), read) == ("present", ["images"])


def test_a_note_that_cannot_be_kept_is_no_failure(read: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache" / "picotrain" / "verified.json").mkdir()
    assert (state(), state()) == ("present", "present")
    assert read == ["images", "images"]
