"""JSON and TOML that a user names: read whole, or one sentence, whatever is in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from picotrain import cli, inputs
from picotrain.errors import UserError
from picotrain.profile.baseline import read_baseline
from picotrain.profile.memory.budget import read_budget
from picotrain.profile.report.run_file import read_run

DEEP = b"[" * 100_000
READERS: list[Callable[[Path], object]] = [read_baseline, read_budget, read_run]
BAD = [
    (DEEP, "is nested too deep to be read; "),
    (b'{"a": ' * 100_000, "is nested too deep to be read; "),
    (b"{", "is no JSON: "),
    (b"\xff\xfe", "is no text in UTF-8: byte 0xff at 0; "),
    (b"[1]", "is JSON, but no object, as it begins with no {; "),
    (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON: "),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_every_reader_says_what_is_wrong(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, sentence: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file} {sentence}")
    assert "\n" not in str(caught.value)


def test_an_object_is_read_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for mark in (b"", b"\xef\xbb\xbf"):
        file.write_bytes(mark + b'{"a": [1, "\xc3\xa4"]}')
        assert inputs.read_json(file, "") == {"a": [1, "ä"]}


def test_a_toml_file_that_is_nested_too_deep(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"a = " + DEEP)
    with pytest.raises(UserError, match=r"a\.toml is nested too deep to be read; mend it there"):
        inputs.read_toml(file)


@pytest.mark.parametrize("option", ["--run", "--baseline"])
def test_the_verb_ends_with_the_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    file = tmp_path / "deep.json"
    file.write_bytes(DEEP)
    assert cli.main(["profile", option, str(file), "--html", str(tmp_path / "p.html")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"picotrain: {file} is nested too deep to be read; ")
    assert told.count("\n") == 1


def test_numbers_of_any_size_are_refused(tmp_path: Path) -> None:
    """JSON's integers are of any size, a float is not."""
    file = tmp_path / "a.json"
    file.write_text('{"format": "picotrain-baseline", "version": 2}')
    with pytest.raises(UserError, match="no baseline of this version"):
        read_baseline(file)
