"""`picotrain cycles` on programs that are not ours, against cycles that were counted by hand.

The programs are in `foreign/`, with the cycles of each instruction in comments.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from picotrain import cli
from picotrain.image import firmware, uf2
from picotrain.image.elf import open_elf
from support import require

FOREIGN = Path(__file__).parent / "foreign"

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (
        ("qemu-system-arm", "qemu-system-arm"),
        ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
    )
]

CRC32 = {9: 655, 18: 1294, 27: 1933}
"""By hand: 71 a byte, and 16."""
SORT, START = 245, 146
CHECKED = 72
"""Of `start`, from the return of `sort` on: 2 + 1 + 7 * 10 - 1."""
ALL = sum(CRC32.values()) + SORT + START

Build = Callable[..., Path]
Answer = dict[str, Any]

# A program around a few instructions; a fault and `hang` are a branch to itself.
AROUND = """
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .vectors, "a"
    .word stack_top, start, hang, hang
    .bss
    .space 256
    .global stack_top
stack_top:
    .text
    .thumb_func
    .type hang, %function
hang:
    b hang
    .thumb_func
    .type start, %function
    .global start
start:
"""


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Link a program of `foreign/`, or the text of one."""

    def made(source: str, script: str = "qemu.ld", *more: str) -> Path:
        file = FOREIGN / source
        if "\n" in source or " " in source:
            file = tmp_path / "given.S"
            file.write_text(f"{source}\n")
        elf = tmp_path / f"{file.stem}-{Path(script).stem}.elf"
        command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib", "-g"]
        command += ["-T", str(FOREIGN / script), "-o", str(elf), str(file), *more]
        subprocess.run(command, check=True)
        return elf

    return made


