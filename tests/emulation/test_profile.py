"""Cycles by layer and phase, on the emulator that counts them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from picotrain import cli
from picotrain.device.backends import availability
from picotrain.device.cycles import total
from picotrain.errors import DeviceFailure
from picotrain.output import write_json
from picotrain.profile.baseline import make_baseline
from picotrain.profile.profile import FLOOR, PhaseCycles, Profile, require_same_results

WORKS = {entry.name: entry for entry in availability()}["qemu"]
AROUND_AN_IMAGE = 10_000
"""More cycles than it takes to load an image, to predict and to write its result."""

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
    spent = sum(entry["cycles"] for entry in phases)
    assert 0 < train - spent < AROUND_AN_IMAGE
    forward_cycles = sum(entry["cycles"] for entry in phases if entry["phase"] == "forward")
    assert 0 < infer - forward_cycles < AROUND_AN_IMAGE


def test_two_runs_count_the_same_cycles(tmp_path: Path) -> None:
    first, second = profile(tmp_path), profile(tmp_path)
    for name in ("train", "infer", "phases", "dispatch"):
        assert first[name] == second[name]


@pytest.mark.parametrize("method", ["priot", "niti-static"])
def test_no_zero_is_skipped_in_the_worst_case(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same images, results and operations; no convolution or linear layer is cheaper."""
    result: Any = profile(tmp_path, "--method", method, "--angle", "30")
    worst = result["worst_case"]
    for name in ("images", "predictions", "state_sha256"):
        assert worst[name] == result[name]
    assert len(result["predictions"]) == 3
    grew = []
    for one, other in zip(result["phases"], worst["phases"], strict=True):
        names = ("layer", "kind", "phase", "macs")
        assert [one[name] for name in names] == [other[name] for name in names]
        for entry in (one, other):
            macs = entry["macs"]
            ratio = entry["cycles"] / macs / FLOOR if macs else None
            assert entry["floor_ratio"] == ratio
        if one["macs"]:
            assert other["cycles"] >= one["cycles"], (one["layer"], one["phase"])
            grew.append(other["cycles"] > one["cycles"])
    assert sum(grew) >= len(grew) / 2
    for numbers in (result, worst):
        spent = sum(entry["cycles"] for entry in numbers["phases"])
        # A training image also pays for going from one operation to the next.
        assert 0.99 * numbers["train"] <= spent <= numbers["train"]
    assert worst["infer"] > result["infer"]
    lines = {line[:16].rstrip(): line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["training"][2] == f"{result['train']:,.0f}"
    assert lines["training"][6] == f"{worst['train']:,.0f}"
    assert lines["inference"][1] == f"{sum_of_forward_macs(result):,}"


def sum_of_forward_macs(result: Any) -> int:
    return sum(entry["macs"] for entry in result["phases"] if entry["phase"] == "forward")


def test_the_worst_case_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without: Any = profile(tmp_path, "--no-worst-case")
    assert without["worst_case"] is None
    assert "no skips" not in capsys.readouterr().out
    both = profile(tmp_path)
    assert "no skips" in capsys.readouterr().out
    # Baselines are those of the firmware as it runs.
    assert make_baseline(both) == make_baseline(without)
    portable: Any = profile(tmp_path, "--kernels", "portable")
    assert portable["worst_case"] is None


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"state_sha256": "cd"}, "weights and scores: ab and cd"),
        ({"predictions": [2]}, r"predictions: \[1\] and \[2\]"),
        ({"phases": [PhaseCycles(0, "linear", "loss", 1.0, 0, None, None)]}, "operations"),
    ],
)
def test_other_results_are_refused(changes: dict[str, Any], what: str) -> None:
    one = Profile(1, 1.0, None, 0, 1.0, [], [1], "ab", 1.0, {})
    require_same_results(one, one)
    with pytest.raises(DeviceFailure, match=what):
        require_same_results(one, replace(one, **changes))


def test_waiting_costs_nothing() -> None:
    from picotrain.device.backends import open_device
    from picotrain.device.mailbox import MailboxDevice

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


def test_a_slowdown_of_one_percent_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = profile(tmp_path)
    baseline = tmp_path / "baseline.json"
    write_json(baseline, make_baseline(result))
    compare = ["--baseline", str(baseline), "--max-regress", "0.5%"]
    assert cli.main(["profile", "--images", "3", *compare]) == 0
    faster = make_baseline(result)
    faster["numbers"]["layer 2 conv2d update"] /= 1.01
    write_json(baseline, faster)
    capsys.readouterr()
    assert cli.main(["profile", "--images", "3", *compare]) == 1
    errors = capsys.readouterr().err.replace("\r", "\n").splitlines()
    named = [line for line in errors if line.startswith("picotrain: ")]
    assert len(named) == 1
    assert "layer 2 conv2d update" in named[0]
    assert "+1.00%" in named[0]


def test_functions_and_calls_add_up_to_the_total(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("callgrind", "speedscope", "collapsed")}
    options = [text for name, file in files.items() for text in (f"--{name}", str(file))]
    result = profile(tmp_path, "--by", "function", *options)
    train = result["train"]
    assert isinstance(train, float)
    stacks = [line.rsplit(" ", 1) for line in files["collapsed"].read_text().splitlines()]
    cycles = sum(int(count) for _, count in stacks)
    assert cycles == round(train * 3)
    kernel = "pt_conv2d_forward_s8;pt_lanes_row_relu_s8"
    assert any(stack.endswith(kernel) for stack, _ in stacks)
    sampled = json.loads(files["speedscope"].read_text())["profiles"][0]
    assert sum(sampled["weights"]) == cycles
    assert str(cycles) in files["callgrind"].read_text()


def test_instructions_add_up_to_the_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = profile(tmp_path, "--by", "instruction")
    output = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(output) if line.startswith("---")) + 1
    rows = [re.split(r" {2,}", line) for line in output[start : start + 32]]
    cycles = [int(row[-3].replace(",", "")) for row in rows]
    train = result["train"]
    assert isinstance(train, float)
    assert cycles[-1] == sum(cycles[:-1]) == round(train * 3)
    assert cycles[:30] == sorted(cycles[:30], reverse=True)
    assert rows[-2][0].endswith(" others")
    hottest = rows[0]
    assert re.fullmatch("0x2[0-9a-f]{7}", hottest[0])
    assert re.fullmatch(r"kernels/\S+\.[chS]:\d+", hottest[-4])
    assert 0 < int(hottest[-1].replace(",", "")) <= cycles[0]


def test_memory_is_within_its_budget(capsys: pytest.CaptureFixture[str]) -> None:
    budget = Path(__file__).parents[1] / "baselines" / "memory.json"
    assert cli.main(["memory", "--budget", str(budget)]) == 0
    output = capsys.readouterr().out
    assert f"within {budget}" in output
    assert "pt_trainer_next" in output
