"""`picotrain selftest`: what it says of a harness that sees, and of one that does not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import cli
from picotrain.cli.material import random_material
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult
from picotrain.errors import BuildFailure
from picotrain.hardware.selftest import stale
from picotrain.hardware.selftest.faults import FAULTS, WIRE_FAULTS
from picotrain.hardware.selftest.running import Outcome, Selftest
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from support import require


def test_twenty_faults_of_four_parts_and_two_of_the_wire() -> None:
    names = [fault.name for fault in FAULTS + WIRE_FAULTS]
    assert len(set(names)) == len(names) == 22
    assert Counter(fault.part for fault in FAULTS) == {
        "harness": 7,
        "transport": 5,
        "state": 5,
        "firmware": 3,
    }


def test_the_result_names_each_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host_elf: Elf
) -> None:
    file = tmp_path / "selftest.json"
    assert cli.main(["selftest", "--target", "host", "--json", str(file)]) == 0
    said = capsys.readouterr().out
    assert "\nwithout a fault: 306 tensors, 95,332 elements, equal\n20 of 20 faults named, " in said
    result = json.loads(file.read_text())
    assert (result["target"], result["kernels"]) == ("host", "portable")
    assert (result["passed"], result["named"], result["difference"]) == (True, 20, "")
    assert [entry["name"] for entry in result["outcomes"]] == [fault.name for fault in FAULTS]
    network, _ = random_material("oddnet", 1, 6)
    held = int(network.of(2).weights[3, 20])
    flipped = next(entry for entry in result["outcomes"] if entry["name"] == "flipped-weight")
    assert flipped == {
        "name": "flipped-weight",
        "part": "state",
        "fault": "a bit of one weight turns in the device",
        "said": f"MISMATCH: step 0, layer 2, weights[3, 20]: expected {held}, "
        f"device has {held ^ 1}",
        "named": True,
    }


def test_a_harness_that_compares_nothing_is_caught(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host_elf: Elf
) -> None:
    monkeypatch.setattr(Comparison, "_compare", lambda *_: None)
    assert cli.main(["selftest", "--target", "host"]) == 1
    said = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(said) if "flipped-weight" in line)
    assert said[at].startswith("MISSED  flipped-weight ")
    assert said[at + 1].split() == ["nothing"]
    # Errors by name, results of batches and scored edges do not come this way.
    missed = [line.split()[1] for line in said if line.startswith("MISSED")]
    assert missed == [
        *("label-off-by-one", "wrong-threshold", "wrong-scale", "flipped-pixel", "late-image"),
        *("flipped-weight", "changed-score", "dropped-update"),
    ]


def test_another_element_than_the_one_that_changed_is_no_name(host_elf: Elf) -> None:
    fault = next(fault for fault in FAULTS if fault.name == "flipped-weight")
    right = "MISMATCH: step 0, layer 2, weights[3, 20]: expected 70, device has 71"
    assert fault.is_named(right)
    for other in (right.replace("20]", "21]"), right.replace("layer 2", "layer 0"), "", "MISMATCH"):
        assert not fault.is_named(other)


def test_a_harness_that_accuses_without_a_fault_plants_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host_elf: Elf
) -> None:
    evaluate = GoldenDevice.evaluate

    def wrong(self: GoldenDevice, *arguments: Any) -> BatchResult:
        result = evaluate(self, *arguments)
        result.predictions[1] += 1
        return result

    monkeypatch.setattr(GoldenDevice, "evaluate", wrong)
    assert cli.main(["selftest", "--target", "host"]) == 1
    said = capsys.readouterr().out
    assert "without a fault: MISMATCH: step 2, layer -1, evaluate predictions[1]: " in said
    assert "0 of 0 faults named" in said and "named  " not in said


def test_a_run_without_faults_does_not_pass() -> None:
    assert not Selftest().passed
    assert Selftest(outcomes=[Outcome("a", "state", "", "x", True)]).passed
    assert not Selftest(outcomes=[Outcome("a", "state", "", "x", False)]).passed
    assert not Selftest(difference="x", outcomes=[Outcome("a", "state", "", "x", True)]).passed


def test_golden_is_no_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--target", "golden"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: golden has no device to plant faults in; use --target host or qemu\n"
    )


@pytest.mark.parametrize("image", ["HOST", "HOST_TUNED", "MICROBIT", "MICROBIT_PORTABLE", "RP2040"])
def test_copies_of_every_image_say_one_other_thing(image: str, tmp_path: Path) -> None:
    elf, copy = require(getattr(firmware, image)), tmp_path / "copy.elf"
    ours = Elf(elf)
    protocol = int(ours.enum("pt_protocol")["PT_PROTOCOL_VERSION"])
    size = ours.dtype("pt_mailbox").itemsize
    for make, version, bytes_ in (
        (stale.of_another_protocol, protocol ^ 1, size),
        (stale.of_another_mailbox, protocol, size ^ 1),
    ):
        make(elf, copy)
        theirs = Elf(copy)
        assert int(theirs.enum("pt_protocol")["PT_PROTOCOL_VERSION"]) == version
        assert theirs.dtype("pt_mailbox").itemsize == bytes_
        assert theirs.digest == ours.digest
        changed = np.frombuffer(elf.read_bytes(), np.uint8) != np.frombuffer(
            copy.read_bytes(), np.uint8
        )
        assert changed.sum() == 1


def test_an_image_without_a_build_id_has_no_other(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure, match="has no build id"):
        stale.of_another_build(require(firmware.MICROBIT), tmp_path / "copy.elf")
