"""Cycles on Renode: both ways to count, against QEMU and against the hand."""

from __future__ import annotations

import shutil
import struct
import subprocess
import warnings
from collections import Counter
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

import support
from picotrain import places
from picotrain.device import backends
from picotrain.device.cycles import BlockCount, difference
from picotrain.device.interface import state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.qemu import QemuTarget
from picotrain.device.targets.renode import ACCELERATOR, RenodeTarget, flash_image
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain_golden import Method
from renode_machine import PLATFORM, RENODE, Open, post, run_script
from support import METHODS, images, require

pytestmark = [
    pytest.mark.skipif(
        RENODE is None, reason="Renode is not installed: run `make setup-renode`, or set RENODE"
    )
]
HAND_COUNTED = (
    *("branches", "branches_conditional", "data_processing", "load_store", "load_store_multiple"),
    *("long_block", "loop", "loop_nested", "multiply", "page_crossing"),
    *("page_end_narrow_conditional", "page_end_wide", "push_pop", "system"),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The accelerator's, built as its Makefile does."""
    if not shutil.which("cc"):
        pytest.skip("cc is not installed (apt: gcc)")
    build = tmp_path_factory.mktemp("accelerator")
    subprocess.run(["make", "-s", "-C", str(PLATFORM), f"BUILD={build}"], check=True)
    return build / ACCELERATOR.relative_to(places.BUILD)


@pytest.fixture(scope="module", params=["hook", "accelerated"])
def accelerator(request: pytest.FixtureRequest) -> Path | None:
    """Both ways to count."""
    if request.param == "hook":
        return None
    library = request.getfixturevalue("library")
    assert isinstance(library, Path)
    return library


def by_function(blocks: list[BlockCount], elf: Elf) -> dict[str, tuple[int, int]]:
    """Cycles and instructions of each function."""
    cycles: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    for block in blocks:
        name = elf.function_at(block.pc)
        cycles[name] += block.total_cycles
        instructions[name] += block.executions * block.instructions
    return {name: (cycles[name], instructions[name]) for name in cycles}


def trained(target: Any, method: Method, disturb: bool = False) -> tuple[dict[str, Any], str]:
    """What training two images runs, by function, and the digest of what was learnt."""
    device = MailboxDevice(target)
    network = support.shipped("tinycnn")
    device.load_model(network)
    device.set_method(method)
    pixels, labels = images(network, 2, seed=4)
    device.write_window("IO", pixels.tobytes() + labels.tobytes())
    before = target.profile()
    if disturb:
        fields = device.elf.dtype("pt_mailbox").fields
        assert fields is not None
        argument = target.mailbox_address() + int(fields["argument"][1])
        target.write(argument, struct.pack("<I", 2))
        post(target, "TRAIN")
        for _ in range(20):
            target.monitor().command("pause")
            target.monitor().number("sysbus.cycles Cycles")
            target.monitor().command("start")
        target.run(60.0)
    else:
        device.command("TRAIN", [2], 60.0)
    functions = by_function(difference(target.profile(), before), device.elf)
    return functions, state_sha256(device, network)


@pytest.mark.skipif(
    any(b.name == "qemu" and not b.works for b in backends.availability()),
    reason="target qemu does not work here",
)
@pytest.mark.parametrize("disturb", [False, True], ids=["", "with-pauses"])
@pytest.mark.parametrize("name", ["priot", "niti-static"])
def test_cycles_are_qemus(
    open_renode: Open, accelerator: Path | None, name: str, disturb: bool
) -> None:
    """Every kernel of whole training steps: cycles and instructions."""
    qemu = QemuTarget(require(firmware.MICROBIT), require(firmware.CYCLE_PLUGIN))
    qemu.connect()
    expected, state = trained(qemu, METHODS[name])
    qemu.close()
    target = open_renode(True, accelerator)
    counted, learnt = trained(target, METHODS[name], disturb)
    assert learnt == state
    # The boards differ in what runs around a command, and the size of the arena is a dividend.
    board = {*("pt_app_serve", "pt_board_alive", "pt_board_cycles", "pt_board_idle"), "__udivsi3"}
    kernels = {function for function in expected if function not in board | {"pt_board_run", "?"}}
    assert len(kernels) > 30
    assert {function: counted.get(function) for function in kernels} == {
        function: expected[function] for function in kernels
    }
    total = target.counters()
    assert total[0] > sum(expected[function][0] for function in kernels)


def check_counts(target: RenodeTarget) -> tuple[int, int]:
    """Cycles and instructions, if the CPU has executed as many and the blocks add up."""
    monitor = target.monitor()
    monitor.command("pause")
    cycles, instructions = target.counters()
    assert instructions == monitor.number("sysbus.cpu ExecutedInstructions")
    blocks = target.all_blocks()
    assert blocks is not None
    assert sum(block.total_cycles for block in blocks) == cycles
    assert sum(block.executions * block.instructions for block in blocks) == instructions
    monitor.command("start")
    return cycles, instructions


def test_every_instruction_is_counted_once(open_renode: Open, accelerator: Path | None) -> None:
    target = open_renode(True, accelerator)
    for _ in range(2):
        MailboxDevice(target).command("INFO")
        check_counts(target)


class Stepped(RenodeTarget):
    """Runs for times that do not depend on the host, so that each run is like the other."""

    def _boot(self) -> None:
        self.monitor().command('emulation RunFor "0.02"')
        self._usable = True

    def run(self, timeout: float) -> None:
        while self._word("command") or self._word("status") == self._busy:
            self._check()
            self.monitor().command('emulation RunFor "0.01"')


def test_accelerated_counts_are_the_hooks(open_renode: Open, library: Path) -> None:
    """Of all code, from the reset to the end of a training step, block by block."""
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 1, seed=4)
    seen = []
    for accelerator in (None, library):
        target = open_renode(True, accelerator, Stepped)
        device = MailboxDevice(target)
        device.load_model(network)
        device.set_method(METHODS["priot"])
        device.write_window("IO", pixels.tobytes() + labels.tobytes())
        device.command("TRAIN", [1])
        assert target.monitor().command("sysbus.cycles Accelerated") == str(bool(accelerator))
        seen.append((target.counters(), target.profile()))
    assert seen[0][0][1] > 10_000_000
    assert seen[0] == seen[1]


