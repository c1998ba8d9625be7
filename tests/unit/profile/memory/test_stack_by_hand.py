"""The worst stack of programs that were written, and counted, by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from memory_boards import CROSS
from picotrain.errors import BuildFailure
from picotrain.profile.memory.image import Image
from picotrain.profile.memory.stack import (
    ROM_NAME,
    ROM_STACK,
    Frame,
    Step,
    worst_stack,
)
from picotrain.profile.memory.text import render_stack

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
