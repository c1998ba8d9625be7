"""The numbers of a campaign where nothing else is asked for: chosen on tasks of CIFAR-100's
validation classes and of digits (docs/tinytrain.md, "Choices")."""

from __future__ import annotations

from dataclasses import replace

from picotrain.places import RESULTS, SHIPPED
from picotrain.research.fewshot.task import Settings

_FOLDER = SHIPPED / "models" / "backbones"
BACKBONES = {
    "meta": _FOLDER / "mobilenet-v2-few-meta.npz",
    "pre": _FOLDER / "mobilenet-v2-few-pre.npz",
    "proxyless": _FOLDER / "proxyless-few-meta.npz",
}
"""Meta-trained as well, pre-trained alone, and another network, meta-trained: of a campaign every
scheme has the same one."""
BACKBONE = BACKBONES["meta"]
SHARE = 1 / 7
"""The budget of every comparison."""
SHARES = (0.05, SHARE, 1 / 3)
KEPT = RESULTS / "fewshot"
"""Finished tasks."""
SETTINGS = Settings(
    steps={"niti-static": 1000, "priot": 300},
    permille=500,
    theta=-32,
    mu={
        "last-layer NITI": (3, 2, 1, 0),
        "last-layer PRIOT": (3, 2, 1),
        "full NITI": (4, 3, 2, 1),
        "full PRIOT": (3, 2, 1),
        "sparse NITI": (4, 3, 2, 1),
        "sparse PRIOT": (3, 2, 1),
    },
)
LARGER = replace(
    SETTINGS,
    steps={**SETTINGS.steps, "priot": 1000},
    mu={**SETTINGS.mu, "full PRIOT": (5, 4, 3, 2), "sparse PRIOT": (5, 4, 3, 2)},
)
"""PRIOT moves more than the validating domains advise: what that gives elsewhere."""
