"""`picotrain uf2`: the firmware as the file that the Pico's USB drive takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from picotrain.cli.options import Verbs, add_output, add_verb, finish
from picotrain.image import firmware, uf2
from picotrain.output import write_bytes


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "uf2",
        "Make the UF2 file that a Pico's USB drive takes, from an ELF file or a .bin.",
        "picotrain uf2 --elf build/rp2040/picotrain.elf --out build/rp2040/picotrain.uf2",
    )
    parser.add_argument("--elf", type=Path, default=firmware.RP2040, metavar="FILE")
    add_output(parser, "--out", "default: beside the ELF file")
    parser.set_defaults(run=run, complete=complete)


def complete(options: argparse.Namespace) -> None:
    options.out = options.out or options.elf.with_suffix(".uf2")


def run(options: argparse.Namespace) -> int:
    out = options.out
    segments = uf2.read_image(options.elf)
    content = uf2.encode(segments)
    write_bytes(out, content)
    size = sum(len(segment.data) for segment in segments)
    print(f"{out}: {size:,} bytes of flash in {len(content) // uf2.BLOCK} blocks")
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
