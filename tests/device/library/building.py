"""Programs in C on top of firmware/nn, without a board, a mailbox or a harness."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from picotrain.places import SHIPPED

HERE = Path(__file__).parent
FIRMWARE = SHIPPED / "firmware"
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_LIBRARY = ("nn", "nn/operators", "kernels", "kernels/portable")


def build(folder: Path, sources: Sequence[str], flags: Sequence[str]) -> Path:
    """The program of these sources of this folder, made in `folder` with all of the library."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed (apt: gcc)")
    library = [path for part in _LIBRARY for path in sorted((FIRMWARE / part).glob("*.c"))]
    program = folder / Path(sources[0]).stem
    command = ["cc", "-std=c11", *flags, "-Wall", "-Wextra", "-Werror", "-I", str(FIRMWARE)]
    command += ["-I", str(HERE), *(str(HERE / name) for name in sources), *map(str, library)]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program
