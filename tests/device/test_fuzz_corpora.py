"""The corpora of the fuzz targets, run again under gcc's sanitizers with the firmware's kernels:
what once was found stays mended, where there is no clang too."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import support
from fuzz.programs import HERE, SHARES, committed
from picotrain.image import firmware
from picotrain.places import BUILD

REPLAYS = BUILD / "replay"


@pytest.fixture(scope="module")
def replays() -> Path:
    """The targets as programs that run files."""
    for program in (firmware.HOST_SANITIZED, firmware.HOST_TUNED_SANITIZED):
        support.require(program)
    for tool in ("make", "cc", "ar"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt: make gcc)")
    subprocess.run(["make", "-s", "-C", HERE, "replays"], check=True)
    return REPLAYS


@pytest.mark.parametrize("target", SHARES)
def test_nothing_is_reported(replays: Path, target: str) -> None:
    inputs = sorted(committed(target).iterdir())
    assert len(inputs) > 20
    ended = subprocess.run(
        [replays / target, *inputs], check=False, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stderr.count("running ") == len(inputs)


def test_a_rule_that_does_not_hold_ends_it(replays: Path, tmp_path: Path) -> None:
    """A replay that cannot fail shows nothing: of no file it says that there is none."""
    ended = subprocess.run(
        [replays / "link", tmp_path / "none"], check=False, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert ended.returncode == 1
    assert "No such file" in ended.stderr
