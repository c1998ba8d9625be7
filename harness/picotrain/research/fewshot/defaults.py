"""The numbers of a campaign where nothing else is asked for: chosen on tasks of CIFAR-100's
validation classes and of digits (docs/tinytrain.md, "Choices")."""

from __future__ import annotations

from picotrain.places import RESULTS, SHIPPED
from picotrain.research.fewshot.task import Settings

_FOLDER = SHIPPED / "models" / "backbones"
BACKBONES = {
    "meta": _FOLDER / "mobilenet-v2-few-meta.npz",
    "pre": _FOLDER / "mobilenet-v2-few-pre.npz",
}
"""Meta-trained as well, and pre-trained alone: every scheme has the same one."""
BACKBONE = BACKBONES["meta"]
SHARE = 1 / 7
"""The budget of every comparison."""
SHARES = (0.05, SHARE, 1 / 3)
KEPT = RESULTS / "fewshot"
"""Finished tasks."""
SETTINGS = Settings(
    steps=1000,
    permille=500,
    theta=-32,
    mu={
        "last-layer NITI": (3, 2, 1, 0),
        "last-layer PRIOT": (5, 4, 3, 2),
        "full NITI": (3, 2, 1, 0),
        "full PRIOT": (5, 4, 3, 2),
        "sparse NITI": (3, 2, 1, 0),
        "sparse PRIOT": (4, 3, 2),
    },
)
