"""Cycles by layer and phase, on the emulator that counts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cli
from harness.backends import availability
from harness.cycles import total

WORKS = {entry.name: entry for entry in availability()}["qemu"]
pytestmark = pytest.mark.skipif(not WORKS.works, reason=f"qemu: {WORKS.remedy}")


def profile(tmp_path: Path, *arguments: str) -> dict[str, object]:
    file = tmp_path / "profile.json"
    assert cli.main(["profile", "--images", "3", "--json", str(file), *arguments]) == 0
    result: dict[str, object] = json.loads(file.read_text())
    return result


def test_phases_add_up_to_the_step(tmp_path: Path) -> None:
    """Three images with an error each: nothing is skipped, so the sum differs from training by the
    loop around the images alone."""
    result = profile(tmp_path, "--angle", "90", "--seed", "4")
    phases = result["phases"]
    assert isinstance(phases, list)
    names = [(entry["layer"], entry["phase"]) for entry in phases]
    forward = [(layer, "forward") for layer in range(6)]
    backward = [(5, "error"), (5, "update"), (4, "error"), (4, "update"), (3, "error")]
    backward += [(2, "error"), (2, "update"), (1, "error"), (0, "update")]
    assert names == [*forward, (5, "loss"), *backward]
    assert all(entry["cycles"] > 1000 for entry in phases)
    train, infer = result["train"], result["infer"]
    assert isinstance(train, float)
    assert isinstance(infer, float)
    share = sum(entry["cycles"] for entry in phases) / train
    assert 0.99 < share < 1.01
    inference = sum(entry["cycles"] for entry in phases if entry["phase"] == "forward") / infer
    assert 0.99 < inference < 1.01


def test_two_runs_count_the_same_cycles(tmp_path: Path) -> None:
    first, second = profile(tmp_path), profile(tmp_path)
    for name in ("train", "infer", "phases", "dispatch"):
        assert first[name] == second[name]


def test_waiting_costs_nothing() -> None:
    from harness.backends import open_device
    from harness.mailbox import MailboxDevice

    device = open_device("qemu")
    try:
        assert isinstance(device, MailboxDevice)
        device.command("INFO")
        before = device.blocks()
        device.read_window("MODEL")
        after = device.blocks()
        assert before is not None
        assert after is not None
        assert total(after) - total(before) == 0
        device.command("INFO")
        later = device.blocks()
        assert later is not None
        assert total(later) - total(after) > 100
    finally:
        device.close()


def test_inference_has_no_training_phases(tmp_path: Path) -> None:
    result = profile(tmp_path, "--method", "infer")
    phases = result["phases"]
    assert isinstance(phases, list)
    assert {entry["phase"] for entry in phases} == {"forward", "loss"}
    assert result["train"] is None
