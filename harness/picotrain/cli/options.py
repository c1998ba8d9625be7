"""Options that several verbs have, and what becomes of them."""

# What the options of one verb need is imported where they are added: a light verb stays light.

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from picotrain.output import write_json

Verbs = Any
"""What `ArgumentParser.add_subparsers` returns; argparse keeps its class to itself."""


def add_verb(verbs: Verbs, name: str, help_: str, example: str) -> argparse.ArgumentParser:
    """The parser of one verb, with an example and `--json`."""
    from picotrain.cli import VERBS

    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=VERBS[name][1], description=help_, epilog=f"example: {example}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def angle_bound(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 180:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 180")
    return value


def seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and 2^32 - 1")
    return value


def add_ram(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram-kib",
        type=positive,
        metavar="N",
        help="arena of golden and host (default: what a Pico has left)",
    )


def add_device(
    parser: argparse.ArgumentParser, default_target: str, default_dataset: str | None = "digits"
) -> None:
    from picotrain.datasets import CHOICES
    from picotrain.device.backends import NAMES as TARGETS

    parser.add_argument(
        "--target", default=default_target, help=f"one of {', '.join(TARGETS)} (%(default)s)"
    )
    add_kernels(parser)
    parser.add_argument("--model", default="tinycnn", help="shipped name or TOML file")
    parser.add_argument("--dataset", default=default_dataset, help=CHOICES)
    parser.add_argument("--backbone", type=Path, metavar="FILE", help="default: the shipped one")
    add_angle(parser)
    parser.add_argument("--seed", type=seed, default=0)
    add_ram(parser)


def add_angle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--angle",
        type=float,
        metavar="DEGREES",
        help="by how much images are turned (default: 30, or 0 for npz: and fsdd-*)",
    )


def add_kernels(parser: argparse.ArgumentParser) -> None:
    from picotrain.device.backends import KERNELS

    known = "; ".join(f"{target}: {', '.join(sets)}" for target, sets in KERNELS.items())
    parser.add_argument("--kernels", metavar="NAME", help=f"{known} (default: the first)")


def add_plan(parser: argparse.ArgumentParser) -> None:
    from picotrain.learn import plans

    parser.add_argument(
        "--plan",
        choices=plans.NAMES,
        default=plans.NAMES[0],
        help="weights in SRAM, or lean: in flash, for infer, priot and priot-s (%(default)s)",
    )


def arena(options: argparse.Namespace) -> int | None:
    return None if options.ram_kib is None else options.ram_kib * 1024


def finish(options: argparse.Namespace, content: Any) -> None:
    if options.json is not None:
        write_json(options.json, content)