def test_acceleration_and_other_uses_of_the_core(
    open_renode: Open, library: Path, tmp_path: Path
) -> None:
    """Breakpoints, single steps and hooks at blocks work as ever, and all is counted."""
    target = open_renode(True, library)
    monitor = target.monitor()
    seen = tmp_path / "seen"
    address = Elf(target.elf).symbol("pt_app_serve")
    note = f"\"f = open('{seen}', 'a'); f.write('.'); f.close()\""
    monitor.command(f"sysbus.cpu AddHook {address:#x} {note}")
    MailboxDevice(target).command("INFO")
    check_counts(target)
    assert len(seen.read_text()) > 1
    monitor.command("sysbus.cpu RemoveAllHooks")

    monitor.command("pause")
    monitor.command("sysbus.cpu ExecutionMode SingleStep")
    monitor.command("start")
    _, before = target.counters()
    for _ in range(5):
        monitor.command("sysbus.cpu Step")
    assert target.counters()[1] == before + 5
    monitor.command("sysbus.cpu ExecutionMode Continuous")

    for command in ("Decelerate", f"Accelerate @{library}", f"Accelerate @{library}"):
        monitor.command(f"sysbus.cycles {command}")  # while it runs
        MailboxDevice(target).command("INFO")
        check_counts(target)

    seen.unlink()
    monitor.command(f"sysbus.cpu SetHookAtBlockBegin {note}")
    MailboxDevice(target).command("INFO")
    monitor.command("sysbus.cpu ClearHookAtBlockBegin")
    assert len(seen.read_text()) > 100
    MailboxDevice(target).command("INFO")
    check_counts(target)
    assert monitor.command("sysbus.cycles Accelerated") == "True"


def test_accelerators_of_two_machines(library: Path, tmp_path: Path) -> None:
    """Each of them with counts of its own."""
    image = tmp_path / "image.bin"
    image.write_bytes(flash_image(require(firmware.RP2040)))
    script = tmp_path / "two.resc"
    script.write_text(
        f"$image=@{image}\n$rom=@{require(firmware.RP2040_ROM)}\n"
        f"include @{PLATFORM}/rp2040.resc\ninclude @{PLATFORM}/CycleAccelerator.cs\n"
        "mach clear\n"
        f'mach create "two"\nmachine LoadPlatformDescription @{PLATFORM}/rp2040.repl\n'
        f"sysbus LoadBinary @{require(firmware.RP2040_ROM)} 0x0\n"  # and no flash: ends in the ROM
        "sysbus.cpu VectorTableOffset 0x0\n"
        + "".join(
            f'mach set "{name}"\nmachine LoadPlatformDescriptionFromString '
            '"cycles: Timers.CycleCounter @ sysbus 0xF0000000 { cpu: cpu }"\n'
            f"sysbus.cycles Accelerate @{library}\n"
            for name in ("rp2040", "two")
        )
        + 'emulation RunFor "0.02"\nemulation RunFor "0.02"\n'
        + "".join(
            f'mach set "{name}"\nsysbus.cycles Instructions\nsysbus.cpu ExecutedInstructions\n'
            "sysbus.cycles Cycles\nsysbus.cycles Unexplained\n"
            for name in ("rp2040", "two")
        )
        + "quit\n"
    )
    numbers = [int(word, 16) for word in run_script(script).split() if word.startswith("0x")]
    assert len(numbers) == 8
    for instructions, executed, cycles, unexplained in (numbers[:4], numbers[4:]):
        assert instructions == executed > 1000
        assert cycles > instructions
        assert unexplained == 0
    assert numbers[2] != numbers[6]


def test_counts_survive_a_reset(open_renode: Open, accelerator: Path | None) -> None:
    """All but those of the block that it ends."""
    target = open_renode(True, accelerator)
    monitor = target.monitor()
    check_counts(target)
    monitor.command("pause")
    before = target.counters()
    monitor.command("machine Reset")
    assert target.counters() == before
    monitor.command("start")
    sleep(0.3)
    monitor.command("pause")
    cycles, instructions = target.counters()
    assert instructions - before[1] == monitor.number("sysbus.cpu ExecutedInstructions") > 1000
    assert cycles > before[0]


