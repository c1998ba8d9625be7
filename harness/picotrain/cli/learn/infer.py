"""`picotrain infer`: what a network does with images, class by class."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from picotrain import datasets
from picotrain.cli.material import backbone
from picotrain.cli.options import NamedFile, Verbs, add_device, add_plan, add_verb, arena, finish
from picotrain.datasets import Dataset, Split, rotate, sample
from picotrain.device.backends import choose_kernels, open_device
from picotrain.device.room import check_room
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.learn import methods, models, plans
from picotrain.learn.adapt import SAMPLES, TEST_STREAM
from picotrain.learn.field.infer import Inference, infer
from picotrain.learn.field.state_file import load_state
from picotrain.learn.turning import angle_of, in_words
from picotrain.text import ram_line, table
from picotrain_golden import Method

_MOST_COLUMNS = 20
"""Classes of a confusion matrix that people read; of more, the mistakes made most often."""
_MISTAKES = 10


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "infer",
        "Let a device predict the images of a data set, by a backbone, by one with what it has "
        "learned, or by a baked one: accuracy, each class, what is taken for what, and cycles.",
        "picotrain infer --target qemu --dataset digits --state state.npz --images 200",
    )
    add_device(parser, default_target="host")
    parser.add_argument(
        "--state",
        action=NamedFile,
        metavar="FILE",
        help="what `picotrain adapt --save` wrote, of that backbone (default: the backbone alone)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="train, validation or test, or device-... of those where the data set has them "
        "(default: device-test, or else test)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        metavar="N",
        help=f"how many, drawn by --seed (default: {SAMPLES}, or all there are)",
    )
    add_plan(parser)
    methods.add_fused(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    state = None if options.state is None else load_state(options.state)
    method = Method("infer") if state is None else state.method
    if options.fused:
        method = replace(method, fused=True)
    plans.check(options.plan, method)
    choose_kernels(options.target, options.kernels)
    dataset = datasets.load(options.dataset)
    network = backbone(options, dataset)
    models.check_fit(network, dataset)
    if state is not None:
        network = state.network_of(network)
        state = replace(state, method=method)
    plans.check_fused(network, method)
    name, split, angle = _images(options, dataset)
    frozen = options.plan == "lean"
    with open_device(options.target, arena(options), options.kernels) as device:
        check_room(device, network, method, frozen)
        learned = "" if state is None else f", {method.name} of {state.source}"
        print(
            f"{network.name}{learned} on {options.target}: {len(split)} {name} images of "
            f"{options.dataset} {in_words(angle)}{plans.told_fused(network, method)}"
        )
        done = infer(device, network, split, state, frozen, method.fused)
        kernels = device.kernels
    print(_for_people(done))
    finish(
        options,
        {
            "target": options.target,
            "kernels": kernels,
            "model": network.name,
            "backbone": "" if options.backbone is None else str(options.backbone),
            "network_sha256": models.network_sha256(network),
            "method": method.name,
            "state": "" if options.state is None else str(options.state),
            "state_sha256": "" if state is None else state.sha256(network),
            "plan": options.plan,
            "fused": method.fused,
            "dataset": dataset.name,
            "split": name,
            "angle": angle,
            "seed": options.seed,
            **_for_programs(done),
        },
    )
    return 0


def _images(options: argparse.Namespace, dataset: Dataset) -> tuple[str, Split, float]:
    """The split's name, its images, and by how much they are turned; drawn as `adapt` does."""
    own = "device-test" in dataset.splits
    name = options.split or ("device-test" if own else "test")
    if name not in dataset.splits:
        raise UserError(
            f"data set {options.dataset} has no split {name!r}; use one of "
            f"{', '.join(dataset.splits)}"
        )
    angle = angle_of(dataset, options.angle)
    split = dataset.splits[name]
    count = min(SAMPLES, len(split)) if options.images is None else options.images
    drawn = sample(split, count, options.seed, TEST_STREAM)
    return name, Split(rotate(drawn.images, angle), drawn.labels), angle


def _for_people(done: Inference) -> str:
    right = int((done.predictions == done.labels).sum())
    lines = [f"accuracy   {done.accuracy:.4f}, {right} of {len(done.labels)}"]
    counts = done.confusion
    rows = []
    for one in done.by_class():
        share = "" if one["accuracy"] is None else f"{one['accuracy']:.4f}"
        row = [str(one["class"]), f"{one['images']:,}", f"{one['correct']:,}", share]
        if done.classes <= _MOST_COLUMNS:
            # What is not there is easier to see left out.
            row += [f"{count:,}" if count else "" for count in counts[one["class"]]]
        rows.append(row)
    header = ["class", "images", "right", "accuracy"]
    if done.classes <= _MOST_COLUMNS:
        header += [f"as {number}" for number in range(done.classes)]
        lines.append(table(rows, header))
    else:
        lines.append(table([row for row in rows if row[1] != "0"], header))
        mistakes = [
            (int(counts[one, other]), int(one), int(other))
            for one, other in zip(*counts.nonzero(), strict=True)
            if one != other
        ]
        found = sorted(mistakes, key=lambda each: (-each[0], each[1:]))[:_MISTAKES]
        lines += [f"{count:,} of class {one} taken for {other}" for count, one, other in found]
    if done.cycles_per_image is not None:
        lines.append(
            f"inference  {done.cycles_per_image:,.0f} cycles, {done.ms_per_image_125mhz:.1f} ms an "
            f"image ({done.cycles_by} at 125 MHz)"
        )
    lines.append(ram_line(done.ram_bytes, done.model_in_flash))
    return "\n".join(lines)


def _for_programs(done: Inference) -> dict[str, Any]:
    return {
        "images": len(done.labels),
        "accuracy": done.accuracy,
        "classes": done.by_class(),
        "confusion": done.confusion.tolist(),
        "predictions": done.predictions.tolist(),
        "labels": done.labels.tolist(),
        "cycles_per_image": done.cycles_per_image,
        "cycles_by": done.cycles_by if done.cycles_per_image is not None else "",
        "ms_per_image_125mhz": done.ms_per_image_125mhz,
        "ram_bytes": done.ram_bytes,
        "model_in_flash": done.model_in_flash,
    }
