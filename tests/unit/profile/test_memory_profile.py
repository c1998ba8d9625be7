"""Where the bytes go: sums that must be exact, and a stack bound that must hold on a real run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

import support
from picotrain import places
from picotrain.cli import main
from picotrain.cli.profile.memory import BOARDS
from picotrain.device import backends
from picotrain.device.blob import blob_size
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import BuildFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.profile.memory.arena import (
    Timeline,
    arena_uses,
    timeline_of_plan,
    timeline_of_record,
)
from picotrain.profile.memory.budget import BUDGET, Budget, check_budget, present, read_budget
from picotrain.profile.memory.image import SRAM, Image, Sections
from picotrain.profile.memory.stack import (
    ROM_NAME,
    ROM_STACK,
    Decoder,
    Frame,
    StackReport,
    Step,
    bl_target,
    deepest_path,
    worst_stack,
)
from picotrain.profile.memory.text import (
    render_arenas,
    render_sections,
    render_stack,
    render_symbols,
    render_timeline,
)
from picotrain_golden import Method, plan
from support import INFER, METHODS, require

FIVE = {
    "infer": INFER,
    "niti-dynamic": METHODS["niti-dynamic"],
    "niti-static": METHODS["niti-static"],
    "priot": METHODS["priot"],
    "priot-s": METHODS["priot-s-weight-normal"],
}
CROSS = "arm-none-eabi-"
SOURCES = places.SHIPPED / "firmware"
ASSEMBLED = {
    source.relative_to(SOURCES).with_suffix(".o").as_posix()
    for folder in ("kernels", "boards")
    for source in (SOURCES / folder).rglob("*.S")
}
FLASH_BASE = {"microbit": 0, "rp2040": 0x10000000}
BUDGETS = {
    "microbit": BUDGET,
    "rp2040": BUDGET.with_name("memory-rp2040.json"),
}


def board_of(image: Image) -> str:
    return next(name for name, board in BOARDS.items() if board.elf == image.path)


@pytest.fixture(scope="module", params=BOARDS)
def image(request: pytest.FixtureRequest) -> Image:
    return Image(require(BOARDS[request.param].elf))


microbit_only = pytest.mark.parametrize("image", ["microbit"], indirect=True, scope="module")
rp2040_only = pytest.mark.parametrize("image", ["rp2040"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def sections(image: Image) -> Sections:
    return image.sections()


@pytest.fixture(scope="module")
def stack(image: Image) -> StackReport:
    return worst_stack(image)


@pytest.fixture(scope="module")
def now(image: Image) -> Budget:
    return present(image)


@pytest.fixture
def device(image: Image) -> Iterator[MailboxDevice]:
    """A device that no other test used: the painted mark counts from the reset on."""
    target = BOARDS[board_of(image)].target
    if missing := backends.problem(target):
        pytest.skip(f"target {target}: {missing}")
    opened = backends.open_device(target)
    assert isinstance(opened, MailboxDevice)
    yield opened
    opened.close()


# Sections


def test_parts_tile_every_section(sections: Sections) -> None:
    for section in sections.sections:
        at = section.address
        for part in (part for part in sections.parts if part.section == section.name):
            assert part.address == at and part.bytes > 0, part
            at += part.bytes
        assert at == section.address + section.bytes
    total = sum(section.bytes for section in sections.sections)
    assert sum(sections.by_object().values()) == total
    named = sum(part.bytes for part in sections.symbols())
    assert named + sections.unattributed() == total


def test_spans_tile_the_memories(image: Image, sections: Sections) -> None:
    for spans, start in ((sections.ram, SRAM), (sections.flash, FLASH_BASE[board_of(image)])):
        for span in spans:
            assert span.address == start
            start += span.bytes
    assert sum(span.bytes for span in sections.ram) == firmware.PICO_RAM == 270336
    assert sum(span.bytes for span in sections.flash) == 2 * firmware.MODEL_FLASH == 2 << 20
    ram = {span.name: span.bytes for span in sections.ram}
    arena = image.symbols.symbol("pt_arena_end") - image.symbols.symbol("pt_arena_start")
    assert ram["stack"] == 4096 and ram["arena"] == arena
    # Code runs from SRAM and is kept in flash; zeroed data is in SRAM only.
    kept = {one.name: (one.flash, one.ram) for one in sections.sections}
    assert kept[".text"][0] == kept[".text"][1] == ram[".text"]
    assert kept[".bss"] == (0, ram[".bss"])
    assert kept[".vectors"][1] == kept[".idle"][1] == 0
    flash = {span.name: span.bytes for span in sections.flash}
    assert flash["model"] == firmware.MODEL_FLASH
    loaded = sum(size for name, size in flash.items() if name not in ("free", "model"))
    assert loaded + flash["free"] == 1 << 20


@rp2040_only
def test_the_flash_image_is_its_sections(image: Image, sections: Sections) -> None:
    """The file that is written to flash, byte for byte, without a gap."""
    binary = require(image.path.with_suffix(".bin"))
    assert sum(section.flash for section in sections.sections) == binary.stat().st_size
    spans = {span.name: span for span in sections.flash}
    assert spans["free"].address == FLASH_BASE["rp2040"] + binary.stat().st_size
    assert list(spans)[:5] == [".boot2", ".vectors", ".note.gnu.build-id", ".idle", ".cold"]
    # SHA-1 with the head of a note; the second stage with its checksum.
    assert (spans[".note.gnu.build-id"].bytes, spans[".boot2"].bytes) == (16 + 20, 256)


@rp2040_only
def test_sram_from_the_stack_up(image: Image, sections: Sections) -> None:
    """The stack is no section of the image, so that it counts once, and outliving a reset costs."""
    names = [s.name for s in sections.ram if not s.name.startswith("alignment")]
    assert [name for name in names if name != ".data"] == [
        *("stack", ".text", ".kept", ".bss", "arena"),
    ]
    assert sections.ram[0].address == SRAM and sections.ram[-1].name == "arena"
    sizes = {section.name: section.bytes for section in sections.sections}
    assert ".stack" not in sizes
    # struct pt_fault: 18 words; and why the program halted.
    assert sizes[".kept"] == 18 * 4 + 4
    kept = {part.name for part in sections.parts if part.section == ".kept"}
    assert kept == {"pt_fault_record", "pt_halt_reason"}


def test_sizes_are_the_objects_own(image: Image) -> None:
    """The linker's map against the objects that it linked."""
    foreign = {one.object for one in image.inputs if image.is_foreign(one.address)}
    objects = {one.object for one in image.inputs} - foreign
    assert {"nn/pt_plan.o", "kernels/cortex_m0plus/pt_linear.o", "app/pt_app.o"} <= objects
    for name in objects:
        with image.object_file(name).open("rb") as file:
            sizes = {s.name: s["sh_size"] for s in ELFFile(file).iter_sections()}
        for one in image.inputs:
            if one.object == name:
                assert one.size == sizes[one.name], one


