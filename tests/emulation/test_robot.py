"""The Robot Framework suites on QEMU: green as they are, red wherever an expectation is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import pytest

from picotrain.device import backends

ROOT = Path(__file__).resolve().parents[2]
SUITES = ROOT / "tests" / "robot"

pytestmark = [
    pytest.mark.skipif(not backend.works, reason=f"target qemu: {backend.remedy}")
    for backend in backends.availability()
    if backend.name == "qemu"
]


@dataclass
class Outcome:
    """What `xunit.xml` says: tests as `Suite.Test`; the message of each that was not passed."""

    status: int
    passed: set[str]
    failed: dict[str, str]
    skipped: dict[str, str]


def run(suites: Path, output: Path, *options: str) -> Outcome:
    """Run Robot as README.md of the suites says."""
    command = [sys.executable, "-m", "robot", "-v", "TARGET:qemu", "--outputdir", str(output)]
    command += ["--xunit", "xunit.xml", *options, str(suites)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (output / "xunit.xml").is_file(), finished.stdout + finished.stderr
    assert (output / "log.html").stat().st_size > 100_000
    outcome = Outcome(finished.returncode, set(), {}, {})
    for case in ElementTree.parse(output / "xunit.xml").iter("testcase"):
        name = f"{case.attrib['classname'].split('.')[-1]}.{case.attrib['name']}"
        failure, skip = case.find("failure"), case.find("skipped")
        if failure is not None:
            outcome.failed[name] = failure.attrib["message"]
        elif skip is not None:
            outcome.skipped[name] = skip.attrib["message"]
        else:
            outcome.passed.add(name)
    return outcome


def test_all_suites_pass(tmp_path: Path) -> None:
    outcome = run(SUITES, tmp_path)
    assert outcome.failed == {}
    assert outcome.status == 0
    assert {name.split(".")[0] for name in outcome.passed} == {
        path.stem.title() for path in SUITES.glob("*.robot")
    }
    assert outcome.skipped == {
        "Boot.Reset And Clock Are Told": "qemu has no serial link",
        "Failures.The Watchdog Brings A Hung Device Back": "qemu has no watchdog",
    }


WRONG = [
    (
        "boot.robot",
        "[version]    5",
        "[version]    6",
        "Boot.The Mailbox Is There After Reset",
        r"5 != 6",
    ),
    (
        "inference.robot",
        "correct=63",
        "correct=64",
        "Inference.Upright Digits Are Recognised",
        r"correct predictions: 63 != 64",
    ),
    (
        "inference.robot",
        "225d7ced",
        "225d7cec",
        "Inference.Turned Digits Are Not",
        r"digest of the predictions: 225d7ced\w{56} != 225d7cec\w{56}",
    ),
    (
        "training.robot",
        "1fd737fa",
        "1fd737fb",
        "Training.PRIOT",
        r"state after the batch: 1fd737fa\w{56} != 1fd737fb\w{56}",
    ),
    (
        "training.robot",
        "column=40",
        "column=41",
        "Training.A Wrong Weight Is Found And Named",
        r"Expected error .*\[5, 40\]: .* but got 'MismatchFailure: .* weights\[5, 41\]: .*'\.",
    ),
    (
        "errors.robot",
        "numbers=1 7 7",
        "numbers=1 7 8",
        "Errors.A Label That Is No Class",
        r"TRAIN was refused with PT_ERR_LABEL 1 7 7 0, expected PT_ERR_LABEL 1 7 8 0",
    ),
    (
        "errors.robot",
        "    255    error=",
        "    INFO    error=",
        "Errors.An Unknown Command",
        r"INFO was served, expected a refusal with PT_ERR_COMMAND",
    ),
    (
        "failures.robot",
        "Running Should Fail    TIMEOUT",
        "Running Should Fail    CRASH",
        "Failures.An Endless Loop Is A Timeout At Its Place",
        r"the device failed with TIMEOUT: .* pt_conv2d_forward_s8\+0x[02] .*; expected CRASH .*",
    ),
    (
        "failures.robot",
        "Break Device    fault\n    Running Should Fail    CRASH    naming=${place}\n    Connect",
        "Set Variable    x\n    Running Should Fail    CRASH    naming=${place}\n    Connect",
        "Failures.A Device That Crashed Serves After A Fresh Start",
        r"the device failed with COMMAND: TRAIN: .* PT_ERR_STATE.*; expected CRASH naming 'x'",
    ),
    (
        "failures.robot",
        "    fault\n    Running Should Fail    CRASH    naming=${place}\n\n",
        "    fault\n    Running Should Fail    CRASH    naming=pt_trainer_next\n\n",
        "Failures.A Fault Is A Crash At Its Place",
        r"the device failed with CRASH: .* pt_conv2d_forward_s8\+0x0 .*; expected CRASH naming "
        r"'pt_trainer_next'",
    ),
]
"""In which suite what is replaced by what; the test that must fail then, and with which message."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The suites, to be spoilt."""
    return copytree(SUITES, tmp_path / "suites", ignore=lambda *_: {"__pycache__"})


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new))


def test_every_wrong_expectation_is_named(copied: Path, tmp_path: Path) -> None:
    for suite, old, new, _, _ in WRONG:
        replace(copied / suite, old, new)
    outcome = run(copied, tmp_path / "output")
    assert outcome.status == len(WRONG)
    assert set(outcome.failed) == {test for _, _, _, test, _ in WRONG}
    for _, _, _, test, message in WRONG:
        assert re.fullmatch(message, outcome.failed[test], re.DOTALL), outcome.failed[test]


def test_a_device_that_differs_from_golden_is_named(copied: Path, tmp_path: Path) -> None:
    """One wrong bit before the batch: no method hides it."""
    train = "    Training Should Equal Golden\n"
    flip = "    Flip Bit Of Weight    layer=0    row=0    column=4\n"
    replace(copied / "training.robot", train, flip + train)
    outcome = run(copied / "training.robot", tmp_path / "output")
    assert outcome.passed == {"Training.A Wrong Weight Is Found And Named"}
    assert len(outcome.failed) == outcome.status == 5
    for message in outcome.failed.values():
        assert re.fullmatch(
            r"MismatchFailure: step \d+, layer -?\d+, \w+\[.*\]: "
            r"expected -?\d+, device has -?\d+",
            message,
        )
