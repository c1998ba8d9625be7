"""What pyproject.toml cannot say: the wheel holds, below `picotrain/shipped`, the folders of a
checkout that picotrain needs, and in `shipped/build` the boards' firmware where it can be compiled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
SOURCES = {
    "firmware": ("Makefile", "*.c", "*.h", "*.S", "*.inc", "*.ld", "*.py"),
    "emulation": (
        *("Makefile", "*.c", "*.h", "*.S", "*.ld", "*.cs", "*.mjs", "*.json", "*.repl", "*.resc"),
        "README.md",
    ),
    "models": ("*.toml", "*.npz"),
    "experiments": ("*.toml",),
    "tests/baselines": ("memory*.json",),
}
BOARDS = (
    *("microbit", "microbit-portable", "microbit-dense", "microbit-large"),
    *("microbit-chain", "microbit-affine"),
    *("rp2040", "rp2040-cores", "rp2040-chain", "rp2040-affine", "standalone"),
)
BUILT = ("*/picotrain.elf", "*/picotrain.map", "rp2040/rom.*", "**/*.su")
"""Beside the images what `picotrain memory` reads: the linker's maps, the frames of functions."""
COMMIT = "COMMIT"
"""In an sdist: what it was made of."""


def commit() -> str:
    if (ROOT / COMMIT).is_file():
        return (ROOT / COMMIT).read_text(encoding="utf-8").strip()
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class BuildPy(build_py):
    """The packages and what is shipped with them; an editable install has the checkout instead."""

    def run(self) -> None:
        if not self.editable_mode:
            # What an earlier build left here would be in the wheel too.
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            self._ship(Path(self.build_lib) / "picotrain" / "shipped")

    def _ship(self, shipped: Path) -> None:
        digest = hashlib.sha256()
        for folder, patterns in SOURCES.items():
            files = {path for pattern in patterns for path in (ROOT / folder).rglob(pattern)}
            for file in sorted(files):
                name = file.relative_to(ROOT)
                digest.update(f"{name.as_posix()} {file.stat().st_size} ".encode())
                digest.update(file.read_bytes())
                _copy(file, shipped / name)
        origin = {"sources": digest.hexdigest()[:16], "commit": commit()}
        (shipped / "origin.json").write_text(json.dumps(origin) + "\n", encoding="utf-8")
        if shutil.which("arm-none-eabi-gcc") and shutil.which("make"):
            self._ship_firmware(shipped / "build")
        else:
            print(
                "picotrain: without the Debian packages gcc-arm-none-eabi and make no firmware "
                "comes with it; it is compiled at its first use",
                file=sys.stderr,
            )

    def _ship_firmware(self, shipped: Path) -> None:
        built = Path(self.get_finalized_command("build").build_temp).resolve() / "firmware"
        for folder, goals in (("firmware", BOARDS), ("emulation/rom", ())):
            # Relative: make wants no spaces, and debug information shall name no machine's path.
            place = os.path.relpath(built, ROOT / folder)
            command = ["make", "-s", "-C", str(ROOT / folder), f"BUILD={place}", *goals]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for file in sorted({file for pattern in BUILT for file in built.glob(pattern)}):
            _copy(file, shipped / file.relative_to(built))
        sys.path.insert(0, str(ROOT / "harness"))
        from picotrain.image import uf2

        image = uf2.encode(uf2.read_image(shipped / "rp2040" / "picotrain.elf"))
        (shipped / "rp2040" / "picotrain.uf2").write_bytes(image)


class Sdist(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        (Path(base_dir) / COMMIT).write_text(commit() + "\n", encoding="utf-8")


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, place)


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
