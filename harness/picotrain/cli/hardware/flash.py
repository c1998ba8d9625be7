"""`picotrain flash`: the firmware onto a Pico."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from picotrain.cli.options import NamedFile, Verbs, add_verb, finish
from picotrain.device.link.ports import AUTO
from picotrain.device.targets.serial import BAUD
from picotrain.errors import BuildFailure, UserError
from picotrain.hardware.flash import Flasher, How, System
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.inputs import positive
from picotrain.places import with_make

_INSTEAD = "leave --elf out, or name the ELF file of a Pico's firmware"


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "flash",
        "Put the firmware on a Pico: over its USB drive, by picotool, or by a debug probe.",
        "picotrain flash --port auto",
    )
    add_board(parser)
    parser.add_argument(
        "--standalone",
        action="store_true",
        help="the program of a device that stands alone, with what `picotrain flash-model` writes",
    )
    parser.set_defaults(run=run)


def add_board(parser: argparse.ArgumentParser) -> None:
    """Which device, which firmware, and how it gets there."""
    parser.add_argument(
        "--port", default=AUTO, metavar="PORT", help="serial port, or auto (default: %(default)s)"
    )
    parser.add_argument(
        "--elf",
        action=NamedFile,
        metavar="FILE",
        help="firmware (default: that which comes with picotrain)",
    )
    add_ways(parser, "probe")


def add_ways(parser: argparse.ArgumentParser, *more: How) -> None:
    """How it gets to a device: over its drive, by picotool, and what more there is."""
    parser.add_argument(
        "--baud", type=positive, default=BAUD, help="of a UART (default: %(default)s)"
    )
    ways = parser.add_mutually_exclusive_group()
    help_ = {
        "drive": "flash over the drive RPI-RP2, even if picotool is there",
        "picotool": "flash by picotool, which verifies what it wrote",
        "probe": "flash by a debug probe and pyOCD",
    }
    for name in ("drive", "picotool", *more):
        ways.add_argument(
            f"--{name}",
            dest="how",
            action="store_const",
            const=name,
            default="auto",
            help=help_[name],
        )


def chosen_elf(options: argparse.Namespace) -> Path:
    """The firmware of --elf, or the one that is built here."""
    if options.elf is None:
        return firmware.require(firmware.RP2040)
    elf: Path = options.elf
    if not elf.is_file():
        raise UserError(f"{elf}: no such file; {_INSTEAD}")
    try:
        image = Elf(elf)
    except BuildFailure as failure:
        raise UserError(f"{elf} is no ELF file; {_INSTEAD}") from failure
    if not _describes(image.dtype, "pt_mailbox"):
        raise UserError(f"{elf} is no picotrain firmware with debug information; {_INSTEAD}")
    if not _describes(image.enum, "pt_link_protocol"):
        raise UserError(
            f"{elf} is the firmware of another board, which has no serial link; {_INSTEAD}"
        )
    return elf


def _standalone(options: argparse.Namespace) -> Path:
    if options.elf is not None:
        raise UserError("--elf and --standalone are two programs; give one of them")
    return firmware.require(firmware.STANDALONE)


def _describes(find: Callable[[str], object], name: str) -> bool:
    """Whether the debug information has a type of that name."""
    try:
        find(name)
    except BuildFailure:
        return False
    return True


def chosen_port(options: argparse.Namespace) -> str:
    """What --port names. Raises UserError where that is nothing."""
    port: str = options.port.strip()
    if not port:
        raise UserError(f"--port is empty: name a port, or auto{with_make(AUTO)}")
    return port


def chosen_board(options: argparse.Namespace) -> str:
    """The same of something that can be flashed."""
    port = chosen_port(options)
    if "://" in port:
        raise UserError(f"{port} is no board; only a Pico can be flashed")
    return port


def run(options: argparse.Namespace) -> int:
    port_name = chosen_board(options)
    how: How = options.how
    link = firmware.require(firmware.RP2040) if options.standalone else None
    elf = _standalone(options) if options.standalone else chosen_elf(options)
    flasher = Flasher(elf, port_name, options.baud, _say, System(), link=link)
    port = flasher.flash(how)
    print(f"{elf.name} is on the device at {port}")
    finish(options, {"elf": elf.name, "port": port.url, "serial_number": port.serial_number})
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
