"""Networks and images that the verbs work on."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from picotrain import datasets
from picotrain.datasets import SAMPLE_STREAM, Dataset, Split
from picotrain.device.backends import form_missed
from picotrain.device.given import check_form, check_trains
from picotrain.errors import UserError
from picotrain.inputs import is_file
from picotrain.learn import methods, models, plans
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.calibration import of_images
from picotrain_golden import Method, Network
from picotrain_golden.generator import words

_RANDOM_LOGITS_EXPONENT = -4


def backbone(options: argparse.Namespace, dataset: Dataset | None = None) -> Network:
    """The pre-trained network of `--model`, `--dataset` and `--backbone`. UserError without one, if
    the backbone is of another network than the one that was named, or if firmware of `--kernels`
    does not know its form. What the named network alone cannot do is told before that it has no
    backbone: take images of `dataset`, or be `--fused`."""
    named = None if options.model is None else models.resolve(options.model)
    if options.backbone is None and options.dataset not in datasets.NAMES:
        raise UserError(
            f"no backbone is shipped for {options.dataset}; make one with `picotrain pretrain` and "
            "name it with --backbone"
        )
    name = models.DEFAULT if named is None else named.name
    path = options.backbone or models.backbone_path(name, options.dataset)
    if named is not None:
        check_kernels(options, named)
    if named is not None and options.backbone is None:
        if dataset is not None:
            models.check_fit(named, dataset)
        if getattr(options, "fused", False) and not is_file(path):
            untrained = models.initial_network(named, 0)
            plans.check_fused(untrained, replace(methods.DEFAULT, fused=True))
        models.check_made(path, options.model, options.dataset)
    network, _ = models.load_backbone(path)
    if named is not None:
        models.check_same(named, network, path)
    check_kernels(options, network)
    return network


def check_kernels(options: argparse.Namespace, network: Network | Architecture) -> None:
    """Raise UserError where `--kernels` are of firmware that knows the other form alone."""
    for kernels in (getattr(options, "kernels", None) or "").split(","):
        words, instead = form_missed(network.affine, kernels)
        if words:
            raise UserError(
                f"network {network.name} is {words}, which firmware of --kernels {kernels} does "
                f"not know; leave out --kernels {kernels}, or say --kernels {instead}"
            )


_MOST_PIXELS = 1 << 26
"""Of noise: each takes some 20 bytes while it is drawn."""


def noise(network: Network, seed: int, images: int) -> Split:
    """Images of random bytes for a network, with random labels. UserError for more than memory may
    hold."""
    size = int(np.prod(network.input_shape))
    most = _MOST_PIXELS // size
    if images > most:
        raise UserError(
            f"{images:,} images of noise for network {network.name} are too many; ask for 1 to "
            f"{most:,}"
        )
    drawn = words(seed, SAMPLE_STREAM, images * size + images)
    pixels = (drawn[: images * size] >> 24).astype(np.uint8)
    labels = (drawn[images * size :] % min(network.classes, 256)).astype(np.uint8)
    return Split(pixels.reshape(images, *network.input_shape), labels)


def check_backbone(options: argparse.Namespace, *asked: Method) -> None:
    """Raise UserError for a `--backbone` that cannot do what is asked, whatever data and target
    there are: run these methods, or train at all if there are none."""
    if options.backbone is None:
        return
    network, _ = models.load_backbone(options.backbone)
    check_kernels(options, network)
    if not asked:
        check_trains(network)
    for method in asked:
        check_form(network, method)


def random_material(model: str | None, seed: int, images: int) -> tuple[Network, Split]:
    """An untrained network, calibrated on noise, and noise to feed it."""
    network = models.initial_network(models.resolve(model or models.DEFAULT), seed)
    split = noise(network, seed, images)
    network = of_images(network, split)
    if network.affine:
        return network, split
    # Without training the logits may be too small for a loss error; their scale is free to choose.
    head = network.of(len(network.layers) - 1)
    head.exponent += max(0, _RANDOM_LOGITS_EXPONENT - network.logits_exponent)
    return network, split
