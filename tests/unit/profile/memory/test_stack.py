"""The worst stack of the boards' firmware."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter

import pytest

from memory_boards import CROSS, board_of, rp2040_only
from picotrain import places
from picotrain.errors import BuildFailure
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import (
    ROM_NAME,
    ROM_STACK,
    Decoder,
    StackReport,
    Step,
    _resolve_fields,
    deepest_path,
)
from picotrain.profile.memory.thumb import bl_target
from support import require

SOURCES = places.SHIPPED / "firmware"
ASSEMBLED = {
    source.relative_to(SOURCES).with_suffix(".o").as_posix()
    for folder in ("kernels", "boards")
    for source in (SOURCES / folder).rglob("*.S")
}

microbit_only = pytest.mark.parametrize("image", ["microbit"], indirect=True, scope="module")


def sum_of(path: tuple[Step, ...]) -> int:
    return sum(step.bytes for step in path)


def test_the_worst_path(image: Image, stack: StackReport) -> None:
    names = [step.name for step in stack.path if not step.name.endswith("_veneer")]
    entry = {"microbit": [], "rp2040": ["pt_entry"]}[board_of(image)]
    begin = [*entry, "pt_reset", "pt_board_run", "pt_app_serve"]
    assert names[: len(begin)] == begin and "cut_rank" in names
    assert sum_of(stack.path) == stack.worst
    assert stack.unresolved == ()
    # The handler pushes r4-r11; save_fault comes by a jump.
    handler = [(step.name, step.bytes) for step in stack.exception_path]
    assert handler[0] == ("pt_hard_fault", 32) and handler[1][0] == "save_fault"
    assert stack.exception == 36 + sum_of(stack.exception_path)
    assert stack.total == stack.worst + stack.interrupt + stack.exception <= stack.reserved == 4096


@microbit_only
def test_without_interrupts(stack: StackReport) -> None:
    assert (stack.interrupt_path, stack.interrupt, stack.assumed) == ((), 0, ())


@rp2040_only
def test_with_interrupts(image: Image, stack: StackReport) -> None:
    """UART and USB do not nest; USB's is the deeper one, since it can restart the chip."""
    assert stack.interrupt_path[0].name == "pt_usb_interrupt"
    assert "pt_board_restart" in {step.name for step in stack.interrupt_path}
    assert stack.interrupt == 36 + sum_of(stack.interrupt_path)
    at = image.symbols.symbol("vectors")
    words = [image.word(at + 4 * number) for number in (16 + 5, 16 + 20)]
    handlers = ["pt_usb_interrupt", "pt_uart_interrupt"]
    assert words == [image.symbols.symbol(name) | 1 for name in handlers]


def test_interrupts_have_one_priority() -> None:
    """What the bound takes for granted: no source writes a priority, or gives the NMI a cause."""
    rule = re.compile(
        r"NVIC_IPR|SHPR|NMI_MASK|SYSCFG|0xe000e4[0-9a-f]{2}|0xe000ed(1c|20)", re.IGNORECASE
    )
    sources = [file for ext in "chS" for file in SOURCES.rglob(f"*.{ext}")]
    assert len(sources) > 50
    assert [file.name for file in sources if rule.search(file.read_text())] == []
    assert rule.search("PT_REGISTER(0xE000E404)") and rule.search("NVIC_IPR1")


@rp2040_only
def test_calls_of_the_boot_rom(stack: StackReport) -> None:
    """Counted in the sources: what may call code that the image does not hold."""
    callers = Counter(site.split("+")[0] for site in stack.assumed)
    assert callers == {
        "pt_rom_function": 1,  # the lookup
        "pt_board_restart": 1,  # into the USB drive
        "pt_flash_number": 2 + 2,  # detach and attach the flash, where the second stage is one
        "flash_change": 2 + 2 + 2,  # and erase or program
    }
    rom = next(frame for frame in stack.frames if frame.name == ROM_NAME)
    assert rom.bytes == ROM_STACK == 256


@rp2040_only
def test_flash_is_written_from_sram(image: Image) -> None:
    """What runs while the flash is no memory calls nothing there, but for the look-up before."""
    code = image.symbols.symbol("pt_code_start")
    for name in ("flash_change", "pt_flash_number"):
        reached, work = set(), [image.symbols.symbol(name)]
        while work:
            reached.add(work[-1])
            work += [c.target for c in Decoder(image, work.pop()).calls if c.target not in reached]
        in_flash = {image.functions[address][0] for address in reached if address < code}
        assert in_flash == {"rom_find", "pt_rom_function"}, name


