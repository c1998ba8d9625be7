"""The table and the file of what a second core gains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from picotrain.errors import UserError
from picotrain.learn import models
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
        shutil.copy(models.backbone_path("tinycnn", "digits"), path)
    assert cores.main(list(map(str, paths))) == 0
    assert [list(networks) for networks in asked] == [["a", "b"]]
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["part", "what", "one", "apart", "two", "one/apart", "one/two"]
    assert row.split() == ["steps", "priot", "3,000", "1,500", "2,000", "2.00", "1.50"]
    held = json.loads((tmp_path / "cores.json").read_text())
    assert held == {"images": cores.IMAGES, **figures}


def test_settings_differ_in_one_thing_each() -> None:
    one, apart, two = (cores.SETTINGS[name] for name in ("one", "apart", "two"))
    assert one[0] != apart[0] == two[0]
    assert (one[1], apart[1], two[1]) == (True, False, True)


def test_what_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "measure", lambda _: pytest.fail("it measured"))
    junk, data = tmp_path / "junk.npz", tmp_path / "data.npz"
    junk.write_bytes(b"junk")
    np.savez(data, x=np.zeros((2, 4, 4), np.uint8), y=np.zeros(2, np.int64))
    for path, said in (
        (Path("nosuch.npz"), "^there is no network nosuch.npz: make it with `picotrain import`$"),
        (junk, "junk.npz"),
        (data, "data.npz"),
    ):
        with pytest.raises(UserError, match=said):
            cores.main([str(path)])
