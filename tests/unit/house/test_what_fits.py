"""docs/what-fits.md: its limits are those of the code, its memory is that of the plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from picotrain.device.blob import blob_size
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.profile.memory.arena import arena_uses
from picotrain.profile.memory.image import Image
from picotrain_golden import Affine, Method, Network, Parameters, plan
from picotrain_golden import network as limits
from picotrain_golden.method import MethodName
from support import require

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "what-fits.md").read_text(encoding="utf-8")
TUNED = ROOT / "firmware" / "kernels" / "cortex_m0plus"
NEAR = 12_000
"""How far the arena may be from the page's."""


def rows(title: str) -> list[list[str]]:
    part = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    table = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]


def shapes_of(architecture: Architecture) -> Network:
    """A network of zeros, which takes the memory of any other."""
    parameters: list[Parameters | None] = []
    affine = []
    for layer in architecture.layers:
        weights = np.zeros((layer.rows, layer.row_length), np.int8)
        parameters.append(Parameters(weights, 0) if layer.has_weights else None)
        mean = layer.kind == "avgpool" and layer.kernel == layer.in_shape[:2]
        count = {"add": 3, "avgpool": int(mean)}.get(layer.kind, layer.rows)
        zeros, none = (0,) * (2 if layer.kind == "add" else 1), np.zeros(count, np.int32)
        affine.append(Affine(zeros, 0, -128, 127, none[: layer.rows], none, none))
    return Network(
        architecture.name,
        architecture.input_shape,
        architecture.layers,
        tuple(parameters),
        tuple(affine) if architecture.affine else (),
    )


def cells(network: Network, room: int) -> list[str]:
    elf = open_elf(firmware.RP2040)
    least = {(one.method, one.plan): one.least for one in arena_uses(elf, network)}
    in_flash = blob_size(network, elf) <= firmware.MODEL_FLASH

    def shown(size: int, possible: bool = True) -> str:
        text = f"{size / 1000:,.0f}"
        return f"**{text}**" if size <= room and possible else text

    found = [
        f"{shown(least[name, 'fast'])} / {shown(least[name, 'lean'], in_flash)}"
        for name in ("infer", "priot-s", "priot")
    ]
    return [*found, shown(max(least[name, "fast"] for name in ("niti-static", "niti-dynamic")))]


def test_the_memory_is_that_of_the_plan() -> None:
    room = firmware.arena_bytes(require(firmware.RP2040))
    told = re.search(r"about (\d+) KB of the RP2040's 264 KiB", TEXT)
    assert told is not None
    assert abs(int(told[1]) * 1000 - room) < NEAR
    assert set(get_args(MethodName)) == {"infer", "priot-s", "priot", "niti-static", "niti-dynamic"}
    assert firmware.PICO_RAM == 264 << 10
    expected = []
    for name in models.shipped():
        architecture = models.resolve(name)
        weights = sum(layer.weight_count for layer in architecture.layers)
        expected.append(
            [
                name,
                "x".join(map(str, architecture.input_shape)),
                str(len(architecture.layers)),
                f"{weights:,}",
                f"{sum(layer.macs for layer in architecture.layers):,}",
                *cells(shapes_of(architecture), room),
            ]
        )
    lines = "\n".join(f"| `{row[0]}` | {' | '.join(row[1:])} |" for row in expected)
    assert rows("Memory of a Pico") == expected, f"the table is now\n{lines}"


def test_what_one_operation_and_one_form_leave_is_that_of_plan_and_images() -> None:
    elf = open_elf(require(firmware.RP2040))
    for name in ("tinycnn", "oddnet"):
        network = shapes_of(models.resolve(name))
        in_arena = (blob_size(network, elf), 0)
        sizes = [plan(network, Method("priot", fused=True), one).total for one in in_arena]
        said = " / ".join(f"{size / 1000:.0f}" for size in sizes)
        assert re.search(rf"`{name}` (?:trains by PRIOT )?in {said}[ .]", TEXT), said
    (told,) = re.findall(r"leaves some (\d+) KB more for the arena", TEXT)
    for forms in firmware.ONE_FORM.values():
        whole = firmware.MICROBIT if forms is firmware.ONE_FORM["qemu"] else firmware.RP2040
        for image in forms.values():
            more = firmware.arena_bytes(require(image)) - firmware.arena_bytes(require(whole))
            assert abs(more - 1000 * int(told)) < 3000, image


def test_what_two_cores_take_is_that_of_the_images() -> None:
    text = (ROOT / "docs" / "kernels.md").read_text()
    two, one = (require(image) for image in (firmware.RP2040_CORES, firmware.RP2040))
    (code,) = re.findall(r"The image takes some (\d+) KB more code", text)
    sizes = []
    for image in (two, one):
        parts = Image(image).sections().sections
        sizes.append(sum(part.flash for part in parts))
    assert abs(sizes[0] - sizes[1] - 1000 * int(code)) < 500
    told = re.search(r"Its arena has about (\d+) KB .* where that of one core has (\d+)", text)
    assert told is not None
    for image, kb in ((two, told[1]), (one, told[2])):
        assert abs(firmware.arena_bytes(image) - 1000 * int(kb)) < 2000


def test_the_limits_are_those_of_the_code() -> None:
    found = {row[0]: row[1:] for row in rows("Limits")}
    assert found["layers"] == [
        *map(str, (limits.MAX_LAYERS, limits.MAX_AFFINE_LAYERS, limits.MAX_TRAINED_LAYERS))
    ]
    outputs = (limits.MAX_CLASSES, limits.MAX_AFFINE_OUTPUTS, limits.MAX_TRAINED_OUTPUTS)
    assert found["outputs"] == [f"2 to {most:,}" for most in outputs]
    for what, most in (
        ("kernel of a convolution", limits.MAX_KERNEL),
        ("height, width, channels", limits.MAX_DIMENSION),
        ("weights of a layer", limits.MAX_WEIGHTS),
        ("elements of a tensor", limits.MAX_ELEMENTS),
        ("terms of a sum", limits.MAX_TERMS),
    ):
        assert found[what] == [f"{most:,}"] * 3, what
    assert found["window and stride of a pool"][1:] == [str(limits.MAX_WINDOW)] * 2
    assert f"{firmware.MODEL_FLASH >> 10:,} KiB of a Pico's 2,048" in TEXT


def test_the_layers_are_those_of_the_code() -> None:
    found = rows("Layers")
    assert [row[1] for row in found if row[0] == "power of two"] == list(limits.POWER_OF_TWO)
    affine = [row[1] for row in found if row[0] == "affine"]
    assert sorted(affine) == sorted(limits.AFFINE)


@pytest.mark.parametrize("row", rows("Layers"), ids=lambda row: f"{row[0]} {row[1]}")
def test_tuned_is_what_has_a_kernel_for_the_m0plus(row: list[str]) -> None:
    form, kind, infers, trains, forward, backward = row
    assert infers == "yes"
    assert (trains == "yes") == (kind in limits.WEIGHTED or form == "power of two")
    if form == "power of two":
        assert (forward, backward) == ("yes", "yes")
        assert (TUNED / f"pt_{kind}.c").is_file()
        return
    stem = {"maxpool": "pool", "avgpool": "pool"}.get(kind, kind)
    for said, name in (
        (forward, f"pt_affine_{stem}.c"),
        (backward, f"pt_affine_{stem}_backward.c"),
    ):
        assert (said == "yes") == (TUNED / name).is_file(), name
