"""`picotrain prune`: a network with fewer channels, within limits."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from picotrain import datasets, output
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_dataset,
    add_output,
    add_seed,
    add_verb,
    check_backbone_name,
    finish,
    positive,
)
from picotrain.datasets import Dataset
from picotrain.device.backends import NAMES as TARGETS
from picotrain.device.backends import open_device
from picotrain.device.given import check_trains, images_for
from picotrain.device.interface import Device
from picotrain.device.room import Roomy
from picotrain.errors import UserError
from picotrain.image.firmware import MODEL_FLASH, pico_arena_bytes
from picotrain.learn import methods, models, plans
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.writer import toml_of
from picotrain.learn.calibration import SAMPLES, calibrate
from picotrain.learn.float_pretrain import one_thread, ready, suited
from picotrain.learn.turning import calibration_angle_of
from picotrain.output import write_text
from picotrain.progress import progress_bar
from picotrain.shrink import float_file
from picotrain.shrink.costs import Cost, Flash, Macs, Ram
from picotrain.shrink.cycles import Milliseconds
from picotrain.shrink.groups import Groups, counts_of, groups_of
from picotrain.shrink.limits import Limit, Limits, check, met
from picotrain.shrink.pruning.prune import METHODS, Pruned, PruneOptions, Pruning
from picotrain.shrink.pruning.stages import Stages
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.shrink.removal import Parameters, told
from picotrain.versions import versions
from picotrain_golden import Method, Network, calibrated

_RATE = 0.05
"""Of what follows warm-up, which has the step size of `pretrain`."""
_MORE_BYTES = 1 << 17


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
    add_dataset(parser)
    parser.add_argument(
        "--flash", type=positive, metavar="N", help="most bytes of the model in flash"
    )
    parser.add_argument(
        "--ram", type=positive, metavar="N", help="most bytes of RAM that method and network take"
    )
    parser.add_argument(
        "--ms", type=_positive_real, metavar="X", help="most milliseconds of an inference"
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
        default=_RATE,
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


def _positive_real(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _complete(options: argparse.Namespace) -> None:
    if options.toml is None and not output.is_standard(options.out):
        options.toml = options.out.with_suffix(".toml")


def run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    architecture = models.resolve(options.model)
    if not architecture.affine:
        raise UserError(
            f"network {architecture.name} is of the power-of-two form, and only affine ones are "
            'pruned; describe it with form = "affine"'
        )
    check_backbone_name(options.out)
    if all(getattr(options, name) is None for name in ("flash", "ram", "ms", "macs")):
        raise UserError("no limit is given; use --flash, --ram, --ms or --macs, or several")
    if options.pretrained is not None and options.warm_epochs is not None:
        raise UserError("--warm-epochs is not an option of a network that is --pretrained; omit it")
    method = Method(options.ram_method)
    plans.check(options.plan, method)
    dataset = datasets.load(options.dataset)
    models.check_fit(architecture, dataset)
    chosen = _options(options, dataset, method)
    torch = ready(dataset, chosen.train)
    output.check(options.out, architecture.weight_count + _MORE_BYTES)
    groups = groups_of(architecture)
    device = open_device(options.target)
    try:
        limits = _limits(options, architecture, groups, device)
        check(limits, architecture.name)
        if options.ms is not None and device.blocks() is None:
            raise UserError(f"target {options.target} counts no cycles for --ms; use qemu")
        if options.ms is None and met(limits, groups.sizes):
            print(f"{architecture.name} meets all limits as it is: no channel is removed")
        with one_thread(torch, architecture):
            stages = _stages(options, architecture, dataset, chosen, torch)
            pruned = _pruned(options, architecture, groups, dataset, limits, chosen, device, stages)
        network, results = _finished(options, dataset, pruned, device)
    finally:
        device.close()
    report = _report(options, groups, limits, pruned, chosen, stages, dataset)
    report |= results | {"seconds": time.monotonic() - started}
    models.save_backbone(options.out, network, report, scales=Scales.of(pruned.quantised))
    comment = f"{architecture.name} without the channels that `picotrain prune` removed."
    if options.toml is not None:
        write_text(options.toml, toml_of(pruned.architecture, comment))
        output.tell("network", options.toml)
    if options.float_out is not None:
        float_file.save(options.float_out, pruned.architecture, pruned.parameters, options.dataset)
        output.tell("in float", options.float_out)
    output.tell("backbone", options.out)
    stages.forget()
    finish(options, report)
    return 0


def _options(options: argparse.Namespace, dataset: Dataset, method: Method) -> PruneOptions:
    base = replace(suited(dataset), int8_epochs=0, seed=options.seed)
    warm = replace(base, epochs=options.warm_epochs or base.epochs)
    train = replace(warm, epochs=options.epochs or warm.epochs, rate=options.rate)
    return PruneOptions(options.method, warm, train, method, options.plan == "lean")


def _limits(
    options: argparse.Namespace, architecture: Architecture, groups: Groups, device: Device
) -> Limits:
    """Those that are given, and what the device has of flash and RAM."""
    room = device.arena_bytes if isinstance(device, Roomy) else pico_arena_bytes()
    lean = options.plan == "lean"
    ram = Ram(architecture, groups, Method(options.ram_method), lean)
    known: list[tuple[Cost, float | None]] = [
        (Flash(architecture, groups), min(options.flash or MODEL_FLASH, MODEL_FLASH)),
        (ram, min(options.ram or room, room)),
        (Macs(architecture, groups), options.macs),
        (Milliseconds(architecture, groups), options.ms),
    ]
    return tuple(Limit(cost, most) for cost, most in known if most is not None)


def _stages(
    options: argparse.Namespace,
    architecture: Architecture,
    dataset: Dataset,
    chosen: PruneOptions,
    torch: Any,
) -> Stages:
    """Beside the backbone; they belong to all that decides what training does."""
    choices = {
        "architecture": asdict(architecture),
        "dataset": dataset.sha256 or dataset.name,
        "options": asdict(chosen),
        "limits": [options.flash, options.ram, options.ms, options.macs],
        "target": options.target,
        "pretrained": None if options.pretrained is None else options.pretrained.read_bytes(),
        "torch": version("torch"),
    }
    standard = output.is_standard(options.out)
    path = None if standard else options.out.with_suffix(".state")
    stages = Stages(torch, path, choices)
    if stages.went_on:
        print(f"goes on from {path}, after {len(stages.history)} epochs")
    return stages


def _pruned(
    options: argparse.Namespace,
    architecture: Architecture,
    groups: Groups,
    dataset: Dataset,
    limits: Limits,
    chosen: PruneOptions,
    device: Device,
    stages: Stages,
) -> Pruned:
    torch = ready(dataset, chosen.train)
    pretrained = None
    if options.pretrained is not None:
        wanted = GatedTraining(architecture, dataset, chosen.warm, torch, groups).parameters()
        pretrained = float_file.load(options.pretrained, architecture, wanted)

    def keep(parameters: Parameters) -> None:
        if options.keep_float is not None:
            float_file.save(options.keep_float, architecture, parameters, options.dataset)
            output.tell("in float", options.keep_float)

    pruning = Pruning(
        architecture,
        groups,
        dataset,
        limits,
        chosen,
        device,
        stages,
        torch,
        lambda entry: print(_told_epoch(entry), flush=True),
        lambda line: print(line, flush=True),
    )
    return pruning.run(pretrained, keep)


def _finished(
    options: argparse.Namespace, dataset: Dataset, pruned: Pruned, device: Device
) -> tuple[Network, dict[str, Any]]:
    """The network, calibrated if it can train, and how often the integers are right."""
    network = pruned.quantised.network
    accuracy = {}
    with open_device("host") as fast:
        fast.load_model(network, frozen=True)
        fast.set_method(Method("infer"))
        for name, split in (("validation", dataset.validation), ("test", dataset.test)):
            with progress_bar(name, len(split)) as advance:
                seen = fast.evaluate(images_for(network, split.images), split.labels, advance)
            accuracy[name] = seen.correct(split.labels) / len(split)
    print(
        f"accuracy   validation {pruned.float_accuracy['pruned']:.4f} in float, "
        f"{accuracy['validation']:.4f} in int8; test {accuracy['test']:.4f} in int8"
    )
    try:
        check_trains(network)
    except UserError as why:
        print(f"not calibrated: {why}")
    else:
        angle = calibration_angle_of(dataset, None)
        histograms = calibrate(network, dataset, SAMPLES, angle, options.seed)
        network = calibrated(network, histograms)
    return network, {
        "validation_accuracy": accuracy["validation"],
        "test_accuracy": accuracy["test"],
    }


def _report(
    options: argparse.Namespace,
    groups: Groups,
    limits: Limits,
    pruned: Pruned,
    chosen: PruneOptions,
    stages: Stages,
    dataset: Dataset,
) -> dict[str, Any]:
    counts = counts_of(pruned.kept)
    measured = {"flash": pruned.taken.flash, "ram": pruned.taken.ram, "ms": pruned.taken.ms}
    table = {}
    for limit in limits:
        name = limit.cost.name
        table[name] = {
            "unit": limit.cost.unit,
            "limit": limit.most,
            "given": getattr(options, name) is not None,
            "whole": limit.cost.value(groups.sizes),
            "planned": limit.cost.value(counts),
            "measured": measured.get(name, limit.cost.value(counts)),
        }
        print(_told_limit(name, table[name]))
    for name, proof in pruned.proofs.items():
        print(
            f"masked == removed, {name}: {proof.differing} of {proof.logits:,} logits of "
            f"{proof.images:,} images differ"
        )
    return {
        "command": options.command,
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        "arithmetic": "float",
        "method": options.method,
        "plan": options.plan,
        "ram_of": options.ram_method,
        "target": options.target,
        "limits": table,
        "groups": told(groups, pruned.kept),
        "proofs": {name: asdict(one) for name, one in pruned.proofs.items()},
        "taken": asdict(pruned.taken),
        "cycle_model_factor": pruned.factor,
        "rounds": pruned.rounds,
        "float_accuracy": pruned.float_accuracy,
        "options": {"warm": asdict(chosen.warm), "train": asdict(chosen.train)},
        "history": stages.history,
        **pruned.quantised.made(),
        "torch": version("torch"),
        "versions": {name: text for name, text in versions().items() if name != "commit"},
    }


def _told_limit(name: str, row: dict[str, Any]) -> str:
    def number(value: float) -> str:
        return f"{value:,.2f}" if name == "ms" else f"{value:,.0f}"

    return (
        f"{name:10} {number(row['measured'])} of {number(row['limit'])} {row['unit']}, "
        f"{number(row['whole'])} before"
    )


def _told_epoch(entry: dict[str, Any]) -> str:
    penalty = ""
    if "penalty" in entry:
        penalty = f"  penalty {entry['penalty']:.3f}  open {entry['open']}"
    return (
        f"{entry['stage']:7} epoch {entry['epoch']:2}  loss {entry['loss']:.3f}{penalty}  train "
        f"{entry['train_accuracy']:.4f}  validation {entry['validation_accuracy']:.4f}"
    )
