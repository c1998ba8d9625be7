"""The QEMU cycle plugin against assembly whose cycles were counted by hand, and its harmlessness.

Each file in `snippets/` carries its own expectation: cycles in the comments, the sum in `END`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from picotrain.device.cycles import BlockCount, difference, read_counters, total
from picotrain.device.targets.qemu import SRAM_SIZE, QemuTarget
from picotrain.errors import CrashFailure, LinkFailure, TimeoutFailure, UserError

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "emulation" / "qemu"
SNIPPETS = Path(__file__).parent / "snippets"
SRAM = 0x20000000

COUNTED = [
    "branches",
    "branches_conditional",
    "data_processing",
    "load_store",
    "load_store_multiple",
    "long_block",
    "loop",
    "loop_nested",
    "multiply",
    "page_crossing",
    "page_end_narrow_conditional",
    "page_end_wide",
    "push_pop",
    "self_modifying",
    "supervisor_call",
    "system",
]

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (
        ("qemu-system-arm", "qemu-system-arm"),
        ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
        ("cc", "gcc"),
    )
]

Start = Callable[..., QemuTarget]


def symbols(elf: Path) -> dict[str, int]:
    with elf.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def profile(target: QemuTarget) -> list[BlockCount]:
    blocks = target.profile()
    assert blocks is not None
    return blocks


def inside(target: QemuTarget, blocks: list[BlockCount]) -> list[BlockCount]:
    """Only the blocks of the snippet itself."""
    names = symbols(target.elf)
    low, high = names["snippet"] & ~1, names["snippet_end"]
    return [block for block in blocks if low <= block.pc < high]


def state(target: QemuTarget) -> tuple[dict[str, int], str]:
    """All that the guest can see: its registers, and a digest of its memory."""
    memory = target.read(SRAM, SRAM_SIZE) + target.read(0, 0x4000)
    return target.registers(), hashlib.sha256(memory).hexdigest()


@pytest.mark.parametrize("name", COUNTED)
def test_counts_what_the_hand_counted(start: Start, name: str) -> None:
    target = start(name)
    before = profile(target)
    target.run(10.0)
    blocks = inside(target, difference(profile(target), before))
    assert total(blocks) == symbols(target.elf)["expected_cycles"]


def test_every_snippet_is_counted() -> None:
    uncounted = {"runtime", "fault", "endless"}
    assert {path.stem for path in SNIPPETS.glob("*.S")} == {*COUNTED, *uncounted}


def test_instructions_and_taken_branches_of_a_loop(start: Start) -> None:
    target = start("loop")
    target.run(10.0)
    blocks = {block.pc - 0x800: block for block in inside(target, profile(target))}
    # The first pass runs from the start of the function, the others from the label.
    assert [(b.instructions, b.executions, b.taken) for _, b in sorted(blocks.items())][:2] == [
        (5, 1, 1),
        (3, 999, 998),
    ]


def test_exclude_leaves_out_ranges(start: Start) -> None:
    target = start("loop")
    target.run(10.0)
    names = symbols(target.elf)
    snippet = (names["snippet"] & ~1, names["snippet_end"])
    blocks = profile(target)
    assert total(blocks) - total(blocks, exclude=[snippet]) == names["expected_cycles"]
    assert total(blocks, exclude=[(0, 1 << 32)]) == 0


def test_rewritten_code_gets_its_own_counters(start: Start) -> None:
    target = start("self_modifying")
    target.run(10.0)
    victim = symbols(target.elf)["victim"] & ~1
    blocks = [block for block in profile(target) if block.pc == victim]
    assert sorted((block.cycles, block.executions) for block in blocks) == [(3, 2), (4, 1)]

    # The second run writes both versions again, and must find the counters of the first.
    target.run(10.0)
    blocks = [block for block in profile(target) if block.pc == victim]
    assert sorted((block.cycles, block.executions) for block in blocks) == [(3, 4), (4, 2)]


@pytest.mark.parametrize("name", ["loop_nested", "self_modifying"])
def test_two_runs_count_the_same(start: Start, name: str) -> None:
    readings = []
    for _ in range(2):
        target = start(name)
        for _ in range(3):
            target.run(10.0)
        readings.append(profile(target))
    assert readings[0] == readings[1]


@pytest.mark.parametrize("name", ["loop_nested", "push_pop", "self_modifying"])
def test_counting_and_reading_change_nothing_in_the_guest(start: Start, name: str) -> None:
    states = []
    for counting, reads in ((False, 0), (True, 0), (True, 3)):
        target = start(name, counting)
        for _ in range(3):
            target.run(10.0)
            for _ in range(reads):
                profile(target)
        states.append(state(target))
    assert states[0] == states[1] == states[2]


def test_no_profile_without_the_plugin(start: Start) -> None:
    assert start("loop", counting=False).profile() is None


def test_memory_round_trip_and_unmapped_memory(start: Start) -> None:
    target = start("loop")
    data = bytes(range(256)) * 400
    target.write(SRAM + 0x1000, data)
    assert target.read(SRAM + 0x1000, len(data)) == data
    target.write(0x100000, data)
    assert target.read(0x100000, len(data)) == data
    with pytest.raises(LinkFailure, match="cannot read"):
        target.read(SRAM + SRAM_SIZE - 4, 8)
    with pytest.raises(LinkFailure, match="cannot write"):
        target.write(SRAM + SRAM_SIZE - 4, bytes(8))
    target.run(10.0)


def test_fault_is_a_crash_with_its_place(start: Start) -> None:
    target = start("fault")
    with pytest.raises(CrashFailure) as caught:
        target.run(10.0)
    assert caught.value.registers["pc"] == symbols(target.elf)["faulting"]
    assert caught.value.registers["r0"] == 1
    assert caught.value.place.startswith("snippet")
    assert "snippet" in str(caught.value)
    with pytest.raises(LinkFailure, match="connect again"):
        target.run(10.0)
    target.connect()


def test_lockup_is_a_crash(start: Start) -> None:
    target = start("fault")
    # A HardFault vector without the Thumb bit faults in turn.
    target.write(0xC, struct.pack("<I", 0x100))
    with pytest.raises(CrashFailure, match="locked up"):
        target.run(10.0)


def test_timeout_names_the_function(start: Start) -> None:
    target = start("endless")
    began = time.monotonic()
    with pytest.raises(TimeoutFailure, match=r"snippet.*0\.3 s"):
        target.run(0.3)
    assert time.monotonic() - began < 5
    target.close()
    target.close()


def test_death_of_qemu_is_told(start: Start) -> None:
    target = start("loop")
    process = target._process
    assert process is not None
    process.kill()
    with pytest.raises(LinkFailure, match="QEMU ended"):
        target.run(1.0)


def test_qemu_missing_names_the_package(assemble: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match="qemu-system-arm"):
        QemuTarget(assemble("loop"), None, qemu="no-such-qemu").connect()


def test_missing_files_are_told(assemble: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="firmware"):
        QemuTarget(tmp_path / "none.elf", None).connect()
    with pytest.raises(UserError, match="plugin"):
        QemuTarget(assemble("loop"), tmp_path / "none.so").connect()


def test_last_line_of_qemu_is_told(assemble: Callable[[str], Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(LinkFailure, match=r"broken\.so"):
        QemuTarget(assemble("loop"), broken).connect()


def test_close_leaves_no_process(start: Start) -> None:
    target = start("loop")
    process = target._process
    assert process is not None
    target.close()
    assert process.returncode is not None
    with pytest.raises(LinkFailure, match="connect first"):
        target.read(SRAM, 4)


@pytest.fixture
def inherit_orphans() -> Iterator[None]:
    """Become the parent of grandchildren whose parent died, to see them end and to bury them."""
    libc = ctypes.CDLL(None)
    set_child_subreaper = 36
    assert libc.prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    yield
    libc.prctl(set_child_subreaper, 0, 0, 0, 0)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
@pytest.mark.usefixtures("inherit_orphans")
def test_qemu_does_not_outlive_a_killed_harness(assemble: Callable[[str], Path]) -> None:
    script = (
        "import sys, pathlib, picotrain.device.targets.qemu as qemu\n"
        "target = qemu.QemuTarget(pathlib.Path(sys.argv[1]), None)\n"
        "target.connect()\n"
        "print(target._process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(assemble("loop"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        harness.kill()
    deadline = time.monotonic() + 5
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, _ = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    assert ended == pid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "needs out=PATH"),
        (",out=counters,slots=0", "slots must be"),
        (",out=counters,speed=9", "unknown argument speed=9"),
        (",out=none/counters", "cannot open the counter file"),
    ],
)
def test_plugin_refuses_aloud(plugin: Path, tmp_path: Path, arguments: str, message: str) -> None:
    command = ["qemu-system-arm", "-M", "microbit", "-display", "none", "-S"]
    command += ["-plugin", f"file={plugin}{arguments}"]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode != 0
    assert f"cycles plugin: {message}" in result.stderr


def test_another_plugin_interface_is_refused(tmp_path: Path) -> None:
    """QEMU 9 and later have another one; here a program plays such a QEMU."""
    source = tmp_path / "newer_qemu.c"
    source.write_text(
        """
        #include "qemu_plugin_api.h"
        #include <stdlib.h>
        void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t i, qemu_plugin_tb_trans_cb c)
        { (void)i; (void)c; abort(); }
        void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *t, qemu_plugin_exec_cb c,
                                                  enum qemu_plugin_cb_flags f, void *u)
        { (void)t; (void)c; (void)f; (void)u; abort(); }
        size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *t) { (void)t; abort(); }
        uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *t) { (void)t; abort(); }
        struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *t, size_t i)
        { (void)t; (void)i; abort(); }
        const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *i) { (void)i; abort(); }
        int main(void)
        {
            qemu_info_t info = {"arm", {1, 4}, true, {1, 1}};
            return qemu_plugin_install(1, &info, 0, NULL) ? 3 : 0;
        }
        """
    )
    program = tmp_path / "newer_qemu"
    command = ["cc", f"-I{SOURCES}", "-o", str(program), str(source)]
    subprocess.run([*command, *sorted(map(str, SOURCES.glob("*.c")))], check=True)
    result = subprocess.run([program], capture_output=True, text=True, timeout=10, check=False)
    assert result.returncode == 3
    assert result.stderr == ("cycles plugin: built for plugin API 1, but this QEMU has 4\n")


def test_overflow_is_refused(assemble: Callable[[str], Path], plugin: Path, tmp_path: Path) -> None:
    counters = tmp_path / "counters"
    command = ["qemu-system-arm", "-M", "microbit", "-display", "none"]
    command += ["-kernel", str(assemble("branches"))]
    command += ["-plugin", f"file={plugin},out={counters},slots=4"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if counters.exists() and counters.stat().st_size:
                header = counters.read_bytes()[:64]
                if struct.unpack_from("<I", header, 28)[0]:
                    break
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    with pytest.raises(LinkFailure, match="found no room beside 4"):
        read_counters(counters)


def test_foreign_counter_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "counters"
    file.write_bytes(bytes(8))
    with pytest.raises(LinkFailure, match="too short"):
        read_counters(file)
    file.write_bytes(bytes(128))
    with pytest.raises(LinkFailure, match="is of another version of picotrain"):
        read_counters(file)


def test_difference_of_readings() -> None:
    before = [BlockCount(0x100, 3, 4, 10, 5), BlockCount(0x200, 1, 1, 2, 0)]
    after = [
        BlockCount(0x200, 1, 1, 2, 0),
        BlockCount(0x100, 3, 4, 15, 6),
        BlockCount(0x100, 3, 4, 1, 1),
        BlockCount(0x300, 2, 2, 7, 0),
    ]
    assert difference(after, before) == [
        BlockCount(0x100, 3, 4, 6, 2),
        BlockCount(0x300, 2, 2, 7, 0),
    ]
    with pytest.raises(ValueError, match="less often"):
        difference(before, after)
