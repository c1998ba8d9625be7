"""What verbs say beside their results."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.datasets import files
from picotrain.device import backends
from picotrain.device.link.ports import Port
from picotrain.errors import UserError

SHORT = ["--target", "host", "--epochs", "1", "--train-samples", "4", "--test-samples", "4"]


def test_standard_output_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", *SHORT, "--json", "-"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["complete"] is True
    assert "state      sha256" in said.err and "result:" not in said.err


def test_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["adapt", *SHORT, "--json", "a.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "result: a.json"


@pytest.mark.parametrize(
    ("found", "remark"),
    [
        ([], "no board is plugged in, and no serial adapter"),
        ([Port("/dev/ttyACM0", "picotrain")], ""),
    ],
)
def test_a_board_that_is_not_plugged_in(
    found: list[Port], remark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends.ports, "find_ports", lambda: found)
    monkeypatch.setattr(backends, "problem", lambda _: "")
    report = {entry.name: entry for entry in backends.availability()}
    assert all(entry.works for entry in report.values())
    assert {entry.remark for name, entry in report.items() if name != "serial:PORT"} == {""}
    assert report["serial:PORT"].remark == remark


def test_the_remark_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends.ports, "find_ports", list)
    monkeypatch.setattr(backends, "problem", lambda _: "")
    assert main(["targets"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "serial:PORT: no board is plugged in, and no serial adapter"


def test_missing_data_names_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "roots", lambda: [tmp_path])
    with pytest.raises(UserError, match="run `picotrain data fetch mnist`, or set PICOTRAIN_DATA"):
        datasets.load("mnist", download=False)


@pytest.mark.parametrize(
    ("closed", "is_there", "why"),
    [
        (False, False, "which is not a folder; set it"),
        (True, True, "which is a folder that you cannot open; set it"),
    ],
)
def test_a_folder_of_data_that_cannot_be_used(
    closed: bool, is_there: bool, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    if is_there:
        folder.mkdir()
    monkeypatch.setenv("PICOTRAIN_DATA", str(folder))
    monkeypatch.setattr(os, "access", lambda *_: not closed)
    with pytest.raises(UserError) as caught:
        files.roots()
    assert why in str(caught.value)


def test_the_list_of_data_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_state", lambda name: datasets.Status(name, "absent", "", 0))
    steps: list[int] = []
    assert len(datasets.describe(steps.append)) == sum(steps) == len(datasets.COLLECTIONS)
