"""`picotrain depth-prune`: the first blocks of a network, with a small head behind them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from picotrain import datasets, output
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_dataset,
    add_output,
    add_seed,
    add_verb,
    finish,
    inputs_of,
)
from picotrain.device.backends import NAMES as TARGETS
from picotrain.device.backends import open_device
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.float_pretrain import ready, suited
from picotrain.output import write_text
from picotrain.shrink import float_file
from picotrain.shrink.depth.cell import TAILS, WHOLE, Cell
from picotrain.shrink.depth.cuts import ALL, chosen
from picotrain.shrink.depth.heads import HEADS, attached
from picotrain.shrink.depth.kept import Outcome, Store
from picotrain.shrink.depth.sweep import FLOAT, DepthSweep
from picotrain.shrink.depth.table import LOSS, choice, front, told
from picotrain.shrink.depth.training import EPOCHS, RATE
from picotrain.shrink.groups import groups_of
from picotrain.shrink.pruning.training import GatedTraining
from picotrain.versions import versions

_SUFFIXES = (".npz", ".toml", ".json", ".state")
"""Of a cell's files."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "depth-prune",
        "Cut a trained affine network behind a block, put a small auxiliary network there and "
        "train it (PyTorch); quantise each such network and measure it on a device. A sweep of "
        "cuts: one that was stopped goes on.",
        "picotrain depth-prune --model resnet8 --dataset cifar10 --cuts all --heads dscnn baseline "
        "--out depth",
    )
    parser.add_argument(
        "--model",
        default="resnet8",
        help="shipped name or TOML file of an affine network (default: %(default)s)",
    )
    add_dataset(parser, "cifar10")
    parser.add_argument(
        "--out",
        action=NamedFile,
        metavar="FOLDER",
        required=True,
        help="where each cell's backbone (.npz), description (.toml) and result (.json) go",
    )
    parser.add_argument(
        "--pretrained",
        action=NamedFile,
        metavar="FILE",
        help="the whole network, trained, in floating point, by --keep-float of pretrain or prune "
        f"(default: it is trained first, and kept as {FLOAT}.npz in FOLDER)",
    )
    parser.add_argument(
        "--cuts",
        nargs="+",
        default=[ALL],
        metavar="NAME",
        help="layers that are the last ones to stay: all places behind a block, or of these some "
        f"(default: {ALL})",
    )
    parser.add_argument(
        "--heads",
        nargs="+",
        choices=HEADS,
        default=list(HEADS),
        help="separable convolutions of 32 and 16 channels and a dense layer, or dense layers of "
        f"64 and 32 and one more (default: {' '.join(HEADS)})",
    )
    parser.add_argument(
        "--tails",
        nargs="+",
        choices=TAILS,
        default=[TAILS[0]],
        help="what is before the cut stays as it is, or learns with the head, or learns from first "
        f"weights at random (default: {TAILS[0]})",
    )
    parser.add_argument(
        "--epochs",
        type=positive,
        default=EPOCHS,
        metavar="N",
        help="passes over the training images: two fifths at --rate, a fifth at half of it, two "
        "fifths at a quarter (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=RATE,
        help="first step size, of Adam (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-epochs",
        type=positive,
        metavar="N",
        help="passes that train the whole network first (default: those of `pretrain`)",
    )
    add_output(parser, "--plot", "accuracy over time and bytes, .svg (default: in FOLDER)")
    parser.add_argument(
        "--target",
        default="qemu",
        help=f"what measures: one of {', '.join(TARGETS)} (default: %(default)s)",
    )
    add_seed(parser, 0, "draws first weights, order and shifts")
    parser.set_defaults(run=run, complete=_complete)


def _complete(options: argparse.Namespace) -> None:
    if options.plot is None:
        options.plot = options.out / "pareto.svg"


