"""`picotrain pretrain`: train and calibrate a backbone."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from picotrain import datasets, output
from picotrain.cli.options import (
    Verbs,
    add_dataset,
    add_logits_exponent,
    add_output,
    add_ram,
    add_seed,
    add_verb,
    arena,
    check_backbone_name,
    finish,
)
from picotrain.datasets import Dataset
from picotrain.device.backends import NAMES as TARGETS
from picotrain.device.backends import open_device
from picotrain.device.given import check_trains, images_for
from picotrain.device.interface import Device, state_sha256
from picotrain.device.room import check_room
from picotrain.errors import UserError
from picotrain.inputs import angle_bound, positive
from picotrain.learn import health, logits, methods, models
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.calibration import SAMPLES, calibrate
from picotrain.learn.float_pretrain import FloatOptions, pretrain_float, pretrain_graph, suited
from picotrain.learn.pretrain import (
    PretrainOptions,
    pretrain,
    static_numbers,
    static_warnings,
)
from picotrain.learn.turning import calibration_angle_of
from picotrain.progress import progress_bar
from picotrain.shrink import float_file
from picotrain.shrink.removal import Parameters
from picotrain.versions import versions
from picotrain_golden import Histograms, Method, Network, calibrated

_INTEGER, _FLOAT = "integer", "float"
_MORE_BYTES = 1 << 17
"""Of a backbone, beside its weights: histograms, and how it was made. A guess on the safe side."""
_MU = ",".join(map(str, PretrainOptions.mu))
_Made = tuple[Network, Histograms, dict[str, Any]]


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "pretrain",
        "Train a backbone and calibrate its static shifts: in integers (NITI, dynamic scales, "
        "batch 1), or in floating point (PyTorch) with int8 weights in the last epochs. An affine "
        "network is trained in floating point and quantised on training images.",
        "picotrain pretrain --model tinycnn --dataset digits --out backbone.npz",
    )
    parser.add_argument(
        "--model", default=models.DEFAULT, help="shipped name or TOML file (default: %(default)s)"
    )
    add_dataset(parser)
    add_output(parser, "--out", "the backbone (.npz)", required=True)
    parser.add_argument(
        "--arithmetic",
        choices=(_INTEGER, _FLOAT),
        help="what training computes in; float needs PyTorch (default: integer, or float for an "
        "affine network)",
    )
    parser.add_argument(
        "--epochs",
        type=positive,
        metavar="N",
        help=f"passes over the training images (default: {PretrainOptions.epochs} in integers, "
        f"{FloatOptions.epochs} in float, more of few images)",
    )
    parser.add_argument(
        "--mu", metavar="N[,N...]", help=f"step sizes, in integers (default: {_MU})"
    )
    parser.add_argument(
        "--rate", type=float, help=f"step size in float (default: {FloatOptions.rate})"
    )
    parser.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="in float: mirror half of the images, or none (default: of photographs, cifar10)",
    )
    add_output(
        parser,
        "--keep-float",
        "write an affine network in floating point too, for --pretrained of prune and depth-prune",
    )
    add_seed(parser, PretrainOptions.seed, "draws first weights, order and calibration images")
    parser.add_argument(
        "--calibration-samples",
        type=positive,
        default=SAMPLES,
        metavar="N",
        help="images that the static scales are taken from (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration-angle",
        type=angle_bound,
        metavar="DEGREES",
        help="turn the calibration images by so much (default: 45 for digits, mnist and cifar10, "
        "else 0)",
    )
    parser.add_argument(
        "--target", default="host", help=f"one of {', '.join(TARGETS)} (default: %(default)s)"
    )
    add_logits_exponent(parser, "what training ends with")
    add_ram(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    architecture = models.resolve(options.model)
    _check(options, architecture)
    check_backbone_name(options.out)
    dataset = datasets.load(options.dataset)
    models.check_fit(architecture, dataset)
    options.calibration_angle = calibration_angle_of(dataset, options.calibration_angle)
    if options.logits_exponent is not None:
        logits.check(options.logits_exponent)
    output.check(options.out, architecture.weight_count + _MORE_BYTES)
    if options.keep_float is not None:
        output.check(options.keep_float, 4 * architecture.weight_count + _MORE_BYTES)
    device = open_device(options.target, arena(options))
    try:
        if architecture.affine:
            return _graph(device, architecture, dataset, options)
        make = _float if options.arithmetic == _FLOAT else _integer
        network, histograms, made = make(device, architecture, dataset, options)
        warnings = static_warnings(device, network, dataset, made["history"])
        if options.arithmetic == _FLOAT:
            warnings += _learnt(dataset, made["history"])
    finally:
        device.close()
    if options.logits_exponent is not None:
        network, histograms = _read_with(network, dataset, options)
        made["options"]["logits_exponent"] = options.logits_exponent
    info = _info(options, dataset, made) | {"static": static_numbers(network)}
    models.save_backbone(options.out, network, info, histograms)
    return _told(options, info, warnings)


def _check(options: argparse.Namespace, architecture: Architecture) -> None:
    """Completes `options`; UserError for those that do not go together."""
    if architecture.affine:
        if options.arithmetic == _INTEGER:
            raise UserError(
                f"network {architecture.name} is affine, and is pre-trained in float only; omit "
                "--arithmetic"
            )
        if options.logits_exponent is not None:
            raise UserError(
                "--logits-exponent is not an option of an affine network, whose logits have the "
                "scale that quantising gives them; omit it, and name it for adapt"
            )
    elif options.keep_float is not None:
        raise UserError(
            f"--keep-float is an option of affine networks, and {architecture.name} is of the "
            "power-of-two form; omit it"
        )
    options.arithmetic = options.arithmetic or (_FLOAT if architecture.affine else _INTEGER)
    other = "mu" if options.arithmetic == _FLOAT else "rate"
    if getattr(options, other) is not None:
        raise UserError(f"--{other} is not an option of --arithmetic {options.arithmetic}; omit it")
    if options.mirror is not None and options.arithmetic == _INTEGER:
        word = "--mirror" if options.mirror else "--no-mirror"
        raise UserError(f"{word} is not an option of --arithmetic integer; omit it")


def _info(options: argparse.Namespace, dataset: Dataset, made: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "picotrain " + shlex.join(_pretrain_command(options, made)),
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        **made,
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }


def _learnt(dataset: Dataset, history: list[dict[str, Any]]) -> list[str]:
    return health.of_training(history[-1]["validation_accuracy"], dataset.validation.labels)


def _told(options: argparse.Namespace, info: dict[str, Any], warnings: list[str]) -> int:
    output.tell("backbone", options.out)
    for warning in warnings:
        print(f"warning: {warning}")
    finish(options, {**info, "warnings": warnings})
    return 0


def _read_with(
    network: Network, dataset: Dataset, options: argparse.Namespace
) -> tuple[Network, Histograms]:
    """The calibrated network with the exponent of the logits that was asked for, calibrated again
    as it was the first time; and the histograms."""
    moved = logits.moved(network, options.logits_exponent)
    histograms = calibrate(
        moved, dataset, options.calibration_samples, options.calibration_angle, options.seed
    )
    return calibrated(moved, histograms), histograms


def _integer(
    device: Device, architecture: Architecture, dataset: Dataset, options: argparse.Namespace
) -> _Made:
    defaults = PretrainOptions()
    choice = PretrainOptions(
        options.epochs or defaults.epochs,
        defaults.mu if options.mu is None else methods.schedule(options.mu),
        options.seed,
        options.calibration_samples,
        options.calibration_angle,
    )
    for value in choice.mu:
        if not -8 <= value <= 7:
            raise UserError(f"--mu has {value}, outside -8..7; use e.g. {_MU}")
    network, histograms, history = pretrain(
        device, architecture, dataset, choice, lambda entry: print(_describe_epoch(entry))
    )
    return (
        network,
        histograms,
        {"options": {**asdict(choice), "mu": list(choice.mu)}, "history": history},
    )


def _float(
    device: Device, architecture: Architecture, dataset: Dataset, options: argparse.Namespace
) -> _Made:
    # A network that does not fit is refused now, not after an hour.
    initial = models.initial_network(architecture, options.seed)
    check_room(device, initial, Method("infer"), choice=False)
    device.load_model(initial)
    choice = _float_options(options, dataset)
    network, history = pretrain_float(
        architecture, dataset, choice, lambda entry: print(_describe_float_epoch(entry), flush=True)
    )
    samples, angle = options.calibration_samples, options.calibration_angle
    histograms = calibrate(network, dataset, samples, angle, options.seed)
    network = calibrated(network, histograms)
    device.load_model(network)
    device.set_method(Method("infer"))
    with progress_bar("test", len(dataset.test)) as advance:
        seen = device.evaluate(dataset.test.images, dataset.test.labels, advance)
    upright = seen.correct(dataset.test.labels) / len(dataset.test)
    print(f"the int8 network is right on {upright:.4f} of the upright test images")
    return (
        network,
        histograms,
        {
            "arithmetic": _FLOAT,
            "options": {
                **asdict(choice),
                "calibration_samples": samples,
                "calibration_angle": angle,
            },
            "history": history,
            "test_accuracy": upright,
            "weights_sha256": state_sha256(device, network),
            "torch": version("torch"),
        },
    )


def _graph(
    device: Device, architecture: Architecture, dataset: Dataset, options: argparse.Namespace
) -> int:
    """An affine network: trained in floating point, quantised, evaluated as integers, and
    calibrated, if it is one that trains."""
    choice = _float_options(options, dataset)
    initial = models.initial_network(architecture, options.seed)
    check_room(device, initial, Method("infer"), frozen=True, choice=False)
    device.load_model(initial, frozen=True)

    failures: list[UserError] = []

    def keep(parameters: Parameters) -> None:
        if options.keep_float is None:
            return
        try:
            float_file.save(options.keep_float, architecture, parameters, options.dataset)
        except UserError as failure:
            failures.append(failure)  # Told when the backbone, which took as long, is written.
        else:
            output.tell("in float", options.keep_float)

    quantised, history = pretrain_graph(
        architecture,
        dataset,
        choice,
        lambda entry: print(_describe_float_epoch(entry), flush=True),
        keep,
    )
    network = quantised.network
    device.load_model(network, frozen=True)
    device.set_method(Method("infer"))
    accuracy = {}
    for name, split in (("validation", dataset.validation), ("test", dataset.test)):
        with progress_bar(name, len(split)) as advance:
            seen = device.evaluate(images_for(network, split.images), split.labels, advance)
        accuracy[name] = seen.correct(split.labels) / len(split)
    print(
        f"accuracy   validation {history[-1]['validation_accuracy']:.4f} in float, "
        f"{accuracy['validation']:.4f} in int8; test {accuracy['test']:.4f} in int8"
    )
    samples, angle = options.calibration_samples, options.calibration_angle
    try:
        check_trains(network)
    except UserError as why:
        print(f"not calibrated: {why}")
    else:
        network = calibrated(network, calibrate(network, dataset, samples, angle, options.seed))
    made = {
        "arithmetic": _FLOAT,
        "options": {
            **asdict(choice),
            "int8_epochs": 0,
            "calibration_samples": samples,
            "calibration_angle": angle,
        },
        "history": history,
        "validation_accuracy": accuracy["validation"],
        "test_accuracy": accuracy["test"],
        **quantised.made(),
        "torch": version("torch"),
    }
    info = _info(options, dataset, made)
    models.save_backbone(options.out, network, info, scales=Scales.of(quantised))
    code = _told(options, info, _learnt(dataset, history))
    for failure in failures:
        raise failure
    return code


def _float_options(options: argparse.Namespace, dataset: Dataset) -> FloatOptions:
    given = {name: getattr(options, name) for name in ("epochs", "rate", "mirror")}
    return replace(
        suited(dataset),
        seed=options.seed,
        **{name: value for name, value in given.items() if value is not None},
    )


def _pretrain_command(options: argparse.Namespace, made: dict[str, Any]) -> list[str]:
    """The command that makes this backbone again; paths are left as given."""
    chosen = made["options"]
    if options.arithmetic == _FLOAT:
        how = ["--arithmetic", _FLOAT, "--epochs", str(chosen["epochs"])]
        how += ["--rate", str(chosen["rate"])]
        if not chosen["mirror"]:
            how += ["--no-mirror"]
        elif options.mirror:
            how += ["--mirror"]
    else:
        mu = options.mu or ",".join(map(str, chosen["mu"]))
        how = ["--epochs", str(chosen["epochs"]), "--mu", mu]
    if options.ram_kib is not None:
        how += ["--ram-kib", str(options.ram_kib)]
    chosen_exponent = options.logits_exponent
    exponent = [] if chosen_exponent is None else [f"--logits-exponent={chosen_exponent}"]
    return [
        "pretrain",
        *("--model", options.model, "--dataset", options.dataset),
        *how,
        *("--seed", str(options.seed)),
        *("--calibration-samples", str(options.calibration_samples)),
        *("--calibration-angle", str(options.calibration_angle)),
        *exponent,
        *(() if options.keep_float is None else ("--keep-float", str(options.keep_float))),
        *("--out", str(options.out)),
    ]


def _describe_epoch(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:2}  mu {entry['mu']}  train {entry['train_accuracy']:.4f}  "
        f"validation {entry['validation_accuracy']:.4f}"
    )


def _describe_float_epoch(entry: dict[str, Any]) -> str:
    return (
        f"epoch {entry['epoch']:2}  {entry['weights']:5}  loss {entry['loss']:.3f}  "
        f"train {entry['train_accuracy']:.4f}  validation {entry['validation_accuracy']:.4f}"
    )
