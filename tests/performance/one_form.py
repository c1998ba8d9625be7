"""What firmware of one form alone takes, which docs/kernels.md quotes: `make one-form-figures`,
experiments/results/one-form.json.

tinycnn on MNIST turned by 30 degrees, convolution and pool as one operation, on the whole firmware
and on the chain's; and code and static data in SRAM of every image.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.backends import open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import told
from picotrain.image import firmware
from picotrain.learn import methods, models
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.profile.memory.image import Image
from picotrain.profile.profile import profile
from picotrain_golden import Network

FILE = SHIPPED / "experiments" / "results" / "one-form.json"
IMAGES, ANGLE, SEED = 32, 30.0, 0
STEPS = (
    *((name, plan) for name in ("priot", "priot-s") for plan in ("fast", "lean")),
    ("niti-static", "fast"),
)
KERNELS = {"whole": "tuned", "chain": "chain"}
WHOLE = {"microbit": firmware.MICROBIT, "rp2040": firmware.RP2040}
BOARDS = {"microbit": "qemu", "rp2040": "rp2040js"}

Figures = dict[str, Any]


def material() -> tuple[Network, Split]:
    """The network, and images for it."""
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "mnist"))
    return network, rotated_sample(datasets.load("mnist").train, IMAGES, SEED, ANGLE)


def step(
    kernels: str, name: str, plan: str, network: Network, split: Split, fused: bool = True
) -> Figures:
    """Bytes of RAM, all in, and mean cycles of a step with a loss error."""
    with open_device("qemu", kernels=kernels) as device:
        assert isinstance(device, MailboxDevice)
        method = replace(methods.make(name, seed=SEED), fused=fused)
        made, _ = profile(device, network, method, split, plan == "lean")
    assert made.train_with_error is not None
    return {"ram": made.ram_bytes["total"], "step": round(made.train_with_error)}


def in_sram(image: Path) -> dict[str, int]:
    """Bytes of code, and of static data."""
    found = {one.name: one.ram for one in Image(image).sections().sections if one.ram}
    code = found.pop(".text")
    return {"code": code, "data": sum(found.values())}


def images(board: str) -> dict[str, dict[str, int]]:
    """Of the whole firmware, and of each form alone."""
    of = {"whole": WHOLE[board], **firmware.ONE_FORM[BOARDS[board]]}
    return {form: in_sram(firmware.require(image)) for form, image in of.items()}


def main(_: Sequence[str]) -> int:
    """Measure, show and write."""
    network, split = material()
    steps: Figures = {}
    for name, plan in STEPS:
        row = {key: step(kernels, name, plan, network, split) for key, kernels in KERNELS.items()}
        print(f"{name}, {plan}", row, flush=True)
        steps[f"{name}, {plan}"] = row
    apart = {
        plan: step("chain", "priot", plan, network, split, fused=False)["ram"]
        for plan in ("fast", "lean")
    }
    sram = {board: images(board) for board in BOARDS}
    print(apart, sram)
    write_json(FILE, {"images": IMAGES, "steps": steps, "priot_apart": apart, "sram": sram})
    return 0


if __name__ == "__main__":
    sys.exit(told("one-form-figures", main))
