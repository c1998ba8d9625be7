"""One task on one device: its head, what is selected, the adaptation, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes
from picotrain.datasets.fewshot import Episode, augmented
from picotrain.device.given import images_for
from picotrain.device.interface import Device
from picotrain.errors import CommandError
from picotrain.learn.adapt import mu_at
from picotrain.learn.fewshot.heads import with_head
from picotrain.research.fewshot.schemes import (
    Scheme,
    budget,
    costs,
    everything,
    for_ways,
    with_other_rows,
    without_head,
)
from picotrain_golden import Information, Method, Network, Probe, Selection, Solver
from picotrain_golden.sparse.solvers import MOST

_SOLVERS: dict[str, Solver] = {"tinytrain": "greedy", "true-cost": "true-cost"}
_STREAM = 1515
"""Apart from what the task was drawn with."""


@dataclass(frozen=True)
class Settings:
    """How a device adapts to a task: the numbers of the campaign, all chosen on tasks of the domain
    that is tuned on.

    `steps` images of the support set, as many as a rule has, each time another view of it, are
    learnt from one by one; of a selected layer `permille` of the rows learn. `mu` has the step
    sizes of each kind of scheme (`Scheme.kind`).
    """

    steps: Mapping[str, int]
    permille: int
    theta: int
    mu: Mapping[str, tuple[int, ...]]

    def method(self, scheme: Scheme, seed: int) -> Method:
        first, *later = self.mu[scheme.kind]
        return Method(scheme.rule, first, self.theta, later_mu=tuple(later), seed=seed)


@dataclass(frozen=True)
class Outcome:
    """`accuracy` on the query set; `bytes` of what learns and of a step, and `macs` of its backward
    pass, 0 where nothing learns; `rows` that learn of each layer that has such, by its index: bit
    `o % 8` of byte `o // 8`, in hex."""

    scheme: str
    accuracy: float
    bytes: int
    macs: int
    rows: dict[int, str]


def gather(device: Device, backbone: Network, episode: Episode) -> Information:
    """The Fisher information of a task, with its head."""
    network = headed(device, backbone, episode)
    make_head(device, network, episode)
    return _fisher(device, network, episode)


def run_task(
    device: Device,
    backbone: Network,
    episode: Episode,
    mirror: bool,
    schemes: Sequence[Scheme],
    settings: Settings,
    seed: int,
    fixed: dict[Scheme, Selection],
) -> list[Outcome]:
    """Every scheme on one task. `fixed` has the selections of `sparse-update`."""
    network = headed(device, backbone, episode)
    make_head(device, network, episode)
    selections = selections_of(device, network, episode, schemes, settings, seed, fixed)
    views = {
        steps: views_of(episode, mirror, steps, np.random.default_rng([seed, _STREAM, 1]))
        for steps in {settings.steps[scheme.rule] for scheme in schemes}
    }
    made = []
    for scheme in schemes:
        selection = selections.get(scheme)
        make_head(device, network, episode)
        if selection is not None:
            device.set_selection(selection)
            _adapt(
                device, network, views[settings.steps[scheme.rule]], settings.method(scheme, seed)
            )
        accuracy = _accuracy(device, network, episode)
        made.append(_outcome(network, scheme, settings, seed, selection, accuracy))
    return made


def headed(device: Device, backbone: Network, episode: Episode) -> Network:
    """The backbone with an output for each way, loaded into the device."""
    network = with_head(backbone, episode.ways)
    device.load_model(network, frozen=True)
    return network


def make_head(device: Device, network: Network, episode: Episode) -> None:
    """Class means become the last layer; nothing is selected."""
    device.set_selection(None)
    _probe(device, network, episode, "prototype")
    device.make_head()
    device.set_method(Method("infer"))


def _fisher(device: Device, network: Network, episode: Episode) -> Information:
    _probe(device, network, episode, "fisher")
    return device.fisher()


def _probe(device: Device, network: Network, episode: Episode, name: Probe) -> None:
    device.set_method(Method(name))
    device.train(images_for(network, episode.support.images), episode.support.labels)


def selections_of(
    device: Device,
    network: Network,
    episode: Episode,
    schemes: Sequence[Scheme],
    settings: Settings,
    seed: int,
    fixed: dict[Scheme, Selection],
) -> dict[Scheme, Selection]:
    """What learns by each scheme; one that is not in it changes nothing."""
    made: dict[Scheme, Selection] = {}
    if any(scheme.share for scheme in schemes):
        _fisher(device, network, episode)
    for scheme in schemes:
        if scheme.name == "full":
            made[scheme] = everything(network)
        elif scheme.name == "last-layer":
            made[scheme] = Selection.whole(network, (len(network.layers) - 1,))
        elif scheme.name == "sparse-update":
            made[scheme] = for_ways(fixed[scheme], episode.ways)
        elif scheme.name != "none":
            macs = budget(network, settings.method(scheme, seed), scheme.share)
            selected = _selected(device, scheme, settings.permille, macs)
            if selected is None:
                continue
            found = without_head(selected)
            if scheme.name in ("random", "l2"):
                random = np.random.default_rng([seed, _STREAM])
                found = with_other_rows(network, found, scheme.name, random)
            made[scheme] = found
    return made


def _selected(device: Device, scheme: Scheme, permille: int, macs: int) -> Selection | None:
    """None where no image of the support set has an error: then no layer has information."""
    try:
        solver = _SOLVERS.get(scheme.name, "greedy")
        return device.select(solver, permille, MOST, macs, scheme.rule).selection
    except CommandError as refusal:
        if refusal.name != "PT_ERR_BUDGET" or refusal.detail[1] > macs:
            raise
        return None


def _adapt(device: Device, network: Network, views: tuple[Bytes, Bytes], method: Method) -> None:
    device.set_method(method)
    images, labels = views
    steps, parts = len(labels), len(method.schedule)
    # One part of the steps for each step size.
    for part in range(parts):
        device.set_mu(mu_at(method.schedule, part + 1, parts))
        here = slice(steps * part // parts, steps * (part + 1) // parts)
        device.train(images_for(network, images[here]), labels[here])


def views_of(
    episode: Episode, mirror: bool, steps: int, random: np.random.Generator
) -> tuple[Bytes, Bytes]:
    """Images of the support set, each time another view; the same for all schemes of a task. All
    classes come equally often, whatever they have: else the head learns how many images of each
    class there happened to be."""
    labels = episode.support.labels
    passes = -(-steps // episode.ways)
    classes = np.concatenate([random.permutation(episode.ways) for _ in range(passes)])[:steps]
    order = np.array([random.choice(np.flatnonzero(labels == one)) for one in classes])
    images = augmented(episode.support.images[order], mirror, random)
    return images, labels[order]


def _accuracy(device: Device, network: Network, episode: Episode) -> float:
    query = episode.query
    result = device.evaluate(images_for(network, query.images), query.labels)
    return result.correct(query.labels) / len(query)


def _outcome(
    network: Network,
    scheme: Scheme,
    settings: Settings,
    seed: int,
    selection: Selection | None,
    accuracy: float,
) -> Outcome:
    if selection is None:
        return Outcome(scheme.label, accuracy, 0, 0, {})
    size, macs = costs(network, settings.method(scheme, seed), selection)
    rows = {i: _hex(one) for i, one in enumerate(selection.rows) if one is not None and one.any()}
    return Outcome(scheme.label, accuracy, size, macs, rows)


def _hex(rows: NDArray[np.bool_]) -> str:
    return np.packbits(rows, bitorder="little").tobytes().hex()


def rows_of(text: str, count: int) -> NDArray[np.bool_]:
    """The `count` rows of a layer as an Outcome has them. ValueError for a text of others."""
    packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    if packed.size != -(-count // 8):
        raise ValueError(f"{text!r} has no {count} rows")
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)
