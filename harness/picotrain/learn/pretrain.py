"""Makes backbones: integer NITI pre-training with dynamic scales, then calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from picotrain.datasets import Dataset
from picotrain.device.interface import Device
from picotrain.device.room import check_room
from picotrain.learn import calibration, health
from picotrain.learn.adapt import epoch_order, mu_at
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.models import initial_network
from picotrain.progress import progress_bar
from picotrain_golden import Histograms, Method, Network, calibrated


@dataclass(frozen=True)
class PretrainOptions:
    """`mu` is a schedule over the epochs; calibration looks at `calibration_samples` images, turned
    by up to `calibration_angle` degrees either way (None: what suits the data set)."""

    epochs: int = 5
    mu: tuple[int, ...] = (3, 2, 2, 1, 1)
    seed: int = 0
    calibration_samples: int = calibration.SAMPLES
    calibration_angle: int | None = None


def learned(device: Device, network: Network) -> Network:
    """The network with the weights that the device holds now."""
    result = network.copy()
    for index, parameters in enumerate(result.parameters):
        if parameters is not None:
            parameters.weights = device.weights(index).reshape(parameters.weights.shape).copy()
    return result


def pretrain(
    device: Device,
    architecture: Architecture,
    dataset: Dataset,
    options: PretrainOptions,
    report: Callable[[dict[str, Any]], None],
) -> tuple[Network, Histograms, list[dict[str, Any]]]:
    """Train from random weights, batch size 1 (NITI, section 4), and calibrate.

    The validation split watches and chooses nothing: the last epoch is the result. Returns the
    network with its static numbers, their histograms and the history. `report` gets each epoch.
    """
    network = initial_network(architecture, options.seed)
    method = Method("niti-dynamic", mu=options.mu[0], seed=options.seed)
    check_room(device, network, method, choice=False)
    device.load_model(network)
    device.set_method(method)
    train, validation = dataset.train, dataset.validation
    history = []
    for epoch in range(1, options.epochs + 1):
        mu = mu_at(options.mu, epoch, options.epochs)
        device.set_mu(mu)
        order = epoch_order(len(train.labels), options.seed, epoch)
        with progress_bar(f"epoch {epoch}/{options.epochs}", len(order)) as advance:
            done = device.train(train.images[order], train.labels[order], advance)
        with progress_bar("validation", len(validation.labels)) as advance:
            seen = device.evaluate(validation.images, validation.labels, advance)
        entry = {
            "epoch": epoch,
            "mu": mu,
            "train_accuracy": done.correct(train.labels[order]) / len(order),
            "validation_accuracy": seen.correct(validation.labels) / len(validation.labels),
        }
        history.append(entry)
        report(entry)
    network = learned(device, network)
    histograms = calibration.calibrate(
        network, dataset, options.calibration_samples, options.calibration_angle, options.seed
    )
    return calibrated(network, histograms), histograms, history


def static_warnings(
    device: Device, network: Network, dataset: Dataset, history: list[dict[str, Any]]
) -> list[str]:
    """What is wrong with a backbone as it will run: its static scales on the validation images,
    beside the last epoch of `history`. The device holds the network then."""
    device.load_model(network)
    device.set_method(Method("infer"))
    split = dataset.validation
    with progress_bar("static scales", len(split)) as advance:
        seen = device.evaluate(split.images, split.labels, advance)
    accuracy = seen.correct(split.labels) / len(split)
    return health.of_backbone(
        accuracy, seen.predictions, split.labels, history[-1]["validation_accuracy"]
    )


def static_numbers(network: Network) -> dict[str, list[int | None]]:
    """The calibrated numbers by name, one per layer; None where a layer has no weights."""
    names = ("exponent", "forward_shift", "error_shift", "gradient_bits", "score_bits")
    return {
        name: [None if p is None else int(getattr(p, name)) for p in network.parameters]
        for name in names
    }
