"""What several suites of this folder use: rp2040js, the firmware on it, and snippets on QEMU with
the cycle plugin."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from picotrain.device.targets import node_package
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf, open_elf
from support import require

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "emulation" / "qemu"
FIRMWARE = ROOT / "firmware"
SNIPPETS = Path(__file__).parent / "snippets"


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder with rp2040js of the version that is pinned, installed if npm can; else a skip."""
    try:
        return node_package.install()
    except UserError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def elf() -> Path:
    """The RP2040 firmware, for the emulated chip."""
    require(firmware.RP2040_ROM)
    return require(firmware.RP2040)


@pytest.fixture(scope="session")
def symbols(elf: Path) -> Elf:
    return open_elf(elf)


@pytest.fixture
def target(elf: Path, package: Path) -> Iterator[Rp2040jsTarget]:
    """That firmware on its chip, idle."""
    target = Rp2040jsTarget(elf, firmware.RP2040_ROM, package)
    target.connect()
    yield target
    target.close()


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as the Makefile built it if that is up to date, else built here."""
    built = ROOT / "build" / "qemu" / "cycles.so"
    newest = max(path.stat().st_mtime for path in SOURCES.glob("*.[ch]"))
    if built.exists() and built.stat().st_mtime >= newest:
        return built
    library = tmp_path_factory.mktemp("plugin") / "cycles.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
    subprocess.run([*command, *sorted(map(str, SOURCES.glob("*.c")))], check=True)
    return library


@pytest.fixture(scope="session")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build the ELF of one snippet, by its path in `snippets/` without the ending."""
    folder = tmp_path_factory.mktemp("snippets")

    def build(name: str) -> Path:
        elf = folder / f"{name.replace('/', '-')}.elf"
        if not elf.exists():
            command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
            command += [f"-Wa,-I{SNIPPETS}", "-T", str(SNIPPETS / "snippet.ld"), "-o", str(elf)]
            command += ["-O2", "-ffreestanding", "-g", "-fno-eliminate-unused-debug-types"]
            command += [f"-I{FIRMWARE}", str(FIRMWARE / "boards" / "cortex_m0" / "fault.c")]
            command += [str(SNIPPETS / "runtime.S"), str(SNIPPETS / f"{name}.S")]
            subprocess.run(command, check=True)
        return elf

    return build


@pytest.fixture
def start(assemble: Callable[[str], Path], plugin: Path) -> Iterator[Callable[..., QemuTarget]]:
    """Start targets on snippets; they are closed when the test ends."""
    targets: list[QemuTarget] = []

    def launch(name: str, counting: bool = True) -> QemuTarget:
        target = QemuTarget(assemble(name), plugin if counting else None)
        targets.append(target)
        target.connect()
        return target

    yield launch
    for target in targets:
        target.close()
