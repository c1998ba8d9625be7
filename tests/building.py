"""Programs in C on top of firmware/nn, without a board, a mailbox or a harness."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from picotrain.places import SHIPPED

HERE = Path(__file__).parent / "device" / "library"
FIRMWARE = SHIPPED / "firmware"
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_LIBRARY = ("nn", "nn/operators", "kernels", "kernels/portable")


def library(folder: Path, flags: Sequence[str]) -> Path:
    """The whole library with portable kernels as an archive in `folder`; that of SANITIZED is the
    fixture `sanitized_library`, built once."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed (apt: gcc)")
    compiled = partial(_compiled, folder, ("-std=c11", *flags, *STRICT, "-I", str(FIRMWARE)))
    sources = [path for part in _LIBRARY for path in sorted((FIRMWARE / part).glob("*.c"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources))
    archive = folder / "libpicotrain.a"
    subprocess.run(["ar", "rcs", archive, *objects], check=True)
    return archive


def _compiled(folder: Path, flags: Sequence[str], source: Path) -> Path:
    made = folder / f"{source.stem}.o"
    subprocess.run(["cc", *flags, "-c", source, "-o", made], check=True)
    return made


def build(folder: Path, sources: Sequence[str], flags: Sequence[str], archive: Path) -> Path:
    """The program of these sources of tests/device/library, made in `folder` with the library."""
    program = folder / Path(sources[0]).stem
    command = ["cc", "-std=c11", *flags, "-Wall", "-Wextra", "-Werror", "-I", str(FIRMWARE)]
    command += ["-I", str(HERE), *(str(HERE / name) for name in sources), str(archive)]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program
