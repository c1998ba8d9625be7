"""What the Renode target makes of the counter's answers, without Renode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from picotrain.device import backends
from picotrain.device.targets import renode
from picotrain.device.targets.renode import RenodeTarget
from picotrain.errors import LinkFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from support import require


class Monitor:
    """Answers as Renode's monitor does, with a counter that saw the blocks of `dump`."""

    def __init__(self, dump: str, **numbers: int) -> None:
        self.dump = dump
        self.numbers = {"Unexplained": 0, "Unpriced": 0, "Cycles": 7, "Instructions": 5, **numbers}
        self.commands: list[str] = []
        self.accelerated = "True"

    def command(self, line: str, seconds: float = 0.0) -> str:
        self.commands.append(line)
        if line.startswith("sysbus.cycles Dump "):
            Path(line.split('"')[1]).write_text(self.dump)
        return self.accelerated if line == "sysbus.cycles Accelerated" else ""

    def number(self, line: str) -> int:
        return self.numbers[line.removeprefix("sysbus.cycles ")]

    def close(self) -> None:
        pass


def connected(tmp_path: Path, monitor: Monitor, **options: object) -> RenodeTarget:
    elf = require(firmware.RP2040)
    target = RenodeTarget(elf, require(firmware.RP2040_ROM), **options)  # type: ignore[arg-type]
    target._monitor = monitor  # type: ignore[assignment]
    target._folder = tmp_path
    return target


def test_the_waiting_loop_is_no_work(tmp_path: Path) -> None:
    """Nor are the linker's stubs to it; what a command runs counts, and the sums hold all."""
    elf = open_elf(require(firmware.RP2040))
    names = ("pt_board_run", "pt_link_serve", "__pt_board_alive_veneer")
    waiting = [elf.symbol(name) for name in names]
    work = [elf.symbol(name) for name in ("pt_trainer_train", "memset")]
    lines = [f"{pc:08x} 3 5 1000 7" for pc in waiting] + [f"{pc:08x} 2 4 10 1" for pc in work]
    target = connected(tmp_path, Monitor("\n".join(lines) + "\n"))
    profile, everything = target.profile(), target.all_blocks()
    assert profile is not None and everything is not None
    assert [block.pc for block in profile] == sorted(work)
    assert sum(block.total_cycles for block in profile) == 2 * 41
    assert sum(block.total_cycles for block in everything) == 2 * 41 + 3 * 5007
    assert target.counters() == (7, 5)
    assert target.calls() is None


def test_every_waiting_function_is_one_of_the_firmware() -> None:
    assert set(open_elf(require(firmware.RP2040)).symbols()) >= renode.WAITING


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("Unexplained", "the cycle counter missed 3 instructions"),
        ("Unpriced", "the program executed 3 instructions that a Cortex-M0+ does not have"),
    ],
)
def test_counts_that_are_not_whole_are_no_counts(
    tmp_path: Path, number: str, sentence: str
) -> None:
    target = connected(tmp_path, Monitor("", **{number: 3}))
    for read in (target.profile, target.all_blocks, target.counters):
        with pytest.raises(LinkFailure, match=re.escape(sentence)):
            read()


def test_the_backend_counts_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "require_renode", lambda: Path("renode"))
    require(firmware.RP2040)
    require(firmware.RP2040_ROM)
    target = backends.open_target("renode")
    assert isinstance(target, RenodeTarget)
    assert target._counting and target._accelerator == renode.ACCELERATOR


def test_a_target_that_shall_not_count(tmp_path: Path) -> None:
    target = connected(tmp_path, Monitor(""), counting=False)
    assert target.profile() is None and target.all_blocks() is None
    with pytest.raises(UserError, match="counts no cycles: open it with counting=True"):
        target.counters()


def test_slow_counting_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "none.so"
    monkeypatch.setattr(renode, "ACCELERATOR", missing)
    monitor = Monitor("")
    with pytest.warns(RuntimeWarning, match=r"accelerator is not built: run `make firmware`"):
        connected(tmp_path, monitor, accelerator=missing)._accelerate()
    assert monitor.commands == []
    monitor.accelerated = "False"
    with pytest.warns(RuntimeWarning, match="Renode counts cycles slowly"):
        connected(tmp_path, monitor, accelerator=tmp_path / "named.so")._accelerate()
    assert any("CycleAccelerator.cs" in line for line in monitor.commands)