def test_symbols_know_their_object(image: Image, sections: Sections) -> None:
    board = board_of(image)
    parts = {part.name: part for part in sections.parts}
    assert parts["app"].object == f"boards/{board}/board.o" and parts["app"].kind == "object"
    assert parts["pt_mailbox"].section == ".bss"
    assert parts["pt_crc32"].object == "nn/pt_crc32.o"
    assert (parts["nibble"].object, parts["nibble"].bytes) == ("nn/pt_crc32.o", 64)
    assert parts["vectors"].bytes == 192
    assert parts["vectors"].section == {"microbit": ".vectors", "rp2040": ".text"}[board]
    assert parts["__divsi3"].object == "libgcc.a(_divsi3.o)"
    assert parts[".rodata.pt_app_serve"].kind == "constants"
    sizes = [part.bytes for part in sections.symbols()]
    assert sizes == sorted(sizes, reverse=True)
    assert {part.object for part in sections.parts if part.kind == "fill"} == {"(linker)"}
    # Within an object, only what aligns the next function to 4 bytes.
    assert {part.bytes for part in sections.parts if part.kind == "padding"} <= {1, 2, 3}


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    elf = require(firmware.MICROBIT)
    wrong = tmp_path / "picotrain.map"
    with pytest.raises(BuildFailure, match="no map"):
        Image(elf, wrong).sections()
    wrong.write_text("Archive member included\n")
    with pytest.raises(BuildFailure, match="not a map of GNU ld"):
        Image(elf, wrong).sections()
    with pytest.raises(BuildFailure, match="no firmware image"):
        Image(wrong)
    with pytest.raises(BuildFailure, match="not for Arm"):
        Image(require(firmware.HOST))


# The arena


def golden_timeline(method: Method, elf: Elf) -> Timeline:
    network = support.shipped("tinycnn")
    planned = plan(network, method, blob_size(network, elf))
    return timeline_of_plan(planned, network, method)


