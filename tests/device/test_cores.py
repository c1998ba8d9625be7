"""Two cores: a layer that is cut in two is the layer, wherever the cut is and whoever is late.

The firmware for two cores runs here under the thread sanitizer, which ends a process that has a
race. PICOTRAIN_CORES has it cut anywhere, and wait (firmware/boards/host/cores/core.c).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.image import firmware
from picotrain.learn.verify import verify
from picotrain.places import SHIPPED
from support import METHODS, begin, images
from trainable_affine import trainable_network

JOBS = int(os.environ.get("PICOTRAIN_SPLITS", "800"))
"""Of the other core, each with a cut and delays of its own; `make cores` has 20,000."""
SOURCE = Path(__file__).parent / "cores" / "splits.c"


@pytest.fixture(scope="module")
def program() -> Path:
    return support.sanitized(firmware.HOST_CORES_THREADS)


@pytest.fixture(scope="module")
def splits(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cores") / "splits"
    objects = [
        *sorted((program.parent / "kernels").rglob("*.o")),
        *sorted((program.parent / "boards" / "host" / "cores").glob("*.o")),
    ]
    command = ["cc", "-std=c11", "-O1", "-fsanitize=thread", "-Wall", "-Wextra", "-Werror"]
    command += ["-I", str(SHIPPED / "firmware"), "-Wl,--wrap=pt_core_post", "-pthread"]
    subprocess.run([*command, str(SOURCE), *map(str, objects), "-o", str(made)], check=True)
    return made


@pytest.mark.parametrize("seed", [1, 2])
def test_random_cuts(splits: Path, seed: int) -> None:
    """Every kernel that is cut, beside itself alone."""
    surroundings = {**os.environ, "PICOTRAIN_CORES": str(seed)}
    done = subprocess.run(
        [splits, str(JOBS // 2), str(seed)], capture_output=True, text=True, env=surroundings
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = re.fullmatch(r"(\d+) rounds, (\d+) jobs of the other core, 0 differences\n", done.stdout)
    assert told is not None, done.stdout
    assert int(told[2]) >= JOBS // 2


@pytest.mark.parametrize(
    "given", ["", "abc", "0", "-1", "3.5", "4294967296", "99999999999999999999"]
)
def test_a_seed_that_is_none_is_refused(splits: Path, given: str) -> None:
    """Or nothing would be cut anywhere, and nobody late."""
    done = subprocess.run(
        [splits, "1", "1"], capture_output=True, text=True, env={"PICOTRAIN_CORES": given}
    )
    said = f"picotrain-host: PICOTRAIN_CORES is '{given}': use 1 to 4294967295\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.fixture
def device(program: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailboxDevice]:
    monkeypatch.setenv("PICOTRAIN_CORES", "77")
    target = HostTarget(program, 240 * 1024)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


@pytest.mark.parametrize("name", ["oddnet", "oddnet-fused", "affine-2", "affine-5"])
@pytest.mark.parametrize("method", METHODS)
def test_training(device: MailboxDevice, reference: GoldenDevice, name: str, method: str) -> None:
    """Every tensor of some steps, and what a batch without a look at its steps has learnt."""
    form, _, seed = name.partition("-")
    if form == "affine":
        network = support.with_numbers(
            trainable_network(int(seed)), error_shift=4, gradient_bits=12, score_bits=17
        )
    else:
        network = support.shipped(form)
    chosen = replace(METHODS[method], fused=seed == "fused")
    comparison = begin(device, reference, network, chosen)
    pixels, labels = images(network, 8)
    verify(comparison, pixels, labels, 3, train=True)
