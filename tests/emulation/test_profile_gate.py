"""`picotrain profile` of a run, and against a baseline, on the emulator that counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from picotrain import cli
from picotrain.device.backends import problem
from picotrain.learn import models
from picotrain.output import write_json
from picotrain.profile.baseline import read_baseline

pytestmark = pytest.mark.skipif(bool(problem("qemu")), reason=problem("qemu"))

BASELINES = Path(__file__).parents[1] / "baselines"
FEW = ["--images", "2", "--no-worst-case"]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an adaptation whose every choice is another than the default."""
    file = tmp_path_factory.mktemp("run") / "adapt.json"
    method = ["--method", "priot-s", "--scored", "0.2", "--select", "random", "--mu", "3,2"]
    method += ["--threshold", "-4", "--start", "normal", "--easy", "2"]
    data = ["--seed", "3", "--angle", "45", "--plan", "lean", "--kernels", "portable"]
    statics = ["--calibration", "steps", "--layer-mu=0,1,0,-1"]
    small = ["--epochs", "1", "--train-samples", "8", "--test-samples", "8"]
    arguments = ["adapt", "--target", "qemu", *method, *data, *statics, *small]
    assert cli.main([*arguments, "--json", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def profiled(run_file: Path) -> Path:
    file = run_file.parent / "profile.json"
    assert cli.main(["profile", "--run", str(run_file), *FEW, "--json", str(file)]) == 0
    return file


def test_a_run_says_what_is_profiled(run_file: Path, profiled: Path) -> None:
    adapted, found = json.loads(run_file.read_text()), json.loads(profiled.read_text())
    same = ("model", "dataset", "angle", "seed", "method", "plan", "kernels", "network_sha256")
    assert {name: found[name] for name in same} == {name: adapted[name] for name in same}
    numbers = {"mu": 3, "theta": -4, "permille": 200, "easy": 2}
    assert {name: found[name] for name in numbers} == numbers
    assert (found["select"], found["start"]) == ("random", "normal")
    assert (found["plan"], found["kernels"]) == ("lean", "portable")
    assert found["report"]["run"]["file"] == "adapt.json"
    # Other static numbers than those of the backbone, as the run calibrated them.
    plain = run_file.parent / "plain.json"
    assert cli.main(["profile", *FEW, "--json", str(plain)]) == 0
    assert json.loads(plain.read_text())["network_sha256"] != found["network_sha256"]


def test_what_is_said_again_is_no_contradiction(run_file: Path) -> None:
    again = ["--angle", "45", "--mu", "3,2", "--scored", "0.2", "--model", "tinycnn"]
    assert cli.main(["profile", "--run", str(run_file), *FEW, *again]) == 0


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("model", "oddnet", "of model tinycnn, not of oddnet; leave --model out"),
        ("dataset", "mnist", "of dataset digits, not of mnist; leave --dataset out"),
        ("angle", "30", "of angle 45, not of 30; leave --angle out, or choose another run"),
        ("seed", "4", "of seed 3, not of 4"),
        ("method", "priot", "of method priot-s, not of priot"),
        ("mu", "3", "of mu 3,2, not of 3"),
        ("threshold", "-5", "of threshold -4, not of -5"),
        ("scored", "0.1", "of scored 0.2, not of 0.1"),
        ("select", "weight", "of select random, not of weight"),
        ("start", "zero", "of start normal, not of zero"),
        ("easy", "0", "of easy 2, not of 0"),
        ("plan", "fast", "of plan lean, not of fast"),
        ("kernels", "tuned", "of kernels portable, not of tuned"),
    ],
)
def test_contradictions(
    run_file: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, sentence: str
) -> None:
    assert cli.main(["profile", "--run", str(run_file), f"--{option}={value}"]) == 2
    said = capsys.readouterr().err
    assert f"picotrain: the run {run_file} is {sentence}" in said
    assert len(said.splitlines()) == 1