def test_the_timeline_of_static_niti(host_elf: Elf) -> None:
    """Every number from docs/numerics.md, section 11, by hand."""
    timeline = golden_timeline(FIVE["niti-static"], host_elf)
    assert [one.name for one in timeline.operations] == [
        *(f"forward {layer}" for layer in range(6)),
        *("loss", "error 5", "update 5", "error 4", "update 4", "error 3"),
        *("error 2", "update 2", "error 1", "update 0"),
    ]
    buffers = {buffer.name: buffer for buffer in timeline.buffers}
    assert buffers["activation[-1]"].bytes == 28 * 28
    assert buffers["activation[0]"].bytes == 28 * 28 * 8
    # The input is needed again by the very last operation.
    assert len(buffers["activation[-1]"].operations) == 16
    assert buffers["error[5]"].operations == ("loss", "error 5", "update 5")
    assert buffers["scratch update(5)"].operations == ("update 5",)
    assert buffers["scratch update(5)"].bytes == 64 + 8 * 64 + 4
    uses = {one.name: one.in_use for one in timeline.operations}
    activations = [784, 6272, 1568, 3136, 784, 64, 12]
    # Forward 0: input, output, lists of 3 rows of it, lanes, sums, and a patch of 3 x 3 in words.
    lists, lanes = 4 * 3 * (2 * 28 + 28 + 2 + 2), 16 * 3 * 3
    assert uses["forward 0"] == activations[0] + activations[1] + lists + lanes + 32 * 28 + 12
    assert uses["loss"] == sum(activations) + 12
    assert uses["error 5"] == sum(activations) - 12 + 12 + 64 + 4 * 64 + 64
    peaks = [one.name for one in timeline.operations if one.peak]
    assert peaks == [name for name, used in uses.items() if used == timeline.peak] != []
    assert timeline.peak <= timeline.transient


def test_in_use_is_what_lies_in_the_arena(host_elf: Elf) -> None:
    """By painting every buffer into an arena of bytes: none is painted over, none lies outside."""
    for method in FIVE.values():
        timeline = golden_timeline(method, host_elf)
        for one in timeline.operations:
            arena = bytearray(timeline.transient)
            for buffer in timeline.buffers:
                if one.name in buffer.operations:
                    span = slice(buffer.offset, buffer.offset + buffer.bytes)
                    assert not any(arena[span])
                    arena[span] = b"\1" * len(arena[span])
            assert sum(arena) == one.in_use, one
        assert max(buffer.offset + buffer.bytes for buffer in timeline.buffers) == (
            timeline.transient
        )


@pytest.mark.parametrize("name", FIVE)
def test_a_run_stays_within_the_bound_and_the_plan(
    name: str, image: Image, device: MailboxDevice, stack: StackReport
) -> None:
    """On the emulated chip: the device's own plan is golden's, the painted mark below the bound."""
    network, method = support.shipped("tinycnn"), FIVE[name]
    device.load_model(network)
    device.set_method(method)
    images, labels = support.images(network, 2)
    run = device.train if method.trains else device.evaluate
    run(images, labels)
    assert timeline_of_record(device.plan(), image.symbols) == golden_timeline(
        method, image.symbols
    )
    painted = device.memory().stack
    assert painted is not None
    assert painted <= stack.worst + stack.interrupt < stack.reserved
    # The call that the bound is about was made, so that the two can be compared.
    if name == "priot-s":
        assert painted >= stack.worst - 64
    else:
        assert painted >= 256


# The stack


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
        "pt_board_flash_write": 2 + 2 + 2,  # and erase and program
    }
    rom = next(frame for frame in stack.frames if frame.name == ROM_NAME)
    assert rom.bytes == ROM_STACK == 256


@rp2040_only
def test_flash_is_written_from_sram(image: Image) -> None:
    """What runs while the flash is no memory calls nothing there, but for the look-up before."""
    code = image.symbols.symbol("pt_code_start")
    for name in ("pt_board_flash_write", "pt_flash_number"):
        reached, work = set(), [image.symbols.symbol(name)]
        while work:
            reached.add(work[-1])
            work += [c.target for c in Decoder(image, work.pop()).calls if c.target not in reached]
        in_flash = {image.functions[address][0] for address in reached if address < code}
        assert in_flash == {"pt_rom_function"}, name


@rp2040_only
def test_the_second_stage_takes_less_than_the_rom(image: Image) -> None:
    elf = require(image.object_file("boards/rp2040/boot2_image.o").with_name("boot2.elf"))
    second = Image(elf)
    start = second.symbols.symbol("pt_boot2")
    assert Decoder(second, start).deepest == 20 < ROM_STACK  # r4-r7, lr


