"""npm on a machine that has little: no home, and words of its own."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from picotrain.device.targets import node_package
from picotrain.errors import UserError


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called npm, to be filled, and node."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("npm", "node"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs / "npm"


def reason(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        node_package.install(folder / "cache" / "rp2040js")
    head = f"npm cannot install rp2040js {node_package.wanted()}: "
    assert str(caught.value).startswith(head)
    return str(caught.value).removeprefix(head)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'npm error code E1' >&2; echo 'npm error two' >&2; exit 1", "npm error code E1"),
        ("echo 'node:os:1' >&2; echo 'SystemError: ENOENT' >&2; echo >&2; exit 7", "SystemError"),
        ("exit 7", "it ends with status 7 and says nothing"),
    ],
)
def test_a_reason_is_always_given(npm: Path, tmp_path: Path, script: str, expected: str) -> None:
    npm.write_text(f"#!/bin/sh\n{script}\n")
    assert reason(tmp_path).startswith(expected)
    # Nothing is left of the attempt.
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_who_has_no_home_gets_one_for_npm(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    npm.write_text('#!/bin/sh\necho "HOME is $HOME" >&2; exit 1\n')
    monkeypatch.setenv("HOME", "/given")
    assert reason(tmp_path) == "HOME is /given"
    monkeypatch.delenv("HOME")
    assert reason(tmp_path) == f"HOME is {pwd.getpwuid(os.getuid()).pw_dir}"
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setenv("PICOTRAIN_CACHE", str(tmp_path))
    assert reason(tmp_path).startswith(f"HOME is {tmp_path}/cache/.npm-")


def test_what_a_killed_npm_left_goes(npm: Path, tmp_path: Path) -> None:
    npm.write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "cache" / ".npm-stale" / "node_modules").mkdir(parents=True)
    reason(tmp_path)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
