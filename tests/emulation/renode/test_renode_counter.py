"""Renode's cycle counter without Renode: its table against the plugin's, its arithmetic by hand.

What the hook counts must be what the accelerator counts. `Stubs.cs` stands for Renode;
`test_renode_cycles.py` has both on Renode itself.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "emulation" / "renode"
STUBS = Path(__file__).parent
PLUGIN = ROOT / "emulation" / "qemu"

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (("mcs", "mono-mcs"), ("mono", "mono-runtime"), ("cc", "gcc"))
]

Run = Callable[..., list[str]]


def build_library(source: Path, library: Path, *options: str) -> Path:
    command = ["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wconversion"]
    command += ["-Wshadow", "-Werror", *options, "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The accelerator's."""
    folder = tmp_path_factory.mktemp("library")
    return build_library(FOLDER / "cycle_counter.c", folder / "libcycle_counter.so")


@pytest.fixture(scope="module")
def run_hook(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run lines through the counter, and return those that it prints."""
    folder = tmp_path_factory.mktemp("counter")
    program = folder / "counter.exe"
    tlib = build_library(STUBS / "tlib.c", folder / "tlib.so")
    command = ["mcs", "-langversion:7.2", "-warnaserror", "-warn:4", f"-out:{program}"]
    sources = [FOLDER / "CycleCounter.cs", FOLDER / "CycleAccelerator.cs", STUBS / "Stubs.cs"]
    subprocess.run([*command, *map(str, sources)], check=True)

    def run_(*lines: str) -> list[str]:
        done = subprocess.run(
            ["mono", str(program), str(tlib)],
            input="\n".join(lines),
            text=True,
            stdout=-1,
            check=True,
        )
        return done.stdout.splitlines()

    return run_


@pytest.fixture(params=["hook", "accelerated"])
def run(request: pytest.FixtureRequest, run_hook: Run, library: Path) -> Run:
    """`run_hook`, and the same accelerated."""
    if request.param == "hook":
        return run_hook

    def run_accelerated(*lines: str) -> list[str]:
        answer, *printed, accelerated = run_hook(f"accelerate {library}", *lines, "accelerated")
        assert answer == "counting in machine code"
        assert accelerated == "True"
        return printed

    return run_accelerated


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The table of the QEMU plugin."""
    library = tmp_path_factory.mktemp("table") / "table.so"
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(PLUGIN / "cortex_m0plus.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def test_every_opcode_takes_what_the_plugin_says(run_hook: Run, table: ctypes.CDLL) -> None:
    lines = run_hook("table")
    assert len(lines) == 0x10000
    for opcode, line in enumerate(lines):
        cycles, width, conditional, _ = map(int, line.split())
        expected = [
            function(ctypes.c_uint16(opcode)) & 0xFF
            for function in (table.m0plus_cycles, table.m0plus_width, table.m0plus_is_conditional)
        ]
        assert [cycles, width, conditional] == expected, f"opcode {opcode:#06x}"


def test_targets_of_branches(run_hook: Run) -> None:
    targets = [int(line.split()[3]) for line in run_hook("table")]
    assert targets[0xD000] == 0x20000004
    assert targets[0xD0FE] == 0x20000000
    assert targets[0xD180] == 0x20000004 - 256
    assert targets[0xDD7F] == 0x20000004 + 254
    assert targets[0xE7FE] == 0x20000000
    assert targets[0xE400] == 0x20000004 - 2048
    assert targets[0xE3FF] == 0x20000004 + 2046
    branches = {opcode for opcode, target in enumerate(targets) if target}
    assert branches == {*range(0xD000, 0xDE00), *range(0xE000, 0xE800)}


LOOP = (
    "code 20000000 2003",  # movs r0, #3         1
    "code 20000002 3801 d1fd",  # subs; bne 20000002  1 + 1, taken 2
    "code 20000006 6801 4770",  # ldr; bx lr          2 + 2
    "code 20000100 bd10",  # pop {r4, pc}        5
)


def test_a_loop_and_a_return(run: Run) -> None:
    """The first block holds the loop's first pass, as translators do it."""
    lines = [*LOOP, "begin 20000000 3", "ran 3", "begin 20000002 2", "ran 2"]
    lines += ["begin 20000002 2", "ran 2", "begin 20000006 2", "ran 2", "begin 20000100 1", "ran 1"]
    lines += ["pc 10000000", "show"]
    assert run(*lines) == [f"{4 + 3 + 2 + 4 + 5} 10 0"]


def test_a_pause_keeps_a_block_from_running(run: Run) -> None:
    """The hook is called, the block does not run, and the hook is called again."""
    lines = [*LOOP, "begin 20000000 3", "begin 20000000 3", "ran 3", "begin 20000002 2"]
    lines += ["pc 20000002", "show", "show", "begin 20000002 2", "begin 20000002 2", "ran 2"]
    lines += ["pc 20000006", "show"]
    assert run(*lines) == ["4 3 0", "4 3 0", "6 5 0"]


def test_a_slice_of_time_cuts_a_block(run: Run) -> None:
    lines = [*LOOP, "begin 20000000 1", "ran 1", "begin 20000002 1", "ran 1", "begin 20000004 1"]
    lines += ["ran 1", "begin 20000006 2", "ran 2", "pc 10000000", "show"]
    assert run(*lines) == [f"{1 + 1 + 1 + 4} 5 0"]


def test_a_block_that_ends_early(run: Run) -> None:
    """By an interrupt, a fault or a watchpoint: only what ran counts."""
    lines = [*LOOP, "begin 20000000 3", "ran 2", "begin 20000100 1", "ran 1", "pc 20000004", "show"]
    assert run(*lines) == [f"{1 + 1 + 5} 3 0"]


def test_instructions_out_of_nowhere_are_told(run_hook: Run) -> None:
    lines = [*LOOP, "begin 20000000 3", "ran 8", "pc 20000002", "show"]
    assert run_hook(*lines) == ["0 0 8"]


def test_a_reset_loses_only_the_block_that_it_ends(run: Run) -> None:
    lines = [*LOOP, "begin 20000000 3", "ran 3", "begin 20000002 2", "ran 1", "reset"]
    lines += ["begin 20000100 1", "ran 1", "pc 20000000", "show"]
    assert run(*lines) == [f"{4 + 5} 4 0"]


def test_replaced_code_is_read_again(run: Run, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    pass_ = ["begin 20000100 1", "ran 1", "pc 20000000"]
    lines = [*LOOP, *pass_, "forget", "code 20000100 bdf0", *pass_, "show", f"dump {dump}"]
    assert run(*lines) == [f"{5 + 8} 2 0"]
    assert dump.read_text() == "20000100 1 5 1 0\n20000100 1 8 1 0\n"


def test_registers(run: Run) -> None:
    pass_ = ["begin 20000100 1", "ran 1"]
    lines = [*LOOP, "read 0", *pass_, *pass_, "read 4", "read 8", "read c", "read 10"]
    lines += ["write 0 0", "read 0", *pass_, *pass_, "read 4", "write 0 3", "read 4", *pass_]
    lines += ["pc 20000000", "show"]
    # A program sees the blocks before its own; what ran while disabled is lost.
    assert run(*lines) == ["1", "5", "0", "1", "0", "0", "5", "0", "10 2 0"]


def test_clear_and_enabled(run: Run, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    pass_ = ["begin 20000100 1", "ran 1", "pc 20000000"]
    taken = ["begin 20000002 2", "ran 2", "pc 20000002"]
    lines = [*LOOP, *pass_, "forget", *taken, "clear", "show", *pass_, "enabled 0", *pass_, "show"]
    lines += ["enabled 1", *pass_, *taken, "show", f"dump {dump}"]
    assert run(*lines) == ["0 0 0", "5 1 0", "13 4 0"]
    assert sorted(dump.read_text().splitlines()) == ["20000002 2 2 1 1", "20000100 1 5 2 0"]


def test_nothing_counts_while_detached(run: Run) -> None:
    pass_ = ["begin 20000100 1", "ran 1", "pc 20000000"]
    lines = [*LOOP, *pass_, "hooked", "detach", "hooked", *pass_, "show", "attach", "hooked"]
    assert run(*lines, *pass_, "show") == ["1", "0", "5 1 0", "1", "10 2 0"]


# The accelerator alone


def test_acceleration_comes_and_goes(run_hook: Run, library: Path) -> None:
    """Between and within blocks; nothing is lost, nothing counts twice."""
    lines = [*LOOP, "begin 20000000 3", "ran 3", "begin 20000002 2"]
    lines += [f"accelerate {library}", "begin 20000002 2", "ran 2", "begin 20000006 2", "ran 1"]
    lines += ["pc 20000008", "decelerate", "accelerated", "begin 20000008 1", "ran 1"]
    lines += ["pc 20000100", f"accelerate {library}", "begin 20000100 1", "ran 1", "show"]
    accelerated = "counting in machine code"
    total = 4 + 2 + 2 + 2 + 5
    assert run_hook(*lines) == [accelerated, "False", accelerated, f"{total} 8 0"]


def test_many_blocks(run: Run, tmp_path: Path) -> None:
    """More than the library's first table holds, each of them twice; some by their first part."""
    dump = tmp_path / "dump"
    count = 6000
    lines = [f"code {0x20000000 + 8 * i:x} 3001 4770" for i in range(count)]  # adds; bx lr
    for _ in range(2):
        for i in range(count):
            ran = 1 if i % 1000 == 7 else 2
            lines += [f"begin {0x20000000 + 8 * i:x} 2", f"ran {ran}"]
    lines += ["pc 20000000", "show", f"dump {dump}"]
    short = 6
    cycles = 2 * (3 * (count - short) + short)
    assert run(*lines) == [f"{cycles} {2 * (2 * count - short)} 0"]
    expected = {
        f"{0x20000000 + 8 * i:08x} {'1 1' if i % 1000 == 7 else '2 3'} 2 0" for i in range(count)
    }
    assert set(dump.read_text().splitlines()) == expected


def test_another_user_of_the_hook(run_hook: Run, library: Path) -> None:
    """Is called as ever, and takes nothing from the counts."""
    pass_ = ["begin 20000100 1", "ran 1"]
    lines = [*LOOP, f"accelerate {library}", *pass_, "other 1", *pass_, "other 0", *pass_]
    assert run_hook(*lines, "pc 20000000", "show")[1:] == ["20000100 1", "15 3 0"]


def test_what_the_library_misses_is_told_and_ends_it(run_hook: Run, library: Path) -> None:
    lines = [*LOOP, f"accelerate {library}", "begin 20000000 3", "ran 8", "pc 20000002", "show"]
    lines += ["accelerated", "begin 20000100 1", "ran 1", "pc 20000000", "show"]
    told = "Warning: 8 instructions were missed: counting by the hook from here on"
    assert run_hook(*lines)[1:] == [told, "0 0 8", "False", "5 1 8"]


def other_library(source: str, old: str, new: str, folder: Path) -> Path:
    assert old in source
    (folder / "other.c").write_text(source.replace(old, new))
    return build_library(folder / "other.c", folder / "other.so")


@pytest.mark.parametrize("broken", ["missing", "text", "version", "symbol", "callback"])
def test_what_does_not_fit_is_told(
    run_hook: Run, library: Path, tmp_path: Path, broken: str
) -> None:
    """And the hook counts."""
    source = (FOLDER / "cycle_counter.c").read_text()
    prepare = []
    if broken == "missing":
        library, reason = tmp_path / "none.so", "none.so"
    elif broken == "text":
        library, reason = tmp_path / "text.so", "cannot load"
        library.write_text("no library")
    elif broken == "version":
        library = other_library(source, "INTERFACE 1", "INTERFACE 2", tmp_path)
        reason = f"{library} is not of this version"
    elif broken == "symbol":
        library = other_library(source, "cycle_counter_read(", "cycle_counter_tell(", tmp_path)
        reason = "undefined symbol: cycle_counter_read"
    else:
        prepare, reason = ["rename"], "no callback OnBlockBegin"
    pass_ = ["begin 20000100 1", "ran 1", "pc 20000000"]
    lines = [*LOOP, *prepare, *pass_, f"accelerate {library}", "accelerated", *pass_, "show"]
    warning, answer, *rest = run_hook(*lines)
    assert warning.startswith("Warning: Not accelerated, counting by the hook: ")
    assert answer.startswith("not accelerated, counting by the hook: ")
    assert reason in warning and reason in answer
    assert rest == ["False", "10 2 0"]
