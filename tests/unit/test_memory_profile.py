"""Where the bytes go: sums that must be exact, and a stack bound that must hold on a real run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import support
from elftools.elf.elffile import ELFFile
from support import INFER, METHODS, require

from golden import Method, plan
from harness import backends, firmware
from harness.blob import blob_size
from harness.elf import Elf, open_elf
from harness.errors import BuildFailure, UserError
from harness.mailbox import MailboxDevice
from harness.memory.arena import Timeline, timeline_of_plan, timeline_of_record
from harness.memory.budget import Budget, check_budget, present, read_budget
from harness.memory.image import SRAM, Image, Sections
from harness.memory.stack import (
    Decoder,
    Frame,
    StackReport,
    Step,
    bl_target,
    deepest_path,
    worst_stack,
)
from harness.memory.text import render_sections, render_stack, render_symbols, render_timeline

FIVE = {
    "infer": INFER,
    "niti-dynamic": METHODS["niti-dynamic"],
    "niti-static": METHODS["niti-static"],
    "priot": METHODS["priot"],
    "priot-s": METHODS["priot-s-weight-normal"],
}
CROSS = "arm-none-eabi-"
ASSEMBLED = {
    f"kernels/cortex_m0plus/{source.stem}.o"
    for source in (firmware.ROOT / "firmware" / "kernels" / "cortex_m0plus").glob("*.S")
}


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(require(firmware.MICROBIT))


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
def qemu() -> Iterator[MailboxDevice]:
    """A device that no other test used: the painted mark counts from the reset on."""
    (here,) = (one for one in backends.availability() if one.name == "qemu")
    if not here.works:
        pytest.skip(f"target qemu: {here.remedy}")
    device = backends.open_device("qemu")
    assert isinstance(device, MailboxDevice)
    yield device
    device.close()


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


def test_spans_tile_the_memories(sections: Sections) -> None:
    for spans, start in ((sections.ram, SRAM), (sections.flash, 0)):
        for span in spans:
            assert span.address == start
            start += span.bytes
    assert sum(span.bytes for span in sections.ram) == firmware.PICO_RAM
    ram = {span.name: span.bytes for span in sections.ram}
    assert ram["stack"] == 4096 and ram["arena"] == firmware.pico_arena_bytes()
    # Code runs from SRAM and is kept in flash; zeroed data is in SRAM only.
    kept = {one.name: (one.flash, one.ram) for one in sections.sections}
    assert kept[".text"][0] == kept[".text"][1] == ram[".text"]
    assert kept[".bss"] == (0, ram[".bss"])
    assert kept[".vectors"][1] == kept[".idle"][1] == 0


def test_sizes_are_the_objects_own(image: Image) -> None:
    """The linker's map against the objects that it linked."""
    foreign = {one.object for one in image.inputs if image.is_foreign(one.address)}
    objects = {one.object for one in image.inputs} - foreign
    assert {"nn/pt_plan.o", "kernels/cortex_m0plus/pt_linear.o", "app/pt_app.o"} <= objects
    for name in objects:
        with (image.objects / name).open("rb") as file:
            sizes = {s.name: s["sh_size"] for s in ELFFile(file).iter_sections()}
        for one in image.inputs:
            if one.object == name:
                assert one.size == sizes[one.name], one


def test_symbols_know_their_object(sections: Sections) -> None:
    parts = {part.name: part for part in sections.parts}
    assert parts["app"].object == "boards/microbit/board.o" and parts["app"].kind == "object"
    assert parts["pt_mailbox"].section == ".bss"
    assert parts["pt_crc32"].object == "nn/pt_crc32.o"
    assert (parts["nibble"].object, parts["nibble"].bytes) == ("nn/pt_crc32.o", 64)
    assert parts["vectors"].bytes == 192 and parts["vectors"].section == ".vectors"
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
    name: str, qemu: MailboxDevice, stack: StackReport
) -> None:
    """On the emulated chip: the device's own plan is golden's, the painted mark below the bound."""
    network, method = support.shipped("tinycnn"), FIVE[name]
    qemu.load_model(network)
    qemu.set_method(method)
    images, labels = support.images(network, 2)
    run = qemu.train if method.trains else qemu.evaluate
    run(images, labels)
    elf = open_elf(firmware.MICROBIT)
    assert timeline_of_record(qemu.plan(), elf) == golden_timeline(method, elf)
    painted = qemu.memory().stack
    assert painted is not None
    assert painted <= stack.worst < stack.reserved
    # The call that the bound is about was made, so that the two can be compared.
    if name == "priot-s":
        assert painted >= stack.worst - 64
    else:
        assert painted >= 256


