"""What a result says of what made it: each found out once, the compiler from the firmware."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from picotrain import versions as ground
from picotrain.device import versions as of_devices
from picotrain.device.backends import KERNELS, problem
from picotrain.device.versions import versions_of
from picotrain.image.elf import open_elf

HOST = KERNELS["host"]["portable"]
RP2040 = KERNELS["rp2040js"]["tuned"]


@pytest.fixture(autouse=True)
def _forget() -> None:
    ground._found.cache_clear()
    ground.first_line.cache_clear()


def test_what_every_result_is_made_with() -> None:
    found = ground.versions()
    assert {"python", "picotrain", "numpy", "scipy", "scikit-learn"} <= set(found)
    found["python"] = "changed"
    assert ground.versions()["python"] != "changed"


def test_a_process_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[0])
        return subprocess.CompletedProcess(command, 0, f"{command[0]} 1.2\nmore\n", "")

    monkeypatch.setattr(ground.subprocess, "run", run)
    for _ in range(3):
        assert versions_of("qemu", HOST)["qemu"] == "qemu-system-arm 1.2"
    assert sorted(asked) == ["git", "qemu-system-arm"]


def test_a_command_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_devices, "find_renode", lambda: Path("/nonexistent/renode"))
    assert ground.first_line("false") == ""
    assert "renode" not in versions_of("renode", None)


def test_outside_of_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment may lie in somebody's repository, whose commit says nothing of us."""
    monkeypatch.setattr(ground.places, "IN_CHECKOUT", False)
    assert "commit" not in ground.versions()


def test_the_compiler_is_the_one_of_the_firmware() -> None:
    """Not the one that is installed: `GNU C11 12.2.1 20221205 -mcpu=cortex-m0plus ... -O2`."""
    compiler = versions_of("host", HOST)["compiler"]
    assert compiler == open_elf(HOST).compiler
    name, *flags = compiler.split(" -")
    assert name.startswith(("GNU C11 ", "Debian clang", "clang version", "Ubuntu clang"))
    assert all(flag.startswith(("O", "march=", "mcpu=")) for flag in flags)
    assert "compiler" not in versions_of("golden", None)


@pytest.mark.skipif(not RP2040.is_file(), reason="the flash image is not built")
def test_the_compiler_of_a_cross_compiled_image() -> None:
    name, *flags = open_elf(RP2040).compiler.split(" -")
    assert name.startswith("GNU C11 ")
    assert flags == ["mcpu=cortex-m0plus", "march=armv6s-m", "O2"]


def test_renode_says_its_own_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "renode"
    program.write_text("#!/bin/sh\n[ $1 = --version ] && echo Renode, version 1.16.1.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("RENODE", str(program))
    assert versions_of("renode", None)["renode"] == "Renode, version 1.16.1.0"
    assert "renode" not in versions_of("qemu", None)


@pytest.mark.skipif(bool(problem("rp2040js")), reason=problem("rp2040js"))
def test_rp2040js_and_node() -> None:
    found = versions_of("rp2040js", RP2040)
    pinned = json.loads((of_devices.node_package.SOURCE / "package.json").read_text())
    assert found["rp2040js"] == pinned["dependencies"]["rp2040js"]
    assert found["node"].startswith("v")
    assert "qemu" not in found


def test_the_digest_is_of_what_is_loaded(tmp_path: Path) -> None:
    """Debugging information and notes may differ; code and data may not."""
    image = open_elf(HOST)
    assert len(image.digest) == 32
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-g", "-o", stripped, HOST], check=True)
    assert open_elf(stripped).digest == image.digest
    name = next(one for one in image.symbols() if one.startswith("pt_conv2d") and image.symbol(one))
    code = image.loaded(image.symbol(name), 32)
    content = HOST.read_bytes()
    assert content.count(code) == 1
    other = tmp_path / "other"
    other.write_bytes(content.replace(code, bytes(32)))
    assert open_elf(other).digest != image.digest
