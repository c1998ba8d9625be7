"""Baselines: what counts as slower, and what is no baseline."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from picotrain.errors import UserError
from picotrain.output import write_json
from picotrain.profile.baseline import (
    Regression,
    compare,
    make_baseline,
    parse_percent,
    read_baseline,
)

CONDITIONS: dict[str, Any] = {
    "unit": "Cortex-M0+ cycles per image, zero wait states",
    "target": "qemu",
    "model": "tinycnn",
    "network_sha256": 32 * "a1",
    "dataset": "digits",
    "angle": 180.0,
    "seed": 0,
    "images": 3,
    "images_sha256": 32 * "b2",
    "method": "priot",
    "mu": 4,
    "theta": -16,
    "permille": None,
    "select": None,
    "start": "zero",
    "easy": 0,
    "plan": "fast",
    "kernels": "tuned",
}
PROFILE: dict[str, Any] = {
    "train": 1_000_000.0,
    "infer": 400_000.0,
    "phases": [
        {"layer": 0, "kind": "conv2d", "phase": "forward", "cycles": 1000.0},
        {"layer": 0, "kind": "conv2d", "phase": "update", "cycles": 2000.0},
        {"layer": 1, "kind": "linear", "phase": "loss", "cycles": 500.5},
    ],
    "dispatch": 44.0,
    "ram_bytes": {},
    **CONDITIONS,
    "firmware": {"file": "microbit/picotrain.elf", "sha256": "f1", "compiler": "GNU C11"},
    "versions": {},
}


def changed(**numbers: float | None) -> dict[str, Any]:
    """The baseline with other numbers; None removes one."""
    result = make_baseline(PROFILE)
    for name, value in numbers.items():
        name = name.replace("_", " ")
        if value is None:
            del result["numbers"][name]
        else:
            result["numbers"][name] = value
    return result


def test_names_and_numbers() -> None:
    assert make_baseline(PROFILE) == {
        "format": "picotrain-baseline",
        "version": 2,
        **CONDITIONS,
        "firmware": {"file": "microbit/picotrain.elf", "sha256": "f1", "compiler": "GNU C11"},
        "numbers": {
            "train": 1_000_000.0,
            "infer": 400_000.0,
            "layer 0 conv2d forward": 1000.0,
            "layer 0 conv2d update": 2000.0,
            "layer 1 linear loss": 500.5,
        },
    }


def test_a_method_that_does_not_train_has_no_number_for_it() -> None:
    assert "train" not in make_baseline({**PROFILE, "train": None})["numbers"]


def regressions(before: dict[str, Any], now: dict[str, Any], limit: float) -> list[Regression]:
    return compare(before, now, limit).regressions


def test_the_same_run_has_no_regression() -> None:
    assert regressions(changed(), changed(), 0.0) == []


def test_one_layer_is_caught_though_the_total_hardly_moves() -> None:
    now = changed(layer_0_conv2d_forward=1010.0, train=1_000_010.0)
    [found] = regressions(changed(), now, 0.005)
    assert found == Regression("layer 0 conv2d forward", "slower", 1000.0, 1010.0)
    assert found.growth == pytest.approx(0.01, abs=1e-12)
    assert str(found) == ("layer 0 conv2d forward: 1,000.0 -> 1,010.0 cycles per image (+1.00%)")


def test_the_limit_itself_is_allowed() -> None:
    assert regressions(changed(), changed(layer_0_conv2d_forward=1005.0), 0.005) == []
    above = regressions(changed(), changed(layer_0_conv2d_forward=1005.001), 0.005)
    assert [one.name for one in above] == ["layer 0 conv2d forward"]


def test_no_growth_at_all_can_be_demanded() -> None:
    [found] = regressions(changed(), changed(train=math.nextafter(1e6, 2e6)), 0.0)
    assert found.name == "train"


def test_faster_is_fine() -> None:
    assert regressions(changed(), changed(train=1.0, layer_1_linear_loss=500.0), 0.0) == []


def test_worst_first_then_vanished_then_new() -> None:
    now = changed(infer=500_000.0, layer_0_conv2d_update=6000.0, train=None)
    now["numbers"]["layer 2 linear forward"] = 7.0
    found = regressions(changed(), now, 0.005)
    assert found == [
        Regression("layer 0 conv2d update", "slower", 2000.0, 6000.0),
        Regression("infer", "slower", 400_000.0, 500_000.0),
        Regression("train", "vanished", 1_000_000.0, None),
        Regression("layer 2 linear forward", "new", None, 7.0),
    ]
    assert [one.growth for one in found] == [2.0, 0.25, None, None]
    assert str(found[2]) == "train: vanished, was 1,000,000.0 cycles per image"
    assert str(found[3]) == "layer 2 linear forward: new, 7.0 cycles per image"


def test_growth_from_nothing_is_infinite() -> None:
    [found] = regressions(changed(infer=0.0), changed(infer=1.0), 10.0)
    assert found.growth == math.inf
    assert "+inf%" in str(found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "oddnet"),
        ("method", "infer"),
        ("dataset", "mnist"),
        ("angle", 30.0),
        ("seed", 1),
        ("images", 4),
        ("unit", "ms"),
        ("target", "renode"),
        ("network_sha256", 32 * "a2"),
        ("images_sha256", 32 * "b3"),
        ("mu", 3),
        ("theta", 0),
        ("permille", 100),
        ("select", "weight"),
        ("start", "normal"),
        ("easy", 1),
        ("plan", "lean"),
        ("kernels", "portable"),
    ],
)
def test_other_conditions_are_not_compared(key: str, value: object) -> None:
    with pytest.raises(UserError, match=f"baseline is of {key} "):
        compare(changed(), make_baseline({**PROFILE, key: value}), 0.005)


def test_the_first_thing_that_differs_is_named_in_short() -> None:
    other = {"network_sha256": 32 * "a2", "images_sha256": 32 * "b3", "kernels": "dense"}
    with pytest.raises(UserError) as raised:
        compare(changed(), make_baseline({**PROFILE, **other}), 0.005)
    assert str(raised.value) == (
        "the baseline is of network_sha256 'a1a1a1a1a1a1', this run of 'a2a2a2a2a2a2'; compare "
        "runs of the same, or make the baseline again"
    )


def test_another_firmware_is_what_is_compared() -> None:
    firmware = {"file": "microbit/picotrain.elf", "sha256": "f2", "compiler": "clang"}
    found = compare(changed(), make_baseline({**PROFILE, "firmware": firmware}), 0.0)
    assert found.regressions == []
    assert found.firmware_before == PROFILE["firmware"]
    assert found.firmware_after == firmware


def test_a_comparison_as_json() -> None:
    now = changed(infer=500_000.0, layer_1_linear_loss=None)
    found = json.loads(json.dumps(compare(changed(), now, 0.005).to_json(), allow_nan=False))
    assert found["max_regress"] == 0.005
    assert found["baseline"] == {"firmware": PROFILE["firmware"], "numbers": changed()["numbers"]}
    slower, vanished = found["regressions"]
    assert slower.pop("growth") == pytest.approx(0.25)
    assert slower == {"name": "infer", "kind": "slower", "before": 4e5, "after": 5e5}
    assert vanished["kind"] == "vanished"
    assert vanished["after"] is vanished["growth"] is None
    endless = compare(changed(infer=0.0), changed(), 0.0).to_json()["regressions"]
    assert [one["growth"] for one in endless] == [None]


@pytest.mark.parametrize("limit", [-0.001, math.nan, math.inf])
def test_limits_that_are_none(limit: float) -> None:
    with pytest.raises(UserError, match="the limit of growth"):
        compare(changed(), changed(), limit)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5%", 0.005), ("0.7 %", 0.007), ("0%", 0.0), (" 12.%", 0.12), (".25%", 0.0025)],
)
def test_percentages(text: str, value: float) -> None:
    assert parse_percent(text) == value


@pytest.mark.parametrize(
    "text", ["", "%", "0.5", "-1%", "+1%", "1e3%", "nan%", "inf%", "1,5%", "٣%", "1%%", ".%"]
)
def test_no_percentages(text: str) -> None:
    with pytest.raises(UserError, match=r"write one like 0\.5%"):
        parse_percent(text)


def test_a_percentage_beyond_all_floats() -> None:
    with pytest.raises(UserError, match="too large"):
        parse_percent("9" * 400 + "%")


@pytest.mark.parametrize("missing", ["train", "infer", "phases", "model", "method", "firmware"])
def test_what_is_no_profile(missing: str) -> None:
    with pytest.raises(UserError, match="this is no profile"):
        make_baseline({key: value for key, value in PROFILE.items() if key != missing})


def test_phases_that_are_none() -> None:
    with pytest.raises(UserError, match="this is no profile"):
        make_baseline({**PROFILE, "phases": [{"layer": 0}]})
    with pytest.raises(UserError, match="this is no profile"):
        make_baseline({**PROFILE, "phases": 3})
    with pytest.raises(UserError, match="layer 0 conv2d forward twice"):
        make_baseline({**PROFILE, "phases": PROFILE["phases"][:1] * 2})


@pytest.mark.parametrize("value", [math.nan, math.inf, "1000", True, [], None])
def test_cycles_that_are_no_number(value: object) -> None:
    with pytest.raises(UserError, match="the cycles of infer are"):
        make_baseline({**PROFILE, "infer": value})
    broken = changed()
    broken["numbers"]["infer"] = value
    with pytest.raises(UserError, match="the cycles of infer are"):
        compare(broken, changed(), 0.005)


@pytest.mark.parametrize("content", [PROFILE, make_baseline(PROFILE)], ids=["profile", "baseline"])
def test_files(tmp_path: Path, content: dict[str, Any]) -> None:
    write_json(tmp_path / "a.json", content)
    assert read_baseline(tmp_path / "a.json") == make_baseline(PROFILE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no JSON"),
        ("[]", "is JSON, but no object"),
        ("{}", "this is no profile"),
        (json.dumps({**make_baseline(PROFILE), "version": 1}), "no baseline of this version"),
        (json.dumps({**make_baseline(PROFILE), "numbers": 3}), "no baseline of this version"),
        (json.dumps({**make_baseline(PROFILE), "firmware": "x"}), "no baseline of this version"),
        ("\N{LATIN SMALL LETTER U WITH DIAERESIS}".encode("latin-1"), "is no text in UTF-8"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str | bytes, problem: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=problem):
        read_baseline(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*: No such file"):
        read_baseline(tmp_path / "none.json")


def test_inputs_stay_as_they_are() -> None:
    before, now = changed(), changed(infer=500_000.0)
    copies = copy.deepcopy((before, now, PROFILE))
    compare(before, now, 0.0)
    make_baseline(PROFILE)
    assert (before, now, PROFILE) == copies