# The stack


def test_the_worst_path(stack: StackReport) -> None:
    names = [step.name for step in stack.path]
    assert names[:3] == ["pt_reset", "run", "pt_app_serve"] and "cut_rank" in names
    assert sum(step.bytes for step in stack.path) == stack.worst
    assert stack.unresolved == ()
    # The handler pushes r4-r11; save_fault comes by a jump.
    handler = [(step.name, step.bytes) for step in stack.exception_path]
    assert handler[0] == ("pt_hard_fault", 32) and handler[1][0] == "save_fault"
    assert stack.exception == 36 + sum(size for _, size in handler)
    assert stack.total == stack.worst + stack.exception <= stack.reserved == 4096


def test_frames_by_compiler_and_by_machine_code(stack: StackReport) -> None:
    """Two independent counts of every frame: GCC's .su, or the assembler's symbol, and what the
    instructions do to sp."""
    frames = {frame.name: frame for frame in stack.frames}
    assert len(frames) > 60
    told = {f.name: f.declared if f.compiler is None else f.compiler for f in stack.frames}
    differ = {f.name for f in stack.frames if told[f.name] not in (None, f.decoded)}
    assert differ == {"pt_hard_fault"}  # naked: the compiler counts no assembler
    assert frames["pt_hard_fault"].bytes == 32
    # It moves sp by a constant from memory, since no immediate is that large.
    assert frames["cut_rank"].decoded == frames["cut_rank"].compiler > 1024
    alone = {frame.name: frame.bytes for frame in stack.frames if told[frame.name] is None}
    assert all(name.startswith("__") for name in alone)
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
    declared = {frame.name: frame.declared for frame in stack.frames if frame.declared is not None}
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
        .type vectors, %object
vectors:
        .word 0x20001000, pt_reset, fault
        .size vectors, 12
        function fault
        b fault
        done fault
"""


def assembled(folder: Path, text: str) -> Image:
    """An image of assembler, with what `Image` needs of the linker script."""
    if shutil.which(f"{CROSS}gcc") is None:
        pytest.skip(f"{CROSS}gcc is not installed: install gcc-arm-none-eabi")
    source, elf = folder / "code.s", folder / "code.elf"
    source.write_text(START + text)
    symbols = {"pt_stack_start": 0x20000F00, "pt_stack_end": 0x20001000}
    symbols |= {"pt_arena_start": 0x20000800, "pt_arena_end": 0x20000F00}
    options = [f"-Wl,--defsym={name}={value}" for name, value in symbols.items()]
    options += ["-nostdlib", "-mcpu=cortex-m0plus", "-mthumb", "-Wl,-Ttext=0x20000000"]
    options += ["-Wl,-e,pt_reset", f"-Wl,-Map={elf.with_suffix('.map')}"]
    subprocess.run([f"{CROSS}gcc", "-g", *options, source, "-o", elf], check=True)
    return Image(elf, objects=folder)


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


def test_the_firmware_is_within_its_budget(now: Budget) -> None:
    assert check_budget(read_budget(), now) == []


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


def test_everything_is_json(
    sections: Sections, stack: StackReport, now: Budget, host_elf: Elf
) -> None:
    for one in (sections, stack, now, golden_timeline(FIVE["priot"], host_elf)):
        assert json.loads(json.dumps(asdict(one)))
    assert str(firmware.ROOT) not in json.dumps([asdict(sections), asdict(stack)])


def test_text(sections: Sections, stack: StackReport, host_elf: Elf) -> None:
    assert re.search(rf"^sum +{firmware.PICO_RAM:,}$", render_sections(sections), re.M)
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
    assert f"static worst case {stack.worst:,}, with an exception {stack.total:,}" in shown
    assert shown.endswith("painted high-water mark 1,234")
    # The last line of the table is as deep as all of it.
    assert shown.split("\n\n")[0].splitlines()[-1].endswith(f"{stack.total:,}")
