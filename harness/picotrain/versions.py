"""What made a result: versions of everything that could matter to it."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from picotrain import places


def versions(target: str | None = None) -> dict[str, str]:
    """Name -> version; what is not there is left out."""
    found = {"python": platform.python_version()}
    for package in ("picotrain", "numpy", "scipy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    commit = _first_line("git", "-C", str(places.SHIPPED), "describe", "--always", "--dirty")
    if commit:
        found["commit"] = commit
    if target == "qemu":
        found["qemu"] = _first_line("qemu-system-arm", "--version")
        found["arm-gcc"] = _first_line("arm-none-eabi-gcc", "--version")
    return {name: text for name, text in found.items() if text}


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else ""
