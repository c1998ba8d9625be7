"""What a target is made of: its emulator, and the compiler of the firmware that it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from picotrain.device.targets import node_package
from picotrain.device.targets.renode_release import find_renode
from picotrain.image.elf import open_elf
from picotrain.versions import first_line, versions


def versions_of(target: str, elf: Path | None) -> dict[str, str]:
    """`picotrain.versions.versions` with what `target` adds to it, each found out once per process.

    `elf` is the firmware that runs, whose `compiler` is what its debugging information says, not
    what is installed here; None where there is none, as on golden.
    """
    found = {**versions(), **_EMULATORS.get(target, dict)()}
    if elf is not None:
        found["compiler"] = open_elf(elf).compiler
    return {name: text for name, text in found.items() if text}


def _qemu() -> dict[str, str]:
    return {"qemu": first_line("qemu-system-arm", "--version")}


def _rp2040js() -> dict[str, str]:
    manifest = node_package.FOLDER / "node_modules" / "rp2040js" / "package.json"
    package = json.loads(manifest.read_text(encoding="utf-8"))["version"]
    return {"node": first_line("node", "--version"), "rp2040js": str(package)}


def _renode() -> dict[str, str]:
    program = find_renode()
    return {"renode": first_line(str(program), "--version") if program is not None else ""}


_EMULATORS: dict[str, Callable[[], dict[str, str]]] = {
    "qemu": _qemu,
    "rp2040js": _rp2040js,
    "renode": _renode,
}
