"""Images that would not boot, at every verb that takes one: one sentence, nothing written."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from picotrain import cli
from picotrain.errors import BuildFailure, UserError
from picotrain.image import firmware, uf2
from picotrain.image.elf import Elf
from support import require

OBJCOPY = "arm-none-eabi-objcopy"

Make = Callable[[Path], None]


def objcopy(*options: str) -> Make:
    def make(path: Path) -> None:
        if shutil.which(OBJCOPY) is None:
            pytest.skip(f"{OBJCOPY} is not installed (apt: binutils-arm-none-eabi)")
        source = str(require(firmware.RP2040))
        subprocess.run([OBJCOPY, *options, source, str(path)], check=True, capture_output=True)

    return make


def cut(share: float) -> Make:
    def make(path: Path) -> None:
        content = require(firmware.RP2040).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def changed(at: int, format_: str, value: int) -> Make:
    """The firmware with another number in its ELF header."""

    def make(path: Path) -> None:
        content = bytearray(require(firmware.RP2040).read_bytes())
        struct.pack_into(format_, content, at, value)
        path.write_bytes(content)

    return make


NO_CODE = (
    "has no code, only what a debugger wants (objcopy --only-keep-debug); use the file that it was "
    "made from"
)
BAD: dict[str, tuple[Make, str]] = {
    "debug": (objcopy("--only-keep-debug"), NO_CODE),
    "no-boot2": (objcopy("-R", ".boot2"), "has no second stage at 0x10000000, the first 256 bytes"),
    "only-data": (
        objcopy("-j", ".debug_info"),
        "holds nothing to load, so it is no linked program",
    ),
    "half": (cut(0.5), "a broken ELF file ("),
    "end": (cut(0.999), "a broken ELF file ("),
    "machine": (changed(18, "<H", 62), "no Arm program; use build/rp2040/picotrain.elf"),
    "entry": (changed(24, "<I", 0x20040001), "it starts at 0x20040000, where it has no code; link"),
    "text": (lambda path: path.write_text("x" * 999) and None, "no ELF file, UF2 file or .bin"),
    "empty": (lambda path: path.write_text("") and None, "no ELF file, UF2 file or .bin"),
}


@pytest.mark.parametrize("name", BAD)
def test_no_uf2_is_made_of_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, sentence = BAD[name]
    elf, out = tmp_path / "image.elf", tmp_path / "image.uf2"
    make(elf)
    out.write_text("an earlier one")
    assert cli.main(["uf2", "--elf", str(elf), "--out", str(out)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"picotrain: {elf}: {sentence}")
    assert told.err.count("\n") == 1
    assert out.read_text() == "an earlier one"


@pytest.mark.parametrize("verb", ["flash", "hw-test"])
@pytest.mark.parametrize("name", [*BAD, "stripped", "uf2"])
def test_no_board_gets_it(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elf = tmp_path / "image.elf"
    if name == "stripped":
        objcopy("--strip-all")(elf)
    elif name == "uf2":
        elf.write_bytes(uf2.encode(uf2.read_image(require(firmware.RP2040))))
    else:
        BAD[name][0](elf)
    more = ["--report", str(tmp_path / "report")] if verb == "hw-test" else []
    port = str(tmp_path / "ttyNONE")
    assert cli.main([verb, "--elf", str(elf), "--port", port, *more]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert str(elf) in told.err and "ttyNONE" not in told.err
    assert not (tmp_path / "report").exists()


def test_a_file_is_what_it_holds_and_not_what_it_is_called(tmp_path: Path) -> None:
    source = require(firmware.RP2040)
    expected = uf2.read_image(source)
    named = tmp_path / "picotrain.bin"
    named.write_bytes(source.read_bytes())
    assert uf2.read_image(named) == expected
    packed = tmp_path / "picotrain.elf"
    packed.write_bytes(uf2.encode(expected))
    assert uf2.encode(uf2.read_image(packed)) == packed.read_bytes()


def test_a_stripped_file_boots_but_has_no_symbols(tmp_path: Path) -> None:
    elf = tmp_path / "image.elf"
    objcopy("--strip-all")(elf)
    assert uf2.read_image(elf) == uf2.read_image(require(firmware.RP2040))
    with pytest.raises(BuildFailure, match="no symbols, it was stripped"):
        Elf(elf).symbol("pt_mailbox")
    with pytest.raises(BuildFailure, match="no debug information; build with -g"):
        Elf(elf).dtype("pt_mailbox")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_no_image(tmp_path: Path, share: float) -> None:
    elf = tmp_path / "image.elf"
    cut(share)(elf)
    with pytest.raises(BuildFailure, match="no firmware image"):
        Elf(elf)
    with pytest.raises(UserError):
        uf2.read_image(elf)
