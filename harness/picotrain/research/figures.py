"""Figures that pages quote and no sweep makes: `make figures` measures them into docs/figures.json.

A test holds every such figure in the pages against that file and against the costs of
`picotrain reproduce` (experiments/results/costs.json).
"""

from __future__ import annotations

import sys
from typing import Any

from picotrain import datasets
from picotrain.datasets import rotated_sample
from picotrain.device.backends import open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import told
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, adapt, prepare
from picotrain.output import write_json
from picotrain.places import SHIPPED
from picotrain.profile.profile import profile
from picotrain.research.reproduce.costs import ANGLE, SEED, TARGET, rows

FILE = SHIPPED / "docs" / "figures.json"
IMAGES = 256
EXAMPLE_EPOCHS = 5
_SHARE = 100
"""Of a thousand edges, of the one PRIOT-S that is quoted; the default of all other methods too."""


def portable(images: int = IMAGES) -> dict[str, Any]:
    """Cycles of the portable kernels, of the images and methods of `reproduce.costs`."""
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "mnist"))
    split = rotated_sample(datasets.load("mnist").train, images, SEED, ANGLE)
    found: dict[str, Any] = {}
    for label, method in rows():
        if method.permille != _SHARE:
            continue
        device = open_device(TARGET, kernels="portable")
        try:
            assert isinstance(device, MailboxDevice)
            result, _ = profile(device, network, method, split)
        finally:
            device.close()
        found[label] = {"step": result.train_with_error, "infer": result.infer}
    return found


def example() -> dict[str, Any]:
    """What `make run` does, which the README shows."""
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    options = AdaptOptions(angle=ANGLE, epochs=EXAMPLE_EPOCHS)
    device = open_device(TARGET)
    try:
        task = prepare(datasets.load("digits"), options)
        result = adapt(device, network, task, options, lambda _: None)
    finally:
        device.close()
    shown = ("epoch", "mu", "accuracy", "train_accuracy", "loss_norm")
    return {
        "accuracy": [result.accuracy_before, result.accuracy_best, result.accuracy_final],
        "history": [{name: one[name] for name in shown} for one in result.history],
        "train": result.cycles_per_train_image,
        "infer": result.cycles_per_infer_image,
        "ram_bytes": result.ram_bytes,
        "state_sha256": result.state_sha256,
    }


def main() -> None:
    """Measure and write."""
    write_json(FILE, {"images": IMAGES, "portable": portable(), "example": example()})


if __name__ == "__main__":
    sys.exit(told("figures", lambda _: main()))
