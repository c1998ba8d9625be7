"""`picotrain pretrain`: train and calibrate a backbone."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import datasets, methods, models
from harness.backends import NAMES as TARGETS
from harness.backends import open_device
from harness.cli.material import check_fit
from harness.cli.options import (
    Verbs,
    add_ram,
    add_verb,
    angle_bound,
    arena,
    finish,
    positive,
    seed,
)
from harness.errors import UserError
from harness.pretrain import PretrainOptions, pretrain, static_numbers
from harness.versions import versions


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "pretrain",
        "Train a backbone in integers (NITI, dynamic scales, batch 1) and calibrate static shifts.",
        "picotrain pretrain --model tinycnn --dataset digits --out backbone.npz",
    )
    parser.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    parser.add_argument("--dataset", default="digits", help="mnist, digits, cifar10 or npz:FILE")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the backbone (.npz)"
    )
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--mu", default="3,2,2,1,1", metavar="N[,N...]", help="step size schedule")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--calibration-samples", type=positive, default=2048)
    parser.add_argument(
        "--calibration-angle",
        type=angle_bound,
        default=45,
        help="turn the calibration images by up to this many degrees",
    )
    parser.add_argument("--target", default="host", help=f"one of {', '.join(TARGETS)}")
    add_ram(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    architecture = models.resolve(options.model)
    dataset = datasets.load(options.dataset)
    check_fit(architecture.name, architecture.input_shape, architecture.classes, dataset)
    choice = PretrainOptions(
        options.epochs,
        methods.schedule(options.mu),
        options.seed,
        options.calibration_samples,
        options.calibration_angle,
    )
    for value in choice.mu:
        _checked_mu(value)
    device = open_device(options.target, arena(options))
    try:
        network, histograms, history = pretrain(
            device, architecture, dataset, choice, lambda entry: print(_describe_epoch(entry))
        )
    finally:
        device.close()
    info = {
        "command": "picotrain " + shlex.join(_pretrain_command(options)),
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        "options": {**asdict(choice), "mu": list(choice.mu)},
        "history": history,
        "static": static_numbers(network),
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }
    models.save_backbone(options.out, network, info, histograms)
    print(f"wrote {options.out}")
    finish(options, info)
    return 0


def _checked_mu(value: int) -> None:
    if not -8 <= value <= 7:
        raise UserError(f"--mu has {value}, outside -8..7; use e.g. 3,2,2,1,1")


def _pretrain_command(options: argparse.Namespace) -> list[str]:
    """The command that makes this backbone again; paths are left as given."""
    return [
        "pretrain",
        *("--model", options.model, "--dataset", options.dataset),
        *("--epochs", str(options.epochs), "--mu", options.mu, "--seed", str(options.seed)),
        *("--calibration-samples", str(options.calibration_samples)),
        *("--calibration-angle", str(options.calibration_angle)),
        *("--out", str(options.out)),
    ]


def _describe_epoch(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:2}  mu {entry['mu']}  train {entry['train_accuracy']:.4f}  "
        f"validation {entry['validation_accuracy']:.4f}"
    )
