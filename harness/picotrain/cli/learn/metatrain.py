"""`picotrain metatrain`: a backbone for tasks of few samples."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from picotrain import output
from picotrain.cli.options import Verbs, add_output, add_seed, add_verb, check_backbone_name, finish
from picotrain.datasets.fewshot import LEARNT_FROM, TUNED_ON, cifar100, load_domain
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.learn import models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture, in_words
from picotrain.learn.fewshot.metatrain import Backbone, MetaOptions, MetaTraining
from picotrain.learn.floating.tasks import TaskOptions
from picotrain.learn.floating.training import check_rate
from picotrain.versions import versions

_DEFAULT = "mobilenet-v2-few"
_MORE_BYTES = 1 << 17


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "metatrain",
        "Train a feature extractor in floating point (PyTorch) on 64 classes of CIFAR-100, then on "
        "tasks of few samples drawn from them, and quantise it; 16 more classes watch.",
        "picotrain metatrain --model mobilenet-v2-few --out backbone.npz",
    )
    parser.add_argument(
        "--model",
        default=_DEFAULT,
        help="shipped name or TOML file of an affine network (default: %(default)s)",
    )
    add_output(parser, "--out", "the backbone (.npz)", required=True)
    add_output(parser, "--pretrained", "the same before it learns tasks (.npz)")
    classes, tasks = MetaOptions().classes, TaskOptions()
    parser.add_argument(
        "--epochs",
        type=positive,
        default=classes.epochs,
        metavar="N",
        help="passes over the images of the classes (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=classes.rate,
        help="largest step size of classes (default: %(default)s)",
    )
    parser.add_argument(
        "--tasks",
        type=positive,
        default=tasks.tasks,
        metavar="N",
        help="tasks to learn (default: %(default)s)",
    )
    parser.add_argument(
        "--task-rate",
        type=float,
        default=tasks.rate,
        help="largest step size of tasks (default: %(default)s)",
    )
    add_seed(parser, tasks.seed, "draws first weights, order and tasks")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    for path in filter(None, (options.out, options.pretrained)):
        check_backbone_name(path)
    for name in ("rate", "task_rate"):
        check_rate(f"--{name.replace('_', '-')}", getattr(options, name), "0.01")
    architecture = models.resolve(options.model)
    _check(architecture)
    output.check(options.out, architecture.weight_count + _MORE_BYTES)
    training = MetaTraining(
        architecture,
        cifar100.to_learn_from(),
        load_domain(LEARNT_FROM),
        load_domain(TUNED_ON),
        _options(options),
    )
    history = training.classes(lambda entry: print(_told_epoch(entry), flush=True))
    results = {}
    if options.pretrained is not None:
        made = training.backbone()
        results["pretrained"] = _save(options, options.pretrained, made, {"history": history})
    told = training.tasks(lambda entry: print(_told_tasks(entry), flush=True))
    made = training.backbone()
    more = {"history": history, "task_history": told}
    results["metatrained"] = _save(options, options.out, made, more)
    finish(options, results)
    return 0


def _check(architecture: Architecture) -> None:
    if not architecture.affine or architecture.layers[-1].kind != "linear":
        raise UserError(
            f"network {architecture.name} is no feature extractor for tasks: use an affine one, "
            "its last layer linear"
        )
    if architecture.input_shape != (32, 32, 1):
        raise UserError(
            f"network {architecture.name} takes images of {in_words(architecture.input_shape)}, "
            "but those of tasks are 32x32x1; use another network"
        )


def _options(options: argparse.Namespace) -> MetaOptions:
    default = MetaOptions()
    return MetaOptions(
        replace(default.classes, epochs=options.epochs, rate=options.rate, seed=options.seed),
        replace(default.tasks, tasks=options.tasks, rate=options.task_rate, seed=options.seed),
    )


def command(options: argparse.Namespace) -> str:
    """What makes these backbones again."""
    words = ["picotrain", "metatrain", "--model", options.model]
    for name in ("epochs", "rate", "tasks", "task_rate", "seed"):
        words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.pretrained is not None:
        words += ["--pretrained", str(options.pretrained)]
    return shlex.join([*words, "--out", str(options.out)])


def _save(
    options: argparse.Namespace, path: Path, made: Backbone, more: dict[str, Any]
) -> dict[str, Any]:
    chosen = _options(options)
    info = {
        "command": command(options),
        "dataset": cifar100.NAME,
        "dataset_sha256": dict(made.sha256),
        "arithmetic": "float",
        "options": {"classes": asdict(chosen.classes), "tasks": asdict(chosen.tasks)},
        "validation_accuracy": made.accuracy.mean,
        "validation_half_interval": made.accuracy.half,
        **made.quantised.made(),
        **more,
        "torch": version("torch"),
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }
    models.save_backbone(path, made.network, info, made.histograms, Scales.of(made.quantised))
    print(f"accuracy   {made.accuracy} over tasks of validation classes, nearest mean, in float")
    output.tell("backbone", path)
    return info


def _told_epoch(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:2}  loss {entry['loss']:.3f}  train {entry['train_accuracy']:.4f}  "
        f"validation {entry['validation_accuracy']:.4f}"
    )


def _told_tasks(entry: dict[str, Any]) -> str:
    return (
        f"task {entry['task']:5}  loss {entry['loss']:.3f}  train {entry['train_accuracy']:.4f}  "
        f"validation {entry['validation_accuracy']:.4f}"
    )
