"""What the Renode target leaves out as waiting, on another emulator that runs the same image.

Renode's machine runs free, rp2040js can be stopped: so that here it is known what is a command's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import support
from picotrain import cli
from picotrain.cli.profile import profile as profile_verb
from picotrain.device.cycles import BlockCount, difference, total
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.renode import RenodeTarget
from picotrain.device.targets.rp2040js import Rp2040jsTarget
from picotrain.image import firmware
from picotrain.profile.costs import decode
from picotrain_golden import Method
from support import images, require


class Free(Rp2040jsTarget):
    """Runs on between commands for times that do not depend on them, as Renode's machine does."""

    name = "renode"

    def run(self, timeout: float) -> None:
        super().run(timeout)
        self.machine.run(timeout, cycles=20_000)

    def profile(self) -> list[BlockCount] | None:
        renode = RenodeTarget(self.elf, Path())
        return [block for block in self.everything() if not renode._waits(block.pc)]

    def everything(self) -> list[BlockCount]:
        """As a counter of blocks tells it: rp2040js' least cycles may fall while it runs."""
        blocks = super().profile()
        assert blocks is not None
        symbols = self._symbols
        start, end = (symbols.symbol(f"pt_code_{name}") for name in ("start", "end"))
        cold = range(0x10000000, symbols.symbol("pt_flash_start"))
        # Start-up also runs code of the ROM, and copies of code on the stack.
        return [self._tabled(one) for one in blocks if one.pc in cold or start <= one.pc < end]

    def _tabled(self, one: BlockCount) -> BlockCount:
        code = self._symbols.loaded(one.pc, 4)
        instruction = decode(*(int.from_bytes(code[at : at + 2], "little") for at in (0, 2)))
        cycles = instruction.cycles or 0
        more = one.total_cycles - cycles * one.executions  # of a peripheral's register, too
        return replace(one, cycles=cycles, taken=more if instruction.conditional else 0)


@pytest.fixture
def target(package: Path) -> Iterator[Free]:
    free = Free(require(firmware.RP2040), require(firmware.RP2040_ROM), package, counting=True)
    free.connect()
    yield free
    free.close()


def test_an_idle_board_does_nothing_but_wait(target: Free) -> None:
    before, work = target.everything(), target.profile()
    target.machine.run(60.0, cycles=20_000)
    waited = difference(target.everything(), before)
    assert total(waited) > 1000
    symbols = target._symbols
    functions = Counter(symbols.function_at(block.pc) for block in waited)
    assert {"pt_board_idle", "pt_link_serve"} <= set(functions)
    after = target.profile()
    assert work is not None and after is not None
    assert difference(after, work) == []


def test_a_command_takes_what_its_own_clock_says(target: Free) -> None:
    """But for what lies around the clock's readings, and for the watchdog's feeding."""
    device = MailboxDevice(target)
    network = support.shipped("tinycnn")
    device.load_model(network)
    device.set_method(Method("priot", mu=3, theta=-64, start="normal"))
    pixels, labels = images(network, 2)
    blocks = device.blocks()
    assert blocks is not None
    done = device.train(pixels, labels)
    after = device.blocks()
    assert after is not None
    spent = total(difference(after, blocks))
    assert done.cycles is not None
    assert abs(done.cycles - spent) < 2000
    assert spent > 500_000


def test_the_profile_verb_works_without_a_call_tree(
    target: Free,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    device = MailboxDevice(target)
    monkeypatch.setattr(profile_verb, "open_device", lambda *_, **__: device)
    out = tmp_path / "profile.json"
    common = ["profile", "--target", "renode", "--images", "1"]
    assert cli.main([*common, "--json", str(out), "--by", "function"]) == 0
    told = capsys.readouterr().out
    assert "cycle model at 125 MHz" in told and "total 1" in told
    found = json.loads(out.read_text())
    assert found["worst_case"] is None
    phases = sum(one["cycles"] for one in found["phases"])
    assert found["train"] > 500_000 and abs(found["train"] - phases) < 0.02 * phases
    for option in ("html", "callgrind", "speedscope", "collapsed"):
        assert cli.main([*common, f"--{option}", str(tmp_path / "out")]) == 2
        assert f"--{option} shows chains of calls" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
