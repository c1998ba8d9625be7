"""docs/field.md: what its commands print, and what an image costs with scores and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.device import backends
from picotrain.image import firmware
from picotrain.learn import models
from support import require

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "field.md").read_text(encoding="utf-8")
BACKBONE = str(models.BACKBONES / "tinycnn-digits.npz")


def test_the_page_says_what_baking_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require(firmware.HOST)
    if missing := backends.problem("qemu"):
        pytest.skip(missing)
    monkeypatch.chdir(tmp_path)
    adapt = ["adapt", "--dataset", "digits", "--method", "priot", "--epochs", "10"]
    assert f"picotrain {' '.join(adapt)} --save state.npz " in PAGE
    assert cli.main([*adapt, "--target", "host", "--save", "state.npz"]) == 0
    capsys.readouterr()
    bake = ["bake", "--backbone", BACKBONE, "--state", "state.npz", "--out", "baked.npz"]
    assert cli.main(bake) == 0
    shown = capsys.readouterr().out.split("\n\n")[1].removesuffix("wrote: baked.npz\n")
    assert f"```\n{shown}```\n" in PAGE
    infer = ["infer", "--target", "qemu", "--images", "400"]
    assert f"picotrain {' '.join(infer)}`" in PAGE
    found = []
    for words in (["--state", "state.npz"], ["--backbone", "baked.npz"]):
        assert cli.main([*infer, *words, "--json", "i.json"]) == 0
        found.append(json.loads(Path("i.json").read_text()))
    masked, baked = found
    assert masked["predictions"] == baked["predictions"]
    assert masked["cycles_by"] == "cycle model"
    flat = " ".join(PAGE.split())
    assert (
        f"takes {baked['cycles_per_image']:,.0f} cycles on QEMU in place of "
        f"{masked['cycles_per_image']:,.0f}"
    ) in flat
    assert f"the accuracy of both is {baked['accuracy']:.4f}" in flat
