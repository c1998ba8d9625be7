"""One adaptation on a device of its own, batch size 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from picotrain.datasets.dataset import Split
from picotrain.device.backends import open_device
from picotrain.device.interface import Device
from picotrain.learn.adapt import epoch_order, mu_at
from picotrain.research.fewshot.schemes import added, with_other_rows
from picotrain.research.watch import ways
from picotrain.research.watch.people import Lesson
from picotrain.research.watch.ways import Search, Way
from picotrain_golden import Information, Method, MethodName, Network, Selection
from picotrain_golden import select as golden_select

DEVICE = "host"
_STREAM = 1616
"""Of rows that are drawn, apart from the order of the windows."""


@dataclass(frozen=True)
class Run:
    """Shares of the test windows that get their label, before and after; the dense MACs of a
    step's backward pass, and the bytes of RAM that network and method take."""

    person: int
    seconds: int
    label: str
    way: Way
    seed: int
    before: float
    after: float
    macs: int
    ram: int


def adapted(
    network: Network, lesson: Lesson, way: Way, seed: int, others: Information
) -> tuple[float, float, int, int]:
    """`before`, `after`, `macs` and `ram` of a Run. Scored weights are frozen. `others` is the
    information of the validating people."""
    method = way.method
    with open_device(DEVICE) as device:
        load(device, network, way)
        device.set_method(Method("infer"))
        before = _accuracy(device, lesson.test)
        macs = select(device, network, lesson.train, way, seed, others)
        device.set_method(replace(method, seed=seed))
        ram = device.memory().network
        for epoch in range(1, way.epochs + 1):
            device.set_mu(mu_at(method.schedule, epoch, way.epochs))
            order = epoch_order(len(lesson.train), seed, epoch)
            device.train(lesson.train.images[order], lesson.train.labels[order])
        return before, _accuracy(device, lesson.test), macs, ram


def load(device: Device, network: Network, way: Way) -> None:
    """Into SRAM where all weights may change, else into flash."""
    device.load_model(network, frozen=way.method.scored or way.learns != "all")


def select(
    device: Device, network: Network, train: Split, way: Way, seed: int, others: Information
) -> int:
    """Tell the device which rows learn; the MACs of the backward pass that is left."""
    if way.learns == "all":
        return ways.backward_macs(network, None)
    if isinstance(way.learns, Search):
        rows = _searched(device, network, train, way, way.learns, seed, others)
    else:
        rows = ways.last_rows(network)
    device.set_selection(rows)
    return ways.backward_macs(network, rows)


def _searched(
    device: Device,
    network: Network,
    train: Split,
    way: Way,
    search: Search,
    seed: int,
    others: Information,
) -> Selection:
    budget = ways.backward_macs(network, None) // search.share
    if search.rows == "fixed":
        asked = (others, ways.SOLVER, search.permille, ways.BYTES, budget)
        return golden_select(network, way.method, *asked, lean=True).selection
    device.set_method(Method("fisher"))
    device.train(train.images, train.labels)
    name = cast(MethodName, way.method.name)
    found = device.select(ways.SOLVER, search.permille, ways.BYTES, budget, name).selection
    if search.rows == "fisher":
        return found
    return with_other_rows(network, found, search.rows, np.random.default_rng([seed, _STREAM]))


def information(network: Network, splits: Sequence[Split]) -> Information:
    """That of several people's windows, summed."""
    gathered = []
    with open_device(DEVICE) as device:
        device.load_model(network, frozen=True)
        for split in splits:
            device.set_method(Method("fisher"))
            device.train(split.images, split.labels)
            gathered.append(device.fisher())
    return added(gathered)


def _accuracy(device: Device, split: Split) -> float:
    return device.evaluate(split.images, split.labels).correct(split.labels) / len(split)