@rp2040_only
def test_the_second_stage_takes_less_than_the_rom(image: Image) -> None:
    elf = require(image.object_file("boards/rp2040/boot2_image.o").with_name("boot2.elf"))
    second = Image(elf)
    start = second.symbols.symbol("pt_boot2")
    assert Decoder(second, start).deepest == 20 < ROM_STACK  # r4-r7, lr


def test_calls_through_the_table_of_operators(image: Image) -> None:
    """The trainer calls each kind's functions, and every one of them that has a place to be called
    from is called from there."""
    names = {address: name for address, (name, _) in image.functions.items()}
    called: dict[int, set[str]] = {}
    work = [image.symbols.symbol("pt_trainer_next")]
    while work:
        address = work.pop() & ~1
        if address not in called:
            calls = {call.target for call in Decoder(image, address).calls}
            calls |= through_fields(image, address)
            called[address] = {names[target] for target in calls}
            work += calls
    reached = set().union(*called.values())
    for kind in ("conv2d", "linear"):
        for part in ("forward_s8", "forward_s32", "error_s32", "update_begin", "update_row"):
            assert f"{kind}_{part}" in reached
    assert {"maxpool2_forward_s8", "maxpool2_error_s8"} < reached
    assert {"pt_conv2d_forward_s8", "pt_update_scores_s8", "pt_linear_error_s32"} < reached


def through_fields(image: Image, address: int) -> set[int]:
    """What a function calls through fields of the operators."""
    decoder = Decoder(image, address)
    _resolve_fields(image, {address: decoder})
    sites = {one.site for one in decoder.fields}
    return {call.target for call in decoder.calls if call.site in sites}


def test_frames_by_compiler_and_by_machine_code(stack: StackReport) -> None:
    """Two independent counts of every frame: GCC's .su, or the assembler's symbol, and what the
    instructions do to sp."""
    frames = {frame.name: frame for frame in stack.frames}
    assert len(frames) > 60
    told = {f.name: f.declared if f.compiler is None else f.compiler for f in stack.frames}
    differ = {f.name for f in stack.frames if told[f.name] not in (None, f.decoded)}
    # Naked: the compiler counts no assembler. Of the ROM there is no code to count.
    naked = {"pt_hard_fault": 32, "pt_watchdog_interrupt": 8}
    assert differ - {ROM_NAME} == naked.keys() & frames.keys()
    assert all(frames[name].bytes == naked[name] for name in naked.keys() & frames.keys())
    # It moves sp by a constant from memory, since no immediate is that large.
    assert frames["cut_rank"].decoded == frames["cut_rank"].compiler > 1024
    alone = {frame.name: frame.bytes for frame in stack.frames if told[frame.name] is None}
    assert all(name.startswith("__") for name in alone), alone
    # Division pushes r0 and lr around the call for a divisor of 0.
    assert alone["__udivsi3"] == 8
    assert alone["__aeabi_uidivmod"] == alone["__aeabi_idiv0"] == 0


def test_calls_are_those_of_the_disassembler(image: Image) -> None:
    if shutil.which(f"{CROSS}objdump") is None:
        pytest.skip(f"{CROSS}objdump is not installed: install binutils-arm-none-eabi")
    shown = subprocess.run(
        [f"{CROSS}objdump", "-d", image.path], capture_output=True, text=True, check=True
    ).stdout
    line = r"^\s*([0-9a-f]+):\s+f[0-9a-f]{3} [0-9a-f]{4}\s+bl\t([0-9a-f]+)"
    found = re.findall(line, shown, re.MULTILINE)
    # GCC jumps far with BL too: into the same function, behind its start.
    expected = {
        site: target
        for site, target in ((int(site, 16), int(target, 16)) for site, target in found)
        if target in image.functions
    }
    assert len(expected) > 100
    calls = {}
    for start in image.functions:
        for call in Decoder(image, start).calls:
            code = image.word(call.site, 2)
            if code is not None and code >> 11 == 0b11110:
                calls[call.site] = call.target
    assert calls == expected