@pytest.fixture
def pico(build: Build, tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """A program behind a second stage: its UF2 and its ELF file."""

    def made(source: str) -> tuple[Path, Path]:
        stage = tmp_path / "boot2.bin"
        stage.write_bytes(uf2.read_image(require(firmware.RP2040))[0].data[:256])
        around = tmp_path / "boot2.S"
        around.write_text(f'    .section .boot2, "a"\n    .incbin "{stage}"\n')
        elf = build(source, "rp2040.ld", str(around))
        image = tmp_path / "program.uf2"
        image.write_bytes(uf2.encode(uf2.read_image(elf)))
        return image, elf

    return made


def count(tmp_path: Path, *arguments: object, status: int = 0) -> Answer:
    """The result of a run."""
    file = tmp_path / "result.json"
    require(firmware.CYCLE_PLUGIN)
    assert cli.main(["cycles", *map(str, arguments), "--json", str(file)]) == status
    answer: Answer = json.loads(file.read_text())
    return answer


def own(answer: Answer) -> dict[str, int]:
    return {one["name"]: one["own"] for one in answer["functions"]}


def test_a_program_takes_what_was_counted_by_hand(build: Build, tmp_path: Path) -> None:
    answer = count(tmp_path, "--elf", build("work.S"))
    assert answer["cycles"] == ALL == 4273
    assert own(answer) == {"crc32": sum(CRC32.values()), "sort": SORT, "start": START}
    calls = {one["name"]: (one["calls"], one["inclusive"]) for one in answer["functions"]}
    assert calls == {"crc32": (3, 3882), "sort": (1, SORT), "start": (1, ALL)}
    assert answer["instructions"] == sum(one["instructions"] for one in answer["functions"])
    assert answer["ended"] == "bkpt #0 at start+0x3e"
    assert answer["memory"] == {"flash": ALL, "sram": 0, "elsewhere": 0}


def test_from_one_place_to_another(build: Build, tmp_path: Path) -> None:
    answer = count(tmp_path, "--elf", build("work.S"), "--from", "sort", "--to", "done")
    assert answer["cycles"] == SORT + CHECKED == 317
    assert own(answer) == {"sort": SORT, "start": CHECKED}
    assert answer["ended"] == ""


@pytest.mark.parametrize("passes", ["3", "all"])
def test_each_pass_through_a_function(build: Build, tmp_path: Path, passes: str) -> None:
    elf = build("work.S")
    answer = count(tmp_path, "--elf", elf, "--function", "crc32", "--passes", passes)
    assert answer["passes"] == {
        "count": 3,
        "min": 655,
        "mean": 1294.0,
        "max": 1933,
        "cycles": list(CRC32.values()),
    }
    assert own(answer) == {"crc32": sum(CRC32.values())}
    [function] = answer["functions"]
    assert (function["calls"], function["inclusive"]) == (3, answer["cycles"])


def test_a_branch_that_leads_to_the_end_counts_as_taken(build: Build, tmp_path: Path) -> None:
    """From the head of a loop to its next: its last instruction is the B<cond> that is taken."""
    elf = build("work.S")
    byte = open_elf(elf).symbol("crc32") + 8
    arguments = ("--elf", elf, "--from", hex(byte), "--to", hex(byte), "--passes", "9")
    answer = count(tmp_path, *arguments)
    # The ninth leaves for the second call: 70, 8 and 9 of crc32, 8 + 6 of start.
    assert answer["passes"]["cycles"] == [71] * 8 + [101]
    assert own(answer) == {"crc32": 8 * 71 + 70 + 8 + 9, "start": 14}


def test_recursion_returns_once(build: Build, tmp_path: Path) -> None:
    source = f"""{AROUND}
    movs r0, #3
    bl down
    bkpt #0
    .thumb_func
    .type down, %function
down:
    push {{r4, lr}}         @ 3
    subs r0, #1             @ 1
    beq 1f                  @ 1, taken 2
    bl down                 @ 3
1:  pop {{r4, pc}}          @ 5
    """
    answer = count(tmp_path, "--elf", build(source), "--function", "down", "--passes", "all")
    assert answer["passes"]["cycles"] == [13 + 13 + 11]
    assert answer["functions"][0]["calls"] == 3


def test_a_program_in_sram_without_vectors(tmp_path: Path) -> None:
    source, elf = tmp_path / "ram.c", tmp_path / "ram.elf"
    source.write_text('void _start(void) { __asm("nop\\nnop\\nbkpt 0"); }\n')
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib", "-O1"]
    command += ["-fomit-frame-pointer", "-Wl,-Ttext=0x20000000", "-o", str(elf), str(source)]
    subprocess.run(command, check=True)
    answer = count(tmp_path, "--elf", elf)
    assert (answer["cycles"], answer["memory"]["sram"]) == (2, 2)


def test_semihosting_says_text_and_status(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"""{AROUND}
    movs r0, #4             @ 1
    ldr r1, =text           @ 2
    bkpt 0xab
    movs r0, #0x18          @ 1
    ldr r1, =0x20023        @ 2
    bkpt 0xab
    .ltorg
text:
    .asciz "sorted\\n"
    """
    answer = count(tmp_path, "--elf", build(source), status=1)
    assert (answer["cycles"], answer["status"]) == (6, 1)
    said = capsys.readouterr().err
    assert "sorted\n" in said and "the program says that it failed: status 1" in said


def test_files_for_other_tools(build: Build, tmp_path: Path) -> None:
    grind, stacks, scope = (tmp_path / name for name in ("grind", "stacks", "scope"))
    files = ("--callgrind", grind, "--collapsed", stacks, "--speedscope", scope)
    count(tmp_path, "--elf", build("work.S"), *files)
    lines = grind.read_text().splitlines()
    assert f"totals: {ALL}" in lines and f"summary: {ALL}" in lines
    at = lines.index("cfn=sort")
    assert lines[at + 1].startswith("calls=1 ") and lines[at + 2].endswith(f" {SORT}")
    assert stacks.read_text().splitlines() == [
        f"Cortex-M0+ cycles;start {START}",
        f"Cortex-M0+ cycles;start;crc32 {sum(CRC32.values())}",
        f"Cortex-M0+ cycles;start;sort {SORT}",
    ]
    assert json.loads(scope.read_text())["profiles"][0]["endValue"] == ALL


def test_the_gate_lets_nothing_grow(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elf, baseline = build("work.S"), tmp_path / "baseline.json"
    count(tmp_path, "--elf", elf, "--write-baseline", baseline)
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    more = ("--baseline", baseline, "--summary", summary, "--junit", junit)
    answer = count(tmp_path, "--elf", elf, *more)
    assert answer["comparison"]["regressions"] == []
    assert "| in sort | 245.0 | 245.0 | 0 |  |" in summary.read_text()
    assert 'failures="0"' in junit.read_text()

    source = (FOREIGN / "work.S").read_text()
    slower = build(source.replace("movs r1, #8 ", "nop\n    movs r1, #8 ", 1))
    capsys.readouterr()
    answer = count(tmp_path, "--elf", slower, "--baseline", baseline, status=1)
    assert [one["name"] for one in answer["comparison"]["regressions"]] == [
        "in start",
        "mean",
        "longest",
    ]
    assert "picotrain: in start: 146.0 -> 147.0 cycles a pass (+0.68%)" in capsys.readouterr().err
    count(tmp_path, "--elf", slower, "--baseline", baseline, "--max-regress", "1%")
    kept = shutil.copy(tmp_path / "result.json", tmp_path / "kept.json")
    count(tmp_path, "--elf", elf, "--baseline", kept)


# Of an RP2040


def test_a_uf2_on_rp2040js_takes_the_same(
    pico: Callable[[str], tuple[Path, Path]], package: Path, tmp_path: Path
) -> None:
    image, elf = pico("work.S")
    files = ("--target", "rp2040js", "--uf2", image, "--elf", elf)
    answer = count(tmp_path, *files)
    assert answer["cycles"] == ALL
    assert own(answer) == {"crc32": sum(CRC32.values()), "sort": SORT, "start": START}
    calls = {one["name"]: (one["calls"], one["inclusive"]) for one in answer["functions"]}
    assert calls == {"crc32": (3, None), "sort": (1, None), "start": (1, None)}
    answer = count(tmp_path, *files, "--function", "crc32", "--passes", "all")
    assert answer["passes"]["cycles"] == list(CRC32.values())
    answer = count(tmp_path, "--target", "rp2040js", "--elf", elf, "--from", "sort", "--to", "done")
    assert answer["cycles"] == SORT + CHECKED


def test_a_uf2_with_peripherals(
    pico: Callable[[str], tuple[Path, Path]], package: Path, tmp_path: Path
) -> None:
    """The SIO takes 1 cycle on the chip, and on rp2040js."""
    image, elf = pico("blink.S")
    files = ("--target", "rp2040js", "--uf2", image, "--elf", elf)
    # 1 before, 5 times 304, less 1, and 2 to return.
    assert count(tmp_path, *files, "--function", "blink")["cycles"] == 1 + 1519 + 2
    answer = count(tmp_path, *files, "--from", "toggle", "--to", "toggle", "--passes", "4")
    assert answer["passes"]["cycles"] == [304] * 4
    assert own(answer) == {"blink": 4 * 304}
    alone = count(tmp_path, "--target", "rp2040js", "--uf2", image)
    assert alone["cycles"] > 1522
    assert [one["name"] for one in alone["functions"]] == ["?"]
    assert alone["ended"].startswith("a branch to itself at 0x1000")


# Mistakes, each with its sentence


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    capsys.readouterr()
    assert cli.main(["cycles", *map(str, arguments)]) == status
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_places_that_do_not_come(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    elf = build("work.S")

    def told(*arguments: str, status: int = 2) -> str:
        return refused(capsys, "--elf", elf, *arguments, status=status)

    assert "--from crc: " in (said := told("--from", "crc")) and "near it are crc32" in said
    assert "--from wrong was never reached: the program ended with bkpt #0 at" in told(
        "--from", "wrong"
    )
    assert "--to wrong was never reached after sort: the program ended" in told(
        "--from", "sort", "--to", "wrong"
    )
    assert "--to crc32 was never reached after sort, only before it" in (
        said := told("--from", "sort", "--to", "crc32")
    )
    assert "exchange the two" in said
    assert "--to sort came before --from wrong, which never came" in told(
        "--from", "wrong", "--to", "sort"
    )
    assert "only 3 of 4 passes" in told("--function", "crc32", "--passes", "4")
    assert "--to text: 0x" in (said := told("--to", "text")) and "is no code of" in said
    assert "--passes 3: the reset and the program's end come once" in told("--passes", "3")
    assert "--passes 0: give a number above 0, or all" in told(
        "--function", "sort", "--passes", "0"
    )
    assert "leave out --from and --to, or it" in told("--function", "sort", "--to", "done")
    assert "add --baseline FILE" in told("--junit", "x.xml")
    assert "add --target rp2040js" in told("--uf2", "x.uf2")
    assert "does not follow" in told("--target", "rp2040js", "--collapsed", "x")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1: nop\n b 1b", "TIMEOUT: the program did not end within 0.5 s, it was in start"),
        (".inst.n 0xde07", "CRASH: the program faulted at start (pc 0x00000012): udf #7"),
        ("ldr r0, =0x30000000\n ldr r1, [r0]\n bkpt 0", "an address without memory"),
        (".inst.n 0xb108\n bkpt 0", "0xb108 at start is no instruction of a Cortex-M0+"),
    ],
)
def test_a_program_that_cannot_be_counted(
    build: Build, capsys: pytest.CaptureFixture[str], code: str, sentence: str
) -> None:
    elf = build(f"{AROUND}\n {code}")
    said = refused(capsys, "--elf", elf, "--timeout", "0.5", status=2 if "0xb108" in code else 1)
    assert sentence in said


def test_files_that_are_no_program_for_it(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elf = build("work.S")
    plain = tmp_path / "plain"
    plain.write_text("text")

    def made(name: str, *options: str) -> Path:
        command = ["arm-none-eabi-gcc", "-mthumb", "-nostdlib", *options]
        source = tmp_path / "any.c"
        source.write_text('void _start(void) { for (;;) { __asm volatile("nop"); } }\n')
        subprocess.run([*command, "-o", str(tmp_path / name), str(source)], check=True)
        return tmp_path / name

    m0 = "-mcpu=cortex-m0plus"
    for path, sentence in (
        (tmp_path / "none", "cannot read"),
        (plain, "is no ELF file; give the linked program"),
        (made("m4.elf", "-mcpu=cortex-m4"), "is built for ARMv7E-M (Cortex-M4 or M7)"),
        (made("object.o", m0, "-c"), "is an object file, which is not linked yet"),
        (made("far.elf", m0, "-Wl,-Ttext=0x08000000"), "is outside the memory of QEMU's machine"),
        (made("pico.elf", m0, "-Wl,-Ttext=0x10000000"), "use --target rp2040js"),
        (made("low.elf", m0, "-Wl,-Ttext=0"), "what it has at 0 is no vector table"),
    ):
        assert sentence in refused(capsys, "--elf", path)
    if Path("/bin/true").read_bytes()[:4] == b"\x7fELF":
        assert "not for a 32-bit Arm" in refused(capsys, "--elf", "/bin/true")
    stripped = tmp_path / "stripped.elf"
    subprocess.run(["arm-none-eabi-strip", "-o", str(stripped), str(elf)], check=True)
    assert "it was stripped" in refused(capsys, "--elf", stripped, "--from", "sort")
    assert count(tmp_path, "--elf", stripped)["cycles"] == ALL
    assert "there is no program" in refused(capsys)
    other = ("--target", "rp2040js")
    assert "not in a Pico's flash" in refused(capsys, *other, "--elf", elf)
    assert "is no UF2 file" in refused(capsys, *other, "--uf2", plain)
    assert "names are in the program's --elf" in refused(
        capsys, *other, "--uf2", plain, "--from", "sort"
    )


def test_a_baseline_of_something_else(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elf, baseline = build("work.S"), tmp_path / "baseline.json"
    count(tmp_path, "--elf", elf, "--write-baseline", baseline)
    said = refused(capsys, "--elf", elf, "--baseline", baseline, "--from", "sort")
    assert "the baseline has from 'reset', this run 'sort'" in said
    baseline.write_text("{}")
    said = refused(capsys, "--elf", elf, "--baseline", baseline)
    assert "this is no result of `picotrain cycles`" in said


def test_a_uf2_of_another_build(
    pico: Callable[[str], tuple[Path, Path]],
    package: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image, _ = pico("work.S")
    other = tmp_path / "other.uf2"
    shutil.copy(image, other)
    _, elf = pico("blink.S")
    said = refused(capsys, "--target", "rp2040js", "--uf2", other, "--elf", elf)
    assert "is not of the build of" in said
