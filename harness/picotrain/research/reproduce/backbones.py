"""What is known of the backbones that are too large, or too many, to commit: recipe and checksum.

All of it is in the files themselves, where pre-training wrote it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.places import MADE_BACKBONES
from picotrain_golden import Network


def collect(folder: Path = MADE_BACKBONES) -> dict[str, dict[str, Any]]:
    """By name of the file. Accuracies are shares of 1, of the int8 network on upright images:
    `validation` of those that pre-training held out, `test` (None where pre-training did not
    measure it) of the whole test split. UserError where there is none."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        network, info = models.load_backbone(path)
        found[path.stem] = {
            "model": network.name,
            "dataset": info["dataset"],
            "logits_exponent": network.logits_exponent,
            "weights": int(sum(layer.weight_count for layer in network.layers)),
            "command": info["command"],
            "validation": float(info["history"][-1]["validation_accuracy"]),
            "test": info.get("test_accuracy"),
            "weights_sha256": _digest(network),
        }
    if not found:
        raise UserError(f"there is no backbone in {folder}; make one with `picotrain pretrain`")
    return found


def _digest(network: Network) -> str:
    """Of the int8 weights, layer by layer: what `picotrain adapt` calls the state of a network
    without scores."""
    digest = hashlib.sha256()
    for one in network.parameters:
        if one is not None:
            digest.update(one.weights.tobytes())
    return digest.hexdigest()
