"""The npm package rp2040js, which emulates the whole RP2040: where it is, and how it gets there.

`python -m picotrain.device.targets.node_package` installs the version that emulation/rp2040js
pins, or says aloud why it cannot; that is no failure, because all that needs it skips then.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from picotrain.errors import UserError
from picotrain.places import BUILD, SHIPPED

SOURCE = SHIPPED / "emulation" / "rp2040js"
FOLDER = BUILD / "rp2040js"

_SECONDS = 120


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


def installed(folder: Path = FOLDER) -> Path:
    """`folder`, if the package is there and Node too; else UserError says what to do."""
    if shutil.which("node") is None:
        raise UserError("node is not installed: install the Debian package nodejs")
    if not is_installed(folder):
        raise UserError(f"rp2040js {wanted()} is not in {folder}: run `make setup` (it needs npm)")
    return folder


def install(folder: Path = FOLDER) -> Path:
    """Install the package into `folder` unless it is there. Raises UserError if npm cannot."""
    if is_installed(folder):
        return installed(folder)
    for tool, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not installed: install the Debian package {package}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
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
        reasons = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise UserError(f"npm cannot install rp2040js {wanted()}: {'; '.join(reasons[:2])}")
    return installed(folder)


def main() -> int:
    """Install, or say why not."""
    try:
        install()
    except UserError as reason:
        print(f"without rp2040js: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