def test_frames_by_compiler_and_by_machine_code(stack: StackReport) -> None:
    """Two independent counts of every frame: GCC's .su, or the assembler's symbol, and what the
    instructions do to sp."""
    frames = {frame.name: frame for frame in stack.frames}
    assert len(frames) > 60
    told = {f.name: f.declared if f.compiler is None else f.compiler for f in stack.frames}
    differ = {f.name for f in stack.frames if told[f.name] not in (None, f.decoded)}
    # Naked: the compiler counts no assembler. Of the ROM there is no code to count.
    assert differ - {ROM_NAME} == {"pt_hard_fault"}
    assert frames["pt_hard_fault"].bytes == 32
    # It moves sp by a constant from memory, since no immediate is that large.
    assert frames["cut_rank"].decoded == frames["cut_rank"].compiler > 1024
    alone = {frame.name: frame.bytes for frame in stack.frames if told[frame.name] is None}
    assert all(name.startswith("__") for name in alone), alone
    # Division pushes r0 and lr around the call for a divisor of 0.
    assert alone["__divsi3"] == alone["__udivsi3"] == 8
    assert alone["__aeabi_idivmod"] == alone["__aeabi_idiv0"] == 0


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


START = """
        .syntax unified
        .cpu cortex-m0plus
        .thumb
        .macro function name, stack=0
        .global \\name, __stack_\\name
        .set __stack_\\name, \\stack
        .type \\name, %function
        .thumb_func
\\name:
        .endm
        .macro done name
        .size \\name, . - \\name
        .endm
        function fault
        b fault
        done fault
        .type vectors, %object
vectors:
        .word 0x20001000, pt_reset, fault
        """
TABLE_ENDS = """
        .size vectors, . - vectors
        """


def assembled(folder: Path, text: str, vectors: str = "", unit: str = "") -> Image:
    """An image of assembler, with what `Image` needs of the linker script.

    `vectors` continues the table behind the NMI. `unit`, a folder and a path in it, is the name of
    the object, in the linker map and below `folder`; without it the object has a name of no use.
    """
    if shutil.which(f"{CROSS}gcc") is None:
        pytest.skip(f"{CROSS}gcc is not installed: install gcc-arm-none-eabi")
    source, elf = folder / "code.s", folder / "image" / "code.elf"
    elf.parent.mkdir(exist_ok=True)
    source.write_text(START + vectors + TABLE_ENDS + text)
    symbols = {"pt_stack_start": 0x20000F00, "pt_stack_end": 0x20001000}
    symbols |= {"pt_arena_start": 0x20000800, "pt_arena_end": 0x20000F00}
    options = [f"-Wl,--defsym={name}={value}" for name, value in symbols.items()]
    options += ["-nostdlib", "-mcpu=cortex-m0plus", "-mthumb", "-Wl,-Ttext=0x20000000"]
    options += ["-Wl,-e,pt_reset", f"-Wl,-Map={elf.with_suffix('.map')}"]
    linked = source
    if unit:
        linked = folder / unit
        linked.parent.mkdir(parents=True)
        command = [f"{CROSS}gcc", "-g", "-mcpu=cortex-m0plus", "-c", source, "-o", linked]
        subprocess.run(command, check=True)
    subprocess.run([f"{CROSS}gcc", "-g", *options, linked, "-o", elf], check=True)
    return Image(elf, objects=None if unit else folder)


def test_depth_at_each_call(tmp_path: Path) -> None:
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        bl shallow
        sub sp, #100
        ldr r4, =-400
        add sp, r4
        ldr r3, =deep
        blx r3
        ldr r4, =400
        add sp, r4
        add sp, #100
        pop {r4, pc}
        .ltorg
        done pt_reset
        function shallow
        push {r4, r5, r6, r7, lr}
        add r7, sp, #0
        sub sp, #508
        mov sp, r7
        pop {r4, r5, r6, r7, pc}
        done shallow
        function deep
        cmp r0, #0
        beq 1f
        push {lr}
        bl leaf
        pop {pc}
