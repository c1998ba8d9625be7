"""What an installed picotrain compiles on this machine, at its first use, into the user's cache.

A checkout has `make` for that. Here the sources of the wheel are copied into the cache, so that
make sees short relative paths whatever the folders are called, and only what was built whole is
moved to its place. A lock keeps processes that start together from building the same twice.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from picotrain.errors import BuildFailure, UserError
from picotrain.places import BUILD, SHIPPED, made_folder

_SECONDS = 600.0
_LEFT_BEHIND = {".o", ".d"}
_OWN_VARIABLES = (
    *("MAKEFLAGS", "MFLAGS", "MAKEFILES", "MAKELEVEL", "GNUMAKEFLAGS"),
    *("BUILD", "V", "OPTIMISE", "CLOCK_MHZ", "UART_BAUD"),
)
"""Of the environment, what would make our makefiles build something else."""


@dataclass(frozen=True)
class Recipe:
    """`goals` of the makefile in `folder`; `parts` is what comes of them, by path below `BUILD`."""

    what: str
    folder: str
    goals: tuple[str, ...]
    parts: tuple[str, ...]
    cross: bool = False


_BOARDS = (
    *("microbit", "microbit-portable", "microbit-dense", "microbit-large"),
    *("microbit-chain", "microbit-affine"),
    *("rp2040", "rp2040-cores", "rp2040-chain", "rp2040-affine", "standalone"),
)


def _host(variant: str) -> Recipe:
    what = f"the firmware as a program of this machine ({variant})"
    return Recipe(what, "firmware", (variant,), (f"{variant}/picotrain-host",))


RECIPES = (
    *map(_host, ("host", "host-tuned", "host-cores")),
    *map(_host, ("host-sanitized", "host-tuned-sanitized", "host-cores-threads")),
    Recipe(
        "the firmware of the boards",
        "firmware",
        _BOARDS,
        tuple(f"{board}/picotrain.elf" for board in _BOARDS),
        cross=True,
    ),
    Recipe("the model of the boot ROM", "emulation/rom", (), ("rp2040/rom.bin",), cross=True),
    Recipe("QEMU's cycle plugin", "emulation/qemu", (), ("qemu/cycles.so",)),
    Recipe(
        "Renode's cycle counter", "emulation/renode", (), ("cycle-counter/libcycle_counter.so",)
    ),
)


def recipe_of(path: Path) -> Recipe | None:
    """How what belongs at `path` is made; None where it is not made here."""
    if not path.is_relative_to(BUILD):
        return None
    part = path.relative_to(BUILD).as_posix()
    return next((recipe for recipe in RECIPES if part in recipe.parts), None)


def lacking(recipe: Recipe) -> list[str]:
    """The Debian packages of the tools that are not here."""
    tools = {"make": "make"}
    if recipe.cross:
        tools[os.environ.get("CROSS", "arm-none-eabi-") + "gcc"] = "gcc-arm-none-eabi"
    else:
        tools[shlex.split(os.environ.get("CC") or "cc")[0]] = "gcc"
    packages = [package for tool, package in tools.items() if shutil.which(tool) is None]
    # A compiler of the system may come without the C library's headers; another has its own.
    if not recipe.cross and _system_compiler() and not Path("/usr/include/stdio.h").is_file():
        packages.append("libc6-dev")
    return packages


def _system_compiler() -> bool:
    found = shutil.which("cc")
    return not os.environ.get("CC") and (found is None or Path(found).parent == Path("/usr/bin"))


def make(path: Path, recipe: Recipe) -> Path:
    """Build what belongs at `path` unless it is there. Raises BuildFailure where that fails."""
    if path.is_file():
        return path
    if packages := lacking(recipe):
        raise BuildFailure(f"{recipe.what} is compiled at first use: {install(packages)}")
    with locked(BUILD):
        if not path.is_file():
            _build(recipe)
    if not path.is_file():
        raise BuildFailure(f"make built {recipe.what}, but no {path}")
    return path


def install(packages: list[str]) -> str:
    """What to do, in words."""
    return f"install the Debian package{'s' * (len(packages) > 1)} {' '.join(packages)}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in `folder`, among the processes of this user that ask. UserError where it cannot be
    written."""
    made_folder(folder)
    try:
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; make room there, or set "
            "PICOTRAIN_CACHE to another folder"
        ) from error


@contextmanager
def working_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """A new folder in one that is `locked`, for as long as it takes. What processes left there that
    were killed goes first: under the lock nobody else has one."""
    for stale in folder.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix) as name:
        yield Path(name)


def say(what: str) -> None:
    """On stderr, because it is not what was asked for."""
    print(f"picotrain: {what}", file=sys.stderr, flush=True)


def _build(recipe: Recipe) -> None:
    say(f"compiling {recipe.what}, once, into {BUILD}")
    with working_folder(BUILD, ".making-") as folder:
        top = Path(recipe.folder).parts[0]
        for source in (SHIPPED / top).rglob("*"):
            if source.is_file():
                copy = folder / source.relative_to(SHIPPED)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
        _run_make(recipe, folder)
        built = folder / "build"
        files = [file for file in built.rglob("*") if file.suffix not in _LEFT_BEHIND]
        # The parts last: who sees one has all that lies beside it.
        files.sort(key=lambda file: file.relative_to(built).as_posix() in recipe.parts)
        for file in files:
            if file.is_file():
                place = BUILD / file.relative_to(built)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)


def _run_make(recipe: Recipe, folder: Path) -> None:
    up = "/".join([".."] * len(Path(recipe.folder).parts))
    command = ["make", "-s", f"-j{os.cpu_count() or 1}", "-C", recipe.folder, f"BUILD={up}/build"]
    command += [f"PYTHON={shlex.quote(sys.executable)}", *recipe.goals]
    environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildFailure(f"{recipe.what} was not compiled after {_SECONDS:g} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "rror" in line] or ["no message"]
        raise BuildFailure(f"{recipe.what} does not compile here: {lines[0]}")
