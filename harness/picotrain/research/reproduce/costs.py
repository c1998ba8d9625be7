"""Table 2: what a training step and an inference cost on the emulated Cortex-M0+, and the memory.

The numbers of `picotrain profile` and `picotrain memory`, for every method, in one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from picotrain import datasets
from picotrain.datasets import Split, rotated_sample
from picotrain.device.backends import open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.learn import methods, models
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import worst_stack
from picotrain.profile.profile import Profile, profile, require_same_results
from picotrain.progress import progress_bar
from picotrain_golden import Method, Network

TARGET = "qemu"
SEED = 0
ANGLE = 30.0

SHARES = (0.1, 0.2)
"""Of the edges that PRIOT-S scores."""


def rows() -> Iterator[tuple[str, Method]]:
    """The rows of the table and their methods, at the start of the default schedule."""
    names = {
        "infer": "inference alone",
        "niti-dynamic": "NITI dynamic",
        "niti-static": "NITI static",
    }
    for name, label in {**names, "priot": "PRIOT"}.items():
        yield label, _method(name)
    for share in SHARES:
        yield (
            f"PRIOT-S {100 * share:g} %",
            replace(_method("priot-s"), permille=round(1000 * share)),
        )


def _method(name: str) -> Method:
    return methods.make(name, seed=SEED)


def measure(dataset_name: str, images: int) -> dict[str, Any]:
    """Every method on turned images: cycles, of the worst case too (no zero left out), and bytes.

    Raises UserError where QEMU or the firmware is missing.
    """
    dataset = datasets.load(dataset_name)
    network, _ = models.load_backbone(models.backbone_path("tinycnn", dataset_name))
    split = rotated_sample(dataset.train, images, SEED, ANGLE)
    table = list(rows())
    found: dict[str, Any] = {}
    with progress_bar("costs", len(table), "method") as advance:
        for label, method in table:
            found[label] = _costs(network, method, split)
            advance(1)
    return {
        "dataset": dataset_name,
        "model": network.name,
        "angle": ANGLE,
        "images": images,
        "seed": SEED,
        "unit": "Cortex-M0+ cycles per image, zero wait states; bytes",
        "methods": found,
        "flash_image": _flash_image(),
    }


def _costs(network: Network, method: Method, split: Split) -> dict[str, Any]:
    tuned = _profile("tuned", network, method, split)
    dense = _profile("dense", network, method, split)
    require_same_results(tuned, dense)
    lean = None
    if method.scored:
        lean = _profile(
            "tuned",
            network,
            method,
            replace(split, images=split.images[:1], labels=split.labels[:1]),
            True,
        )
    return {
        "method": method.name,
        "permille": method.permille if method.name == "priot-s" else None,
        "step": tuned.train_with_error,
        "train": tuned.train,
        "infer": tuned.infer,
        "dense_step": dense.train_with_error,
        "dense_infer": dense.infer,
        "ram_bytes": tuned.ram_bytes,
        "lean_ram_bytes": None if lean is None else lean.ram_bytes,
        "state_sha256": tuned.state_sha256,
    }


def _profile(
    kernels: str, network: Network, method: Method, split: Split, frozen: bool = False
) -> Profile:
    device = open_device(TARGET, kernels=kernels)
    try:
        if not isinstance(device, MailboxDevice):
            raise UserError(f"target {TARGET} does not count cycles")
        return profile(device, network, method, split, frozen)[0]
    finally:
        device.close()


def _flash_image() -> dict[str, Any] | None:
    """Bytes of the RP2040's flash image and of its SRAM; None where it is not built."""
    if not firmware.RP2040.is_file():
        return None
    image = Image(firmware.RP2040)
    sections, stack = image.sections(), worst_stack(image)
    return {
        "flash": sum(one.flash for one in sections.sections),
        "flash_spans": {one.name: one.bytes for one in sections.flash},
        "ram": {one.name: one.bytes for one in sections.ram},
        "stack_worst": stack.total,
    }