1:      b leaf
        done deep
        function leaf
        push {r0, r1, r2}
        add sp, #12
        bx lr
        done leaf
        """,
        )
    )
    steps = [(step.name, step.bytes) for step in report.path]
    # 8 + 100 + 400 at the call through a register; `shallow` is deeper alone: 8 + 20 + 508.
    assert steps == [("pt_reset", 8), ("shallow", 528)]
    assert report.worst == 536 and report.unresolved == ()
    assert {f.name: f.decoded for f in report.frames}["pt_reset"] == 508
    assert report.reserved == 256 and report.exception == 36


def test_sp_moves_by_a_shifted_constant(tmp_path: Path) -> None:
    """GCC makes 600 of two instructions; shifted, what else a register holds is forgotten."""
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        sub sp, #508
        sub sp, #92
        movs r3, #150
        lsls r3, r3, #2
        add sp, r3
        push {r4, lr}
        ldr r3, =leaf
        lsls r4, r0, #1
        movs r2, r3
        blx r2
        blx r4
        pop {r4, pc}
        .ltorg
        done pt_reset
        function leaf
        bx lr
        done leaf
        """,
        )
    )
    assert report.worst == 600
    assert report.unresolved == ("pt_reset+0x14",)


INTERRUPTED = """
        function pt_reset
        push {{r4, lr}}
        bl leaf
        pop {{r4, pc}}
        done pt_reset
        function short
        push {{r4, r5, r6, lr}}
        pop {{r4, r5, r6, pc}}
        done short
        function long
        push {{r4, lr}}
        bl leaf
        pop {{r4, pc}}
        done long
        function leaf
        sub sp, #{leaf}
        add sp, #{leaf}
        bx lr
        done leaf
        """


@pytest.mark.parametrize(
    ("leaf", "deepest"),
    [(4, [("short", 16)]), (40, [("long", 8), ("leaf", 40)])],
)
def test_one_interrupt_and_a_fault(
    leaf: int, deepest: list[tuple[str, int]], tmp_path: Path
) -> None:
    """The deepest handler counts, once, wherever in the table it is; then the fault."""
    faults = ".word fault, 0, 0, 0, 0, 0, 0, 0, fault, 0, 0, fault, fault\n"
    numbers = ".word fault, short, long, short\n"
    report = worst_stack(assembled(tmp_path, INTERRUPTED.format(leaf=leaf), faults + numbers))
    assert [(step.name, step.bytes) for step in report.interrupt_path] == deepest
    assert report.worst == 8 + leaf and report.exception == 36
    assert report.interrupt == 36 + sum(size for _, size in deepest)
    assert report.total == report.worst + report.interrupt + 36
    lines = render_stack(report).splitlines()
    frames = [line.split()[-1] for line in lines if line.startswith("(")]
    assert frames == [str(report.worst + 36), str(report.total)]
    assert f"static worst case {8 + leaf}, with an interrupt {report.total - 36}, " in lines[-1]


def test_vectors_that_are_no_function_are_refused(tmp_path: Path) -> None:
    table = ".word fault\n .fill 12, 4, 0\n .word 0x20000301\n"
    with pytest.raises(BuildFailure, match="vector 0x20000300 is no function"):
        worst_stack(assembled(tmp_path, INTERRUPTED.format(leaf=4), table))


ROM_CALL = """
        function pt_reset
        push {r4, lr}
        sub sp, #100
        bl pt_rom_function
        add sp, #100
        pop {r4, pc}
        done pt_reset
        function pt_rom_function
        push {r4, lr}
        ldr r3, [r0]
        blx r3
        pop {r4, pc}
        done pt_rom_function
        """


@pytest.mark.parametrize("clock", ["", "-200mhz", "-115200baud", "-200mhz-115200baud"])
def test_a_call_of_the_rom_is_assumed(clock: str, tmp_path: Path) -> None:
    """In every build of the board, wherever the checkout lies."""
    folder = tmp_path / "rp2040" / "boards"
    folder.mkdir(parents=True)
    image = assembled(folder, ROM_CALL, unit=f"rp2040{clock}/boards/rp2040/rom.o")
    assert image.object_of(image.entry) == "boards/rp2040/rom.o"
    assert image.object_file("boards/rp2040/rom.o").is_file()
    report = worst_stack(image)
    steps = [(step.name, step.bytes) for step in report.path]
    assert steps == [("pt_reset", 108), ("pt_rom_function", 8), (ROM_NAME, ROM_STACK)]
    assert (report.unresolved, report.assumed) == ((), ("pt_rom_function+0x4",))
    shown = "assumed: 256 bytes for each call of the boot ROM, 1 in pt_rom_function"
    assert shown in render_stack(report)


@pytest.mark.parametrize("unit", ["", "rp2040/boards/rp2040/usb.o", "rp2040js/boards/x/rom.o"])
def test_only_known_callers_may_call_the_rom(unit: str, tmp_path: Path) -> None:
    if unit.startswith("rp2040js"):
        with pytest.raises(BuildFailure, match="names no object of ours"):
            worst_stack(assembled(tmp_path, ROM_CALL, unit=unit))
        return
    report = worst_stack(assembled(tmp_path, ROM_CALL, unit=unit))
    assert (report.unresolved, report.assumed) == (("pt_rom_function+0x4",), ())
    assert [step.name for step in report.path] == ["pt_reset", "pt_rom_function"]