def test_a_run_of_another_network(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(run_file.read_text())
    other = tmp_path / "other.json"
    write_json(other, {**content, "network_sha256": 64 * "0"})
    assert cli.main(["profile", "--run", str(other), *FEW]) == 2
    said = capsys.readouterr().err
    assert "is of another network than the backbone of tinycnn for digits; name its" in said


def test_the_kernels_of_a_run_on_the_host_are_not_the_chips(tmp_path: Path) -> None:
    file, found = tmp_path / "adapt.json", tmp_path / "profile.json"
    small = ["--epochs", "1", "--train-samples", "8", "--test-samples", "8"]
    assert cli.main(["adapt", "--target", "host", *small, "--json", str(file)]) == 0
    assert json.loads(file.read_text())["kernels"] == "portable"
    assert cli.main(["profile", "--run", str(file), *FEW, "--json", str(found)]) == 0
    assert json.loads(found.read_text())["kernels"] == "tuned"


def compared(profiled: Path, run_file: Path, *more: str) -> int:
    arguments = ["profile", "--run", str(run_file), *FEW, "--baseline", str(profiled)]
    return cli.main([*arguments, *more])


def test_a_profile_is_a_baseline(run_file: Path, profiled: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    assert compared(profiled, run_file, "--max-regress", "0%", "--json", str(again)) == 0
    found = json.loads(again.read_text())
    assert found["comparison"]["regressions"] == []
    assert found["comparison"]["baseline"]["firmware"] == found["firmware"]
    assert found["firmware"]["file"] == "microbit-portable/picotrain.elf"
    assert found["firmware"]["compiler"] == found["versions"]["compiler"]


def test_a_regression_in_every_form(
    run_file: Path, profiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faster = read_baseline(profiled)
    faster["numbers"]["layer 2 conv2d update"] /= 1.01
    baseline = tmp_path / "faster.json"
    write_json(baseline, faster)
    files = {name: tmp_path / name for name in ("json", "junit", "summary")}
    more = [text for name, file in files.items() for text in (f"--{name}", str(file))]
    assert compared(baseline, run_file, *more) == 1
    assert "picotrain: layer 2 conv2d update: " in capsys.readouterr().err
    [one] = json.loads(files["json"].read_text())["comparison"]["regressions"]
    assert (one["name"], one["kind"]) == ("layer 2 conv2d update", "slower")
    assert one["growth"] == pytest.approx(0.01)
    root = ElementTree.parse(files["junit"]).getroot()
    cases = {case.get("name"): case.find("failure") for case in root.iter("testcase")}
    failed = [name for name, failure in cases.items() if failure is not None]
    assert failed == ["layer 2 conv2d update"]
    assert int(root.get("tests", 0)) == len(faster["numbers"])
    assert "| **layer 2 conv2d update** |" in files["summary"].read_text()


def test_other_conditions_are_refused_before_the_work(
    run_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("picotrain.cli.profile.profile.open_device")
    found = tmp_path / "found.json"
    baseline = BASELINES / "cycles-priot.json"
    assert compared(baseline, run_file, "--json", str(found)) == 2
    assert "the baseline is of network_sha256 '89c52bc75d91', this" in capsys.readouterr().err
    assert not found.exists()


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_without_a_baseline_there_is_nothing_to_tell(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["profile", option, "x"]) == 2
    assert f"{option} tells of a comparison; add --baseline FILE" in capsys.readouterr().err


def test_a_run_of_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its description need not be there any more; its backbone may have moved."""
    shipped = models.MODELS / "backbones" / "tinycnn-digits.npz"
    network, _ = models.load_backbone(shipped)
    own, moved = tmp_path / "own.npz", tmp_path / "moved.npz"
    models.save_backbone(own, replace(network, name="mynet"), {})
    monkeypatch.chdir(tmp_path)
    small = ["--epochs", "1", "--train-samples", "8", "--test-samples", "8"]
    adapting = ["adapt", "--target", "host", "--backbone", "own.npz", *small]
    assert cli.main([*adapting, "--json", "adapt.json"]) == 0
    profiling = ["profile", "--run", "adapt.json", *FEW, "--json", "profile.json"]
    assert cli.main(profiling) == 0
    assert json.loads(Path("profile.json").read_text())["model"] == "mynet"
    own.rename(moved)
    assert cli.main(profiling) == 2
    assert cli.main([*profiling, "--backbone", "moved.npz"]) == 0
