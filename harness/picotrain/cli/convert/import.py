"""`picotrain import`: an int8 .tflite file, or an .onnx file, becomes a backbone."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_output,
    add_verb,
    check_backbone_name,
    finish,
)
from picotrain.convert.importer import import_model
from picotrain.convert.model import SUFFIX as TFLITE
from picotrain.convert.model import read
from picotrain.convert.onnx import file as onnx_file
from picotrain.convert.onnx.images import read_images, tried, with_scale
from picotrain.convert.onnx.importer import import_floats
from picotrain.errors import UserError
from picotrain.learn.affine_file import Scales
from picotrain.learn.models import save_backbone
from picotrain.progress import progress_bar
from picotrain.quantise.quantise import DEFAULT, quantise
from picotrain.quantise.ranges import METHODS
from picotrain.text import is_name
from picotrain_golden import Method, Network, plan

_FEW = 16
"""Images that calibrate: fewer cost networks for the digits up to 4.5 points of 94 %, 16 none."""


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "import",
        "Make a backbone of an int8 .tflite file as it is, with the bits of TensorFlow Lite for "
        "Microcontrollers; or of an .onnx file, as PyTorch exports it, which is quantised to int8.",
        "picotrain import model.onnx --calibration images.npz --out model.npz",
    )
    parser.add_argument(
        "file", action=NamedFile, metavar="FILE", help="an int8 .tflite model, or an .onnx model"
    )
    add_output(parser, "--out", "the backbone to write (.npz)", required=True)
    parser.add_argument("--name", help="of the network (default: the file's, as far as it may)")
    parser.add_argument(
        "--calibration",
        action=NamedFile,
        metavar="FILE",
        help="of an .onnx model: a .npz file with some hundred images x, uint8 pixels or float as "
        "the network takes them, and, to see the accuracy, labels y, or x_test and y_test",
    )
    parser.add_argument(
        "--ranges",
        choices=METHODS,
        help=f"of an .onnx model: how scales follow from what tensors hold (default: {DEFAULT})",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.name is not None and not is_name(options.name):
        raise UserError(f"--name is {options.name!r}; use 1 to 32 letters, digits, '-' and '_'")
    out: Path = options.out
    check_backbone_name(out)
    ending = options.file.suffix.lower()
    if ending not in (TFLITE, onnx_file.SUFFIX, ".npz"):
        raise UserError(
            f"{options.file} has not the ending {TFLITE} or {onnx_file.SUFFIX}; give an int8 "
            "TFLite file, or one that torch.onnx.export wrote"
        )
    of_onnx = ending == onnx_file.SUFFIX
    network, scales, lines, note, made = (_onnx if of_onnx else _tflite)(options)
    save_backbone(out, network, {"command": options.command, **made}, scales=scales)
    planned = plan(network, Method("infer"), 0)
    weights = sum(layer.weight_count for layer in network.layers)
    print(
        f"{network.name}: {len(network.layers)} layers, {weights:,} weights, "
        f"{network.classes} outputs, {planned.transient:,} bytes for its tensors"
    )
    for line in lines:
        print(line)
    if note:
        print(f"note       {note}")
    print(f"wrote      {out}")
    finish(
        options,
        {
            "model": network.name,
            "layers": len(network.layers),
            "weights": weights,
            "outputs": network.classes,
            "transient": planned.transient,
            "backbone": str(out),
            "note": note,
            **made,
        },
    )
    return 0


Made = tuple[Network, Scales, list[str], str, dict[str, Any]]
"""The network, its scales, what is said of it, a note, and what the backbone keeps."""


def _tflite(options: argparse.Namespace) -> Made:
    for option, value in (("--calibration", options.calibration), ("--ranges", options.ranges)):
        if value is not None:
            raise UserError(
                f"{option} is for .onnx files; a .tflite file has its scales: leave it out"
            )
    imported = import_model(read(options.file), options.name)
    lines = []
    if imported.absorbed:
        lines.append(f"absorbed   {', '.join(one.title for one in imported.absorbed)}")
    return imported.network, imported.scales, lines, imported.note, imported.made()


def _onnx(options: argparse.Namespace) -> Made:
    floats = import_floats(onnx_file.read(options.file), options.name)
    graph, images = floats.graph, None
    if options.calibration is not None:
        images = read_images(options.calibration, floats)
        graph = with_scale(graph, images)
    elif any(scale is None for scale in graph.needed()):
        raise UserError(
            f"{options.file} has no scales for all of its tensors: give representative images "
            "with --calibration FILE.npz"
        )
    method = options.ranges or DEFAULT
    calibrating = None if images is None else images.calibrating
    count = 0 if calibrating is None else 2 * len(calibrating)
    with progress_bar(f"calibrate {graph.name}", count, "image") as advance:
        found = quantise(graph, calibrating, method, advance)
    made = {**floats.made(), **found.made()}
    lines, notes = [], [found.note] if found.note else []
    if floats.absorbed:
        listed = (f"{count} {kind}" for kind, count in floats.absorbed.items())
        lines.append(f"absorbed   {', '.join(listed)}")
    scale, zero = found.input.scale, found.input.zero
    lines.append(f"input      real = {scale:.9g} * (int8 {'+' if zero < 0 else '-'} {abs(zero)})")
    if images is not None:
        if len(images.calibrating) < _FEW:
            notes.append(f"only {len(images.calibrating)} images calibrate; give some hundred")
        made["calibration"] = {
            "file": options.calibration.name,
            "images": len(images.calibrating),
            "ranges": method,
        }
        with progress_bar(f"try {graph.name}", len(images.trying), "image") as advance:
            trial = tried(graph, found, images, advance)
        made["trial"] = asdict(trial)
        lines.append(f"int8       {trial}")
        if images.labels is not None:
            before, after = trial.accuracy_float, trial.accuracy_int8
            lines.append(f"accuracy   {before:.4f} in float, {after:.4f} in int8")
    return found.network, Scales.of(found), lines, "; ".join(notes), made