def test_a_switch_is_followed(tmp_path: Path) -> None:
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        lsls r0, r0, #2
        ldr r2, =cases
        ldr r3, [r2, r0]
        mov pc, r3
1:      sub sp, #16
        bl leaf
        add sp, #16
2:      pop {r4, pc}
        .ltorg
        done pt_reset
        function leaf
        bx lr
        done leaf
        .align 2
cases:  .word 1b, 2b
        """,
        )
    )
    assert report.worst == 24 and report.unresolved == ()


def test_code_that_no_path_reaches_counts_too(tmp_path: Path) -> None:
    """libgcc's switch helpers return into a table behind the call, which the decoder cannot read.

    Calls of the cases are then taken to be made from the function's deepest point.
    """
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        sub sp, #8
        bl __gnu_thumb1_case_uqi
        .byte 1, 2
1:      add sp, #8
        pop {r4, pc}
2:      bl leaf
        b 1b
        done pt_reset
        function __gnu_thumb1_case_uqi
        push {r1}
        pop {r1}
        bx lr
        done __gnu_thumb1_case_uqi
        function leaf
        push {r1, r2, r3}
        pop {r1, r2, r3}
        bx lr
        done leaf
        """,
        )
    )
    assert [(step.name, step.bytes) for step in report.path] == [("pt_reset", 16), ("leaf", 12)]


def test_an_unknown_call_is_no_secret(tmp_path: Path) -> None:
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        ldr r3, [r0]
        blx r3
        pop {r4, pc}
        done pt_reset
        """,
        )
    )
    assert report.unresolved == ("pt_reset+0x4",)
    assert "no bound: calls without a known target at pt_reset+0x4" in render_stack(report)


CHOICE = """
        function pt_reset
        push {{r4, lr}}
        sub sp, #8
        ldr r3, =one
        cmp r0, #0
        beq 1f
        {other}
1:      str r3, [sp, #4]
        movs r3, #0
        bl one
        ldr r3, [sp, #4]
        blx r3
        add sp, #8
        pop {{r4, pc}}
        .ltorg
        done pt_reset
        function one
        bx lr
        done one
        function other
        push {{r4}}
        pop {{r4}}
        bx lr
        done other
"""
"""A call of one of two functions, whose address is kept in the frame meanwhile."""


def test_a_target_that_depends_on_the_path(tmp_path: Path) -> None:
    both = worst_stack(assembled(tmp_path, CHOICE.format(other="ldr r3, =other")))
    assert both.unresolved == ()
    assert [(step.name, step.bytes) for step in both.path] == [("pt_reset", 16), ("other", 4)]
    unknown = worst_stack(assembled(tmp_path, CHOICE.format(other="ldr r3, [r1]")))
    assert unknown.unresolved == ("pt_reset+0x16",)


PASSED = """
        function pt_reset
        push {{r4, lr}}
        ldr r0, =one
        bl caller
        {other}
        bl caller
        pop {{r4, pc}}
        .ltorg
        done pt_reset
        function caller
        push {{r4, lr}}
        mov r8, r0
        movs r0, #1
        blx r8
        pop {{r4, pc}}
        done caller
        function one
        bx lr
        done one
        function other
        push {{r4}}
        pop {{r4}}
        bx lr
        done other
"""
"""A function calls what its callers pass to it."""


def test_a_target_that_callers_pass(tmp_path: Path) -> None:
    both = worst_stack(assembled(tmp_path, PASSED.format(other="ldr r0, =other")))
    assert both.unresolved == ()
    steps = [(step.name, step.bytes) for step in both.path]
    assert steps == [("pt_reset", 8), ("caller", 8), ("other", 4)]
    for other in ("ldr r0, [r1]", "movs r0, #1"):
        unknown = worst_stack(assembled(tmp_path, PASSED.format(other=other)))
        assert unknown.unresolved == ("caller+0x6",)


def test_a_word_of_the_frame_that_was_given_back_is_unknown(tmp_path: Path) -> None:
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        sub sp, #4
        ldr r3, =leaf
        str r3, [sp]
        add sp, #4
        push {r0}
        ldr r3, [sp]
        blx r3
        add sp, #4
        pop {r4, pc}
        .ltorg
        done pt_reset
        function leaf
        bx lr
        done leaf
        """,
        )
    )
    assert report.unresolved == ("pt_reset+0xe",)


