"""Targets and the kernels that they run with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from picotrain import places
from picotrain.cli import main
from picotrain.device import backends
from picotrain.device.backends import KERNELS, NAMES, VARIANTS, choose_kernels
from picotrain.errors import BuildFailure, UserError
from picotrain.image import firmware

UNKNOWN = "unknown target {!r}; use one of golden, host, qemu, rp2040js, renode, serial:PORT"


def test_defaults() -> None:
    assert {name: choose_kernels(name) for name in NAMES} == {
        "golden": None,
        "host": "portable",
        "qemu": "tuned",
        "rp2040js": "tuned",
        "renode": "tuned",
        "serial:PORT": "tuned",
    }
    assert choose_kernels("host", "tuned") == "tuned"
    assert choose_kernels("qemu", "dense") == "dense"


def test_variants() -> None:
    assert VARIANTS == {
        "golden": ("golden", None),
        "host": ("host", "portable"),
        "host-tuned": ("host", "tuned"),
        "host-cores": ("host", "cores"),
        "qemu": ("qemu", "tuned"),
        "qemu-portable": ("qemu", "portable"),
        "qemu-dense": ("qemu", "dense"),
        "qemu-large": ("qemu", "large"),
        "rp2040js": ("rp2040js", "tuned"),
        "qemu-chain": ("qemu", "chain"),
        "qemu-affine": ("qemu", "affine"),
        "rp2040js-cores": ("rp2040js", "cores"),
        "rp2040js-chain": ("rp2040js", "chain"),
        "rp2040js-affine": ("rp2040js", "affine"),
        "renode": ("renode", "tuned"),
    }
    assert backends.variant_of("qemu-dense") == ("qemu", "dense")
    assert backends.variant_of("serial:/dev/ttyACM0") == ("serial:/dev/ttyACM0", "tuned")
    assert {one.name for one in backends.availability()} == set(NAMES)


def test_every_set_of_kernels_has_a_program_of_its_own() -> None:
    paths = [path for name in ("host", "qemu", "rp2040js") for path in KERNELS[name].values()]
    assert len(paths) == len(set(paths)) == 13
    assert all(path.is_relative_to(places.BUILD) for path in paths)
    one_core = {"tuned": KERNELS["rp2040js"]["tuned"]}
    assert KERNELS["renode"] == one_core  # one flash image
    assert KERNELS["serial"] == KERNELS["rp2040js"]


@pytest.mark.parametrize(
    ("target", "kernels", "sentence"),
    [
        ("host", "dense", "target host has no kernels 'dense'; use one of portable, tuned, cores"),
        (
            "qemu",
            "fast",
            "target qemu has no kernels 'fast'; use one of tuned, portable, dense, large, "
            "chain, affine",
        ),
        ("golden", "tuned", "target golden has no kernels 'tuned'; leave --kernels out"),
        (
            "serial:COM3",
            "dense",
            "target serial:COM3 has no kernels 'dense'; use one of tuned, cores, chain, affine",
        ),
        ("pico", None, UNKNOWN.format("pico")),
        ("pico", "tuned", UNKNOWN.format("pico")),
        ("serial", None, UNKNOWN.format("serial")),
        ("serial:", None, UNKNOWN.format("serial:")),
        ("host:", None, UNKNOWN.format("host:")),
        ("host:1", None, UNKNOWN.format("host:1")),
    ],
)
def test_what_there_is_not(target: str, kernels: str | None, sentence: str) -> None:
    for attempt in (choose_kernels, lambda *a: backends.open_device(a[0], kernels=a[1])):
        with pytest.raises(UserError) as caught:
            attempt(target, kernels)
        assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("verb", "target", "known"),
    [
        (["verify", "--steps", "1"], "host", "portable, tuned, cores"),
        (["profile", "--images", "1"], "qemu", "tuned, portable, dense, large, chain, affine"),
        (["adapt", "--epochs", "1"], "host", "portable, tuned, cores"),
    ],
)
def test_kernels_that_a_verb_cannot_have(
    verb: list[str], target: str, known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb, "--target", target, "--kernels", "fast"]) == 2
    error = capsys.readouterr().err
    assert error == f"picotrain: target {target} has no kernels 'fast'; use one of {known}\n"


def test_results_say_which_kernels_ran(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    few = ["--train-samples", "4", "--test-samples", "4"]
    for verb in (["verify", "--steps", "1", "--method", "infer"], ["adapt", "--epochs", "1", *few]):
        for target, kernels in (("host", "portable"), ("golden", None)):
            if verb[0] == "verify" and target == "golden":
                continue
            assert main([*verb, "--target", target, "--json", str(file)]) == 0
            assert json.loads(file.read_text())["kernels"] == kernels


def test_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"tuned": places.BUILD / "nowhere" / "picotrain-host"}
    monkeypatch.setitem(KERNELS, "host", missing)
    with pytest.raises(BuildFailure, match=r"nowhere/picotrain-host is not built; run `make firm"):
        backends.open_device("host", kernels="tuned")
    assert backends.problem("host-tuned") == "run `make firmware`"


def test_sanitized_builds_name_their_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    for path in (
        *(firmware.HOST_SANITIZED, firmware.HOST_TUNED_SANITIZED, firmware.HOST_CORES_THREADS),
    ):
        with pytest.raises(BuildFailure, match="run `make sanitized`"):
            firmware.require(path)
