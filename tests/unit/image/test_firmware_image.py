"""What the images for the Cortex-M0+ must not hold, and where their parts must lie."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Symbol, SymbolTableSection

from picotrain import places
from picotrain.image import firmware
from picotrain.image.elf import Elf, open_elf
from support import require

V6S_M = 12
"""Tag_CPU_arch in the Arm ELF attributes: ARMv6S-M, the Cortex-M0+ (11 is ARMv6-M)."""

SRAM = range(0x20000000, 0x20000000 + 264 * 1024)
FLASH = {"microbit": range(0x200000), "rp2040": range(0x10000000, 0x10200000)}
IMAGES = {"microbit": firmware.MICROBIT, "rp2040": firmware.RP2040}

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


@pytest.fixture(scope="module", params=IMAGES)
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


microbit_only = pytest.mark.parametrize("board", ["microbit"], indirect=True, scope="module")
rp2040_only = pytest.mark.parametrize("board", ["rp2040"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def elf(board: str) -> Elf:
    return open_elf(require(IMAGES[board]))


@pytest.fixture(scope="module")
def flash(board: str) -> range:
    return FLASH[board]


@pytest.fixture(scope="module")
def image(board: str) -> Iterator[ELFFile]:
    with require(IMAGES[board]).open("rb") as file:
        yield ELFFile(file)


@pytest.fixture(scope="module")
def symbols(image: ELFFile) -> list[Symbol]:
    return symbols_of(image)


def symbols_of(image: ELFFile) -> list[Symbol]:
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
    *("pt_bench_affine", "pt_geometry", "pt_trainer_state", "pt_app", "pt_sparse"),
    *("pt_selection", "pt_prototypes", "pt_solver", "pt_wide", "pt_state"),
    *("pt_sum", "pt_guard", "pt_app_guard", "pt_image"),
}
"""The sources whose code runs between steps and stays in flash (link.ld)."""

COLD_ON = {
    "microbit": set(),
    "rp2040": {"pt_link"},
}

BOARD_IN_FLASH = {
    "microbit": {
        *("pt_reset", "pt_board_idle", "pt_board_halt", "pt_board_run"),
        *("pt_hard_fault", "pt_fault_end"),  # A stack that overflows writes over SRAM.
        *("pt_image_damaged", "pt_board_code", "pt_board_stack_used"),
    },
    "rp2040": {
        *("pt_entry", "pt_reset", "pt_board_idle", "pt_board_halt"),
        *("pt_board_start", "pt_board_run", "pt_board_restart", "pt_board_receive"),
        *("pt_board_send", "pt_board_flash_write"),
        *("pt_clocks_start", "pt_clocks_usb", "pt_cycles_start", "pt_halt", "pt_rom_function"),
        *("pt_uart_start", "pt_uart_send", "pt_uart_receive", "pt_uart_flush"),
        *("pt_watchdog_warn", "pt_watchdog_interrupt", "pt_fault_recall"),
        *("pt_watchdog_start", "pt_usb_start", "pt_usb_descriptor", "pt_usb_descriptors_start"),
        *("pt_usb_ms_os_20", "pt_image_damaged", "pt_board_code", "pt_board_stack_used"),
    },
}
"""The public functions of the board that are in flash, the rest being in SRAM."""


def functions(symbols: list[Symbol]) -> dict[str, int]:
    """Name -> address, without what the linker made."""
    return {
        symbol.name: symbol["st_value"] & ~1
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC" and not symbol.name.endswith("_veneer")
    }


def test_code_lies_in_sram(board: str, flash: range, symbols: list[Symbol], elf: Elf) -> None:
    """The RP2040 reads flash through a cache that no emulator models; timed code must not."""
    start, end = elf.symbol("pt_code_start"), elf.symbol("pt_code_end")
    assert start in SRAM and end in SRAM
    found = functions(symbols)
    in_flash = {name for name, address in found.items() if address in flash}
    outside = {name for name, at in found.items() if not start <= at < end}
    assert outside == in_flash
    assert len(found) > 60
    sources = places.SHIPPED / "firmware" / "boards"
    text = "".join(
        file.read_text()
        for name in (board, "cortex_m0")
        for file in (sources / name).glob("*.[chS]")
    )
    defined = set(re.findall(r"(?:^| )(pt_\w+)(?:\([^;{]*\)\n{|:$)", text, re.MULTILINE))
    assert {"pt_hard_fault", "pt_reset"} < defined
    assert defined & in_flash == BOARD_IN_FLASH[board]


def test_a_guard_calls_nothing_through_a_veneer(symbols: list[Symbol], elf: Elf) -> None:
    """It is in no count of cycles, and what it would run there is."""
    guard = range(elf.symbol("pt_guard_start"), elf.symbol("pt_guard_end"))
    inside = {symbol.name for symbol in symbols if symbol["st_value"] & ~1 in guard}
    assert "pt_app_guard_check" in inside
    assert [name for name in inside if name.endswith("_veneer")] == []


@microbit_only
def test_idle_code_has_pages_of_its_own(symbols: list[Symbol], elf: Elf) -> None:
    """QEMU runs pages with a breakpoint one instruction at a time."""
    found = functions(symbols)
    idle = range(elf.symbol("pt_idle_start"), elf.symbol("pt_idle_end"))
    assert found["pt_board_idle"] in idle and found["pt_board_halt"] in idle
    assert idle.start % 1024 == idle.stop % 1024 == 0


@microbit_only
def test_the_loop_that_runs_most_crosses_no_page(symbols: list[Symbol]) -> None:
    """QEMU chains blocks within a page of 1 KiB only: across pages, it looks up every block."""
    start = functions(symbols)["pt_lanes_row_relu_s8"]
    # What follows is for a window in which a sum saturates.
    [slow] = [symbol["st_value"] for symbol in symbols if symbol.name == "relu_slow"]
    assert start % 1024 == 0 and start < slow <= start + 1024


@rp2040_only
def test_idle_code_is_nothing_else(symbols: list[Symbol], elf: Elf) -> None:
    """Cycles between the two marks are waiting."""
    found = functions(symbols)
    idle = range(elf.symbol("pt_idle_start"), elf.symbol("pt_idle_end"))
    inside = {name for name, address in found.items() if address in idle}
    assert inside == {"pt_board_idle", "pt_board_halt"}
    assert len(idle) <= 16


@rp2040_only
def test_what_runs_without_flash_lies_in_sram(symbols: list[Symbol]) -> None:
    """Interrupts and faults may come at any time, and flash is no memory while it is written."""
    found = functions(symbols)
    for name in (
        *("pt_usb_interrupt", "pt_uart_interrupt", "pt_hard_fault", "save_fault", "pt_fault_end"),
        *("flash_change", "pt_flash_number", "pt_watchdog_reset", "pt_watchdog_feed"),
        *("memcpy", "memset", "pt_board_cycles"),
    ):
        assert found[name] in SRAM, name


def test_cold_code_is_what_the_linker_script_says(
    board: str, flash: range, symbols: list[Symbol]
) -> None:
    """Every function of the cold sources is in flash, none of the kernels or the trainer is."""
    sources = places.SHIPPED / "firmware"
    found = functions(symbols)
    wanted = ("nn/*.c", "nn/operators/*.c", "app/*.c", "kernels/*/*.c")
    for file in [file for where in wanted for file in sources.glob(where)]:
        defined = re.findall(r"^(?:\w+ )+\**(pt_\w+)\([^;{]*\)\n{", file.read_text(), re.MULTILINE)
        for name in set(defined) & set(found):
            assert (found[name] in flash) == (file.stem in COLD | COLD_ON[board]), name
    for file in (sources / "nn" / "operators").glob("*_operator.c"):
        defined = re.findall(r"^static (?:\w+ )+\**(\w+)\(", file.read_text(), re.MULTILINE)
        kept = set(defined) & set(found)
        assert any(name.endswith("shape_valid") for name in kept)
        for name in kept:
            cold = name.endswith(("_valid", "_terms", "_scratch"))
            assert (found[name] in flash) == cold, name


def test_constants_lie_with_their_code(board: str, flash: range, symbols: list[Symbol]) -> None:
    objects = {
        symbol.name: symbol["st_value"]
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_OBJECT"
    }
    assert objects["pt_mailbox"] in SRAM and objects["app"] in SRAM
    assert objects["nibble"] in flash, "the table of pt_crc32"
    assert objects["vectors"] in (SRAM if board == "rp2040" else flash)
    assert all(address in SRAM or address in flash for address in objects.values())


def test_segments_fit_and_are_apart(image: ELFFile, flash: range) -> None:
    segments = [s for s in image.iter_segments() if s["p_type"] == "PT_LOAD"]
    loaded = [range(s["p_paddr"], s["p_paddr"] + s["p_filesz"]) for s in segments if s["p_filesz"]]
    window = flash[len(flash) // 2]
    running = [range(s["p_vaddr"], s["p_vaddr"] + s["p_memsz"]) for s in segments]
    for part in loaded:
        assert part.start in flash and part.stop <= window
    for part in running:
        memory = SRAM if part.start in SRAM else flash
        assert part.start in memory and part.stop <= memory.stop
    for parts in (loaded, running):
        parts.sort(key=lambda part: part.start)
        for before, after in pairwise(parts):
            assert before.stop <= after.start


def words_at(image: ELFFile, address: int, count: int) -> list[int]:
    """Words of the image where it runs."""
    for section in image.iter_sections():
        at = address - section["sh_addr"]
        if section["sh_flags"] & 2 and 0 <= at < section["sh_size"]:
            data = section.data()[at : at + 4 * count]
            return [int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data), 4)]
    raise AssertionError(hex(address))


@microbit_only
def test_the_vector_table(image: ELFFile, elf: Elf) -> None:
    words = words_at(image, 0, 48)
    assert words[0] == elf.symbol("pt_stack_end") == SRAM.stop
    assert words[1] == elf.symbol("pt_reset") | 1
    assert set(words[2:]) == {elf.symbol("pt_hard_fault") | 1}


@rp2040_only
def test_the_vector_tables(image: ELFFile, elf: Elf) -> None:
    """The first in flash, behind the second stage, until SRAM has code; then the one in SRAM."""
    first = words_at(image, 0x10000100, 48)
    assert first[:2] == [elf.symbol("pt_stack_end"), elf.symbol("pt_entry") | 1]
    assert set(first[2:]) == {elf.symbol("pt_board_halt") | 1}
    vectors = elf.symbol("vectors")
    assert vectors == elf.symbol("pt_code_start") and vectors % 256 == 0
    words = words_at(image, vectors, 48)
    assert words[:2] == [elf.symbol("pt_stack_end"), elf.symbol("pt_reset") | 1]
    # RP2040 datasheet 2.3.2: TIMER_IRQ_0 is 0, TIMER_IRQ_1 1, USBCTRL_IRQ 5, UART0_IRQ 20.
    handlers = {
        16: "nap_interrupt",
        17: "pt_watchdog_interrupt",
        21: "pt_usb_interrupt",
        36: "pt_uart_interrupt",
    }
    for number in range(2, 48):
        assert words[number] == elf.symbol(handlers.get(number, "pt_hard_fault")) | 1, number


def test_the_image_carries_its_own_sums(image: ELFFile, elf: Elf) -> None:
    """Of all before them that stays in flash, and of what is copied to SRAM."""
    start, end = elf.symbol("pt_image_start"), elf.symbol("pt_image_end")
    assert start == image.get_section_by_name(".vectors")["sh_addr"]
    assert end == elf.symbol("pt_image_built") and end - start > 20_000
    code, data = elf.symbol("pt_code_start"), elf.symbol("pt_text_end")
    # Initialised data would change, and would have no sum.
    assert image.get_section_by_name(".data")["sh_size"] == 0
    segments = [one for one in image.iter_segments() if one["p_type"] == "PT_LOAD"]
    for at, (first, last) in enumerate(((start, end), (code, data))):
        (held,) = [one for one in segments if 0 <= first - one["p_vaddr"] < one["p_filesz"]]
        content = held.data()[first - held["p_vaddr"] : last - held["p_vaddr"]]
        assert len(content) == last - first
        built = int.from_bytes(elf.loaded(end + 4 * at, 4), "little")
        assert zlib.crc32(content) == built != 0


def crc32_of_the_boot_rom(data: bytes) -> int:
    """RP2040 datasheet 2.8.1.3.1: polynomial 0x04c11db7, from all ones, the highest bit first."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


