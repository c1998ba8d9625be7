"""`picotrain bench`: cycles of every kernel alone, by set of kernels."""

from __future__ import annotations

import argparse
from typing import Any

from picotrain import datasets
from picotrain.cli.material import backbone, check_backbone
from picotrain.cli.options import (
    Verbs,
    add_angle,
    add_backbone,
    add_dataset,
    add_model,
    add_seed,
    add_verb,
    finish,
)
from picotrain.device.backends import KERNELS, choose_kernels, open_device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.versions import versions_of
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions
from picotrain.learn.turning import angle_of, in_words
from picotrain.profile.bench import Bench
from picotrain.profile.bench_cases import WARM_UP, Measurement, measurements
from picotrain.text import table

_TARGET = "qemu"
_ORDER = ("portable", "tuned", "dense")
_RATIOS = (("portable", "tuned"), ("dense", "tuned"))


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "bench",
        "Cycles of every kernel alone, on operands of real training steps, by set of kernels.",
        "picotrain bench --kernels portable,tuned --match CONV2D",
    )
    add_model(parser)
    add_dataset(parser)
    add_backbone(parser)
    add_angle(parser)
    add_seed(parser, AdaptOptions.seed, "draws the images")
    parser.add_argument(
        "--steps",
        type=positive,
        default=4,
        metavar="N",
        help="training steps (default: %(default)s)",
    )
    parser.add_argument(
        "--kernels",
        default=",".join(_ORDER),
        metavar="NAME[,NAME...]",
        help=f"of {', '.join(KERNELS[_TARGET])} (default: %(default)s)",
    )
    parser.add_argument(
        "--match", default="", metavar="TEXT", help="only lines that hold it (default: all)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    chosen = [choose_kernels(_TARGET, name) or "" for name in options.kernels.split(",")]
    check_backbone(options)
    dataset = datasets.load(options.dataset)
    network = backbone(options, dataset)
    if network.affine:
        raise UserError(
            f"network {network.name} is affine, and the bench runs kernels of the power-of-two "
            "form; use `picotrain profile`, which counts the cycles of every layer"
        )
    models.check_fit(network, dataset)
    # Most images have a loss error at first; three times as many as needed are enough.
    count = WARM_UP + 3 * options.steps + 32
    options.angle = angle_of(dataset, options.angle)
    images = datasets.rotated_sample(dataset.train, count, options.seed, options.angle)
    found = [
        one
        for one in measurements(network, images, options.steps)
        if options.match.lower() in f"{one.kernel} {one.what} {one.method}".lower()
    ]
    if not found:
        raise UserError(f"no line of the bench holds {options.match!r}; leave --match out")
    cycles = {name: _measure(name, found) for name in chosen}
    rows = [
        _row(one, {name: cycles[name][number] for name in chosen})
        for number, one in enumerate(found)
    ]
    print(
        f"{network.name}, {options.steps} training steps on {options.dataset} "
        f"{in_words(options.angle)}; Cortex-M0+ cycles, zero wait states"
    )
    print(_text(rows, chosen))
    finish(
        options,
        {
            "unit": "Cortex-M0+ cycles, zero wait states",
            "model": network.name,
            "dataset": options.dataset,
            "angle": options.angle,
            "seed": options.seed,
            "steps": options.steps,
            "kernels": chosen,
            "rows": rows,
            "versions": versions_of(_TARGET, KERNELS[_TARGET][chosen[0]]),
        },
    )
    return 0


def _measure(kernels: str, found: list[Measurement]) -> list[float]:
    """Cycles of one sample of each measurement."""
    device = open_device(_TARGET, kernels=kernels)
    try:
        assert isinstance(device, MailboxDevice)
        bench = Bench(device)
        return [sum(bench.cycles(job) for job in one.jobs) / one.samples for one in found]
    finally:
        device.close()


def _row(one: Measurement, cycles: dict[str, float]) -> dict[str, Any]:
    ratios = {
        f"{above}/{below}": round(cycles[above] / cycles[below], 3)
        for above, below in _RATIOS
        if above in cycles and below in cycles
    }
    return {
        "kernel": one.kernel,
        "what": one.what,
        "method": one.method,
        "unit": one.unit,
        "units": one.units,
        "cycles": cycles,
        "cycles_per_unit": {name: round(spent / one.units, 4) for name, spent in cycles.items()},
        "ratios": ratios,
    }


def _text(rows: list[dict[str, Any]], chosen: list[str]) -> str:
    ratios = list(rows[0]["ratios"])
    lines = [
        [
            row["kernel"].lower(),
            row["what"],
            row["method"],
            f"{row['units']:,}",
            row["unit"],
            *(f"{row['cycles_per_unit'][name]:.2f}" for name in chosen),
            *(f"{row['ratios'][name]:.2f}" for name in ratios),
        ]
        for row in rows
    ]
    header = ["kernel", "layer", "method", "units", "unit", *chosen, *ratios]
    return table(lines, header)