def test_what_is_declared_counts(tmp_path: Path) -> None:
    """And a function that nobody declared is refused."""
    text = """
        function pt_reset, 24
        push {r4, lr}
        sub sp, #16
        bl helper
        add sp, #16
        pop {r4, pc}
        done pt_reset
        .type helper, %function
        .thumb_func
helper: push {r0}
        add sp, #4
        bx lr
        .size helper, . - helper
        """
    with pytest.raises(BuildFailure, match=r"helper: neither .* symbol __stack_helper in its \.S"):
        worst_stack(assembled(tmp_path, text))
    declared = ".global __stack_helper\n .set __stack_helper, 12\n"
    report = worst_stack(assembled(tmp_path, text + declared))
    frames = {frame.name: frame for frame in report.frames}
    assert frames["pt_reset"] == Frame("pt_reset", None, 24, 24)
    assert frames["helper"] == Frame("helper", None, 12, 4)
    assert [(step.name, step.bytes) for step in report.path] == [("pt_reset", 24), ("helper", 12)]


def test_a_jump_far_within_a_function_is_no_call(tmp_path: Path) -> None:
    report = worst_stack(
        assembled(
            tmp_path,
            """
        function pt_reset
        push {r4, lr}
        bl 1f
        .short 0xde00
1:      pop {r4, pc}
        done pt_reset
        """,
        )
    )
    assert report.path == (Step("pt_reset", 8),)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("push {lr}\n bl pt_reset\n pop {pc}", "recursion.*pt_reset -> pt_reset"),
        ("mov sp, r0\n bx lr", "sp is set to what is unknown"),
        ("1: push {r0}\n b 1b", "two paths meet.*0 and 4 bytes"),
    ],
)
def test_what_has_no_bound_is_refused(code: str, message: str, tmp_path: Path) -> None:
    built = assembled(tmp_path, f" function pt_reset\n {code}\n done pt_reset\n")
    with pytest.raises(BuildFailure, match=message):
        worst_stack(built)


# The budget


def test_the_firmware_is_within_its_budget(image: Image, now: Budget) -> None:
    assert check_budget(read_budget(BUDGETS[board_of(image)]), now) == []


def test_what_each_method_leaves_of_the_arena(image: Image, now: Budget) -> None:
    """With plan lean the blob, 52,280 bytes, is not in the arena; NITI trains it, so it must be."""
    network = support.shipped("tinycnn")
    uses = {(one.method, one.plan): one for one in arena_uses(image.symbols, network)}
    assert len(uses) == 8 and {name for name, _ in uses} == set(FIVE)
    arena = next(span.bytes for span in image.sections().ram if span.name == "arena")
    for (name, chosen), use in uses.items():
        assert use.least == now.methods[name].total - (52280 if chosen == "lean" else 0)
        assert use.left == arena - use.least > 0
    assert {name for name, chosen in uses if chosen == "lean"} == {"infer", "priot", "priot-s"}
    shown = render_arenas(list(uses.values())).splitlines()
    assert shown[-1].split() == [
        *("priot-s", "lean"),
        *(f"{size:,}" for size in (uses["priot-s", "lean"].least, uses["priot-s", "lean"].left)),
    ]


def test_a_lowered_ceiling_is_reported(now: Budget) -> None:
    assert check_budget(now, now) == []
    lowered = replace(now, code=now.code - 4, stack=now.stack - 8)
    priot = replace(now.methods["priot"], total=now.methods["priot"].total - 1)
    lowered = replace(lowered, methods={**now.methods, "priot": priot})
    sentences = check_budget(lowered, now)
    assert sentences == [
        f"code: {now.code:,} bytes, 4 more than the {now.code - 4:,} allowed",
        f"stack: {now.stack:,} bytes, 8 more than the {now.stack - 8:,} allowed",
        f"priot total: {priot.total + 1:,} bytes, 1 more than the {priot.total:,} allowed",
    ]
    without = {name: one for name, one in now.methods.items() if name != "infer"}
    assert check_budget(replace(now, methods=without), now) == [
        "infer: no ceiling; add one to the budget"
    ]


def test_the_budget_is_about_tinycnn(now: Budget) -> None:
    """The sizes of section 11 that need no search."""
    assert set(now.methods) == set(FIVE)
    assert {name: one.scores for name, one in now.methods.items()} == {
        "infer": 0,
        "niti-dynamic": 0,
        "niti-static": 0,
        "priot": 52040,
        # A tenth of each layer's edges, and a bit for each: 7, 115, 5,017 and 64.
        "priot-s": (8 + 8 * 2) + (116 + 16 * 9) + (5020 + 64 * 98) + (64 + 10 * 8),
    }


