"""The machine code of an image as text, by the cross compiler's objdump where it is installed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

OBJDUMP = "arm-none-eabi-objdump"

_INSTRUCTION = re.compile(r" *([0-9a-f]+):\t([a-z].*)")


def disassemble(elf: Path) -> dict[int, str]:
    """Address -> instruction of all code; empty where there is no objdump, or it fails."""
    command = [OBJDUMP, "--disassemble", "--no-show-raw-insn", str(elf)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse(done.stdout) if done.returncode == 0 else {}


def parse(listing: str) -> dict[int, str]:
    """Address -> instruction, without comments, of what objdump printed."""
    found = (_INSTRUCTION.fullmatch(line) for line in listing.splitlines())
    return {int(one[1], 16): _text(one[2]) for one in found if one}


def _text(instruction: str) -> str:
    return " ".join(re.split(r"\s[@;] ?", instruction, maxsplit=1)[0].split())
