"""What the image for the Cortex-M0+ must not hold, and where its parts must lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection
from support import require

from harness import firmware
from harness.elf import Elf

V6S_M = 12
"""Tag_CPU_arch in the Arm ELF attributes: ARMv6S-M, the Cortex-M0+ (11 is ARMv6-M)."""

SRAM = range(0x20000000, 0x20000000 + 264 * 1024)
FLASH = range(0x200000)

FLOAT = re.compile(
    r"__aeabi_(f|d|cf|cd|h|i2[fd]|ui2[fd]|l2[fd]|ul2[fd])[a-z0-9]*"
    r"|__(add|sub|mul|div|neg|float|fix|fixuns|floatun|extend|trunc|eq|ne|lt|gt|le|ge|unord|pow)"
    r"[a-z]*(sf|df|tf|hf)[a-z0-9]*"
    r"|(sqrt|exp|log|pow|sin|cos|round|floor|ceil|fabs)f?"
)
HEAP = re.compile(
    r"_*(malloc|calloc|realloc|free|memalign|reallocf?)(_r)?|_*sbrk(_r)?|_*mmap|alloca|_end"
)
STDIO = re.compile(r"_*(v?[sfn]*printf|v?[sf]*scanf|puts|putchar|fwrite|fopen|_?impure.*)(_r)?")

ON_STACK = 4096


def forbidden(names: list[str]) -> list[str]:
    return [name for name in names if any(rule.fullmatch(name) for rule in (FLOAT, HEAP, STDIO))]


@pytest.fixture(scope="module")
def image() -> Iterator[ELFFile]:
    with require(firmware.MICROBIT).open("rb") as file:
        yield ELFFile(file)


@pytest.fixture(scope="module")
def symbols(image: ELFFile) -> list[Symbol]:
    table = image.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    return [symbol for symbol in table.iter_symbols() if symbol.name]


def test_no_float_heap_or_stdio(symbols: list[Symbol]) -> None:
    assert forbidden([symbol.name for symbol in symbols]) == []


@pytest.mark.parametrize(
    "name",
    [
        *("__aeabi_fadd", "__aeabi_ddiv", "__aeabi_i2f", "__aeabi_f2iz", "__aeabi_cdcmple"),
        *("__addsf3", "__floatsidf", "__fixunsdfsi", "__eqdf2", "sqrtf", "exp"),
        *("malloc", "_malloc_r", "free", "calloc", "_sbrk", "sbrk", "printf", "vsnprintf", "puts"),
    ],
)
def test_the_rules_know_their_names(name: str) -> None:
    assert forbidden([name]) == [name]


def test_the_rules_allow_the_integers_of_libgcc(symbols: list[Symbol]) -> None:
    names = ["__aeabi_uidiv", "__aeabi_idivmod", "__divsi3", "memcpy", "memset", "pt_reset"]
    assert forbidden(names) == []
    assert {"__aeabi_uidiv", "memcpy"} <= {symbol.name for symbol in symbols}


def test_instruction_set(image: ELFFile) -> None:
    """The linker raises these to the newest that any object needs."""
    section = image.get_section_by_name(".ARM.attributes")
    assert section is not None
    tags = {
        attribute.tag: attribute.value
        for subsection in section.iter_subsections()
        for group in subsection.iter_subsubsections()
        for attribute in group.iter_attributes()
    }
    assert tags["TAG_CPU_ARCH"] == V6S_M
    assert tags["TAG_CPU_ARCH_PROFILE"] == ord("M")
    assert tags["TAG_THUMB_ISA_USE"] == 1
    for absent in ("TAG_FP_ARCH", "TAG_ABI_VFP_ARGS", "TAG_ADVANCED_SIMD_ARCH", "TAG_DIV_USE"):
        assert tags.get(absent, 0) == 0
    # Absent or 0: no unaligned access was asked for.
    assert tags.get("TAG_CPU_UNALIGNED_ACCESS", 0) == 0
    assert image["e_machine"] == "EM_ARM" and image.elfclass == 32 and image.little_endian


def test_nothing_is_left_to_link(image: ELFFile, symbols: list[Symbol]) -> None:
    assert image["e_type"] == "ET_EXEC"
    relocations = [s.name for s in image.iter_sections() if s["sh_type"] in ("SHT_REL", "SHT_RELA")]
    assert relocations == []
    undefined = [symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF"]
    assert undefined == []
    assert image.get_section_by_name(".dynamic") is None
    for name in (".init_array", ".ctors", ".got", ".ARM.exidx", ".eh_frame"):
        assert image.get_section_by_name(name) is None


COLD = {
    *("pt_crc32", "pt_generator", "pt_method", "pt_model", "pt_plan", "pt_scores", "pt_bench"),
}
"""The sources whose code runs between steps and stays in flash (link.ld)."""


def functions(symbols: list[Symbol]) -> dict[str, int]:
    """Name -> address, without what the linker made."""
    return {
        symbol.name: symbol["st_value"] & ~1
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC" and not symbol.name.endswith("_veneer")
    }


def test_code_lies_in_sram(image: ELFFile, symbols: list[Symbol], microbit_elf: Elf) -> None:
    """The RP2040 reads flash through a cache that no emulator models; timed code must not."""
    start, end = microbit_elf.symbol("pt_code_start"), microbit_elf.symbol("pt_code_end")
    assert start in SRAM and end in SRAM
    section = image.get_section_by_name(".cold")
    assert section is not None
    cold = range(section["sh_addr"], section["sh_addr"] + section["sh_size"])
    found = functions(symbols)
    in_flash = {name for name, address in found.items() if address in FLASH}
    assert {"pt_reset", "pt_board_idle", "pt_board_halt"} < in_flash
    assert {name for name in in_flash if found[name] not in cold} == {
        *("pt_reset", "pt_board_idle", "pt_board_halt"),
    }
    outside = {name for name, at in found.items() if not start <= at < end}
    assert outside == in_flash
    assert len(found) > 60
    idle = range(microbit_elf.symbol("pt_idle_start"), microbit_elf.symbol("pt_idle_end"))
    assert found["pt_board_idle"] in idle and found["pt_board_halt"] in idle
    assert idle.start % 1024 == idle.stop % 1024 == 0


def test_cold_code_is_what_the_linker_script_says(symbols: list[Symbol]) -> None:
    """Every function of the cold sources is in flash, none of the kernels or the trainer is."""
    sources = firmware.ROOT / "firmware"
    found = functions(symbols)
    wanted = ("nn/*.c", "app/*.c", "kernels/*/*.c")
    for file in [file for where in wanted for file in sources.glob(where)]:
        defined = re.findall(r"^(?:\w+ )+\**(pt_\w+)\([^;{]*\)\n{", file.read_text(), re.MULTILINE)
        for name in set(defined) & set(found):
            assert (found[name] in FLASH) == (file.stem in COLD), name


def test_constants_lie_with_their_code(symbols: list[Symbol]) -> None:
    objects = {
        symbol.name: symbol["st_value"]
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_OBJECT" and symbol.name != "vectors"
    }
    assert objects["pt_mailbox"] in SRAM and objects["app"] in SRAM
    assert objects["nibble"] in FLASH, "the table of pt_crc32"
    assert all(address in SRAM or address in FLASH for address in objects.values())


def test_segments_fit_and_are_apart(image: ELFFile) -> None:
    segments = [s for s in image.iter_segments() if s["p_type"] == "PT_LOAD"]
    loaded = [range(s["p_paddr"], s["p_paddr"] + s["p_filesz"]) for s in segments]
    running = [range(s["p_vaddr"], s["p_vaddr"] + s["p_memsz"]) for s in segments]
    for part in loaded:
        assert part.start in FLASH and part.stop <= FLASH.stop
    for part in running:
        memory = SRAM if part.start in SRAM else FLASH
        assert part.start in memory and part.stop <= memory.stop
    for parts in (loaded, running):
        parts.sort(key=lambda part: part.start)
        for before, after in pairwise(parts):
            assert before.stop <= after.start


def test_the_vector_table(image: ELFFile, microbit_elf: Elf) -> None:
    table = image.get_section_by_name(".vectors")
    assert table is not None and table["sh_addr"] == 0
    words = [int.from_bytes(table.data()[at : at + 4], "little") for at in range(0, 192, 4)]
    assert words[0] == microbit_elf.symbol("pt_stack_end") == SRAM.stop
    assert words[1] == microbit_elf.symbol("pt_reset") | 1
    assert set(words[2:]) == {microbit_elf.symbol("pt_hard_fault") | 1}


def test_memory_is_divided_without_gaps(microbit_elf: Elf) -> None:
    symbol = microbit_elf.symbol
    assert symbol("pt_code_start") == SRAM.start
    assert 0 <= symbol("pt_bss_start") - symbol("pt_code_end") < 1024
    assert symbol("pt_arena_start") == symbol("pt_bss_end")
    assert symbol("pt_arena_start") % 8 == 0
    assert symbol("pt_arena_end") == symbol("pt_stack_start")
    assert symbol("pt_stack_end") - symbol("pt_stack_start") == ON_STACK
    assert firmware.pico_arena_bytes() == symbol("pt_arena_end") - symbol("pt_arena_start")
    # What is left must do for the network of the results.
    assert firmware.pico_arena_bytes() > 230 * 1024


def stack_frames(folder: Path) -> dict[str, tuple[int, str]]:
    """Function -> (bytes, kind), as the compiler counted them for each object."""
    frames = {}
    for file in folder.rglob("*.su"):
        for line in file.read_text().splitlines():
            place, size, kind = line.split("\t")
            frames[place.rsplit(":", 1)[1]] = (int(size), kind)
    return frames


def test_stack_frames_are_known_and_bounded() -> None:
    require(firmware.MICROBIT)
    frames = stack_frames(firmware.BUILD / "cortex-m0plus")
    assert len(frames) > 60
    assert {kind for _, kind in frames.values()} <= {"static"}
    worst = max(frames, key=lambda name: frames[name])
    # A histogram of 256 words: the deepest call may not need much beside it.
    assert worst == "cut_rank" and 1024 <= frames[worst][0] < 1200
    others = sorted((size for name, (size, _) in frames.items() if name != worst), reverse=True)
    assert others[0] < 384
    # `picotrain memory` follows the calls; here, six large frames and what assembly takes must fit.
    assert frames[worst][0] + sum(others[:6]) + 128 < ON_STACK


def test_every_kernel_is_linked(symbols: list[Symbol]) -> None:
    """`--gc-sections` leaves out what is not called, which then would not be tested either."""
    names = {symbol.name for symbol in symbols}
    headers = Path(firmware.ROOT / "firmware" / "kernels").rglob("*.h")
    declared = {
        name
        for header in headers
        for name in re.findall(r"^(?:uint32_t|void) (pt_\w+)\(", header.read_text(), re.MULTILINE)
    }
    assert len(declared) >= 14
    assert declared <= names
