"""Static numbers by named rules: what to look at, and how to read it (docs/numerics.md, 8)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.datasets import Dataset, Split, rotate, sample
from picotrain.datasets.npz import read_arrays
from picotrain.device.given import check_trains, images_for
from picotrain.errors import UserError
from picotrain.learn import affine_file
from picotrain.learn.turning import calibration_angle_of
from picotrain.output import write_bytes
from picotrain.places import BUILD, made_folder
from picotrain.progress import progress_bar
from picotrain_golden import (
    ALL_RANGE_NAMES,
    LEAST_LOGITS_EXPONENT,
    Histograms,
    Network,
    Reading,
    calibrated,
    observe,
)
from picotrain_golden.generator import words

CALIBRATION_STREAM = 0xFFFFFF04
ANGLE_STREAM = 0xFFFFFF06

SAMPLES = 2048
CACHE = BUILD / "calibrations"

FAIR = "fair"
SHIPPED = "shipped"
"""Not in RULES: the numbers in the backbone file, whatever made them."""


@dataclass(frozen=True)
class Rule:
    """`turned`: images on which a backbone makes mistakes, not upright training images."""

    description: str
    turned: bool
    reading: Reading


_PLAIN = Reading(zeros="all", errors="mode", scores="score_peak")

RULES: dict[str, Rule] = {
    "naive": Rule("upright images, plain mode, maximum of |G' * w|", False, _PLAIN),
    "steps": Rule(
        "the same, update steps without the all-zero tensors",
        False,
        Reading(zeros="errors", errors="mode", scores="score_peak"),
    ),
    "nonzero": Rule(
        "the same, error shifts without them too",
        False,
        Reading(zeros="none", errors="mode", scores="score_peak"),
    ),
    "turned": Rule(
        "the same, images turned by up to 45 degrees (of data that nobody turns: not learnt ones)",
        True,
        Reading(zeros="none", errors="mode", scores="score_peak"),
    ),
    "most": Rule(
        "the same, error shifts cover nine in ten images",
        True,
        Reading(zeros="none", errors="most", scores="score_peak"),
    ),
    FAIR: Rule("the same, score step from 16 times the mean of |G' * w|", True, Reading()),
}
"""Each changes one thing of the one before it. `naive` is what a straight reading of the papers
gives (arXiv 2503.16860 and 2009.13108); `fair` is docs/numerics.md's, which made the shipped
backbones."""


def check(rule: str) -> None:
    """Raise UserError for a name that is neither a rule nor `shipped`."""
    if rule != SHIPPED and rule not in RULES:
        raise UserError(
            f"unknown calibration rule {rule!r}; use one of {', '.join((SHIPPED, *RULES))}"
        )


def calibrate(
    network: Network,
    dataset: Dataset,
    samples: int = SAMPLES,
    angle: int | None = None,
    seed: int = 0,
    known: bool = False,
) -> Histograms:
    """Histograms of the ranges over some images (docs/numerics.md, section 8).

    A good backbone makes hardly any error on the images that it learnt, and the few that are left
    are small: scales that fit those overflow on what it is to adapt to. So the training images are
    turned by up to `angle` degrees (None: what suits the data set), and of a data set that nobody
    turns the validation images come first, unless `known` asks for those that were learnt. At most
    `samples` images, or all that there are.
    """
    angle = calibration_angle_of(dataset, angle)
    if angle != 0 or dataset.angle != 0:
        known = True
    return _observed(network, _drawn(dataset, samples, known, seed), angle, seed)


def _drawn(dataset: Dataset, samples: int, known: bool, seed: int) -> Split:
    """Training images if `known`, else validation images and, where they are too few, others."""

    def some(split: Split, most: int) -> Split:
        return sample(split, min(most, len(split)), seed, CALIBRATION_STREAM)

    if known:
        return some(dataset.train, samples)
    unknown = some(dataset.validation, samples)
    if len(unknown) == samples:
        return unknown
    others = some(dataset.train, samples - len(unknown))
    return Split(
        np.concatenate([unknown.images, others.images]),
        np.concatenate([unknown.labels, others.labels]),
    )


def of_images(network: Network, split: Split) -> Network:
    """A copy with the numbers that rule `fair` gives for these images, as a device takes them."""
    histograms = Histograms.empty(network)
    for image, label in zip(split.images, split.labels, strict=True):
        histograms.add(observe(network, image, int(label)))
    return calibrated(network, histograms)


def _observed(network: Network, drawn: Split, angle: int, seed: int) -> Histograms:
    count = len(drawn)
    angles = words(seed, ANGLE_STREAM, count).astype(np.int64) % (2 * angle + 1) - angle
    histograms = Histograms.empty(network)
    with progress_bar("calibration", count) as advance:
        for image, label, degrees in zip(drawn.images, drawn.labels, angles, strict=True):
            turned = images_for(network, rotate(image[np.newaxis], float(degrees)))[0]
            histograms.add(observe(network, turned, int(label)))
            advance(1)
    return histograms


def calibrated_by(
    network: Network,
    dataset: Dataset,
    rule: str,
    samples: int = SAMPLES,
    cache: Path | None = CACHE,
    angle: float = 0.0,
) -> Network:
    """A copy of the network with the numbers that a rule gives; `shipped`: those it has.

    Raises UserError for an affine network that cannot train.

    `angle` is by how much the device's images are turned: a rule that turns does it for a data set
    that is there to be turned, or where this is not 0.
    Histograms are kept in the folder `cache` (None: nowhere). Raises UserError for an unknown rule.
    """
    check(rule)
    check_trains(network)
    if rule == SHIPPED:
        return network.copy()
    how = RULES[rule]
    turns = calibration_angle_of(dataset, None, angle) if how.turned else 0

    def make() -> Histograms:
        return calibrate(network, dataset, samples, turns, known=not how.turned)

    if cache is None:
        histograms = make()
    else:
        name = f"{network.name}-{_digest(network, dataset, samples, turns, not how.turned)}.npz"
        histograms = _cached(cache / name, network, make)
    return calibrated(network, histograms, how.reading)


def _digest(network: Network, dataset: Dataset, samples: int, angle: int, known: bool) -> str:
    """Of all that decides the histograms: 16 hex digits."""
    text = [
        ("layers", network.layers),
        ("exponents", [None if p is None else p.exponent for p in network.parameters]),
        ("dataset", dataset.name, sorted(dataset.sha256.items())),
        ("images", min(samples, len(dataset.train.labels)), angle),
        ("names", ALL_RANGE_NAMES),
        ("loss", LEAST_LOGITS_EXPONENT),
    ]
    if not known and angle == 0 and dataset.angle == 0:
        text.append(("validation", len(dataset.validation)))
    digest = hashlib.sha256(repr(text).encode())
    if network.affine:
        digest.update(repr(affine_file.digest_parts(network)).encode())
    for held in network.parameters:
        if held is not None:
            digest.update(held.weights.tobytes())
    return digest.hexdigest()[:16]


def _cached(path: Path, network: Network, make: Callable[[], Histograms]) -> Histograms:
    """The histograms in the file; made where there is none that can be read, and written if that
    is possible."""
    kept = _read(path, len(network.layers))
    if kept is None:
        kept = make()
        with suppress(UserError):
            _write(path, kept)
    return kept


def _read(path: Path, count: int) -> Histograms | None:
    """Of `count` layers; None where the file is damaged, or not there."""
    try:
        arrays = read_arrays(path)
        tables = {name: arrays[name].astype(np.int64) for name in ALL_RANGE_NAMES}
        images = int(arrays["images"])
    except (ValueError, KeyError):
        return None
    if any(table.shape != (count, 32) for table in tables.values()):
        return None
    layers = [{name: tables[name][index] for name in ALL_RANGE_NAMES} for index in range(count)]
    return Histograms(layers, images)


def _write(path: Path, histograms: Histograms) -> None:
    """Whole or not at all: processes of a sweep read and write the same file."""
    arrays: dict[str, Any] = {"images": np.array(histograms.images, np.int64)}
    for name in ALL_RANGE_NAMES:
        arrays[name] = np.stack([layer[name] for layer in histograms.layers])
    made_folder(path.parent)
    whole = io.BytesIO()
    np.savez_compressed(whole, **arrays)
    write_bytes(path, whole.getvalue())