@rp2040_only
def test_the_second_stage_is_as_the_boot_rom_wants_it(image: ELFFile) -> None:
    assert crc32_of_the_boot_rom(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2
    data = image.get_section_by_name(".boot2").data()
    assert image.get_section_by_name(".boot2")["sh_addr"] == 0x10000000 and len(data) == 256
    assert crc32_of_the_boot_rom(data[:252]) == int.from_bytes(data[252:], "little")


@rp2040_only
def test_the_build_id_is_where_the_program_reads_it(image: ELFFile, elf: Elf) -> None:
    note = image.get_section_by_name(".note.gnu.build-id").data()
    assert note[:16] == bytes([4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0]) + b"GNU\0"
    assert elf.symbol("pt_build_id") == image.get_section_by_name(".note.gnu.build-id")["sh_addr"]


@microbit_only
def test_memory_is_divided_without_gaps(elf: Elf) -> None:
    symbol = elf.symbol
    assert symbol("pt_code_start") == SRAM.start
    assert 0 <= symbol("pt_bss_start") - symbol("pt_code_end") < 1024
    assert symbol("pt_arena_start") == symbol("pt_bss_end")
    assert symbol("pt_arena_start") % 8 == 0
    assert symbol("pt_arena_end") == symbol("pt_stack_start")
    assert symbol("pt_stack_end") - symbol("pt_stack_start") == ON_STACK
    # What fits a Pico fits here: its image has clocks, USB and flash to drive beside.
    assert firmware.arena_bytes(elf.path) >= firmware.pico_arena_bytes() > 200 * 1024


@rp2040_only
def test_memory_of_the_pico(elf: Elf) -> None:
    """The stack lies below all else, so that it cannot grow into anything."""
    own = elf.symbol("pt_arena_end") - elf.symbol("pt_arena_start")
    assert elf.path != firmware.RP2040 or firmware.pico_arena_bytes() == own > 200 * 1024
    symbol = elf.symbol
    assert symbol("pt_stack_start") == SRAM.start
    assert symbol("pt_stack_end") - symbol("pt_stack_start") == ON_STACK
    assert 0 <= symbol("pt_code_start") - symbol("pt_stack_end") < 256
    assert symbol("pt_code_end") <= symbol("pt_fault_record") < symbol("pt_bss_start")
    assert symbol("pt_code_end") <= symbol("pt_halt_reason") < symbol("pt_bss_start")
    assert symbol("pt_arena_start") == symbol("pt_bss_end")
    assert symbol("pt_arena_start") % 8 == 0
    assert symbol("pt_arena_end") == SRAM.stop
    assert (symbol("pt_flash_start"), symbol("pt_flash_end")) == (0x10100000, 0x10200000)
    # What is left must do for the largest plan of the results, 134,772 bytes, with images.
    assert symbol("pt_arena_end") - symbol("pt_arena_start") > 206 * 1024


def stack_frames(folder: Path) -> dict[str, tuple[int, str]]:
    """Function -> (bytes, kind), as the compiler counted them for each object."""
    frames = {}
    for file in folder.rglob("*.su"):
        for line in file.read_text().splitlines():
            place, size, kind = line.split("\t")
            frames[place.rsplit(":", 1)[1]] = (int(size), kind)
    return frames


def test_stack_frames_are_known_and_bounded() -> None:
    frames = {}
    for path, folder in ((firmware.MICROBIT, "cortex-m0plus"), (firmware.RP2040, "rp2040")):
        require(path)
        frames |= stack_frames(places.BUILD / folder)
    assert len(frames) > 60
    assert {kind for _, kind in frames.values()} <= {"static"}
    worst = max(frames, key=lambda name: frames[name])
    # A histogram of 256 words: the deepest call may not need much beside it.
    assert worst == "cut_rank" and 1024 <= frames[worst][0] < 1200
    others = sorted((size for name, (size, _) in frames.items() if name != worst), reverse=True)
    assert others[0] < 640
    # `picotrain memory` follows the calls; here, six large frames and what assembly takes must fit.
    assert frames[worst][0] + sum(others[:6]) + 128 < ON_STACK


def test_every_kernel_is_linked(symbols: list[Symbol]) -> None:
    """`--gc-sections` leaves out what is not called, which then would not be tested either."""
    names = {symbol.name for symbol in symbols}
    kernels = places.SHIPPED / "firmware" / "kernels"
    declared = {
        name
        for header in kernels.rglob("*.h")
        if header.parent.name not in ("vector", "parallel")
        for name in re.findall(r"^(?:uint32_t|void) (pt_\w+)\(", header.read_text(), re.MULTILINE)
    }
    assert len(declared) >= 14
    # On a host it ends what its gradients keep; elsewhere they keep nothing.
    for_a_host = {"pt_affine_gradient_begin"}
    for_two_cores = {
        *("pt_conv2d_gradient_pairs", "pt_conv2d_gradient_positions"),
        *("pt_conv2d_gradient_slice_s32", "pt_conv2d_error_pack", "pt_conv2d_error_slice_s32"),
        *("pt_conv2d_pool_error_slice_s8", "pt_linear_forward_slice_s32"),
        "pt_linear_forward_slice_s8",
    }
    assert declared - names == for_a_host | for_two_cores
    with require(firmware.RP2040_CORES).open("rb") as file:
        assert declared - {symbol.name for symbol in symbols_of(ELFFile(file))} == for_a_host
