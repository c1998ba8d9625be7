"""The corpora of the fuzz targets: made from real blobs and programs, grown by runs, minimised.

As a program: makes tests/fuzz/corpus anew from what is there, the seeds, and what runs on this
machine have added.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import support
import trainable_affine
from fuzz import programs
from fuzz.programs import SHARES, committed, grown, name_of
from picotrain.device.blob import encode
from picotrain.errors import told
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain_golden import Network

# Numbers of enum item in mailbox.c.
_COMMAND, _WINDOW, _LOAD, _METHOD, _BATCH, _TRACE, _KEEP, _SELECTION = 0, 1, 3, 4, 5, 6, 7, 10
_JOB = 9
_START = 6  # of wire.c
_FLASH = 4
_MOST_BYTES = 900
"""Of an input that is kept: longer ones reach little more."""


def size(target: str) -> int:
    """Inputs of the committed corpus."""
    folder = committed(target)
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _networks() -> list[Network]:
    drawn = [support.random_network(seed) for seed in range(12)]
    return [*drawn, *(trainable_affine.trainable_network(seed) for seed in range(12))]


def _method(kind: int, seed: int) -> bytes:
    """kind, mu, threshold, permille, selection and start, seed, easy"""
    return bytes([kind, 3, 0xE0, 50, seed % 9, seed % 256, 0])


def blobs(elf: Elf) -> Iterator[bytes]:
    """Inputs of blob.c."""
    for number, network in enumerate(_networks()):
        for kind in range(7 if network.affine else 5):
            flags = (0, 2, 4, 6, 8)[(number + kind) % 5]
            yield bytes([flags]) + _method(kind, number) + b"\1" + encode(network, elf)


def mailboxes(elf: Elf) -> Iterator[bytes]:
    """Inputs of mailbox.c: a model that trains by two methods, and jobs for each kernel alone."""
    for number, network in enumerate(_networks()):
        blob = encode(network, elf)
        for kind in range(7 if network.affine else 5):
            window = _FLASH if (number + kind) % 4 == 3 else 0
            program = bytes([255, _WINDOW, window]) + struct.pack("<HH", 0, len(blob)) + blob
            program += bytes([_LOAD, 0, _METHOD]) + _method(kind, number)
            program += bytes([_BATCH, 2, 1, _KEEP, _TRACE, 30 + number, _BATCH, 1, 4])
            program += bytes([_SELECTION, 0x55, _METHOD]) + _method((kind + 1) % 7, number)
            program += bytes([_BATCH, 1, 9, _KEEP])
            program += bytes(
                [_COMMAND, 17, 5, 0, kind % 2, 1, 100, 1, 3, 2, 255, 255, 255, 0, 0, 2]
            )
            yield program + bytes([_COMMAND, 18, 0, _COMMAND, 10, 4, 0, kind, 0, 0, 0, 0, 0, 9])
    plain = (6, 6, 2, 6, 6, 3, 3, 3, 1, 1, 1, 1)
    pooled = (6, 6, 2, 3, 3, 2, 2, 2, 2, 2, 0, 0)
    shapes = {
        **dict.fromkeys((4, 5, 6, 7, 19), (2, 2, 3, 1, 1, 5, 1, 1, 1, 1, 0, 0)),
        **dict.fromkeys((9, 10, 20, 21), pooled),
        18: (6, 6, 2, 6, 6, 2, 3, 3, 1, 1, 1, 1),
        22: (6, 6, 2, 1, 1, 2, 6, 6, 1, 1, 0, 0),
        23: (2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0),
    }
    for kernel in range(24):
        for masks in range(3):
            numbers = (kernel, masks, 24, 5, 3, 0, masks * 9, 0, 0, 0)
            yield bytes([64, _JOB, *numbers, *shapes.get(kernel, plain)]) + bytes(22)


def links(_: Elf) -> Iterator[bytes]:
    """Inputs of link.c: an item of each kind behind a greeting."""
    for item in range(11):
        yield bytes([255, 255, 1, 0, item, item % 5, 16, 0, 40, 0, 9, 8, item, 3, 3])
    for restart in range(6):
        yield bytes([255, 255, 1, 0, _START, restart, 1, 0])


SEEDS = {"link": links, "mailbox": mailboxes, "blob": blobs}


def minimise(name: str, seeds: Iterator[bytes]) -> None:
    """What reaches every edge that short inputs are known to reach, the shortest first."""
    kept = programs.HERE / "corpus" / name
    targets = [one for one in SHARES if name_of(one) == name]
    there = [kept, *(grown(target) for target in targets)]
    files = [file for folder in there if folder.is_dir() for file in folder.iterdir()]
    with TemporaryDirectory() as folder:
        offered, new = Path(folder, "offered"), Path(folder, "new")
        offered.mkdir()
        new.mkdir()
        for number, data in enumerate([*seeds, *(file.read_bytes() for file in files)]):
            if len(data) <= _MOST_BYTES:
                (offered / str(number)).write_bytes(data)
        for target in targets:
            options = ("-merge=1", "-use_counters=0", str(new), str(offered))
            subprocess.run(programs.command(target, *options), check=True, capture_output=True)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(new, kept)
    held = [one.stat().st_size for one in kept.iterdir()]
    print(f"{name:10}{len(held):6} inputs {sum(held):9,} bytes")


def main() -> None:
    programs.build()
    elf = Elf(firmware.HOST)
    for name, seeds in SEEDS.items():
        minimise(name, seeds(elf))


if __name__ == "__main__":
    sys.exit(told("corpora", lambda _: main()))
