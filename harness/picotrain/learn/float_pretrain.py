"""Makes backbones in floating point (PyTorch, extra `train`): of chains too large for integers, and
of affine networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import Dataset
from picotrain.errors import UserError
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.floating.chain import ChainTraining
from picotrain.learn.floating.graph import GraphTraining
from picotrain.learn.floating.training import FloatOptions, Training, check_rate, suited
from picotrain.quantise.quantise import Quantised
from picotrain.versions import to_install
from picotrain_golden import Network

__all__ = ["FloatOptions", "pretrain_float", "pretrain_graph", "suited"]

_SMALL = 1 << 20
"""Weights. The layers of smaller networks are too small to share: on two cores, one of them busy
with other work, 1,024 images of `resnet8` took 2 s with one thread and 29 s with two. The result is
then that of any number of cores, too."""

History = list[dict[str, Any]]
Report = Callable[[dict[str, Any]], None]
Keep = Callable[[dict[str, NDArray[np.float32]]], None]


def pretrain_float(
    architecture: Architecture, dataset: Dataset, options: FloatOptions, report: Report
) -> tuple[Network, History]:
    """Of a chain the network with int8 weights and no static numbers yet, and the history of the
    epochs.

    The validation split watches and chooses nothing. Raises UserError without PyTorch, for a data
    set of less than a batch, and for a step size that is not above 0.
    """
    torch = ready(dataset, options)
    training = ChainTraining(architecture, dataset, options, torch)
    with one_thread(torch, architecture):
        history = _epochs(training, options.epochs + options.int8_epochs, report)
    return training.network(), history


def pretrain_graph(
    architecture: Architecture,
    dataset: Dataset,
    options: FloatOptions,
    report: Report,
    keep: Keep | None = None,
) -> tuple[Quantised, History]:
    """The same of an affine network, which is trained in floating point alone and then quantised on
    training images. `keep` gets all that was learnt, by PyTorch's names, before that."""
    torch = ready(dataset, options)
    options = replace(options, int8_epochs=0)
    training = GraphTraining(architecture, dataset, options, torch)
    with one_thread(torch, architecture):
        history = _epochs(training, options.epochs, report)
    if keep is not None:
        keep(training.parameters())
    return training.quantised(), history


def ready(dataset: Dataset, options: FloatOptions) -> Any:
    """PyTorch, if all else is there too."""
    if len(dataset.train) < options.batch:
        raise UserError(
            f"data set {dataset.name} has {len(dataset.train)} training images, less than a batch "
            f"of {options.batch}; give it more, or pre-train a network of the power-of-two form in "
            "integers"
        )
    check_rate("--rate", options.rate, "0.1")
    return _torch()


@contextmanager
def one_thread(torch: Any, architecture: Architecture) -> Iterator[None]:
    """One for a small network; PyTorch's own number for others, and afterwards."""
    own = torch.get_num_threads()
    if architecture.weight_count < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(own)


def _epochs(training: Training, count: int, report: Report) -> History:
    history = []
    for epoch in range(1, count + 1):
        entry = training.epoch(epoch)
        history.append(entry)
        report(entry)
    return history


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"training in floating point needs PyTorch: `{to_install('train')}`"
        ) from None
    return torch
