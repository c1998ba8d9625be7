"""UF2 files: by the specification's offsets, there and back, and every way to be wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from picotrain import cli
from picotrain.errors import UserError
from picotrain.image import firmware, uf2
from picotrain.image.uf2 import FLASH, Segment
from support import require

START = FLASH.start


def blocks(content: bytes) -> list[dict[str, int | bytes]]:
    """Read by the specification alone: 512 bytes, little-endian words at fixed offsets."""
    assert len(content) % 512 == 0
    found = []
    for at in range(0, len(content), 512):
        block = content[at : at + 512]

        def word(offset: int, block: bytes = block) -> int:
            return int.from_bytes(block[offset : offset + 4], "little")

        assert block[:4] == b"UF2\n"
        assert word(4) == 0x9E5D5157
        assert word(508) == 0x0AB16F30
        found.append(
            {
                "flags": word(8),
                "address": word(12),
                "size": word(16),
                "number": word(20),
                "count": word(24),
                "family": word(28),
                "data": block[32 : 32 + word(16)],
                "rest": block[32 + word(16) : 508],
            }
        )
    return found


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Some bytes of flash that do not overlap, in any order."""
    at = START
    made = []
    for _ in range(draw(st.integers(1, 5))):
        at += draw(st.sampled_from([0, 1, 200, 256, 300, 4096, 70000]))
        data = draw(st.binary(min_size=1, max_size=700))
        made.append(Segment(at, data))
        at += len(data)
    return draw(st.permutations(made))


def test_one_page_by_the_specification() -> None:
    (block,) = blocks(uf2.encode([Segment(START, b"\x01\x02\x03")]))
    assert block == {
        "flags": 0x2000,
        "address": 0x10000000,
        "size": 256,
        "number": 0,
        "count": 1,
        "family": 0xE48BFF56,
        "data": b"\x01\x02\x03" + b"\xff" * 253,
        "rest": bytes(220),
    }


