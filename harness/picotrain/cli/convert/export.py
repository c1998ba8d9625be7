"""`picotrain export`: a backbone for elsewhere."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from picotrain.cli.options import NamedFile, Verbs, add_output, add_verb, finish
from picotrain.convert.export.header import header
from picotrain.convert.export.tflite_file import tflite_file
from picotrain.device.blob import encode
from picotrain.errors import UserError
from picotrain.image.firmware import layout
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures.words import layer_in_words
from picotrain.learn.models import load_backbone, load_scales
from picotrain.output import tell, write_bytes
from picotrain_golden import Network

_Write = Callable[[Network, Scales | None], bytes]


def _blob(network: Network, scales: Scales | None) -> bytes:
    return encode(network, layout())


def _header(network: Network, scales: Scales | None) -> bytes:
    lines = [f"{index}: {layer_in_words(layer)}" for index, layer in enumerate(network.layers)]
    return header(network, _blob(network, scales), lines).encode("ascii")


FORMATS: dict[str, tuple[tuple[str, ...], _Write]] = {
    "blob": ((".blob", ".bin"), _blob),
    "h": ((".h",), _header),
    "tflite": ((".tflite",), tflite_file),
}
"""Name: the endings that stand for it, and its bytes."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "export",
        "Write a backbone for elsewhere: as the blob that devices take (.blob, .bin), as a C "
        "header that holds it (.h), or an affine one as an int8 TFLite file (.tflite), which "
        "TensorFlow Lite for Microcontrollers computes with the same bits.",
        "picotrain export models/backbones/tinycnn-mnist.npz --out tinycnn.h",
    )
    parser.add_argument("file", action=NamedFile, metavar="BACKBONE", help="a backbone (.npz)")
    add_output(parser, "--out", "the file to write", required=True)
    parser.add_argument(
        "--format", choices=tuple(FORMATS), help="its format (default: what the file's ending says)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    name = _format(options.out, options.format)
    network, _ = load_backbone(options.file)
    content = FORMATS[name][1](network, load_scales(options.file))
    write_bytes(options.out, content)
    print(
        f"{network.name}: {len(network.layers)} layers, "
        f"{sum(layer.weight_count for layer in network.layers):,} weights, "
        f"{len(content):,} bytes of format {name}"
    )
    tell("wrote", options.out)
    finish(
        options,
        {
            "model": network.name,
            "format": name,
            "bytes": len(content),
            "file": str(options.out),
        },
    )
    return 0


def _format(out: Path, asked: str | None) -> str:
    """UserError where ending and `--format` say two things, or nothing is said."""
    if out.suffix.lower() == ".onnx":
        raise UserError(
            f"{out}: there is no export to ONNX, whose runtimes round otherwise than the device; "
            "use .tflite"
        )
    for name, (endings, _) in FORMATS.items():
        if out.suffix.lower() in endings:
            if asked in (None, name):
                return name
            raise UserError(
                f"--out {out} ends as format {name} does, but --format is {asked}; leave --format "
                f"out, or let the name end in {' or '.join(FORMATS[asked][0])}"
            )
    if asked is not None:
        return asked
    known = ", ".join(ending for endings, _ in FORMATS.values() for ending in endings)
    raise UserError(f"--out {out} has none of the endings {known}; use one, or give --format")
