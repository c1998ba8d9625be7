"""`picotrain fit`: what a network costs before anything runs, and whether a Pico holds it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from picotrain import datasets
from picotrain.cli.material import noise
from picotrain.cli.options import Verbs, add_seed, add_verb, finish
from picotrain.datasets import Split
from picotrain.device.given import images_for
from picotrain.device.meter import CLOCK_HZ
from picotrain.errors import UserError
from picotrain.image.firmware import MODEL_FLASH, layout, pico_arena_bytes
from picotrain.inputs import positive, positive_number
from picotrain.learn import methods, models, plans
from picotrain.learn.architectures.words import layer_in_words
from picotrain.profile.fit import verdict as verdicts
from picotrain.profile.fit.model import load
from picotrain.profile.fit.prepare import calibrated
from picotrain.profile.fit.verdict import Limits, Verdict, milliseconds
from picotrain.text import table
from picotrain_golden import Method, Network, fused

METHODS = ("infer", "niti-dynamic", "niti-static", "priot", "priot-s")

_NOISE_NOTE = (
    "noise has fewer zeros than images, and costs more: a backbone (.npz) with --dataset is "
    "predicted better"
)
_FUSED_NOTE = (
    "fused: RAM is that of convolution and pool as one operation, to the byte; cycles and "
    "milliseconds are those of the two apart, which the cost model was fitted to (docs/fit.md)"
)


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "fit",
        "Flash, RAM and cycles of a network, of inference and of each training method, before any "
        "training; and whether a Pico holds it beside the firmware `rp2040`. Status 1 where it "
        "does not.",
        "picotrain fit resnet8 --method priot-s --ms 2000",
    )
    parser.add_argument(
        "network",
        type=Path,
        metavar="MODEL",
        help="a shipped name, a TOML file, or a backbone (.npz)",
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        help=f"judge by this one of {', '.join(METHODS)} (default: show all, judge by infer)",
    )
    parser.add_argument(
        "--dataset",
        help=f"{datasets.CHOICES}: its images decide what is 0 (default: noise)",
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=2,
        metavar="N",
        help="how many are looked at (default: %(default)s)",
    )
    parser.add_argument(
        "--ms",
        type=positive_number,
        metavar="MS",
        help="most of an inference, or of a step of --method",
    )
    parser.add_argument(
        "--ram",
        type=positive,
        metavar="BYTES",
        help="most beside the firmware (default: what image rp2040 leaves of a Pico's)",
    )
    parser.add_argument(
        "--flash",
        type=positive,
        metavar="BYTES",
        help="most of the model, by either plan (default: a Pico's, of plan lean)",
    )
    methods.add_fused(parser)
    add_seed(parser, Method.seed, "draws weights and images where there are none")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.method is not None and options.method not in METHODS:
        raise UserError(f"method {options.method!r} is none of {', '.join(METHODS)}")
    asked = METHODS if options.method is None else tuple(dict.fromkeys(("infer", options.method)))
    network, images, shown = _material(options)
    made = [methods.make(name, fused=options.fused) for name in asked]
    plans.check_fused(network, *(made if options.method is None else made[-1:]))
    elf, arena, model = layout(), pico_arena_bytes(), load()
    judged = options.method or "infer"
    limits = Limits(options.ms, options.ram, options.flash)
    found = []
    for method in made:
        # The time is that of what is judged; the room is for all.
        by = limits if method.name == judged else replace(limits, ms=None)
        found.append(verdicts.judge(model, network, method, images, elf, arena, by))
    print(f"{network.name}: {_size(network)}; activity of {shown}")
    print(_layers(network, found))
    print("\n" + _methods(found, None if options.ms is None else judged))
    print(_limits(limits, judged, arena))
    if options.dataset is None:
        print(_NOISE_NOTE)
    if options.fused:
        print(_FUSED_NOTE)
    last = next(one for one in found if one.method.name == judged)
    for one in found:
        if one.because:
            print(f"{one.method.name} does not fit, because {one.because}")
    untimed = "" if options.ms is None else f"; --ms judged {judged} alone"
    print(verdicts.helps(network, found) + untimed)
    finish(options, _content(options, network, found, arena, shown))
    return 0 if last.fits else 1


def _material(options: argparse.Namespace) -> tuple[Network, Split, str]:
    """The network, as it can run, and images for it, with words for them."""
    if options.network.suffix.lower() == ".npz":
        network, _ = models.load_backbone(options.network)
    else:
        network = models.initial_network(models.resolve(str(options.network)), options.seed)
    if options.dataset is None:
        shown = f"{options.images} images of noise"
        split = noise(network, options.seed, options.images)
    else:
        data = datasets.load(options.dataset)
        models.check_fit(network, data)
        drawn = datasets.rotated_sample(data.train, options.images, options.seed, data.angle)
        split = Split(images_for(network, drawn.images), drawn.labels)
        shown = f"{len(split)} images of {options.dataset}"
    return calibrated(network, split), split, shown


def _size(network: Network) -> str:
    weights = sum(layer.weight_count for layer in network.layers)
    macs = sum(layer.macs for layer in network.layers if layer.has_weights)
    return f"{len(network.layers)} layers, {weights:,} weights, {macs:,} MACs"


def _layers(network: Network, found: list[Verdict]) -> str:
    """Cycles of each layer: forward, and all that is backward, by method."""
    shown = [one for one in found if one.step is not None]
    rows = []
    for index, layer in enumerate(network.layers):
        row = [str(index), layer_in_words(layer)]
        for one in shown:
            assert one.step is not None
            phases = ("error", "update") if one.method.trains else ("forward",)
            spent = sum(
                operation.cycles
                for operation in one.step.operations
                if operation.layer == index and operation.phase in phases
            )
            row.append(f"{spent:,.0f}")
            if not one.method.trains:
                row.append(f"{milliseconds(spent):.2f}")
        rows.append(row)
    header = ["layer", "what", "cycles", "ms"]
    header += [f"{one.method.name} backward" for one in shown if one.method.trains]
    return table(rows, header)


def _limits(limits: Limits, judged: str, arena: int) -> str:
    """What a Pico has, and what was given."""
    given = {
        "--ram": None if limits.ram is None else f"{limits.ram:,}",
        "--flash": None if limits.flash is None else f"{limits.flash:,}",
        "--ms": None if limits.ms is None else f"{limits.ms:.9g} for {judged}",
    }
    told = ", ".join(f"{option} {value}" for option, value in given.items() if value is not None)
    return (
        f"RAM beside the firmware {arena:,} bytes (a Pico's image rp2040), flash for a model "
        f"{MODEL_FLASH:,}{'; within ' * bool(told)}{told}"
    )


def _methods(found: list[Verdict], timed: str | None) -> str:
    """`timed`: the only method whose time was judged, where any was."""
    rows = []
    for one in found:
        rams = {room.plan: room for room in one.rooms}
        cells = [f"{rams[name].ram:,}" if name in rams else "" for name in ("fast", "lean")]
        cells.append(f"{rams['lean'].flash:,}" if "lean" in rams else "")
        if one.step is None or one.most is None:
            cells += ["", "", ""]
        else:
            spent = milliseconds(one.step.total)
            cells += [
                f"{one.step.total:,.0f}",
                f"{spent:.1f}",
                f"{milliseconds(one.most.total):.1f}",
            ]
        fits = f"fits, plan {one.room.plan}" if one.fits and one.room else "does not fit"
        if one.fits and timed not in (None, one.method.name):
            fits += ", time not judged"
        rows.append([one.method.name, *cells, fits])
    header = ["method", "RAM, fast", "RAM, lean", "flash, lean", "cycles", "ms", "at most ms", ""]
    return table(rows, header)


def _content(
    options: argparse.Namespace, network: Network, found: list[Verdict], arena: int, shown: str
) -> dict[str, Any]:
    return {
        "unit": "cycles",
        "model": network.name,
        "clock_hz": CLOCK_HZ,
        "activity": shown,
        "cycles_of": "convolution and pool apart",
        "arena": arena,
        "model_flash": MODEL_FLASH,
        "limits": {"ms": options.ms, "ram": options.ram, "flash": options.flash},
        "methods": [
            {
                "method": one.method.name,
                "fused": any(fused(network, one.method)),
                "fits": one.fits,
                "because": one.because,
                "rooms": [asdict(room) for room in one.rooms],
                "cycles": None if one.step is None else one.step.total,
                "most_cycles": None if one.most is None else one.most.total,
                "around": None if one.step is None else one.step.around,
                "operations": [] if one.step is None else [asdict(i) for i in one.step.operations],
            }
            for one in found
        ],
    }
