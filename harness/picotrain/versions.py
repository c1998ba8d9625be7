"""What made a result: versions of everything that could matter to it."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, requires, version

from picotrain import places


def versions() -> dict[str, str]:
    """Name -> version of what every result is made with; what is not there is left out.

    Found out once per process. `picotrain.device.versions` adds what a target is made of.
    """
    return dict(_found())


@lru_cache(maxsize=1)
def _found() -> tuple[tuple[str, str], ...]:
    found = {"python": platform.python_version()}
    for package in ("picotrain", "numpy", "scipy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["commit"] = places.origin().get("commit", "")
    if places.IN_CHECKOUT:  # Elsewhere git would describe the repository that is around it.
        found["commit"] = first_line("git", "-C", str(places.SHIPPED), *_DESCRIBE)
    return tuple((name, text) for name, text in found.items() if text)


_DESCRIBE = ("describe", "--always", "--dirty")


@lru_cache(maxsize=16)
def first_line(*command: str) -> str:
    """The first line that a command prints, asked once per process; empty where it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ""


def to_run(module: str) -> str:
    """The command that runs a module of picotrain, as it can be typed into a shell: `python` alone
    may be no command, or another Python's."""
    return shlex.join([sys.executable, "-m", module])


def to_install(extra: str) -> str:
    """The command that installs what an extra of picotrain needs, as it can be typed into a shell.

    It names the packages: picotrain itself is on no index, and `picotrain[EXTRA]` is not found.
    """
    try:
        lines = [line.partition(";") for line in requires("picotrain") or ()]
    except PackageNotFoundError:
        lines = []
    needed = [name.strip() for name, _, when in lines if extra in shlex.split(when)]
    return shlex.join([sys.executable, "-m", "pip", "install", *(needed or [f".[{extra}]"])])
