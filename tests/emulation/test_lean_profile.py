"""What a profile under `--plan lean` reports: less RAM, the same results, and where weights lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from picotrain import cli
from picotrain.image import firmware
from picotrain.learn import plans
from support import require

BLOB = 52_352


def profile(folder: Path, plan: str) -> dict[str, Any]:
    file, page = folder / f"{plan}.json", folder / f"{plan}.html"
    chosen = ["--plan", plan, "--images", "2", "--json", str(file), "--html", str(page)]
    assert cli.main(["profile", "--method", "priot", "--no-worst-case", *chosen]) == 0
    content: dict[str, Any] = json.loads(file.read_text())
    return {**content, "page": page.read_text()}


def test_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require(firmware.MICROBIT)
    fast, lean = profile(tmp_path, "fast"), profile(tmp_path, "lean")
    assert (fast["plan"], fast["plan_note"], fast["model_in_flash"]) == ("fast", "", 0)
    assert (lean["plan"], lean["plan_note"]) == ("lean", plans.LEAN_NOTE)
    assert lean["model_in_flash"] == BLOB
    assert fast["ram_bytes"]["total"] - lean["ram_bytes"]["total"] == BLOB
    for field in ("predictions", "state_sha256"):
        assert fast[field] == lean[field]
    # Flash is charged like SRAM; only arithmetic on sizes of the arena can differ.
    for field in ("train", "infer"):
        assert lean[field] == pytest.approx(fast[field], rel=1e-4)
    arenas = [one["report"]["arena"] for one in (fast, lean)]
    assert [arena["blob"] for arena in arenas] == [BLOB, 0]
    assert plans.LEAN_NOTE in lean["page"] and "weights are read from flash" not in fast["page"]
    assert plans.LEAN_NOTE in capsys.readouterr().out


def test_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require(firmware.MICROBIT)
    file = tmp_path / "memory.json"
    chosen = ["--plan", "lean", "--method", "priot-s", "--json", str(file)]
    assert cli.main(["memory", *chosen]) == 0
    content = json.loads(file.read_text())
    assert (content["plan"], content["plan_note"]) == ("lean", plans.LEAN_NOTE)
    assert (content["model_in_flash"], content["arena"]["blob"]) == (BLOB, 0)
    assert (
        f"in flash, not in the arena: model {BLOB:,} of 1,048,576 bytes" in capsys.readouterr().out
    )
