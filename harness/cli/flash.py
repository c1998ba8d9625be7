"""`picotrain flash`: the firmware onto a Pico."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import firmware
from harness.cli.options import Verbs, add_verb, finish, positive
from harness.errors import UserError
from harness.hardware.flash import Flasher, How, System
from harness.hardware.ports import AUTO
from harness.targets.serial import BAUD


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "flash",
        "Put the firmware on a Pico: over its USB drive, by picotool, or by a debug probe.",
        "picotrain flash --port auto",
    )
    add_board(parser)
    parser.set_defaults(run=run)


def add_board(parser: argparse.ArgumentParser) -> None:
    """Which device, which firmware, and how it gets there."""
    parser.add_argument(
        "--port", default=AUTO, metavar="PORT", help="serial port, or auto (%(default)s)"
    )
    parser.add_argument(
        "--elf", type=Path, metavar="FILE", help="firmware (build/rp2040/picotrain.elf)"
    )
    parser.add_argument("--baud", type=positive, default=BAUD, help="of a UART (%(default)s)")
    ways = parser.add_mutually_exclusive_group()
    for name, help_ in (
        ("drive", "flash over the drive RPI-RP2, even if picotool is there"),
        ("picotool", "flash by picotool, which verifies what it wrote"),
        ("probe", "flash by a debug probe and pyOCD"),
    ):
        ways.add_argument(
            f"--{name}", dest="how", action="store_const", const=name, default="auto", help=help_
        )


def chosen_elf(options: argparse.Namespace) -> Path:
    """The firmware of --elf, or the one that is built here."""
    if options.elf is None:
        return firmware.require(firmware.RP2040)
    elf: Path = options.elf
    if not elf.is_file():
        raise UserError(f"{elf}: no such file; leave --elf out, or name a firmware's ELF file")
    return elf


def run(options: argparse.Namespace) -> int:
    if "://" in options.port:
        raise UserError(f"{options.port} is no board; only a Pico can be flashed")
    how: How = options.how
    elf = chosen_elf(options)
    flasher = Flasher(elf, options.port, options.baud, _say, System())
    port = flasher.flash(how)
    print(f"{elf.name} is on the device at {port}")
    finish(options, {"elf": elf.name, "port": port.url, "serial_number": port.serial_number})
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
