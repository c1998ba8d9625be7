"""`picotrain prune`: a network with fewer channels, within limits."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from picotrain import datasets, output
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_beside,
    add_dataset,
    add_output,
    add_seed,
    add_verb,
    check_backbone_name,
    finish,
)
from picotrain.datasets import Dataset
from picotrain.device.backends import NAMES as TARGETS
from picotrain.device.backends import open_device
from picotrain.device.given import check_form
from picotrain.device.interface import Device
from picotrain.errors import UserError
from picotrain.inputs import positive, positive_number
from picotrain.learn import methods, models, plans
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.learn.float_pretrain import one_thread, ready, suited
from picotrain.output import write_text
from picotrain.shrink import float_file
from picotrain.shrink.depth.kept import parameters_sha256
from picotrain.shrink.groups import groups_of
from picotrain.shrink.limits import check, met
from picotrain.shrink.measured import firmware_sha256
from picotrain.shrink.pruning.made import Asked, finished, found_of, limits_of
from picotrain.shrink.pruning.prune import METHODS, RATE, PruneOptions, Pruning
from picotrain.shrink.pruning.stages import Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters
from picotrain.versions import versions
from picotrain_golden import Method

_MORE_BYTES = 1 << 17
_FLOAT_BYTES, _STATE_BYTES = 4, 24
"""Of a weight: in a file in floating point, and with what its steps remember in three stages."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "prune",
        "Train an affine network (PyTorch) and remove channels while it trains, until it meets "
        "every limit that is given; then quantise it and measure it on a device.",
        "picotrain prune --model resnet8 --dataset cifar10 --flash 40000 --ram 40000 --out "
        "pruned.npz",
    )
    parser.add_argument(
        "--model",
        default="resnet8",
        help="shipped name or TOML file of an affine network (default: %(default)s)",
    )
    add_dataset(parser, "cifar10")
    parser.add_argument(
        "--flash", type=positive, metavar="N", help="most bytes of the model in flash"
    )
    parser.add_argument(
        "--ram", type=positive, metavar="N", help="most bytes of RAM that method and network take"
    )
    parser.add_argument(
        "--ms", type=positive_number, metavar="X", help="most milliseconds of an inference"
    )
    parser.add_argument(
        "--macs", type=positive, metavar="N", help="most multiply-accumulates of an inference"
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=METHODS[0],
        help="gates that learn, or the largest weights, or the same share of every layer (default: "
        "%(default)s)",
    )
    add_output(parser, "--out", "the backbone (.npz)", required=True)
    add_output(parser, "--toml", "the smaller network's description (default: beside --out)")
    add_beside(parser, "the state of training", "state")
    parser.add_argument(
        "--epochs",
        type=positive,
        metavar="N",
        help="passes over the training images after warm-up; of gates half of them with gates "
        "(default: as many as --warm-epochs)",
    )
    parser.add_argument(
        "--warm-epochs",
        type=positive,
        metavar="N",
        help="passes that train the whole network first (default: those of `pretrain`)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=RATE,
        help="largest step size after warm-up (default: %(default)s)",
    )
    parser.add_argument(
        "--pretrained",
        action=NamedFile,
        metavar="FILE",
        help="the whole network, trained, in floating point: there is no warm-up then",
    )
    add_output(parser, "--keep-float", "write the whole network for --pretrained")
    add_output(
        parser,
        "--float-out",
        "write the smaller one in floating point, for depth-prune --pretrained",
    )
    parser.add_argument(
        "--plan",
        choices=plans.NAMES,
        default="lean",
        help="where weights are when RAM is counted: lean, in flash, or in SRAM (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--for",
        dest="ram_method",
        choices=methods.NAMES,
        default="infer",
        help="whose RAM is counted: inference, or a method of adapting (default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        default="qemu",
        help=f"what measures: one of {', '.join(TARGETS)} (default: %(default)s)",
    )
    add_seed(parser, 0, "draws first weights, order and shifts")
    parser.set_defaults(run=run, complete=_complete)


def _complete(options: argparse.Namespace) -> None:
    if output.is_standard(options.out):
        return
    options.toml = options.toml or options.out.with_suffix(".toml")
    options.state = options.out.with_suffix(".state")


