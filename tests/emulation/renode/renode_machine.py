"""Renode with the flash image, and scripts of its monitor."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from picotrain.device.targets.renode import RenodeTarget
from picotrain.device.targets.renode_release import find_renode
from picotrain.image import firmware
from picotrain.image.elf import Elf
from support import require

RENODE = find_renode()

PLATFORM = Path(__file__).resolve().parents[3] / "emulation" / "renode"

Open = Callable[..., RenodeTarget]


def pico(
    counting: bool = False, accelerator: Path | None = None, type_: type = RenodeTarget
) -> RenodeTarget:
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    target = type_(elf, rom, counting=counting, accelerator=accelerator)
    assert isinstance(target, RenodeTarget)
    return target


def post(target: RenodeTarget, command: str) -> None:
    """Put a command into the mailbox."""
    elf = Elf(target.elf)
    fields = elf.dtype("pt_mailbox").fields
    assert fields is not None
    number = int(elf.enum("pt_command")[f"PT_CMD_{command}"])
    address = target.mailbox_address() + int(fields["command"][1])
    target.write(address, number.to_bytes(4, "little"))


def run_script(script: Path) -> str:
    """Run a script of the monitor that ends with `quit`, and return what it prints."""
    command = [str(RENODE), "--disable-xwt", "--plain", "--console", "--hide-log"]
    command += ["--config", str(script.parent / "config"), str(script)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=-1, text=True, check=True, timeout=300
    )
    return done.stdout