def test_a_broken_budget_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    for text in ("", "[]", '{"code": 1}', '{"code":1,"static":1,"stack":1,"methods":{"a":{}}}'):
        file.write_text(text)
        with pytest.raises(UserError, match="no memory budget"):
            read_budget(file)
    with pytest.raises(UserError, match="no memory budget"):
        read_budget(tmp_path / "absent.json")


# Text and JSON


def shown_memory(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    status = main(["memory", "--board", "rp2040", *options])
    out, err = capsys.readouterr()
    return status, out, err


@rp2040_only
def test_the_verb_needs_no_device(
    image: Image,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("picotrain.cli.profile.memory.problem", lambda target: f"no {target}")
    file = tmp_path / "memory.json"
    budget = ["--budget", str(BUDGETS["rp2040"])]
    status, out, err = shown_memory(capsys, "--plan", "lean", "--json", str(file), *budget)
    assert (status, err) == (0, "") and "within" in out
    missing = "not taken, for want of target rp2040js: no rp2040js"
    assert f"painted high-water mark: {missing}" in out
    content = json.loads(file.read_text())
    assert (content["board"], content["plan"], content["model_in_flash"]) == (
        "rp2040",
        "lean",
        52280,
    )
    assert content["arena"]["blob"] == 0 and content["arena"]["scores"] == 52040
    assert content["stack"]["painted"] is None and "qemu" not in content["versions"]
    assert sum(span["bytes"] for span in content["sections"]["ram"]) == firmware.PICO_RAM
    assert len(content["arena_by_method"]) == 8


@rp2040_only
def test_the_verb_reads_the_device(
    image: Image,
    stack: StackReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its plan is the one that is shown where there is no device."""
    if missing := backends.problem("rp2040js"):
        pytest.skip(f"target rp2040js: {missing}")
    file = tmp_path / "memory.json"
    status, out, _ = shown_memory(capsys, "--json", str(file))
    content = json.loads(file.read_text())
    painted = content["stack"]["painted"]
    assert status == 0 and 256 <= painted <= stack.worst + stack.interrupt
    assert f"painted high-water mark {painted:,}" in out
    planned = asdict(golden_timeline(FIVE["priot"], image.symbols))
    assert content["arena"] == json.loads(json.dumps(planned))


@rp2040_only
def test_the_verb_fails_over_budget(
    image: Image, now: Budget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "low.json"
    file.write_text(json.dumps(asdict(replace(now, static=now.static - 1))))
    status, _, err = shown_memory(capsys, "--budget", str(file))
    sizes = f"{now.static:,} bytes, 1 more than the {now.static - 1:,} allowed"
    assert (status, err) == (1, f"picotrain: static: {sizes}\n")


def test_everything_is_json(
    sections: Sections, stack: StackReport, now: Budget, host_elf: Elf
) -> None:
    for one in (sections, stack, now, golden_timeline(FIVE["priot"], host_elf)):
        assert json.loads(json.dumps(asdict(one)))
    assert str(places.SHIPPED) not in json.dumps([asdict(sections), asdict(stack)])


def test_text(sections: Sections, stack: StackReport, host_elf: Elf) -> None:
    for total in (firmware.PICO_RAM, 2 << 20):
        assert re.search(rf"^sum +{total:,}$", render_sections(sections), re.M)
    shown = render_symbols(sections, 3)
    assert f"{len(sections.symbols()) - 3} others" in shown
    assert len(shown.splitlines()) == 7
    timeline = golden_timeline(FIVE["priot"], host_elf)
    lines = render_timeline(timeline).splitlines()
    assert f"= {timeline.total:,} bytes; peak {timeline.peak:,} in use" in lines[0]
    bars = [line.count("#") for line in lines if "#" in line]
    assert len(bars) == len(timeline.operations) and max(bars) <= 40
    assert sum(line.endswith("peak") for line in lines) == 1
    shown = render_stack(stack, 1234)
    assert f"static worst case {stack.worst:,}, with an " in shown
    assert f"with an exception {stack.total:,} of 4,096 bytes" in shown
    assert shown.endswith("painted high-water mark 1,234")
    # The last line of the table is as deep as all of it.
    assert shown.split("\n\n")[0].splitlines()[-1].endswith(f"{stack.total:,}")