def run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    architecture = models.resolve(options.model)
    cells = _cells(options, architecture)
    dataset = datasets.load(options.dataset)
    models.check_fit(architecture, dataset)
    base = replace(suited(dataset), int8_epochs=0, seed=options.seed)
    warm = replace(base, epochs=options.warm_epochs or base.epochs)
    train = replace(base, epochs=options.epochs, rate=options.rate, decay=0.0)
    torch = ready(dataset, train)
    training = GatedTraining(architecture, dataset, warm, torch, groups_of(architecture))
    pretrained = float_file.of(options.pretrained, training)
    output.check_folder(options.out)
    with output.alone(options.out), open_device(options.target) as device:
        sweep = DepthSweep(
            architecture,
            dataset,
            warm,
            train,
            Store(options.out, lambda line: print(line, flush=True)),
            device,
            torch,
            lambda entry: print(_told_epoch(entry), flush=True),
            lambda line: print(line, flush=True),
        )
        whole = sweep.whole(pretrained)
        outcomes = sweep.run(cells, whole)
    _shown(options, outcomes, whole.outcome)
    best = choice(outcomes, whole.outcome)
    report = {
        "command": options.command,
        "model": architecture.name,
        "dataset": options.dataset,
        "dataset_sha256": dataset.sha256,
        "target": options.target,
        "options": {"warm": asdict(warm), "train": asdict(train)},
        "whole": whole.outcome,
        "cells": outcomes,
        "front": {
            name: [one["name"] for one in front([whole.outcome, *outcomes], name)]
            for name in ("ms", "flash")
        },
        "chosen": best["name"],
        "versions": {name: text for name, text in versions().items() if name != "commit"},
        "seconds": time.monotonic() - started,
    }
    finish(options, report)
    return 0


def _cells(options: argparse.Namespace, architecture: Architecture) -> list[Cell]:
    """All of them, in the network's order; UserError where one is no network."""
    if not architecture.affine:
        raise UserError(
            f"network {architecture.name} is of the power-of-two form, and only affine ones are "
            'cut; describe it with form = "affine"'
        )
    if options.plot.suffix != ".svg" and not output.is_standard(options.plot):
        raise UserError(f"--plot {options.plot} is no figure by its name; let it end in .svg")
    if options.pretrained is not None and options.warm_epochs is not None:
        raise UserError("--warm-epochs is not an option of a network that is --pretrained; omit it")
    cells = [
        Cell(cut, head, tail)
        for cut in chosen(architecture, options.cuts)
        for head in _once(options.heads)
        for tail in _once(options.tails)
    ]
    for cell in cells:
        attached(architecture, cell.cut, cell.head)
    _check_apart(options, cells)
    return cells


def _check_apart(options: argparse.Namespace, cells: Sequence[Cell]) -> None:
    """Raise UserError where a file in FOLDER is one of those that the options name."""
    store = Store(options.out)
    names = [f"{one}{end}" for one in (WHOLE, *(cell.name for cell in cells)) for end in _SUFFIXES]
    if options.pretrained is None:
        names.append(f"{FLOAT}.npz")
    others = [("--plot", options.plot), ("--json", options.json)]
    given = [(option, path) for option, path in others if path is not None]
    for name in names:
        mine = ("the sweep's file", store.path(name, ""))
        output.check_apart([mine, *given], inputs_of(options))


def _once(words: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _shown(options: argparse.Namespace, outcomes: Sequence[Outcome], whole: Outcome) -> None:
    from picotrain.shrink.depth.pareto import pareto

    print(told(outcomes, whole))
    best = choice(outcomes, whole)
    lost = 100 * (whole["validation"] - best["validation"])
    print(
        f"chosen     {best['name']}, {abs(lost):.2f} points {'below' if lost > 0 else 'above'} the "
        "whole network on validation images"
        + (f"; none is less than {100 * LOSS:g} below" if lost > 100 * LOSS else "")
        + (f"; {best['unfit']}" if best["taken"] is None else "")
    )
    if any(one["taken"] is not None for one in (whole, *outcomes)):
        write_text(options.plot, pareto(outcomes, whole))
        output.tell("figure", options.plot)
    else:
        print(f"no figure: target {options.target} has no room for any of these networks")
    output.tell("backbone", Path(options.out) / f"{best['name']}.npz")


def _told_epoch(entry: dict[str, Any]) -> str:
    return (
        f"{entry['stage']} epoch {entry['epoch']:2}  loss {entry['loss']:.3f}  train "
        f"{entry['train_accuracy']:.4f}  validation {entry['validation_accuracy']:.4f}"
    )
