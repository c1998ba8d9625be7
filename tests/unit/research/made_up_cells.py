"""Rows of cells that nobody ran."""

from __future__ import annotations

from typing import Any

import pandas as pd

from picotrain.research.reproduce import findings
from picotrain.research.sweep.results import COLUMNS, frame_of

DEFAULT: dict[str, Any] = {
    "label": "PRIOT",
    "dataset": "mnist",
    "model": "tinycnn",
    "angle": 30.0,
    "method": "priot",
    "mu": "3",
    "calibration": "shipped",
    "logits_exponent": "",
    "threshold": -16,
    "start": "zero",
    "scored": 0.1,
    "select": "weight",
    "easy": 0,
    "layer_mu": "",
    "replay": 0.0,
    "epochs": 3,
    "train_samples": 1024,
    "test_samples": 1024,
    "split": "validation",
    "seed": 0,
}
METHODS = {
    findings.NITI_DYNAMIC: {"method": "niti-dynamic"},
    findings.NITI_STATIC: {"method": "niti-static"},
    findings.PRIOT: {"method": "priot"},
    findings.PRIOT_S_10: {"method": "priot-s"},
    findings.PRIOT_S_20: {"method": "priot-s", "scored": 0.2},
}
_numbers = iter(range(1 << 20))


def cell(accuracies: list[float], **options: Any) -> list[dict[str, Any]]:
    """The rows of a cell whose accuracies, from epoch 0, are these."""
    name = f"{next(_numbers):016x}"
    chosen = {**DEFAULT, "epochs": len(accuracies) - 1, **options}
    upright = chosen.pop("upright", [None] * len(accuracies))
    rows = []
    for epoch, accuracy in enumerate(accuracies):
        measured = {
            "epoch": epoch,
            "mu_now": int(str(chosen["mu"]).split(",")[0]) if epoch else None,
            "accuracy": accuracy,
            "upright_accuracy": upright[epoch],
            "train_accuracy": accuracy if epoch else None,
            "zero_errors": 0.5 if epoch else None,
            "skipped": 0.5 if epoch else None,
            "loss_norm": 20.0 if epoch else None,
            **{
                f"saturated_{kind}": 0.25 if epoch else None
                for kind in ("forward", "error", "update", "logits")
            },
        }
        rows.append({"cell": name, **chosen, **measured, "state_sha256": "ab" * 32})
    assert set(rows[0]) == set(COLUMNS)
    return rows


def frame(*found: list[dict[str, Any]]) -> pd.DataFrame:
    return frame_of([row for rows in found for row in rows])


def run(accuracies: list[float], clamped: list[float] | None = None, **options: Any) -> list[Any]:
    """A cell at a step size and an exponent, -4 unless told, with clamped shares from epoch 1."""
    rows = cell(accuracies, **{"logits_exponent": "-4", "calibration": "fair", **options})
    for row, share in zip(rows[1:], clamped or [], strict=bool(clamped)):
        row["saturated_logits"] = share
    return rows


def runs_of(label: str, last: dict[tuple[int, str], float], **options: Any) -> list[Any]:
    """Runs of one epoch that started at 0.8, by exponent and step size."""
    return [
        run([0.8, value], label=label, logits_exponent=str(exponent), mu=mu, **options)
        for (exponent, mu), value in last.items()
    ]
