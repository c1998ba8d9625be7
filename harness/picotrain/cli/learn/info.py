"""`picotrain info`: what is in a backbone file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.learn import models
from picotrain.learn.affine_file import NUMBERS
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.words import layer_in_words
from picotrain.learn.pretrain import static_numbers
from picotrain.text import table
from picotrain_golden import Method, Network, validate_training


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "info",
        "What is in a backbone: its layers, their calibrated numbers, the exponent of the logits, "
        "and how it was made; or the layers of a network without one.",
        "picotrain info models/backbones/tinycnn-mnist.npz",
    )
    parser.add_argument(
        "backbone",
        type=Path,
        metavar="FILE",
        help="a backbone (.npz), a TOML file, or the name of a shipped network",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.backbone.suffix == ".toml" or str(options.backbone) in models.shipped():
        return _architecture(options, models.resolve(str(options.backbone)))
    network, made = models.load_backbone(options.backbone)
    if network.affine:
        return _affine(options, network, made)
    calibrated = models.load_histograms(options.backbone) is not None
    numbers = static_numbers(network)
    print(
        f"{network.name}: images of {_text(network.input_shape)}, {network.classes} classes, "
        f"{sum(layer.weight_count for layer in network.layers):,} weights"
    )
    rows = [
        [
            str(index),
            layer_in_words(layer),
            f"{layer.weight_count:,}" if layer.has_weights else "",
            *("" if column[index] is None else str(column[index]) for column in numbers.values()),
        ]
        for index, layer in enumerate(network.layers)
    ]
    print(table(rows, ["layer", "what", "weights", *(name.replace("_", " ") for name in numbers)]))
    print(
        f"logits exponent {network.logits_exponent}: a logit of 127 is "
        f"{127 * 2.0**network.logits_exponent:.3g} nats (docs/numerics.md, section 4)"
    )
    print("calibrated, with histograms" if calibrated else "not calibrated")
    print(f"made by    {made.get('command', 'a program that does not say so')}")
    finish(
        options,
        {
            "model": network.name,
            "input_shape": list(network.input_shape),
            "classes": network.classes,
            "layers": _layers(network),
            "static": numbers,
            "logits_exponent": network.logits_exponent,
            "calibrated": calibrated,
            "made": made,
        },
    )
    return 0


def _architecture(options: argparse.Namespace, network: Architecture) -> int:
    """Of a network without weights."""
    form = "affine" if network.affine else "power of two"
    multiplications = sum(layer.macs for layer in network.layers)
    print(
        f"{network.name}: images of {_text(network.input_shape)}, {network.classes} outputs, "
        f"{network.weight_count:,} weights, {multiplications:,} multiplications an image; {form}"
    )
    rows, layers = [], []
    for index, layer in enumerate(network.layers):
        reads = layer.inputs or (index - 1,)
        step = network.steps[index] if network.affine else None
        what = layer_in_words(layer)
        if step is not None and step.activation != "none":
            what += f", {step.activation}"
        weights = f"{layer.weight_count:,}" if layer.has_weights else ""
        named = "" if step is None else step.name
        rows.append([str(index), named, what, _reads(reads), weights, f"{layer.macs:,}"])
        layers.append(
            {
                "kind": layer.kind,
                "name": named,
                "out_shape": list(layer.out_shape),
                "reads": list(reads),
                "weights": layer.weight_count,
                "multiplications": layer.macs,
            }
        )
    print(table(rows, ["layer", "name", "what", "reads", "weights", "multiplications"]))
    finish(
        options,
        {
            "model": network.name,
            "form": form,
            "input_shape": list(network.input_shape),
            "classes": network.classes,
            "layers": layers,
        },
    )
    return 0


def _reads(reads: tuple[int, ...]) -> str:
    return ", ".join("input" if number < 0 else str(number) for number in reads)


def _affine(options: argparse.Namespace, network: Network, made: dict[str, Any]) -> int:
    """Of a network that was imported."""
    print(
        f"{network.name}: images of {_text(network.input_shape)}, {network.classes} outputs, "
        f"{sum(layer.weight_count for layer in network.layers):,} weights; affine"
    )
    numbers = {
        name: [None if held is None else getattr(held, name) for held in network.parameters]
        for name in NUMBERS
    }
    mantissa, exponent = network.logits_scale
    step = mantissa * 2.0 ** (exponent - 15)
    layers = []
    rows = []
    for index, (layer, affine) in enumerate(zip(network.layers, network.affine, strict=True)):
        reads = network.reads(index)
        weights = f"{layer.weight_count:,}" if layer.has_weights else ""
        zeros = [*affine.zero_in, affine.zero_out]
        rows.append(
            [
                *(
                    str(index),
                    layer_in_words(layer),
                    _reads(reads),
                ),
                *(weights, ", ".join(map(str, zeros)), f"{affine.low}..{affine.high}"),
                *("" if one[index] is None else str(one[index]) for one in numbers.values()),
            ]
        )
        layers.append(
            {
                "kind": layer.kind,
                "out_shape": list(layer.out_shape),
                "weights": layer.weight_count,
                "reads": list(reads),
                "kernel": list(layer.kernel),
                "stride": list(layer.stride),
                "padding": list(layer.padding),
                "zero_in": list(affine.zero_in),
                "zero_out": affine.zero_out,
                "bounds": [affine.low, affine.high],
            }
        )
    for end in ("input", "output"):
        if isinstance(read := made.get(end), dict) and read.keys() >= {"scale", "zero"}:
            print(f"{end:10} int8, scale {read['scale']:.9g}, zero point {read['zero']}")
    heads = ["layer", "what", "reads", "weights", "zero points", "bounds"]
    print(table(rows, [*heads, *(name.replace("_", " ") for name in numbers)]))
    print(
        f"logits exponent {exponent}: a step is {step:.3g} nats, 255 are {255 * step:.3g} "
        "(docs/numerics.md, section 15)"
    )
    print("calibrated" if network.calibrated else "not calibrated: adapt does that first")
    untrained = _untrained(network)
    if untrained:
        print(f"no method trains it: {untrained}")
    print(f"made by    {made.get('command', 'a program that does not say so')}")
    finish(
        options,
        {
            "model": network.name,
            "form": "affine",
            "input_shape": list(network.input_shape),
            "classes": network.classes,
            "layers": layers,
            "static": numbers,
            "logits_exponent": exponent,
            "logits_scale": step,
            "calibrated": network.calibrated,
            "untrained": untrained,
            "made": made,
        },
    )
    return 0


def _untrained(network: Network) -> str:
    """Why no method trains it; empty if one does."""
    try:
        validate_training(network, Method("priot"))
    except ValueError as error:
        return str(error)
    return ""


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _layers(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "kind": layer.kind,
            "out_shape": list(layer.out_shape),
            "weights": layer.weight_count,
            "relu": layer.relu,
        }
        for layer in network.layers
    ]