@given(segments())
def test_blocks_are_numbered_in_order_and_a_sector_is_never_split(given_: list[Segment]) -> None:
    found = blocks(uf2.encode(given_))
    assert [block["number"] for block in found] == list(range(len(found)))
    assert {block["count"] for block in found} == {len(found)}
    assert {block["flags"] for block in found} == {0x2000}
    assert {block["family"] for block in found} == {0xE48BFF56}
    addresses = [int(block["address"]) for block in found]  # type: ignore[call-overload]
    assert addresses == sorted(set(addresses))
    # The boot ROM erases once in 16 blocks, counted by their numbers.
    for group in range(0, len(addresses), 16):
        sectors = {address // 4096 for address in addresses[group : group + 16]}
        assert len(sectors) == 1
        assert addresses[group] % 4096 == 0


@given(segments())
def test_there_and_back(given_: list[Segment]) -> None:
    content = uf2.encode(given_)
    flash = {segment.address: segment.data for segment in uf2.decode(content)}
    for address, data in given_:
        start = max(at for at in flash if at <= address)
        assert flash[start][address - start :][: len(data)] == data
    # What is not given is erased flash.
    used = sum(len(data) for _, data in given_)
    given_ff = sum(data.count(0xFF) for _, data in given_)
    total = b"".join(flash.values())
    assert total.count(0xFF) == len(total) - used + given_ff
    assert uf2.encode(uf2.decode(content)) == content


@given(segments(), st.randoms())
def test_blocks_may_come_in_any_order(given_: list[Segment], random: object) -> None:
    content = uf2.encode(given_)
    pieces = [content[at : at + 512] for at in range(0, len(content), 512)]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    assert uf2.decode(b"".join(pieces)) == uf2.decode(content)


@given(st.binary(max_size=1200))
def test_any_bytes_are_read_or_refused_with_one_sentence(data: bytes) -> None:
    with pytest.raises(UserError):
        uf2.decode(data, "x.uf2")


@given(segments(), st.data())
def test_a_damaged_head_is_refused(given_: list[Segment], data: st.DataObject) -> None:
    content = bytearray(uf2.encode(given_))
    block = data.draw(st.integers(0, len(content) // 512 - 1)) * 512
    at = data.draw(st.sampled_from([*range(8), 9, *range(16, 32), *range(508, 512)]))
    # Of the flags, byte 9, only "has a family" is one that must be there.
    content[block + at] ^= 0x20 if at == 9 else data.draw(st.sampled_from([0x20, 0x40, 0x80]))
    with pytest.raises(UserError, match=r"^x\.uf2"):
        uf2.decode(bytes(content), "x.uf2")


def with_word(offset: int, value: int) -> bytes:
    content = bytearray(uf2.encode([Segment(START, bytes(600))]))
    content[512 + offset : 512 + offset + 4] = value.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "x: 0 bytes are not a number of blocks of 512"),
        (bytes(511), "x: 511 bytes are not a number of blocks of 512"),
        (with_word(0, 0), "x, block 1: no UF2 block (wrong magic); build it again with `make uf2`"),
        (with_word(508, 0), "x, block 1: no UF2 block (wrong magic); build it again"),
        (with_word(8, 0), "x, block 1: no family; the RP2040 takes only 0xe48bff56"),
        (with_word(28, 0xE48BFF59), "x, block 1: family 0xe48bff59; the RP2040 takes only"),
        (with_word(8, 0x2001), "x, block 1: marked as not for flash (flags 0x2001)"),
        (with_word(24, 4), "x, block 1: says that there are 4 blocks, the file has 3"),
        (with_word(20, 0), "x, block 1: block number 0 twice"),
        (with_word(20, 3), "x, block 1: block number 3 of 3"),
        (with_word(16, 255), "x, block 1: 255 bytes at 0x10000100; the boot ROM takes whole pages"),
        (with_word(12, START + 1), "x, block 1: 256 bytes at 0x10000001; the boot ROM takes whole"),
        (with_word(12, START), "x, block 1: 0x10000000 is written twice"),
        (
            with_word(12, 0x20000000),
            "x, block 1: 256 bytes at 0x20000000 are not in a Pico's flash "
            "(0x10000000 to 0x101fffff)",
        ),
    ],
)
def test_bad_files_are_named(content: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        uf2.decode(content, "x")
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ([], "there is nothing to write into flash; is the ELF file linked for flash?"),
        ([Segment(START, b"")], "there is nothing to write into flash"),
        (
            [Segment(START, bytes(9)), Segment(START + 8, bytes(1))],
            "two segments hold 0x10000008; link the program anew",
        ),
        ([Segment(START - 1, bytes(2))], "segment: 2 bytes at 0x0fffffff are not in a Pico's"),
        ([Segment(FLASH.stop - 1, bytes(2))], "segment: 2 bytes at 0x101fffff are not in a"),
    ],
)
def test_what_no_flash_can_hold_is_refused(given_: list[Segment], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        uf2.encode(given_)
    assert str(error.value).startswith(sentence)


def bitwise_checksum(code: bytes) -> int:
    """CRC-32 as the datasheet describes it (2.8.1.3.1), one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in code:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return crc


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_datasheet(code: bytes) -> None:
    assert uf2.boot2_checksum(code) == bitwise_checksum(code)


def bootable(size: int = 5000) -> bytes:
    code = bytes(range(252))
    return (code + bitwise_checksum(code).to_bytes(4, "little")).ljust(size, b"\x5a")


def test_a_bin_file_is_flash_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(bootable())
    assert uf2.read_image(path) == [Segment(START, bootable())]


def test_what_would_not_boot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    for content in (bootable()[:200], b"\x01" + bootable()[1:], bytes(300)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="checksum of the second stage"):
            uf2.read_image(path)
    path.write_bytes(bootable((2 << 20) + 1))
    with pytest.raises(UserError, match="are not in a Pico's flash"):
        uf2.read_image(path)


def elf(loads: list[tuple[int, int, bytes]], machine: int = 40) -> bytes:
    """A small ELF file: (address at run time, address in flash, content) of each section.

    The first segment covers the ELF header too, as linkers like to have it.
    """
    names = b"\0.text\0.shstrtab\0"
    head, entry, section = 52, 32, 40
    at = head + entry * len(loads)
    bodies, segments_, sections = b"", b"", bytes(section)
    for number, (run, load, content) in enumerate(loads):
        offset = at + len(bodies)
        lead = offset if number == 0 else 0
        segments_ += struct.pack(
            "<8I",
            *(1, offset - lead, run - lead, load - lead),
            *(len(content) + lead, len(content) + lead, 5, 4),
        )
        sections += struct.pack("<10I", 1, 1, 6, run, offset, len(content), 0, 0, 4, 0)
        bodies += content
    names_at = at + len(bodies)
    sections += struct.pack("<10I", 7, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    count = len(loads) + 2
    identity = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = identity + struct.pack(
        "<HHIIIIIHHHHHH",
        *(2, machine, 1, START, head, names_at + len(names), 0, head, entry, len(loads), section),
        *(count, count - 1),
    )
    return header + segments_ + bodies + names + sections


def test_an_elf_file_gives_its_sections_where_flash_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "program.elf"
    image = bootable(1000)
    path.write_bytes(elf([(START, START, image), (0x20000000, START + 1000, b"in SRAM")]))
    with path.open("rb") as file:
        assert ELFFile(file).num_segments() == 2
    assert uf2.read_image(path) == [Segment(START, image + b"in SRAM")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no ELF file", "no ELF file, UF2 file or .bin"),
        (elf([(START, START, bootable())], machine=62), "no Arm program"),
        (elf([(0x20000000, 0x20000000, b"x")]), "1 bytes at 0x20000000 are not in a Pico's flash"),
    ],
)
def test_a_bad_elf_file_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "program.elf"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        uf2.read_image(path)
    assert str(error.value).startswith(f"{path}: {sentence}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file.*make uf2"):
        uf2.read_image(tmp_path / "missing.elf")


def test_the_firmware_boots_and_reads_back_as_its_bin(tmp_path: Path) -> None:
    """The ELF file of the board, against what objcopy makes of it."""
    path = require(firmware.RP2040)
    segments_ = uf2.read_image(path)
    flat = bytearray(b"\xff" * (segments_[-1].address + len(segments_[-1].data) - START))
    for address, data in segments_:
        flat[address - START : address - START + len(data)] = data
    plain = require(path.with_suffix(".bin")).read_bytes()
    # objcopy fills gaps with zeros.
    assert len(flat) == len(plain)
    for ours, theirs in zip(flat, plain, strict=True):
        assert ours == theirs or (ours, theirs) == (0xFF, 0)
    back = uf2.decode(uf2.encode(segments_))
    assert back[0].data[: len(flat)] == flat


def test_the_verb_writes_what_the_drive_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "image.bin", tmp_path / "flash.uf2"
    source.write_bytes(bootable())
    summary = tmp_path / "uf2.json"
    arguments = ["uf2", "--elf", str(source), "--out", str(out), "--json", str(summary)]
    assert cli.main(arguments) == 0
    assert uf2.decode(out.read_bytes())[0].data[:5000] == bootable()
    assert f"{out}: 5,000 bytes of flash in 20 blocks" in capsys.readouterr().out
    assert '"blocks": 20' in summary.read_text()


def test_the_verb_refuses_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["uf2", "--elf", str(tmp_path / "none.elf")]) == 2
    assert "none.elf: No such file or directory; build it" in capsys.readouterr().err


def test_the_verb_makes_the_folder(tmp_path: Path) -> None:
    source, out = tmp_path / "image.bin", tmp_path / "new" / "image.uf2"
    source.write_bytes(bootable())
    assert cli.main(["uf2", "--elf", str(source), "--out", str(out)]) == 0
    assert out.stat().st_size % uf2.BLOCK == 0 < out.stat().st_size
    assert [path.name for path in out.parent.iterdir()] == [out.name]
