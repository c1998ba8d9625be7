"""What a run on rp2040js is asked for: requests, images, and options of the command line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from caller import SCRATCH, SECONDS, SRAM, UART0, XIP, Caller, bootable
from picotrain.device.targets import node_package
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.errors import LinkFailure, UserError
from picotrain.image import firmware
from support import require

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("node", "nodejs"))
]


# What is not modelled, and who uses the machine


def test_what_is_not_modelled_ends_the_run(chip: Caller) -> None:
    stop = chip.start(chip.symbol("peek"), UART0)
    assert stop.why == "error"
    assert "in reset" in stop.message
    assert any("in reset" in line for line in chip.machine.messages())
    assert chip.machine.run(SECONDS).why == "error"
    chip.machine.reset()
    chip.boot()
    assert chip.start(chip.symbol("peek"), 0x40060000).why == "error"


def test_counts_are_all_instructions(open_machine: Callable[..., Rp2040js]) -> None:
    chip = Caller(open_machine(None, "--count"), firmware.RP2040_ROM)
    chip.call("zeros", SCRATCH, 1000)
    state, counts = chip.machine.state(), chip.machine.counts()
    assert sum(one.executions for one in counts) == state["instructions"]
    assert sum(one.total_cycles for one in counts) == state["cycles"]
    by_pc = {one.pc: one for one in counts}
    subs = by_pc[chip.symbol("zeros") + 10]
    assert subs.executions == 1000
    assert by_pc[subs.pc + 2].taken == 999


def test_wrong_requests_are_refused(chip: Caller) -> None:
    with pytest.raises(LinkFailure, match="no memory for 4 bytes at 0x30000000"):
        chip.machine.read(0x30000000, 4)
    with pytest.raises(LinkFailure, match="no memory"):
        chip.machine.write(SRAM + 0x41FFF, b"12")
    with pytest.raises(LinkFailure, match="no reset of kind"):
        chip.machine.reset("wet")


def test_a_long_run_is_interrupted(chip: Caller) -> None:
    stop = chip.machine.run(0.2)
    assert stop.why == "interrupted"
    assert chip.machine.run(SECONDS, cycles=1000).why == "cycles"


def test_flash_is_saved(
    open_machine: Callable[..., Rp2040js], tmp_path: Path, caller: Path
) -> None:
    saved = tmp_path / "flash.bin"
    saved.write_bytes(b"of before")
    machine = open_machine(None, "--save-flash", str(saved))
    machine.write(XIP + 0x1FFFFC, b"last")
    assert saved.read_bytes() == b"of before"
    machine.close()
    assert saved.read_bytes()[:256] == bootable(caller)
    assert saved.read_bytes()[0x1FFFFC:] == b"last"


def test_without_an_image_the_elf_file_is_in_flash(package: Path) -> None:
    """Its physical addresses: the firmware's code in SRAM comes from flash."""
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    with Rp2040js(elf, rom, package, uart=False, usb=False) as machine:
        wanted = elf.with_suffix(".bin").read_bytes().ljust(0x200000, b"\xff")
        assert machine.read(XIP, 0x200000) == wanted


def uf2(*parts: tuple[int, bytes], family: int = 0xE48BFF56, flags: int = 0x2000) -> bytes:
    """A block for each offset and its 256 bytes; `flags`: it has a family."""
    blocks = b""
    for number, (offset, data) in enumerate(parts):
        head = (0x0A324655, 0x9E5D5157, flags, XIP + offset, 256, number, len(parts), family)
        words = b"".join(word.to_bytes(4, "little") for word in head)
        blocks += (words + data).ljust(508, b"\0") + (0x0AB16F30).to_bytes(4, "little")
    return blocks


def test_a_uf2_is_the_same_flash(caller: Path, package: Path) -> None:
    """Its blocks may come in any order, and leave gaps."""
    image = uf2((0x1000, b"\x55" * 256), (0, bootable(caller)))
    rom = require(firmware.RP2040_ROM)
    with Rp2040js(caller, rom, package, image=image, uart=False, usb=False) as machine:
        assert Caller(machine, rom).word(XIP + 0x1000) == 0x55555555
        assert machine.read(XIP + 256, 256) == b"\xff" * 256


def test_blocks_without_a_family_are_taken_and_those_that_are_not_for_flash_left_out(
    caller: Path, package: Path
) -> None:
    image = uf2((0x1000, b"\x55" * 256), flags=0) + uf2((0x2000, b"\x66" * 256), flags=0x2001)
    image += uf2((0, bootable(caller)))
    rom = require(firmware.RP2040_ROM)
    with Rp2040js(caller, rom, package, image=image, uart=False, usb=False) as machine:
        assert machine.read(XIP + 0x1000, 256) == b"\x55" * 256
        assert machine.read(XIP + 0x2000, 256) == b"\xff" * 256


