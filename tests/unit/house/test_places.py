"""Where things lie, for an installed picotrain: never a traceback, and nothing at import."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from picotrain import places
from picotrain.errors import UserError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no cache."""
    for name in ("PICOTRAIN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def nobody(bare: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user without a name and without HOME."""

    def unknown(user: int) -> pwd.struct_passwd:
        raise KeyError(user)

    bare.delenv("HOME")
    bare.setattr(pwd, "getpwuid", unknown)
    return bare


def test_which_folder_is_the_cache(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("HOME", "/a home")
    assert places.user_cache() == Path("/a home/.cache/picotrain")
    bare.setenv("XDG_CACHE_HOME", "/x")
    assert places.user_cache() == Path("/x/picotrain")
    bare.setenv("PICOTRAIN_CACHE", "/p")
    assert places.user_cache() == Path("/p")


@pytest.mark.parametrize("name", ["PICOTRAIN_CACHE", "XDG_CACHE_HOME"])
@pytest.mark.parametrize("value", ["here", "~/cache", "./x"])
def test_a_cache_by_a_relative_path(bare: pytest.MonkeyPatch, name: str, value: str) -> None:
    bare.setenv(name, value)
    with pytest.raises(UserError) as caught:
        places.user_cache()
    assert str(caught.value) == (
        f"{name} is {value!r}, which is no absolute path; set it to one, or unset it"
    )


def test_no_home(nobody: pytest.MonkeyPatch) -> None:
    sentence = (
        f"user {os.getuid()} has no home folder to keep things in; "
        "set PICOTRAIN_CACHE to a folder that you can write to"
    )
    with pytest.raises(UserError) as caught:
        places.user_cache()
    assert str(caught.value) == sentence
    nobody.setattr(places, "IN_CHECKOUT", False)
    nobody.setattr(places, "origin", lambda: {"sources": "s"})
    build = places._build()  # what an import does
    assert not (build / "host" / "picotrain-host").is_file()
    with pytest.raises(UserError) as caught:
        places.made_folder(build)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("file/below", "Not a directory"),
        ("file", "File exists"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_cache_that_cannot_be(tmp_path: Path, folder: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        places.made_folder(tmp_path / folder)
    assert str(caught.value) == (
        f"cannot write to {tmp_path / folder}: {reason}; "
        "set PICOTRAIN_CACHE to a folder that you can write to"
    )


@pytest.mark.parametrize("named", ["n" * 300, "file/below"])
def test_an_installed_picotrain_with_such_a_cache(
    tmp_path: Path, bare: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "file").touch()
    bare.setenv("PICOTRAIN_CACHE", str(tmp_path / named))
    bare.setattr(places, "IN_CHECKOUT", False)
    bare.setattr(places, "origin", lambda: {"sources": "s"})
    build = places._build()
    assert not (build / "host" / "picotrain-host").is_file()
    with pytest.raises(UserError, match=f"cannot write to .*{named}: .*; set PICOTRAIN_CACHE"):
        places.made_folder(build)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_closed_cache(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"closed: Permission denied; set PICOTRAIN_CACHE"):
        places.made_folder(tmp_path / "closed")


def test_other_sources_are_built_elsewhere(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("PICOTRAIN_CACHE", str(tmp_path / "cache"))
    bare.setattr(places, "IN_CHECKOUT", False)
    folders = []
    for sources in ("one", "two"):
        bare.setattr(places, "origin", lambda sources=sources: {"sources": sources})
        folders.append(places._build())
    machine = places._machine()
    assert folders == [
        tmp_path / "cache" / f"built-{sources}-{machine}" for sources in ("one", "two")
    ]
    assert len(machine) == 8


def test_what_is_shipped_is_not_made(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "build" / "rp2040" / "picotrain.elf"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    bare.setattr(places, "SHIPPED", tmp_path)
    bare.setattr(places, "BUILD", tmp_path / "cache")
    bare.setattr(places, "IN_CHECKOUT", False)
    assert places.comes_built("rp2040/picotrain.elf") == shipped
    assert places.comes_built("rp2040/rom.bin") == tmp_path / "cache" / "rp2040" / "rom.bin"
