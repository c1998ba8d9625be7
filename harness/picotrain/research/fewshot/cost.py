"""What a whole adaptation takes on the emulated chip: head, information, selection, learning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from picotrain.datasets.fewshot import Domain, Rule, sample_episode
from picotrain.device import cycles
from picotrain.device.backends import open_device
from picotrain.device.given import images_for
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.learn.fewshot.heads import with_head
from picotrain.profile.profile import no_counts
from picotrain.research.fewshot.schemes import (
    RULES,
    Scheme,
    budget,
    costs,
    everything,
    without_head,
)
from picotrain.research.fewshot.task import Settings
from picotrain_golden import Method, Network, Solver
from picotrain_golden.sparse.solvers import MOST

WAYS, SHOTS = 5, 5
COUNTED = 5
"""Steps that are counted; all of a kind take nearly the same."""


def measure(
    backbone: Network,
    domain: Domain,
    settings: Settings,
    share: float,
    solver: Solver,
    target: str = "qemu",
    seed: int = 0,
) -> dict[str, Any]:
    """Cycles of each part of the adaptation to a task of 5 ways with 5 images each, by both rules,
    and RAM in bytes; `full` for comparison. Steps are counted on a few images and multiplied."""
    episode = sample_episode(domain, seed, 0, Rule(ways=WAYS, shots=SHOTS))
    network = with_head(backbone, episode.ways)
    images, labels = images_for(network, episode.support.images), episode.support.labels
    found: dict[str, Any] = {"images": len(labels), "steps": settings.steps, "share": share}
    with open_device(target) as device:
        if not isinstance(device, MailboxDevice) or device.blocks() is None:
            raise UserError(no_counts(target))

        def counted(run: Callable[[], object]) -> int:
            before = cycles.total(device.blocks() or [])
            run()
            return cycles.total(device.blocks() or []) - before

        device.load_model(network, frozen=True)
        device.set_method(Method("prototype"))
        found["prototypes"] = counted(lambda: device.train(images, labels))
        found["head"] = counted(device.make_head)
        device.set_method(Method("fisher"))
        found["fisher"] = counted(lambda: device.train(images, labels))
        found["fisher_ram_bytes"] = device.memory().by_part()
        for rule in RULES:
            method = settings.method(Scheme("tinytrain", rule, share), seed)
            device.set_selection(None)
            device.set_method(Method("fisher"))
            device.train(images, labels)
            most = budget(network, method, share)
            ask = partial(device.select, solver, settings.permille, MOST, most, rule)
            spent = counted(ask)
            chosen = device.selection()
            assert chosen is not None
            chosen = without_head(chosen)
            sides: dict[str, Any] = {"select": spent}
            for name, selection in (("sparse", chosen), ("full", everything(network))):
                device.set_selection(selection)
                device.set_method(method)
                step = counted(lambda: device.train(images[:COUNTED], labels[:COUNTED])) / COUNTED
                size, macs = costs(network, method, selection)
                sides[name] = {
                    "step": step,
                    "ram_bytes": device.memory().by_part(),
                    "plan_bytes": size,
                    "macs": macs,
                    "layers": sum(selection.count(i) > 0 for i in range(len(network.layers))),
                }
            found[rule] = sides
    return found
