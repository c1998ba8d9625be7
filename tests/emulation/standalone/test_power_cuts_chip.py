"""The standalone application's states in flash under cuts of the power, on the emulated chip.

Its saves stop where they call the boot ROM to erase or to program; that step is left torn, the
power goes, and what comes back is the state before or the one after, and stays. `make
power-cuts-chip` tries more: PICOTRAIN_CHIP_CUTS is how many saves.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import support
from alone import RING, SECONDS, WINDOW, XIP
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain_golden import Method, Network, conv2d, linear
from standalone_twin import window
from torn import ERASES, PROGRAMS, Flash

SAVES = int(os.environ.get("PICOTRAIN_CHIP_CUTS", "30"))
SECTOR, PAGE, SECTORS = 4096, 256, 64
MOST_IMAGES, MOST_TURNS = 20, 1000
STEPS = 5
"""Of a save that takes one sector: page 0 to zero, erase, state, header, commit."""


def small() -> Network:
    """A state of one page, so that a save has few steps."""
    first = conv2d((5, 5, 1), 4, (3, 3), 2, (0, 0), True)
    network = support.build("small", (5, 5, 1), [first, linear(first.out_shape, 4, False)])
    return support.with_numbers(
        network, forward_shift=6, error_shift=4, gradient_bits=9, score_bits=14
    )


def every_cut() -> list[tuple[int, str]]:
    """A step of a save, and what is left of it."""
    return [(step, torn) for step in range(STEPS) for torn in (ERASES if step == 1 else PROGRAMS)]


@dataclass(frozen=True)
class State:
    learned: int
    scores: bytes


@dataclass
class Campaign:
    machine: Rp2040js
    flash: Flash
    line: socket.socket
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(8))
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        assert self.machine.elf is not None
        self.elf = open_elf(self.machine.elf)
        rom = open_elf(firmware.RP2040_ROM.with_suffix(".elf")).symbol
        self.idle = self.elf.symbol("pt_board_idle")
        self.erases = rom("rom_flash_range_erase")
        self.programs = rom("rom_flash_range_program")

    def step(self, torn: str | None = None) -> None:
        """The call of the ROM that the chip has come to happens, in the model and there; or, torn,
        in the model alone."""
        state = self.machine.state()
        at, one, other = (int(number) for number in state["registers"][:3])
        at += XIP - RING
        assert 0 <= at < SECTORS * SECTOR, "it writes nothing but its ring"
        self.met["erase" if state["pc"] == self.erases else "program"] += torn is None
        if state["pc"] == self.erases:
            self.flash.erase(at, one, torn or "done")
        else:
            self.flash.program(at, self.machine.read(one, other), torn or "done")

    def until(self, steps: int | None) -> bool:
        """Runs on until so many steps are done and the next is due; False: it is idle first, or
        with None always."""
        done = 0
        stops = [self.erases, self.programs, self.idle]
        while (stop := self.machine.run(SECONDS, stops)).why == "stop" and stop.pc != self.idle:
            if done == steps:
                return True
            self.step()
            done += 1
        assert stop.why == "stop", stop
        return False

    def power(self) -> None:
        """Off and on again."""
        self.flash.draw()
        self.machine.write(RING, self.flash.value.tobytes())
        self.machine.reset("power")

    def boot(self) -> State:
        assert not self.until(None)
        return self.state()

    def state(self) -> State:
        layout = self.elf.dtype("pt_learner")
        raw = self.machine.read(self.elf.symbol("learner"), layout.itemsize)
        learner = np.frombuffer(raw, layout)[0]
        assert learner["fault"] == 0 and learner["refused"] == 0 and learner["saving"] == 0
        plan = learner["trainer"]["plan"]
        at = int(learner["arena"]) + int(plan["blob_size"])
        scores = self.machine.read(at, int(plan["scores_size"]))
        return State(int(learner["position"]["image"]), scores)

    def say(self, line: str) -> str:
        """A line whose answer is awaited, with all steps of the flash."""
        self.line.sendall(line.encode() + b"\n")
        told = b""
        while not told.endswith(b"\n"):
            self.until(None)
            told += self.heard()
        return told.decode()

    def learn(self, kept: State) -> tuple[State, State]:
        """What is kept, and what is learned on top of it. A network in which no edge is left to
        learn, of so much noise, starts again from the factory."""
        for _ in range(MOST_IMAGES):
            pixels = self.random.integers(0, 256, 25, np.uint8).tobytes().hex()
            assert self.say(f"{self.random.choice(4)} {pixels}").startswith(("learned", "easy"))
            if (new := self.state()).scores != kept.scores:
                return kept, new
        assert self.say("factory") == "factory\n"
        return self.learn(self.state())

    def heard(self) -> bytes:
        try:
            return self.line.recv(4096)
        except BlockingIOError:
            return b""

    def cut_save(self, step: int, torn: str) -> None:
        """A save that ends at its step, left torn."""
        self.line.sendall(b"save\n")
        for _ in range(MOST_TURNS):
            if self.until(step):
                break
        else:
            pytest.fail("the save has not so many steps")
        self.step(torn)
        self.power()

    def cut_boot(self) -> bool:
        """A boot that ends at one of its steps, if it has so many."""
        if not self.until(int(self.random.choice(2))):
            return False
        erases = self.machine.state()["pc"] == self.erases
        self.step(str(self.random.choice(ERASES if erases else PROGRAMS)))
        self.power()
        return True


@pytest.fixture
def campaign(package: Path) -> Iterator[Campaign]:
    elf = open_elf(support.require(firmware.STANDALONE))
    program = elf.path.with_suffix(".bin").read_bytes().ljust(WINDOW - XIP, b"\xff")
    image = program + window(elf, small(), Method("priot"))
    rom = support.require(firmware.RP2040_ROM)
    with Rp2040js(elf.path, rom, package, image=image, usb=False) as machine:
        url = urlsplit(machine.uart_url)
        with socket.create_connection((url.hostname, url.port)) as line:
            line.setblocking(False)
            yield Campaign(machine, Flash(b"\xff" * SECTORS * SECTOR, 3), line)


def test_a_cut_leaves_the_state_before_or_the_state_after(campaign: Campaign) -> None:
    cuts = every_cut()
    # In CI every so many of them, so that all steps are there.
    order = [cuts[number * 19 % len(cuts)] for number in range(SAVES)]
    old = campaign.boot()
    outcomes: Counter[str] = Counter()
    for number, (step, torn) in enumerate(order):
        old, new = campaign.learn(old)
        campaign.cut_save(step, torn)
        if number % 2:
            outcomes["second"] += campaign.cut_boot()
        back = campaign.boot()
        assert back in (old, new), (step, torn)
        outcomes["new" if back == new else "old"] += 1
        if number % 3 == 0:
            campaign.power()
            assert campaign.boot() == back, "the next boot says the same"
        old = back
    assert outcomes["new"] > SAVES // 8 and outcomes["old"] > SAVES // 2
    assert outcomes["second"] > SAVES // 5
    assert {step for step, _ in order} == set(range(STEPS))
    if len(cuts) <= SAVES:
        assert set(order) == set(cuts)
    print(f"{SAVES} saves: {dict(outcomes)}, steps of the flash that were not cut: ", end="")
    print(dict(campaign.met))