@pytest.mark.parametrize(
    ("address", "first", "second", "target"),
    [
        (0x20000010, 0xF003, 0xFC58, 0x200038C4),
        (0x2000374A, 0xF7FF, 0xF887, 0x2000285C),
        (0x1000, 0xF7FF, 0xFFFE, 0x1000),
        (0x1000, 0xF000, 0xF800, 0x1004),
        (0x2000000, 0xF3FF, 0xD7FF, 0x2000004 + 0xFFFFFE),
        (0x2000000, 0xF400, 0xD000, 0x2000004 - 0x1000000),
    ],
)
def test_bl_targets(address: int, first: int, second: int, target: int) -> None:
    assert bl_target(address, first, second) == target


def straight_depth(lines: list[tuple[int, str]]) -> int:
    """The most bytes on the stack, adding up pushes and pops in the order of the text.

    Behind a return or a jump it goes on with the depth at the jump forward to there.
    """
    deepest = depth = 0
    at_jump: dict[int, int] = {}
    ended = False
    for address, text in lines:
        if ended:
            depth = at_jump.get(address, depth)
        ended = False
        name, _, operands = text.partition("\t")
        saved = 0
        for one in re.findall(r"\w+(?:-\w+)?", operands):
            first, _, last = one.partition("-")
            saved += int(last[1:]) - int(first[1:]) + 1 if last else 1
        moved = re.match(r"sp, (?:sp, )?#(\d+)", operands)
        if name == "push":
            depth += 4 * saved
        elif name == "pop":
            depth -= 4 * saved
            ended = "pc" in operands
        elif moved and name in ("sub", "add"):
            depth += int(moved[1]) if name == "sub" else -int(moved[1])
        elif name.startswith("b") and (to := re.match(r"([0-9a-f]+) <", operands)):
            at_jump.setdefault(int(to[1], 16), depth)
            ended = name in ("b.n", "b.w", "b")
        else:
            ended = (name, operands) == ("bx", "lr")
        assert depth >= 0, (hex(address), text)
        deepest = max(deepest, depth)
    return deepest


def test_assembler_declares_what_it_takes(image: Image, stack: StackReport) -> None:
    """__stack_NAME of each assembler function against objdump's text of it."""
    if shutil.which(f"{CROSS}objdump") is None:
        pytest.skip(f"{CROSS}objdump is not installed: install binutils-arm-none-eabi")
    command = [f"{CROSS}objdump", "-d", "--no-show-raw-insn", image.path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = r"^\s*([0-9a-f]+):\t([a-z][\w.]*(?:\t[^@;\n]*)?)"
    code = [(int(at, 16), text.rstrip()) for at, text in re.findall(line, shown, re.MULTILINE)]
    places = {name: (at, at + size) for at, (name, size) in image.functions.items()}
    declared = {
        frame.name: frame.declared
        for frame in stack.frames
        if frame.declared is not None and frame.name != ROM_NAME
    }
    measured = {}
    for name in declared:
        start, end = places[name]
        measured[name] = straight_depth([one for one in code if start <= one[0] < end])
    assert measured == declared
    assembler = {part.name for part in image.sections().parts if part.object in ASSEMBLED}
    assert set(declared) == assembler & set(places) != set()


def test_the_deepest_path_is_not_the_longest() -> None:
    """m holds 4 bytes when it calls a, 40 when it calls b; a -> c -> b."""
    calls = {0: [(4, 1), (40, 2)], 1: [(8, 3)], 2: [], 3: [(0, 2)]}
    frames = {0: 48, 1: 8, 2: 16, 3: 4}
    search = deepest_path(calls, frames, list("mabc").__getitem__)
    assert search(0) == (Step("m", 40), Step("b", 16))
    assert search(1) == (Step("a", 8), Step("c", 0), Step("b", 16))
    frames[0] = 57
    search = deepest_path(calls, frames, list("mabc").__getitem__)
    assert search(0) == (Step("m", 57),)


def test_recursion_is_named() -> None:
    calls = {0: [(8, 1)], 1: [(8, 2)], 2: [(8, 1)]}
    names = ["main", "ping", "pong"]
    search = deepest_path(calls, dict.fromkeys(calls, 8), names.__getitem__)
    with pytest.raises(BuildFailure, match="ping -> pong -> ping"):
        search(0)
