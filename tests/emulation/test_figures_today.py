"""Files of figures that no other suite renews, beside what is counted today: other kernels, or
another compiler, make other cycles, and a file does not know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from performance import beside, one_form, plugin_speed, yardsticks
from picotrain import cli
from picotrain.device.backends import problem
from picotrain.image import firmware
from picotrain.learn import models
from support import reference_model, require

NEAR = 0.02
PERFORMANCE: Any = json.loads(beside.FILE.read_text(encoding="utf-8"))


@pytest.mark.skipif(bool(problem("qemu")), reason=problem("qemu"))
@pytest.mark.parametrize("name", PERFORMANCE["networks"])
def test_imported_networks_cost_what_the_file_says(tmp_path: Path, name: str) -> None:
    """`make performance NETWORKS="kws.npz vww.npz"` where not."""
    pytest.importorskip("tflite", reason="tflite is not installed: pip install -e '.[convert]'")
    imported = tmp_path / "imported.npz"
    assert cli.main(["import", str(reference_model(name)), "--out", str(imported)]) == 0
    found = yardsticks.inference(models.load_backbone(imported)[0])
    held = PERFORMANCE["networks"][name]
    for kernels in ("tuned", "portable"):
        assert held[kernels] == pytest.approx(found[kernels], rel=NEAR), kernels


@pytest.mark.skipif(bool(problem("qemu-chain")), reason=problem("qemu-chain"))
def test_one_form_costs_what_the_file_says() -> None:
    """`make one-form-figures` where not."""
    held = json.loads(one_form.FILE.read_text(encoding="utf-8"))
    network, split = one_form.material()
    found = one_form.step(one_form.KERNELS["chain"], "priot", "lean", network, split)
    row = held["steps"]["priot, lean"]["chain"]
    assert row["step"] == pytest.approx(found["step"], rel=NEAR)
    assert row["ram"] == found["ram"]


@pytest.mark.parametrize("board", one_form.BOARDS)
def test_one_form_takes_what_the_file_says(board: str) -> None:
    held = json.loads(one_form.FILE.read_text(encoding="utf-8"))["sram"][board]
    require(firmware.MICROBIT)
    found = one_form.images(board)
    assert held.keys() == found.keys()
    for form, sizes in found.items():
        assert held[form]["data"] == sizes["data"]
        assert held[form]["code"] == pytest.approx(sizes["code"], rel=NEAR)


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed: binutils")
def test_a_callback_of_the_plugin_is_as_long_as_is_said() -> None:
    """In the file, where the plugin is made, and where it is described."""
    found = plugin_speed.callback_instructions(require(firmware.CYCLE_PLUGIN))
    held = json.loads(plugin_speed.FILE.read_text(encoding="utf-8"))
    assert held["callback_instructions"] == found
    for file in ("cycles.c", "README.md"):
        text = (beside.ROOT / "emulation" / "qemu" / file).read_text(encoding="utf-8")
        assert f" {found} instructions" in text, file


@pytest.mark.skipif(
    shutil.which(yardsticks.COMPILER) is None, reason=f"{yardsticks.COMPILER} is not installed"
)
def test_the_float_program_takes_what_the_file_says(tmp_path: Path) -> None:
    network, split = one_form.material()
    elf = yardsticks.build_float(network, split, tmp_path, [])
    assert yardsticks.float_bytes(elf) == PERFORMANCE["float_bytes"]
    weights = sum(layer.weight_count for layer in network.layers)
    assert PERFORMANCE["float_bytes"]["weights"] == 4 * weights
