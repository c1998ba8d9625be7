"""What a whole adaptation takes on the emulated chip: head, information, selection, learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np

from picotrain.datasets.fewshot import Domain, Rule, sample_episode
from picotrain.device.backends import open_device
from picotrain.device.given import images_for
from picotrain.device.interface import Device, cycles_spent
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.learn.fewshot.heads import with_head
from picotrain.profile.profile import no_counts
from picotrain.progress import progress_bar
from picotrain.research.fewshot import campaign
from picotrain.research.fewshot.schemes import (
    RULES,
    Scheme,
    budget,
    costs,
    everything,
    without_head,
)
from picotrain.research.fewshot.task import (
    Settings,
    headed,
    make_head,
    selections_of,
    views_of,
)
from picotrain_golden import Method, Network, Solver
from picotrain_golden.sparse.solvers import MOST

RULE = Rule(ways=5, shots=5)
"""Of the tasks on which cycles are counted."""
COUNTED = 5
"""Steps that are counted; all of a kind take nearly the same."""


class Counter:
    """An open device that counts cycles. UserError for a target that does not."""

    def __init__(self, device: Device, target: str) -> None:
        if not isinstance(device, MailboxDevice) or device.blocks() is None:
            raise UserError(no_counts(target))
        self.device = device

    def of(self, run: Callable[[], object]) -> int:
        before = cycles_spent(self.device)
        run()
        return cycles_spent(self.device) - before


def by_scheme(
    planned: campaign.Campaign, domains: Sequence[Domain], target: str = "qemu"
) -> dict[str, dict[str, float]]:
    """Cycles of a step of each scheme of a campaign, whole and backward: means over the first
    images of a task of each domain, of 5 ways with 5 images each."""
    fixed = campaign.fixed_schemes(planned)
    found: dict[str, dict[str, list[float]]] = {}
    with open_device(target) as opened, progress_bar("cycles", len(domains), "task") as advance:
        counter = Counter(opened, target)
        device = counter.device
        for domain in domains:
            episode = sample_episode(domain, planned.seed, 0, RULE)
            network = headed(device, planned.backbone, episode)
            make_head(device, network, episode)
            chosen = selections_of(
                device, network, episode, planned.schemes, planned.settings, planned.seed, fixed
            )
            random = np.random.default_rng([planned.seed])
            images, labels = views_of(episode, domain.mirror, COUNTED, random)
            given = images_for(network, images)
            make_head(device, network, episode)
            forward = counter.of(partial(device.evaluate, given, labels)) / COUNTED
            for scheme, selection in chosen.items():
                make_head(device, network, episode)
                device.set_selection(selection)
                device.set_method(planned.settings.method(scheme, planned.seed))
                step = counter.of(partial(device.train, given, labels)) / COUNTED
                own = found.setdefault(scheme.label, {"step": [], "backward": []})
                own["step"].append(step)
                own["backward"].append(step - forward)
            advance(1)
    return {
        label: {what: round(fmean(each)) for what, each in own.items()}
        for label, own in found.items()
    }


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
    episode = sample_episode(domain, seed, 0, RULE)
    network = with_head(backbone, episode.ways)
    images, labels = images_for(network, episode.support.images), episode.support.labels
    found: dict[str, Any] = {"images": len(labels), "steps": dict(settings.steps), "share": share}
    with open_device(target) as opened:
        counter = Counter(opened, target)
        device, counted = counter.device, counter.of
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
