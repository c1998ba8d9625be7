"""`picotrain bake`: what was learned becomes weights."""

from __future__ import annotations

import argparse

from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_output,
    add_verb,
    check_backbone_name,
    finish,
)
from picotrain.learn import models
from picotrain.learn.architectures.words import layer_in_words
from picotrain.learn.field.bake import bake, sizes, zeros
from picotrain.learn.field.state_file import load_state
from picotrain.output import tell
from picotrain.text import table
from picotrain_golden import Method

_DYNAMIC = (
    "note: niti-dynamic takes its scales from each tensor, the baked network has the static ones "
    "of its backbone: its logits are others; see what it does with `picotrain infer`"
)


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "bake",
        "Put what was learned into the weights: edges that PRIOT's scores prune become 0, NITI's "
        "weights are taken as they are. What comes out is a backbone, with the same logits bit for "
        "bit and no scores.",
        "picotrain bake --backbone mynet.npz --state state.npz --out baked.npz",
    )
    parser.add_argument(
        "--backbone",
        action=NamedFile,
        metavar="FILE",
        required=True,
        help="the network that the state was learned on",
    )
    parser.add_argument(
        "--state",
        action=NamedFile,
        metavar="FILE",
        required=True,
        help="what `picotrain adapt --save` wrote",
    )
    add_output(parser, "--out", "the backbone to write (.npz)", required=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    check_backbone_name(options.out)
    state = load_state(options.state)
    backbone, made = models.load_backbone(options.backbone)
    baked = bake(backbone, state)
    about = {
        "method": state.method.name,
        "network_sha256": state.network_sha256,
        "state_sha256": state.sha256(state.network_of(backbone)),
        "epochs": state.epochs,
    }
    info = {**made, "command": options.command, "baked": about}
    models.save_backbone(options.out, baked, info, scales=models.load_scales(options.backbone))
    before = sizes(baked, state.method, state.size)
    after = sizes(baked, Method("infer"))
    was, now = zeros(backbone), zeros(baked)
    print(f"{baked.name}, {state.method.name}, {state.epochs} epochs")
    rows = [
        [
            str(index),
            layer_in_words(layer),
            f"{layer.weight_count:,}",
            f"{was[index]:,}",
            f"{now[index]:,}",
        ]
        for index, layer in enumerate(baked.layers)
        if layer.has_weights
    ]
    print(table(rows, ["layer", "what", "weights", "0 before", "0 now"]))
    print()
    print(
        table(
            [
                [what, *("" if size is None else f"{size:,}" for size in of.values())]
                for what, of in (
                    (f"with what {state.method.name} learned", before),
                    ("baked", after),
                )
            ],
            ["bytes", "flash", "RAM", "RAM, weights in flash"],
        )
    )
    if state.method.dynamic:
        print(_DYNAMIC)
    tell("wrote", options.out)
    finish(
        options,
        {
            "model": baked.name,
            **about,
            "network_sha256_baked": models.network_sha256(baked),
            "weights": [layer.weight_count for layer in baked.layers],
            "zeros_before": was,
            "zeros": now,
            "bytes_before": before,
            "bytes": after,
            "file": str(options.out),
        },
    )
    return 0