@pytest.mark.parametrize("broken", ["missing", "text", "version"])
def test_an_accelerator_that_does_not_fit(
    open_renode: Open, tmp_path: Path, library: Path, broken: str
) -> None:
    """Is told, and the hook counts."""
    other = tmp_path / "other library.so"
    reason = {"missing": "there is no file", "text": "dynamic library", "version": "version"}
    if broken == "text":
        other.write_text("no library")
    elif broken == "version":
        source = (PLATFORM / "cycle_counter.c").read_text()
        assert "INTERFACE 1" in source
        (tmp_path / "other.c").write_text(source.replace("INTERFACE 1", "INTERFACE 2"))
        command = ["cc", "-shared", "-fPIC", "-o", str(other), str(tmp_path / "other.c")]
        subprocess.run(command, check=True)
    with pytest.warns(RuntimeWarning, match=f"counts cycles slowly: .*{reason[broken]}"):
        target = open_renode(True, other)
    MailboxDevice(target).command("INFO")
    check_counts(target)


def test_an_accelerator_that_is_not_built(
    open_renode: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is not missed."""
    from picotrain.device.targets import renode

    nowhere = Path("/nowhere/libcycle_counter.so")
    monkeypatch.setattr(renode, "ACCELERATOR", nowhere)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_counts(open_renode(True, nowhere))


@pytest.fixture(scope="module")
def hand_counted(
    tmp_path_factory: pytest.TempPathFactory, accelerator: Path | None
) -> dict[str, tuple[int, int, int]]:
    """Cycles, instructions and expected cycles of each snippet, run once by the bare core.

    The counter is used as in anybody's platform: one include, one line of a platform file; and one
    of each for the accelerator.
    """
    folder = tmp_path_factory.mktemp("bare")
    platform = folder / "core.repl"
    platform.write_text(
        "flash: Memory.MappedMemory @ sysbus 0x0\n    size: 0x200000\n\n"
        "sram: Memory.MappedMemory @ sysbus 0x20000000\n    size: 0x42000\n\n"
        "nvic: IRQControllers.NVIC @ sysbus 0xE000E000\n    IRQ -> cpu@0\n\n"
        'cpu: CPU.CortexM @ sysbus\n    cpuType: "cortex-m0+"\n    nvic: nvic\n'
        "    PerformanceInMips: 125\n"
    )
    script = [f"include @{PLATFORM}/CycleCounter.cs"]
    accelerate = []
    if accelerator is not None:
        script.append(f"include @{PLATFORM}/CycleAccelerator.cs")
        accelerate.append(f"sysbus.cycles Accelerate @{accelerator}")
    elves = {}
    snippets = Path(__file__).resolve().parents[1] / "snippets"
    for name in HAND_COUNTED:
        elf = folder / f"{name}.elf"
        command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", "-nostdlib"]
        command += [f"-Wa,-I{snippets}", "-T", str(snippets / "snippet.ld"), "-o", str(elf)]
        command += [str(snippets / "runtime.S"), str(snippets / f"{name}.S")]
        subprocess.run(command, check=True)
        elves[name] = Elf(elf)
        again = elves[name].symbol("reset") + 8
        script += [
            f'mach create "{name}"',
            f"machine LoadPlatformDescription @{platform}",
            "machine LoadPlatformDescriptionFromString "
            '"cycles: Timers.CycleCounter @ sysbus 0xF0000000 { cpu: cpu }"',
            *accelerate,
            f"sysbus LoadELF @{elf}",
            f"sysbus WriteWord {again:#x} 0xE7FE",  # the second run: a jump to itself instead
            "sysbus.cpu VectorTableOffset 0x0",
            'emulation RunFor "0.002"',
            f'sysbus.cycles Dump "{folder / name}.txt"',
            "Clear",
        ]
    script.append("quit")
    (folder / "all.resc").write_text("\n".join(script) + "\n")
    printed = run_script(folder / "all.resc")
    assert printed.count("counting in machine code") == len(elves) * len(accelerate)
    counted = {}
    for name, image in elves.items():
        low, high = image.symbol("snippet"), image.symbol("snippet_end")
        totals = np.zeros(2, int)
        for line in (folder / f"{name}.txt").read_text().splitlines():
            pc, instructions, cycles, passes, taken = line.split()
            if low <= int(pc, 16) < high:
                totals += [
                    int(cycles) * int(passes) + int(taken),
                    int(instructions) * int(passes),
                ]
        counted[name] = (int(totals[0]), int(totals[1]), image.symbol("expected_cycles"))
    return counted


@pytest.mark.parametrize("name", HAND_COUNTED)
def test_counts_what_the_hand_counted(
    hand_counted: dict[str, tuple[int, int, int]], name: str
) -> None:
    cycles, instructions, expected = hand_counted[name]
    assert cycles == expected
    assert 0 < instructions < cycles
