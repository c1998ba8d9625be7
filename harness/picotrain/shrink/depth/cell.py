"""One cell of a sweep: a cut, a head and a tail; trained, quantised and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset, Split
from picotrain.device.interface import Device
from picotrain.errors import CommandError, DeviceFailure
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.untrained import float_graph
from picotrain.learn.floating.graph import GraphTraining, integers
from picotrain.quantise.quantise import Quantised
from picotrain.shrink.depth.cuts import Cut
from picotrain.shrink.depth.heads import trunk
from picotrain.shrink.measured import IMAGES, measure, measured_by, predict
from picotrain.shrink.removal import Parameters
from picotrain_golden import Method, Network

TAILS = ("frozen", "unfrozen", "random")
"""The trunk as it was trained; the same, which learns with the head; first weights at random, of
which all learn."""
WHOLE = "whole"


@dataclass(frozen=True)
class Cell:
    cut: Cut
    head: str
    tail: str

    @property
    def name(self) -> str:
        return f"{self.cut.name}-{self.head}-{self.tail}"

    @property
    def frozen(self) -> Cut | None:
        return self.cut if self.tail == "frozen" else None


def started(cell: Cell, training: GraphTraining, whole: Parameters) -> None:
    """Give the trunk its trained weights, but of a random one."""
    if cell.tail == "random":
        return
    own = training.parameters()
    training.set_parameters(own | {name: whole[name] for name in trunk([*own], cell.cut)})


def quantised(cell: Cell, training: GraphTraining, dataset: Dataset, whole: Quantised) -> Quantised:
    """The integers of a trained cell; a frozen trunk has the scales of the whole network."""
    if cell.tail != "frozen":
        return training.quantised()
    graph = float_graph(training.architecture, training.folded())
    layers = [
        replace(layer, scale=whole.tensors[index], weight_scales=whole.weight_scales[index])
        if index <= cell.cut.index
        else layer
        for index, layer in enumerate(graph.layers)
    ]
    return integers(replace(graph, layers=tuple(layers), input_scale=whole.input), dataset)


def check_frozen(
    cell: Cell,
    now: Mapping[str, NDArray[np.float32]],
    before: Parameters,
    network: Network,
    whole: Network,
) -> dict[str, int]:
    """How many tensors of a frozen trunk were compared with the whole network's, bit for bit, in
    floating point and as integers. DeviceFailure for one that differs."""
    floats = [(name, now[name], before[name]) for name in trunk([*now], cell.cut)]
    pairs = zip(_integers(network, cell.cut), _integers(whole, cell.cut), strict=True)
    integers = [(name, one, other) for (name, one), (_, other) in pairs]
    for name, one, other in (*floats, *integers):
        if one.shape != other.shape or one.tobytes() != other.tobytes():
            raise DeviceFailure(
                f"{cell.name}: {name} of the frozen trunk is not that of the whole network: this "
                "is a fault of picotrain"
            )
    return {"float": len(floats), "int8": len(integers)}


def _integers(network: Network, cut: Cut) -> Iterator[tuple[str, NDArray[Any]]]:
    """All numbers of the layers of a trunk."""
    for index in range(cut.index + 1):
        held, affine = network.parameters[index], network.affine[index]
        if held is not None:
            yield f"weights_{index}", held.weights
        for name, value in vars(affine).items():
            yield f"{name}_{index}", np.asarray(value)


def counted(architecture: Architecture) -> dict[str, int]:
    """Weights and biases, and multiply-accumulates of one inference."""
    biases = sum(
        layer.rows
        for layer, step in zip(architecture.layers, architecture.steps, strict=True)
        if step.bias
    )
    return {
        "parameters": architecture.weight_count + biases,
        "macs": sum(layer.macs for layer in architecture.layers),
    }


def measured(device: Device, network: Network, dataset: Dataset) -> dict[str, Any]:
    """Bytes and cycles of an inference with the weights in flash, and what they are measured by;
    `unfit` says why there are none of a network that the device has no room for."""
    timed = device.blocks() is not None
    by = {"measured_by": measured_by(device)}
    try:
        taken = measure(device, network, Method("infer"), True, _shown(dataset), timed)
    except CommandError as failure:
        return {"taken": None, "unfit": failure.told, **by}
    return {"taken": {**asdict(taken), "ms": taken.ms}, "unfit": "", **by}


def predicted(device: Device, network: Network, dataset: Dataset) -> dict[str, Any]:
    """The same of a network that `device` has no room for, by the plan and the model of cycles; no
    cycles where the device counts none."""
    timed = device.blocks() is not None
    taken = predict(network, Method("infer"), True, _shown(dataset), timed)
    return {**asdict(taken), "ms": taken.ms}


def _shown(dataset: Dataset) -> Split:
    """Images whose cycles are counted."""
    return dataset.validation.take(np.arange(IMAGES) % len(dataset.validation))
