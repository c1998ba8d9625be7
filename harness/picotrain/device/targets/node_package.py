"""The npm package rp2040js, which emulates the whole RP2040: where it is, and how it gets there.

`python3 -m picotrain.device.targets.node_package` installs the version that emulation/rp2040js
pins, or says aloud why it cannot; that is no failure, because all that needs it skips then. An
installed picotrain does so itself when it first needs the package.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from picotrain.errors import UserError
from picotrain.image.making import locked, say, working_folder
from picotrain.places import BUILD, IN_CHECKOUT, NO_ROOM, SHIPPED, user_cache

SOURCE = SHIPPED / "emulation" / "rp2040js"
FOLDER = BUILD / "rp2040js"

_SECONDS = 120
_MANIFEST = ("package.json", "package-lock.json")


def wanted() -> str:
    """The version that emulation/rp2040js/package.json pins."""
    return str(
        json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"][
            "rp2040js"
        ]
    )


def is_installed(folder: Path = FOLDER) -> bool:
    """Whether `folder` holds the package in the version that is pinned."""
    manifest = folder / "node_modules" / "rp2040js" / "package.json"
    return (
        manifest.is_file()
        and json.loads(manifest.read_text(encoding="utf-8"))["version"] == wanted()
    )


def missing(folder: Path = FOLDER) -> str:
    """What to do before `installed` gives the folder; empty where it does."""
    tools = {"node": "nodejs"}
    if not is_installed(folder):
        if IN_CHECKOUT and shutil.which("node"):
            return f"rp2040js {wanted()} is not in {folder}: run `make setup` (it needs npm)"
        tools |= {} if IN_CHECKOUT else {"npm": "npm"}
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed: install the Debian package {package}"
    return "" if is_installed(folder) else NO_ROOM


def installed(folder: Path = FOLDER) -> Path:
    """`folder` with the package in it; an installed picotrain gets that now if need be.

    Raises UserError where the package or Node is missing, with what to do.
    """
    if reason := missing(folder):
        raise UserError(reason)
    return folder if is_installed(folder) else install(folder)


def install(folder: Path = FOLDER) -> Path:
    """Install the package into `folder` unless it is there. Raises UserError if npm cannot."""
    if is_installed(folder):
        return installed(folder)
    for tool, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not installed: install the Debian package {package}")
    with locked(folder.parent):
        if not is_installed(folder):
            if not IN_CHECKOUT:
                say(f"npm installs rp2040js {wanted()}, once, into {folder}")
            with working_folder(folder.parent, ".npm-") as new:
                _npm_into(new)
                # Whole or not at all: what is there is used by others without the lock.
                folder.mkdir(exist_ok=True)
                shutil.rmtree(folder / "node_modules", ignore_errors=True)
                (new / "node_modules").rename(folder / "node_modules")
    return installed(folder)


def _npm_into(folder: Path) -> None:
    for name in _MANIFEST:
        shutil.copyfile(SOURCE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    if not IN_CHECKOUT and "npm_config_cache" not in os.environ:
        command += ["--cache", str(user_cache() / "npm")]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_with_home(folder),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"npm cannot install rp2040js {wanted()}: no answer for {_SECONDS} s"
        ) from None
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        reasons = [line for line in lines if line.lower().startswith(("npm error", "npm err!"))]
        # Node itself may fail before npm says a word of its own.
        reasons = reasons[:2] or [line.strip() for line in lines if line.strip()][-1:]
        why = "; ".join(reasons) or f"it ends with status {done.returncode} and says nothing"
        raise UserError(f"npm cannot install rp2040js {wanted()}: {why}")


def _with_home(folder: Path) -> dict[str, str]:
    """The environment, with a home for npm where the user has none: it does not start without."""
    environment = dict(os.environ)
    if not environment.get("HOME"):
        try:
            environment["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            environment["HOME"] = str(folder)
    return environment


def main() -> int:
    """Install, or say why not."""
    try:
        install()
    except UserError as reason:
        print(f"without rp2040js: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
