"""The README shows what `make run` prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.device import backends

ROOT = Path(__file__).resolve().parents[2]


def timeless(text: str) -> list[str]:
    """Lines without the seconds of this machine, and the name of the file without its digest."""
    return [re.sub(r"took .*|-[0-9a-f]{8}(?=\.json$)", "", line) for line in text.splitlines()]


def test_the_readme_ends_as_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if missing := backends.problem("qemu"):
        pytest.skip(missing)
    rule = (ROOT / "Makefile").read_text().split("\nrun: ")[1].split("\n\n")[0]
    command = shlex.split(rule.splitlines()[1].partition("/picotrain ")[2])
    block = (ROOT / "README.md").read_text().split("It ends like this:\n\n```\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 0
    assert timeless(block) == timeless(capsys.readouterr().out)
