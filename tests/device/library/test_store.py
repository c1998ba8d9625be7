"""States in flash (firmware/nn/pt_store.h) under power cuts, wear, damage and other models' states.

The flash is a model in C, with pages and sectors half done and bits that read as they like. `make
power-cuts` tries more: PICOTRAIN_POWER_CUTS is how many times as many saves.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import support
from building import SANITIZED, build, library
from picotrain.device.blob import encode
from picotrain.device.explain import explain
from picotrain.image.elf import Elf
from picotrain.places import SHIPPED
from picotrain_golden import Network, conv2d, linear
from trainable_affine import trainable_network

FACTOR = int(os.environ.get("PICOTRAIN_POWER_CUTS", "1"))


def small() -> Network:
    """Few bytes of state, so that many saves can be cut everywhere."""
    first = conv2d((5, 5, 1), 6, (3, 3), 1, (0, 0), True)
    network = support.build("small", (5, 5, 1), [first, linear(first.out_shape, 4, False)])
    return support.with_numbers(
        network, forward_shift=6, error_shift=4, gradient_bits=9, score_bits=14
    )


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory, host_elf: Elf) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("blobs")
    networks = {
        "small": small(),
        "oddnet": support.shipped("oddnet"),
        "affine": trainable_network(1),
    }
    for name, network in networks.items():
        (folder / name).write_bytes(encode(network, host_elf))
    return {name: folder / name for name in networks}


@pytest.fixture(scope="module")
def power_cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, flags = tmp_path_factory.mktemp("cuts"), ("-O2", "-g")
    return build(folder, ["power_cuts.c", "flash_model.c"], flags, library(folder, flags))


@pytest.fixture(scope="module")
def store_cases(tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path) -> Path:
    sources = ["store_cases.c", "flash_model.c"]
    return build(tmp_path_factory.mktemp("cases"), sources, SANITIZED, sanitized_library)


@dataclass(frozen=True)
class Campaign:
    """Every save is cut at every step of the flash in every torn state, and then once more."""

    network: str
    method: str
    geometry: tuple[int, int, int]
    """Bytes of a sector and of a page, sectors of the ring."""
    saves: int
    every_second: bool = False
    """The second cut in every torn state too, not in one that is drawn."""
    worn: tuple[int, str] | None = None
    """A sector, and how it is worn: of enum wear of flash_model.h."""


CAMPAIGNS = {
    "pico": Campaign("small", "priot", (4096, 256, 6), 500),
    "twice": Campaign("small", "niti-static", (1024, 128, 5), 15, every_second=True),
    "two-sectors": Campaign("small", "priot", (4096, 256, 2), 20),
    "three-sectors-each": Campaign("oddnet", "niti-static", (1024, 128, 8), 5),
    "round-the-end": Campaign("oddnet", "priot-s", (1024, 128, 3), 6),
    "dynamic": Campaign("oddnet", "niti-dynamic", (4096, 256, 5), 4),
    "affine": Campaign("affine", "priot", (1024, 128, 4), 10),
    "erases-badly": Campaign("small", "priot", (1024, 128, 6), 15, worn=(2, "ERASES_BADLY")),
    "programs-badly": Campaign("oddnet", "priot", (1024, 128, 9), 4, worn=(4, "PROGRAMS_BADLY")),
    "refuses": Campaign("small", "priot", (1024, 128, 4), 15, worn=(0, "REFUSES")),
    "no-header": Campaign("small", "niti-static", (1024, 128, 5), 15, worn=(1, "PAGE_0_BADLY")),
}


def test_the_page_says_how_often() -> None:
    page = (SHIPPED / "docs" / "field.md").read_text(encoding="utf-8")
    assert f"`make test` saves {sum(one.saves for one in CAMPAIGNS.values())} times" in page


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_cut_anywhere_leaves_the_old_or_the_new_state(
    power_cuts: Path, blobs: dict[str, Path], name: str
) -> None:
    one = CAMPAIGNS[name]
    program = Elf(power_cuts)
    kind = program.enum("pt_method_kind")[f"PT_{one.method.upper().replace('-', '_')}"]
    asked = [int(kind), *one.geometry, FACTOR * one.saves, 1, int(one.every_second or FACTOR > 1)]
    if one.worn is not None:
        asked += [one.worn[0], int(program.enum("wear")[one.worn[1]])]
    done = subprocess.run(
        [power_cuts, blobs[one.network], *map(str, asked)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    tried = dict(re.findall(r"([a-z][a-z ]*) (\d+)", done.stdout))
    count = {what: int(number) for what, number in tried.items()}
    assert count["saves"] == FACTOR * one.saves
    # Nine torn states of each program and fourteen of each erase, of five steps at least.
    assert count["cuts"] > 45 * count["saves"]
    assert count["second cuts"] > count["cuts"]
    # Not all bits of a commit are in doubt, nor none: both answers are seen.
    assert count["old"] + count["new"] == count["cuts"]
    assert count["new"] >= 2 * count["saves"]


@pytest.mark.parametrize("name", ["small", "oddnet", "affine"])
def test_wear_damage_other_states_and_a_training_that_goes_on(
    store_cases: Path, blobs: dict[str, Path], name: str
) -> None:
    done = subprocess.run([store_cases, blobs[name]], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("as promised")
    if name == "oddnet":
        assert "larger than the window" in done.stdout


@pytest.mark.parametrize(
    ("name", "detail", "said"),
    [
        ("PT_ERR_STORE_FLASH", (4096, 64, 4, 256), "sectors of 4096 bytes, pages of 64 and 4 sect"),
        ("PT_ERR_STORE_VERSION", (2, 1, 5, 0), "is of version 2, and this firmware reads 1"),
        ("PT_ERR_STORE_ROOM", (28, 30, 3, 0), "take 28 sectors, and of the 30 that are there 3"),
        ("PT_ERR_STORE_EMPTY", (8, 0, 0, 0), "none of the 8 sectors for states holds one"),
        ("PT_ERR_STORE_DAMAGED", (6, 0, 0, 0), "the newest, in sector 6, is damaged"),
    ],
)
def test_refusals_in_words(
    host_elf: Elf, name: str, detail: tuple[int, int, int, int], said: str
) -> None:
    assert name in {one.name for one in host_elf.enum("pt_error")}
    assert said in explain("", name, detail, host_elf)


def test_every_field_of_a_state_has_words(host_elf: Elf) -> None:
    said = {
        explain("RESTORE", "PT_ERR_CHECKPOINT", (int(field), 0, 0, 0), host_elf)
        for field in host_elf.enum("pt_checkpoint_field")
    }
    assert len(said) == 6 and "" not in said


def test_every_refusal_of_the_store_is_one_of_these(host_elf: Elf) -> None:
    names = {one.name for one in host_elf.enum("pt_error") if "_STORE_" in one.name}
    assert all(explain("", name, (1, 2, 3, 4), host_elf) for name in names)
    assert len(names) == 5
