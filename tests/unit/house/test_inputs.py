"""Files that a user names: what cannot be read is one sentence, in any encoding of the locale."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from picotrain import inputs
from picotrain.errors import UserError

LONG = "x" * 300


def test_a_text_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    file = tmp_path / "text"
    for content in (b"\xc2\xb5 = 1\n", b"\xef\xbb\xbf\xc2\xb5 = 1\n"):
        file.write_bytes(content)
        assert inputs.read_text(file, "mend it") == "µ = 1\n"
    file.write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="no text in UTF-8: byte 0xe9 at 3; mend it"):
        inputs.read_text(file, "mend it")


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "nowhere", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / LONG, "File name too long"),
        (tmp_path / "nul\0", "embedded null byte"),
    ):
        with pytest.raises(UserError) as caught:
            inputs.read_bytes(path, "mend it")
        assert str(caught.value) == f"cannot read {path}: {why}; mend it"


def test_a_name_that_cannot_be_asked_for_is_one_sentence(tmp_path: Path) -> None:
    assert not inputs.is_file(tmp_path)
    assert not inputs.is_file(tmp_path / "nowhere")
    with pytest.raises(UserError, match="File name too long; choose another name"):
        inputs.is_file(tmp_path / LONG)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_closed_folder_of_somebody_else_is_one_sentence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("1")
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            inputs.is_file(closed / "file")
        with pytest.raises(UserError, match="Permission denied"):
            inputs.read_bytes(closed / "file", "mend it")
    finally:
        os.seteuid(0)


def test_the_home_of_nobody_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/at/home")
    assert inputs.named("~/data.npz") == Path("/at/home/data.npz")
    with pytest.raises(UserError, match=r"~no-such-user-here/x: ~no-such-user-here is the home"):
        inputs.named("~no-such-user-here/x")