def run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    architecture = models.resolve(options.model)
    if not architecture.affine:
        raise UserError(
            f"network {architecture.name} is of the power-of-two form, and only affine ones are "
            'pruned; describe it with form = "affine"'
        )
    check_backbone_name(options.out)
    asked = Asked(options.flash, options.ram, options.ms, options.macs)
    if asked.nothing:
        raise UserError("no limit is given; use --flash, --ram, --ms or --macs, or several")
    if options.pretrained is not None and options.warm_epochs is not None:
        raise UserError("--warm-epochs is not an option of a network that is --pretrained; omit it")
    method = Method(options.ram_method)
    plans.check(options.plan, method)
    dataset = datasets.load(options.dataset)
    models.check_fit(architecture, dataset)
    check_form(models.initial_network(architecture, options.seed), method)
    chosen = _options(options, dataset, method)
    groups = groups_of(architecture)
    # What no network could meet is told before what this machine lacks.
    check(limits_of(asked, architecture, groups, chosen), architecture.name)
    torch = ready(dataset, chosen.train)
    _check_space(options, architecture.weight_count)
    training = GatedTraining(architecture, dataset, chosen.warm, torch, groups)
    pretrained = float_file.of(options.pretrained, training)
    with output.alone(options.out):
        with open_device(options.target) as device:
            limits = limits_of(asked, architecture, groups, chosen, device)
            check(limits, architecture.name)
            if options.ms is not None and device.blocks() is None:
                raise UserError(f"target {options.target} counts no cycles for --ms; use qemu")
            if options.ms is None and met(limits, groups.sizes):
                print(f"{architecture.name} meets all limits as it is: no channel is removed")
            with one_thread(torch, architecture):
                sha256 = None if pretrained is None else parameters_sha256(pretrained)
                stages = _stages(options, architecture, dataset, chosen, torch, sha256, device)
                pruning = Pruning(
                    *(architecture, groups, dataset, limits, chosen, device, stages, torch),
                    lambda entry: print(_told_epoch(entry), flush=True),
                    _say,
                )
                pruned = pruning.run(pretrained, partial(_keep, options, architecture))
            network, accuracy = finished(pruned, dataset, options.seed, _say)
        found = found_of(groups, limits, pruned, _say) | accuracy
        report = _report(options, found, chosen, stages, dataset)
        models.save_backbone(options.out, network, report, scales=Scales.of(pruned.quantised))
        comment = f"{architecture.name} without the channels that `picotrain prune` removed."
        if options.toml is not None:
            write_text(options.toml, toml_of(pruned.architecture, comment))
            output.tell("network", options.toml)
        if options.float_out is not None:
            float_file.save(
                options.float_out, pruned.architecture, pruned.parameters, options.dataset
            )
            output.tell("in float", options.float_out)
        output.tell("backbone", options.out)
        finish(options, report | {"seconds": time.monotonic() - started})
        stages.forget()
    return 0


def _check_space(options: argparse.Namespace, weights: int) -> None:
    """Before long training: all that is written at its end, and after each epoch."""
    sizes = {"out": 1, "keep_float": _FLOAT_BYTES, "float_out": _FLOAT_BYTES, "state": _STATE_BYTES}
    for name, each in sizes.items():
        path = getattr(options, name)
        if path is not None:
            output.check(path, each * weights + _MORE_BYTES)


def _options(options: argparse.Namespace, dataset: Dataset, method: Method) -> PruneOptions:
    base = replace(suited(dataset), int8_epochs=0, seed=options.seed)
    warm = replace(base, epochs=options.warm_epochs or base.epochs)
    train = replace(warm, epochs=options.epochs or warm.epochs, rate=options.rate)
    return PruneOptions(options.method, warm, train, method, options.plan == "lean")


def _say(line: str) -> None:
    print(line, flush=True)


def _stages(
    options: argparse.Namespace,
    architecture: Architecture,
    dataset: Dataset,
    chosen: PruneOptions,
    torch: Any,
    pretrained: str | None,
    device: Device,
) -> Stages:
    """Beside the backbone; they belong to all that decides what training does, of cycles with what
    counts them."""
    known = {
        "architecture": asdict(architecture),
        "dataset": dataset.sha256 or dataset.name,
        "torch": version("torch"),
    }
    choices = known | {
        "options": asdict(chosen),
        "limits": [options.flash, options.ram, options.ms, options.macs],
        "target": options.target,
        "firmware": None if options.ms is None else firmware_sha256(device),
        "pretrained": pretrained,
    }
    # Warm-up is the same for other limits, and with another step size after it.
    warm = known | {"warm": asdict(chosen.warm)}
    stages = Stages(torch, options.state, choices, {"warm": warm} if pretrained is None else {})
    if stages.told:
        _say(stages.told)
    return stages


def _keep(options: argparse.Namespace, architecture: Architecture, parameters: Parameters) -> None:
    if options.keep_float is not None:
        float_file.save(options.keep_float, architecture, parameters, options.dataset)
        output.tell("in float", options.keep_float)


def _report(
    options: argparse.Namespace,
    found: dict[str, Any],
    chosen: PruneOptions,
    stages: Stages,
    dataset: Dataset,
) -> dict[str, Any]:
    return {
        "command": options.command,
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        "arithmetic": "float",
        "method": options.method,
        "plan": options.plan,
        "ram_of": options.ram_method,
        "target": options.target,
        **found,
        "options": {"warm": asdict(chosen.warm), "train": asdict(chosen.train)},
        "history": stages.history,
        "torch": version("torch"),
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }


def _told_epoch(entry: dict[str, Any]) -> str:
    penalty = ""
    if "penalty" in entry:
        penalty = f"  penalty {entry['penalty']:.3f}  open {entry['open']}"
    return (
        f"{entry['stage']:7} epoch {entry['epoch']:2}  loss {entry['loss']:.3f}{penalty}  train "
        f"{entry['train_accuracy']:.4f}  validation {entry['validation_accuracy']:.4f}"
    )
