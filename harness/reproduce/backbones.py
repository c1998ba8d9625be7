"""What is known of the backbones that are too large, or too many, to commit: recipe and checksum.

All of it is in the files themselves, where pre-training wrote it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import models
from harness.errors import UserError
from harness.firmware import BUILD

FOLDER = BUILD / "backbones"


def collect(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """By name of the file. Accuracies are shares of 1, of the int8 network on upright images:
    `validation` of those that pre-training held out, `test` (None where pre-training did not
    measure it) of the whole test split. UserError where there is none."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        network, info = models.load_backbone(path)
        found[path.stem] = {
            "model": network.name,
            "dataset": info["dataset"],
            "weights": int(sum(layer.weight_count for layer in network.layers)),
            "command": info["command"],
            "validation": float(info["history"][-1]["validation_accuracy"]),
            "test": info.get("test_accuracy"),
            "weights_sha256": info.get("weights_sha256"),
        }
    if not found:
        raise UserError(f"there is no backbone in {folder}; make one with `picotrain pretrain`")
    return found
