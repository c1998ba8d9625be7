"""The table and the file of what a second core gains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from picotrain.profile import cores


def test_figures_are_shown_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"steps": {"priot": {"one": 3000.4, "apart": 1500.0, "two": 2000.0}}}
    asked = []
    monkeypatch.setattr(cores, "measure", lambda others: asked.append(others) or figures)
    monkeypatch.setattr(cores, "FILE", tmp_path / "cores.json")
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path in paths:
        path.touch()
    assert cores.main(list(map(str, paths))) == 0
    assert asked == [paths]
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["part", "what", "one", "apart", "two", "one/apart", "one/two"]
    assert row.split() == ["steps", "priot", "3,000", "1,500", "2,000", "2.00", "1.50"]
    held = json.loads((tmp_path / "cores.json").read_text())
    assert held == {"images": cores.IMAGES, **figures}


def test_settings_differ_in_one_thing_each() -> None:
    one, apart, two = (cores.SETTINGS[name] for name in ("one", "apart", "two"))
    assert one[0] != apart[0] == two[0]
    assert (one[1], apart[1], two[1]) == (True, False, True)


def test_a_network_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cores.main(["nosuch.npz"]) == 2
    assert capsys.readouterr().err == (
        "cores-figures: there is no network nosuch.npz: make it with `picotrain import`\n"
    )
