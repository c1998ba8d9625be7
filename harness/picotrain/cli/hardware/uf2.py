"""`picotrain uf2`: the firmware as the file that the Pico's USB drive takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_output,
    add_verb,
    finish,
)
from picotrain.image import firmware, uf2
from picotrain.output import is_standard, write_bytes
from picotrain.places import IN_CHECKOUT, SHIPPED

_OUT = firmware.RP2040.with_suffix(".uf2") if IN_CHECKOUT else Path("picotrain.uf2")
"""Of the firmware that comes with picotrain: an installed one is not written to."""
_SHOWN = _OUT.relative_to(SHIPPED) if IN_CHECKOUT else _OUT


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "uf2",
        "Make the UF2 file that a Pico's USB drive takes, from an ELF file or a .bin.",
        "picotrain uf2 --out picotrain.uf2",
    )
    parser.add_argument(
        "--elf",
        action=NamedFile,
        metavar="FILE",
        help="firmware, or a .bin (default: that which comes with picotrain)",
    )
    add_output(parser, "--out", f"the UF2 file (default: beside --elf, or {_SHOWN})")
    parser.set_defaults(run=run, complete=complete)


def complete(options: argparse.Namespace) -> None:
    named = options.elf is not None and options.elf.name
    options.out = options.out or (options.elf.with_suffix(".uf2") if named else _OUT)


def run(options: argparse.Namespace) -> int:
    out = options.out
    segments = uf2.read_image(options.elf or firmware.require(firmware.RP2040))
    content = uf2.encode(segments)
    write_bytes(out, content)
    size = sum(len(segment.data) for segment in segments)
    name = "UF2" if is_standard(out) else out
    print(f"{name}: {size:,} bytes of flash in {len(content) // uf2.BLOCK} blocks")
    finish(
        options,
        {
            "file": str(out),
            "blocks": len(content) // uf2.BLOCK,
            "family": f"0x{uf2.FAMILY:08x}",
            "segments": [
                {"address": segment.address, "size": len(segment.data)} for segment in segments
            ],
        },
    )
    return 0
