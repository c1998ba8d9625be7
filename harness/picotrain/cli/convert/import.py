"""`picotrain import`: an int8 .tflite file becomes a backbone."""

from __future__ import annotations

import argparse
from pathlib import Path

from picotrain import output
from picotrain.cli.options import NamedFile, Verbs, add_output, add_verb, finish
from picotrain.convert.importer import import_model
from picotrain.convert.model import read
from picotrain.errors import UserError
from picotrain.learn.models import save_backbone
from picotrain.text import is_name
from picotrain_golden import Method, plan


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "import",
        "Make a backbone of an int8 .tflite file as it is: the network then computes every tensor "
        "with the bits of TensorFlow Lite for Microcontrollers.",
        "picotrain import model.tflite --out model.npz",
    )
    parser.add_argument("file", action=NamedFile, metavar="FILE", help="an int8 model (.tflite)")
    add_output(parser, "--out", "the backbone to write (.npz)", required=True)
    parser.add_argument("--name", help="of the network (default: the file's, as far as it may)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.name is not None and not is_name(options.name):
        raise UserError(f"--name is {options.name!r}; use 1 to 32 letters, digits, '-' and '_'")
    out: Path = options.out
    if out.suffix != ".npz" and not output.is_standard(out):
        raise UserError(f"--out {out} is no backbone by its name; let it end in .npz")
    imported = import_model(read(options.file), options.name)
    info = {"command": options.command, **imported.made()}
    save_backbone(out, imported.network, info, scales=imported.scales)
    network = imported.network
    planned = plan(network, Method("infer"), 0)
    weights = sum(layer.weight_count for layer in network.layers)
    print(
        f"{network.name}: {len(network.layers)} layers, {weights:,} weights, "
        f"{network.classes} outputs, {planned.transient:,} bytes for its tensors"
    )
    if imported.absorbed:
        print(f"absorbed   {', '.join(one.title for one in imported.absorbed)}")
    if imported.note:
        print(f"note       {imported.note}")
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
            "note": imported.note,
            **imported.made(),
        },
    )
    return 0
