"""`picotrain info`: what is in a backbone file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.learn import models
from picotrain.learn.pretrain import static_numbers
from picotrain.text import table
from picotrain_golden import Layer, Network


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "info",
        "What is in a backbone: its layers, their calibrated numbers, the exponent of the logits, "
        "and how it was made.",
        "picotrain info models/backbones/tinycnn-mnist.npz",
    )
    parser.add_argument("backbone", type=Path, metavar="FILE", help="a backbone (.npz)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    network, made = models.load_backbone(options.backbone)
    calibrated = models.load_histograms(options.backbone) is not None
    numbers = static_numbers(network)
    print(
        f"{network.name}: images of {_text(network.input_shape)}, {network.classes} classes, "
        f"{sum(layer.weight_count for layer in network.layers):,} weights"
    )
    rows = [
        [
            str(index),
            _what(layer),
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


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _what(layer: Layer) -> str:
    kernel = f" {_text(layer.kernel)}" if layer.kind == "conv2d" else ""
    stride = f" stride {layer.stride}" if layer.kind == "conv2d" and layer.stride > 1 else ""
    relu = ", ReLU" if layer.relu else ""
    return f"{layer.kind}{kernel}{stride} to {_text(layer.out_shape)}{relu}"


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
