"""`picotrain uf2`: the firmware as the file that the Pico's USB drive takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.errors import UserError
from picotrain.image import firmware, uf2


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "uf2",
        "Make the UF2 file that a Pico's USB drive takes, from an ELF file or a .bin.",
        "picotrain uf2 --elf build/rp2040/picotrain.elf --out build/rp2040/picotrain.uf2",
    )
    parser.add_argument("--elf", type=Path, default=firmware.RP2040, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: beside the ELF file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    out = options.out or options.elf.with_suffix(".uf2")
    segments = uf2.read_image(options.elf)
    content = uf2.encode(segments)
    if not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    try:
        out.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; choose another file") from error
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
