"""The action `.github/actions/cycles`: its description, and its script against real baselines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from picotrain.device.backends import problem
from picotrain.output import write_json

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / ".github" / "actions" / "cycles"
SCRIPT = ACTION / "compare.sh"
BASELINE = ROOT / "tests" / "baselines" / "cycles-priot.json"
ARGUMENTS = "--dataset digits --angle 180 --images 16 --method priot"

emulated = pytest.mark.skipif(bool(problem("qemu")), reason=problem("qemu"))


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())
    return found


def test_its_inputs_are_used_and_reach_the_script() -> None:
    described = action()
    assert described["runs"]["using"] == "composite"
    [step] = described["runs"]["steps"]
    used = {
        name: re.fullmatch(r"\$\{\{ inputs\.([\w-]+) }}", text)
        for name, text in step["env"].items()
    }
    assert all(used.values())
    assert {match[1] for match in used.values() if match} == set(described["inputs"])
    wanted = set(re.findall(r"\$\{?([A-Z_]+)", SCRIPT.read_text()))
    given = {"GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "RUNNER_TEMP"}
    assert wanted == set(step["env"]) | given
    assert step["run"] == f'bash "$GITHUB_ACTION_PATH/{SCRIPT.name}"'
    assert step["shell"] == "bash"
    for output in described["outputs"].values():
        assert output["value"] == f"${{{{ steps.{step['id']}.outputs.folder }}}}"


def test_it_uses_options_that_there_are() -> None:
    help_ = subprocess.run(
        [sys.executable, "-m", "picotrain", "profile", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    options = set(re.findall(r"(?<!\w)--[a-z-]+", SCRIPT.read_text().split("PICOTRAIN", 1)[1]))
    assert {"--baseline", "--json", "--junit", "--summary"} <= options
    known = set(re.findall(r"(?<!\w)--[a-z-]+", help_))
    assert options <= known
    assert set(re.findall(r"--[a-z]+", ARGUMENTS)) <= known


def test_the_example_of_the_page_is_this_one() -> None:
    page = (ROOT / "docs" / "profile.md").read_text()
    [block] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    used = next(step for step in yaml.safe_load(block) if "uses" in step)
    assert used["uses"] == "./" + str(ACTION.relative_to(ROOT))
    assert set(used["with"]) <= set(action()["inputs"])
    assert used["with"]["arguments"] == ARGUMENTS
    assert ROOT / used["with"]["baseline"] == BASELINE


def compare(folder: Path, baseline: Path, arguments: str) -> tuple[int, str, Path, str]:
    """Exit status, summary, the folder of its files, standard error."""
    program = folder / "picotrain"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m picotrain "$@"\n')
    program.chmod(0o755)
    files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    given = {"BASELINE": str(baseline), "ARGUMENTS": arguments, "MAX_REGRESS": "0.5%"}
    places = {**{name: str(path) for name, path in files.items()}, "RUNNER_TEMP": str(folder)}
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env={**os.environ, **given, **places, "PICOTRAIN": str(program)},
        capture_output=True,
        text=True,
        check=False,
    )
    [made] = files["GITHUB_OUTPUT"].read_text().splitlines()
    return (
        done.returncode,
        files["GITHUB_STEP_SUMMARY"].read_text(),
        Path(made.removeprefix("folder=")),
        done.stderr,
    )


@emulated
def test_within_the_baseline(tmp_path: Path) -> None:
    code, summary, folder, errors = compare(tmp_path, BASELINE, ARGUMENTS)
    assert code == 0, errors
    assert summary.startswith("### Cycles: tinycnn, priot, 16 images of digits rotated by 180")
    assert "numbers are within 0.50% of the baseline." in summary
    assert json.loads((folder / "cycles.json").read_text())["comparison"]["regressions"] == []
    assert ElementTree.parse(folder / "cycles.xml").getroot().get("failures") == "0"


@emulated
def test_a_regression_fails_and_is_shown(tmp_path: Path) -> None:
    content = json.loads(BASELINE.read_text())
    content["numbers"]["infer"] /= 1.02
    faster = tmp_path / "a 'baseline'.json"
    write_json(faster, content)
    code, summary, folder, errors = compare(
        tmp_path, faster, ARGUMENTS.replace("digits", "'digits'")
    )
    assert code == 1
    assert "picotrain: infer: " in errors
    assert "| **infer** |" in summary
    assert ElementTree.parse(folder / "cycles.xml").getroot().get("failures") == "1"


@emulated
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--images 2", "the baseline is of angle 180.0, this run of 30.0"),
        ("--method '$(echo priot)'", "unknown method '$(echo priot)'"),
    ],
)
def test_what_cannot_be_compared_says_why(tmp_path: Path, arguments: str, sentence: str) -> None:
    code, summary, _, errors = compare(tmp_path, BASELINE, arguments)
    assert code == 2
    assert sentence in errors
    assert summary.startswith("### Cycles: not compared\n")
    assert sentence in summary
