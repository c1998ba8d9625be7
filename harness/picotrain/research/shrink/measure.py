"""A task over seeds: fewer channels, fewer layers, both, and how all of them adapt.

A folder keeps what is finished: a campaign that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.places import RESULTS
from picotrain.research.shrink import combined, depth, pruned, summary
from picotrain.research.shrink.kept import Found
from picotrain.research.shrink.place import Place
from picotrain.research.shrink.tasks import Task
from picotrain.research.sweep import pool
from picotrain.shrink.depth.cell import Cell
from picotrain.shrink.depth.cuts import Cut
from picotrain_golden import Method

FOLDER = RESULTS / "smaller"


def measure(
    task: Task,
    seeds: int,
    folder: Path = FOLDER,
    target: str = "qemu",
    processes: int | None = None,
) -> dict[str, Any]:
    """The task's file of results."""
    places = [Place(task, seed, folder, target) for seed in range(seeds)]
    each = partial(
        pool.in_order, processes=processes, kept=f"finished networks are kept in {folder}"
    )
    found: dict[str, Any] = {
        "model": task.network,
        "dataset": task.dataset,
        "epochs": {"warm": task.warm, "tune": task.tune, "adapt": task.adapt},
        "target": target,
        "pruned": each(f"{task.name}, channels", pruned.run, places),
    }
    if task.steps:
        found["steps"] = dict(zip(("images", "size"), task.steps, strict=True))
    if task.images:
        splits = datasets.load(task.dataset).splits
        found["images"] = {
            name: {"used": count, "there": len(splits[name])} for name, count in task.images.items()
        }
    best = None
    if task.cuts:
        found["epochs"]["cut"] = task.cut
        found["cut"] = each(f"{task.name}, layers", _cut, places)
        _, _, one = summary.cut(found)
        best = Cell(Cut(one["cut"], one["layer"]), one["head"], one["tail"])
    return found | {"combined": _combined(places, best, each)}


def _cut(place: Place) -> Found:
    return depth.run(place, pruned.Run(place).last())


def _combined(places: Sequence[Place], cut: Cell | None, each: Callable[..., Any]) -> Found:
    task = places[0].task
    made = each(f"{task.name}, both", _networks, [(place, cut) for place in places])
    tried = each(
        f"{task.name} adapts, choosing",
        combined.adapted,
        _jobs(places, made, combined.everything(), "validation"),
    )
    chosen = combined.choose(tried)
    methods = {key: (method,) for key, method in chosen.items()}
    runs = each(f"{task.name} adapts", combined.adapted, _jobs(places, made, methods, "test"))
    costs = each(
        f"{task.name}, cost of a step",
        _cost,
        [(places[0], kind, one.path) for kind, one in made[0].items()],
    )
    mu: dict[str, dict[str, list[int]]] = {}
    for (kind, label), method in chosen.items():
        mu.setdefault(kind, {})[label] = list(method.schedule)
    return {
        "limit": task.limit,
        "cut": None if cut is None else cut.name,
        "adapts_to": task.adapts_to,
        "angle": task.angle,
        "orders": task.orders,
        "images": combined.images(task),
        "networks": [{kind: one.found for kind, one in networks.items()} for networks in made],
        "mu": mu,
        "runs": [
            {
                "kind": job.kind,
                "method": job.label,
                "seed": job.seed,
                "order": job.order,
                "before": before,
                "after": after,
            }
            for job, before, after in runs
        ],
        "step": dict(costs),
    }


def _networks(job: tuple[Place, Cell | None]) -> dict[str, combined.Made]:
    return combined.networks(*job)


def _jobs(
    places: Sequence[Place],
    made: Sequence[dict[str, combined.Made]],
    methods: Mapping[combined.Key, Sequence[Method]],
    on: str,
) -> list[combined.Job]:
    return [
        job
        for place, networks in zip(places, made, strict=True)
        for job in combined.jobs(place, networks, methods, on)
    ]


def _cost(job: tuple[Place, str, Path]) -> tuple[str, dict[str, Any]]:
    place, kind, path = job
    return kind, combined.cost(place, path)