def test_mistakes_are_explained(caller: Path, package: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make setup"):
        Rp2040js(caller, firmware.RP2040_ROM, tmp_path).start()
    with pytest.raises(UserError, match="boot ROM"):
        Rp2040js(caller, tmp_path / "rom.bin", package).start()
    with pytest.raises(UserError, match="firmware image"):
        Rp2040js(tmp_path / "picotrain.elf", firmware.RP2040_ROM, package).start()
    # It is no program, and only an image brings --any-flash along.
    with pytest.raises(LinkFailure, match=r"caller\.elf is no program"):
        Rp2040js(caller, firmware.RP2040_ROM, package).start()


# The command line


def refused(*arguments: str | Path) -> str:
    """What pico.mjs says to a command line that it does not take."""
    command = ["node", str(node_package.SOURCE / "pico.mjs"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("pico: ")
    return line


@pytest.fixture
def right(package: Path) -> dict[str, str | Path]:
    """Options that pico.mjs takes."""
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    return {"--package": package, "--rom": rom, "--elf": elf, "--usb": "0"}


def refused_with(right: dict[str, str | Path], **changes: str | Path | None) -> str:
    """The same with some options changed, or left out for None."""
    given = right | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return refused(*(part for pair in given.items() if pair[1] is not None for part in pair))


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("package", None, "--package is missing; --help"),
        ("rom", None, "--rom is missing; --help"),
        ("elf", None, "--elf is missing, or --flash; --help"),
        ("usb", None, "give --uart PORT, --usb PORT or both"),
        ("usb", "zz", "--usb zz is no port: give 1 to 65535, or 0"),
        ("usb", "0x10", "--usb 0x10 is no port"),
        ("usb", "-1", "--help lists the options"),
        ("uart", "65536", "--uart 65536 is no port"),
        ("uart", "", "--uart  is no port"),
        ("unique", "12", "--unique 12 is no number of 8 bytes: give 16 hexadecimal digits"),
        ("unique", "e66000000000000g", "--unique e66000000000000g is no number"),
        ("idle", "0x10000288", "Unknown option '--idle'; --help lists the options"),
        ("control", "77", "--control 77 is no channel"),
        ("control", "/nowhere/socket", "--control /nowhere/socket is no channel"),
        ("save_flash", "/nowhere/flash", "--save-flash /nowhere/flash cannot be written (no such"),
        ("package", "/", "`python -m picotrain.device.targets.node_package`"),
        ("rom", "/nowhere", "--rom /nowhere cannot be read (no such file or directory): `make"),
        ("rom", "/etc/passwd", "--rom /etc/passwd is no boot ROM: `make -C emulation/rom`"),
        ("elf", "/nowhere", "--elf /nowhere cannot be read (no such file or directory): `make"),
        ("elf", "/etc/passwd", "--elf /etc/passwd is no ELF file of a 32-bit Arm"),
        ("flash", "/etc/passwd", "--flash /etc/passwd is no program for the RP2040 (stack 0x"),
        ("flash", "/", "--flash / cannot be read"),
    ],
)
def test_a_wrong_option_is_refused_with_a_fix(
    right: dict[str, str | Path], option: str, value: str | None, says: str
) -> None:
    assert says in refused_with(right, **{option: value})


def test_files_of_a_wrong_kind_are_refused(
    right: dict[str, str | Path], tmp_path: Path, caller: Path
) -> None:
    elf, rom = firmware.RP2040, firmware.RP2040_ROM
    assert "give it as --elf" in refused_with(right, flash=elf)
    assert "give the rom.bin beside it" in refused_with(right, rom=rom.with_suffix(".elf"))
    assert "no symbol pt_board_idle" in refused_with(right, elf=rom.with_suffix(".elf"))
    alone = tmp_path / "rom.bin"
    alone.write_bytes(rom.read_bytes())
    assert f"{tmp_path / 'rom.elf'} (beside --rom) cannot be read" in refused_with(right, rom=alone)

    held = elf.with_suffix(".bin").read_bytes()
    file = tmp_path / "file"

    def written(data: bytes) -> Path:
        file.write_bytes(data)
        return file

    assert "damaged ELF" in refused_with(right, elf=written(elf.read_bytes()[:30000]))
    other = bytearray(held)
    other[0x2345] ^= 1
    assert "another build than --elf" in refused_with(right, flash=written(bytes(other)))
    assert "at 0x10002345" in refused_with(right, flash=file)
    large = bytes(0x200001)
    assert "the flash is 2 MiB" in refused_with(right, flash=written(large))
    first = (0, held[:256])
    assert "no program" in refused_with(right, flash=written(uf2(first)))
    assert "no block at byte 512" in refused_with(right, flash=written(uf2(first) + b"more"))
    assert "another chip" in refused_with(right, flash=written(uf2(first, family=0xADA52840)))
    elsewhere = (0x200000, held[:256])
    assert "0x10200000" in refused_with(right, flash=written(uf2(elsewhere)))


@pytest.mark.parametrize("stack", [0x20000000, 0x20042004, 0x20041002, 0x10000000])
def test_a_stack_outside_of_sram_is_refused(
    right: dict[str, str | Path], tmp_path: Path, stack: int
) -> None:
    refused_vectors(right, tmp_path / "flash.bin", stack, 0x10000101)


@pytest.mark.parametrize("start", [0x10000100, 0x100000FF, 0x10200001, 0x20000001])
def test_a_start_outside_of_flash_is_refused(
    right: dict[str, str | Path], tmp_path: Path, start: int
) -> None:
    refused_vectors(right, tmp_path / "flash.bin", 0x20042000, start)


def refused_vectors(right: dict[str, str | Path], file: Path, stack: int, start: int) -> None:
    vectors = stack.to_bytes(4, "little") + start.to_bytes(4, "little")
    file.write_bytes(bytes(256) + vectors)
    says = f"(stack 0x{stack:08x}, start 0x{start:08x} at 0x10000100)"
    assert says in refused_with(right, elf=None, flash=file)


def test_help_names_each_option() -> None:
    command = ["node", str(node_package.SOURCE / "pico.mjs"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    options = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  --")}
    manual = (node_package.SOURCE / "README.md").read_text()
    assert len(options) == 15
    assert all(f"`{option}" in manual for option in options)
