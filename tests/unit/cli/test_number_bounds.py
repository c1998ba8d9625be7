"""Every whole number of an option has a bound: no traceback from what no C int holds."""

from __future__ import annotations

import argparse

import pytest

from picotrain import cli
from picotrain.cli import VERBS

HUGE = "9" * 23


def whole_numbers(*but: type) -> list[tuple[str, str]]:
    """The options of each verb whose type, none of these, makes whole numbers of a text."""
    found = []
    for verb in VERBS:
        parser = cli._parser([verb])
        (verbs,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
        for action in verbs.choices[verb]._actions:
            if not callable(action.type) or action.type in (float, *but):
                continue
            if isinstance(action.type("1"), int):
                found.append((verb, action.option_strings[0]))
    return found


def test_they_are_found() -> None:
    found = whole_numbers()
    assert {("adapt", "--ram-kib"), ("adapt", "--epochs"), ("sweep", "--jobs")} <= set(found)
    assert len(found) > 20


@pytest.mark.parametrize(("verb", "option"), whole_numbers())
def test_a_huge_number_is_refused(
    verb: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in (HUGE, f"-{HUGE}"):
        try:
            status: object = cli.main([verb, f"{option}={text}"])
        except SystemExit as stop:
            status = stop.code
        told = capsys.readouterr().err.splitlines()[-1]
        assert status == 2, told
        assert text in told


@pytest.mark.parametrize("text", ["x", "1.5", "", 5000 * "9"])
@pytest.mark.parametrize(("verb", "option"), whole_numbers(int))
def test_what_is_no_number_is_told(
    verb: str, option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words of ours: argparse's name the function that is the type, but for those of Python."""
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, f"{option}={text}"])
    assert stop.value.code == 2
    shown = text if len(text) < 80 else f"{80 * '9'}..."
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith(f"argument {option}: {shown!r} is not a whole number")


@pytest.mark.parametrize("number", ["0", "1048577"])
def test_memory_has_a_bound(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["adapt", "--ram-kib", number])
    assert f"{number} is not between 1 and 1048576, 1 GiB" in capsys.readouterr().err
