"""Code that a Cortex-M0+ does not have: it counts no cycles, and the counter says so."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from picotrain.image import firmware
from support import require

FOLDER = Path(__file__).resolve().parents[3] / "emulation" / "renode"
STUBS = Path(__file__).parent

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("mcs", "mono-mcs"), ("mono", "mono-runtime"), ("cc", "gcc"))
]

Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The counter, its stand-in for Renode, and the accelerator's library."""
    made = tmp_path_factory.mktemp("counter")
    for source, name in ((STUBS / "tlib.c", "tlib.so"), (FOLDER / "cycle_counter.c", "fast.so")):
        command = ["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-o", str(made / name)]
        subprocess.run([*command, str(source)], check=True)
    command = ["mcs", "-langversion:7.2", "-warnaserror", f"-out:{made / 'counter.exe'}"]
    sources = [FOLDER / "CycleCounter.cs", FOLDER / "CycleAccelerator.cs", STUBS / "Stubs.cs"]
    subprocess.run([*command, *map(str, sources)], check=True)
    return made


@pytest.fixture(params=["hook", "accelerated"])
def run(request: pytest.FixtureRequest, folder: Path) -> Run:
    """Run lines through the counter, by its hook and by the accelerator."""

    def run_(*lines: str) -> list[str]:
        first = [f"accelerate {folder / 'fast.so'}"] if request.param == "accelerated" else []
        done = subprocess.run(
            ["mono", str(folder / "counter.exe"), str(folder / "tlib.so")],
            input="\n".join([*first, *lines]),
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout.splitlines()[len(first) :]

    return run_


# udiv r0, r0, r1; adds r0, #1; bx lr
DIVISION = "code 20000000 fbb0 f0f1 3001 4770"


def passes(count: int) -> list[str]:
    return ["begin 20000000 3", "ran 3", "pc 20000100"] * count


def test_a_block_is_warned_of_once_and_its_instructions_are_counted(run: Run) -> None:
    told = (
        "Warning: The block at 0x20000000 has 1 instructions that a Cortex-M0+ does not have, the "
        "first 0xFBB0 at 0x20000000: they count no cycles"
    )
    lines = run(DIVISION, *passes(3), "unpriced", *passes(2), "unpriced", "show")
    assert lines == [told, "3", "5", f"{5 * 3} 15 0"]


def test_a_block_that_never_ran_is_no_matter(run: Run) -> None:
    other = ["code 20000100 4770", "begin 20000100 1", "ran 1", "pc 20000000"]
    assert run(DIVISION, *other, "begin 20000000 3", "pc 20000000", "unpriced", "show") == [
        "0",
        "2 1 0",
    ]


def test_clearing_counts_anew_and_other_blocks_are_told_too(run: Run) -> None:
    # it eq; cbz r0
    lines = ["code 20000200 bf08", "begin 20000200 1", "ran 1", "pc 20000202", "unpriced", "clear"]
    lines += ["unpriced", "code 20000300 b100", "begin 20000300 1", "ran 1", "pc 0", "unpriced"]
    found = run(*lines)
    assert [line for line in found if not line.startswith("Warning")] == ["1", "0", "1"]
    assert [line.split()[4] for line in found if line.startswith("Warning")] == [
        "0x20000200",
        "0x20000300",
    ]


@pytest.mark.parametrize(
    ("code", "priced"),
    [
        ("f000 f800", 1),  # bl
        ("f7ff fffe", 1),
        ("f3ef 8005", 1),  # mrs r0, ipsr
        ("f380 8808", 1),  # msr msp, r0
        ("f3bf 8f4f", 1),  # dsb
        ("f3bf 8f5f", 1),  # dmb
        ("f3bf 8f6f", 1),  # isb
        ("f3bf 8f2f", 0),  # clrex
        ("f04f 0001", 0),  # mov.w r0, #1
        ("f240 0001", 0),  # movw r0, #1
        ("f000 b800", 0),  # b.w
        ("f000 8000", 0),  # beq.w
        ("f3af 8000", 0),  # nop.w
        ("f7f0 a000", 0),  # udf.w
        ("fbb0 f0f1", 0),  # udiv
        ("e92d 4ff0", 0),  # push.w
        ("f8d0 1000", 0),  # ldr.w
        ("3001 0000", 1),  # adds
        ("bf00 0000", 1),  # nop
        ("bf30 0000", 1),  # wfi
        ("bf08 0000", 0),  # it eq
        ("b100 0000", 0),  # cbz
        ("be00 0000", 0),  # bkpt
        ("de00 0000", 0),  # udf
        ("df00 0000", 1),  # svc
    ],
)
def test_what_armv6_m_has(folder: Path, code: str, priced: int) -> None:
    done = subprocess.run(
        ["mono", str(folder / "counter.exe"), str(folder / "tlib.so")],
        input=f"priced {code}\n",
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.split() == [str(priced)]


def test_the_firmware_is_priced_but_for_traps(folder: Path) -> None:
    """All that the linker put into the images that run on Renode; else its counts were refused."""
    objdump = "arm-none-eabi-objdump"
    if shutil.which(objdump) is None:
        pytest.skip(f"{objdump} is not installed (apt: binutils-arm-none-eabi)")
    found: dict[tuple[str, str], str] = {}
    for elf in (require(firmware.RP2040), require(firmware.RP2040_ROM).with_suffix(".elf")):
        text = subprocess.run(
            [objdump, "-d", str(elf)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        line = r"^\s*[0-9a-f]+:\t([0-9a-f]{4})(?: ([0-9a-f]{4}))?\s+\t?([a-z]\S*)"
        for first, second, name in re.findall(line, text, re.MULTILINE):
            found[first, second or "0000"] = name
    assert len(found) > 3000
    done = subprocess.run(
        ["mono", str(folder / "counter.exe"), str(folder / "tlib.so")],
        input="".join(f"priced {first} {second}\n" for first, second in found),
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    answers = zip(found.values(), done.stdout.split(), strict=True)
    assert {name for name, priced in answers if priced == "0"} <= {"udf"}
