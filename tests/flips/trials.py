"""One flipped bit each: where, when, and what came of it.

A run is a few images and one TRAIN, after one that everything agrees on. A trial is the same run
with one bit flipped, then CHECK, as the harness asks for it before it keeps a state. On a device
that shows each batch twice the bit flips in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from flips.memory import Memory, Span
from picotrain.device.interface import BatchResult, UInt8, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.twice import TwiceDevice
from picotrain.device.targets.gdb import PC
from picotrain.errors import DamageFailure, DeviceFailure
from picotrain_golden import Method, Network

OUTCOMES = ("check", "command", "stopped", "restored", "harmless", "silent")
"""CHECK names it; a command refuses before; the device crashes or does not answer; the byte was
written again, and nothing came of it; nothing came of it; the state is another, and nobody said."""
SETTLED = "settled"
"""Of a batch that is shown twice: the two differed, it was told, and what came of the third run is
as if nothing had been."""

_SECONDS = 20.0
_IDLE_BYTES = 8
"""Of pt_board_idle, where a command that is over has come to."""
_ENTRIES = (
    *("pt_trainer_next", "pt_conv2d_forward_s8", "pt_linear_forward_s8", "pt_loss_error_s8"),
    *("pt_conv2d_error_s32", "pt_requantize_error_s8", "pt_conv2d_gradient_row_s32"),
)
"""Functions of a step: a trial within one begins at one of their calls, """
_CALLS, _STEPS = 6, 60
"""at most so many of them and so many instructions later."""


@dataclass(frozen=True)
class Trial:
    """A bit of a byte, from the memory's base on, and when: `between` commands, `within` a step, or
    in a batch that is on its way, its `transfer`."""

    part: str
    when: str
    offset: int
    bit: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """`region` is what a refusal named."""

    kind: str
    region: str = ""


class Run:
    """A device that holds a network and a method, back at the same state before each trial."""

    def __init__(
        self,
        connect: Callable[[], MailboxDevice],
        network: Network,
        method: Method,
        images: UInt8,
        labels: UInt8,
    ) -> None:
        self._connect = connect
        self.network, self.method = network, method
        self.images, self.labels = images, labels
        self.device = connect()
        self._begin()
        self.device.train(images, labels)
        self._before = self.device.checkpoint()
        self.undisturbed = self._digest_after(self._train)
        self.memory = Memory(self.device)

    def close(self) -> None:
        self.device.close()

    def _begin(self) -> None:
        self.device.load_model(self.network)
        self.device.set_method(self.method)

    def _train(self) -> BatchResult:
        return self.device.train(self.images, self.labels)

    def _digest_after(self, act: Callable[[], object]) -> str:
        self.device.restore(self._before)
        act()
        return state_sha256(self.device, self.network)

    def _again(self) -> None:
        """A device that knows nothing of the last trial."""
        try:
            self._begin()
            self.device.check_memory()
        except (DeviceFailure, ValueError):
            self.device.close()
            self.device = self._connect()
            self._begin()
            self.memory = Memory(self.device)
        self.device.restore(self._before)

    def trial(self, trial: Trial) -> Outcome:
        self._again()
        target, memory = self.device._target, self.memory
        address = memory.base + trial.offset
        had = target.read(address, 1)
        try:
            if trial.when == "between":
                self._flip(trial)
                self._train()
            elif trial.when == "transfer":
                self._with_flip_before(trial)
            else:
                self._within(trial)
            digest = state_sha256(self.device, self.network)
        except DamageFailure as failure:
            return Outcome("command", failure.region)
        except DeviceFailure as failure:
            return Outcome("stopped", failure.failure_class)
        try:
            self.device.check_memory()
        except DamageFailure as failure:
            return Outcome("check", failure.region)
        except DeviceFailure as failure:
            return Outcome("stopped", failure.failure_class)
        if digest != self.undisturbed or not self._is_right():
            return Outcome("silent")
        if self._is_told():
            return Outcome(SETTLED)
        return Outcome("restored" if target.read(address, 1) == had else "harmless")

    def _is_right(self) -> bool:
        """What came of the batch besides the state; of one that is shown once nothing is asked."""
        return True

    def _is_told(self) -> bool:
        """That something differed."""
        return False

    def _within(self, trial: Trial) -> None:
        if self.memory.on_chip:
            self._interrupted(trial, self._train)
        else:
            self._traced(trial)

    def _flip(self, trial: Trial) -> None:
        self.memory.flip(self.memory.base + trial.offset, trial.bit)

    def _with_flip_before(self, trial: Trial) -> None:
        """When the batch is written, and the command is not served yet."""
        target = self.device._target
        run = target.run

        def flipping(timeout: float) -> None:
            target.run = run  # type: ignore[method-assign]
            self._flip(trial)
            run(timeout)

        target.run = flipping  # type: ignore[method-assign]
        try:
            self._train()
        finally:
            target.run = run  # type: ignore[method-assign]

    def _traced(self, trial: Trial) -> BatchResult:
        """Operation by operation, which leaves the same state; the bit flips before one of them."""
        random = Random(trial.seed)
        (place,) = self.memory.trainer_fields(["result"])
        layout = self.device.elf.dtype("pt_result")
        results = np.zeros(len(self.images), layout)
        image = random.randrange(len(self.images))
        steps = 0
        for at, (pixels, label) in enumerate(zip(self.images, self.labels, strict=True)):
            self.device.write_window("IO", pixels.tobytes() + bytes([int(label)]))
            self.device.command("TRACE_BEGIN")
            operations = int(self.device.plan()["operations"]) if at == image else 0
            turn = random.randrange(operations) if operations else -1
            while True:
                if at == image and steps == turn:
                    self._flip(trial)
                event = self.device.trace_next(bare=True)
                steps += at == image
                if self.device.operation_name(event) == "PT_DONE":
                    break
            results[at] = np.frombuffer(
                self.device._target.read(place.address, place.size), layout
            )[0]
        return BatchResult(
            *(results[name].astype(np.int64) for name in ("prediction", "loss_norm", "saturated"))
        )

    def _interrupted(self, trial: Trial, train: Callable[[], BatchResult]) -> BatchResult:
        """A TRAIN that stops at some instruction, where the bit flips, and goes on."""
        random = Random(trial.seed)
        target: Any = self.device._target
        resume = target._resume

        def stopping(timeout: float) -> None:
            target._resume = resume
            client = target._connected()
            place = self.device.elf.symbol(random.choice(_ENTRIES))
            client.insert_breakpoint(place)
            for _ in range(random.randint(1, _CALLS)):
                client.resume()
                stop = client.wait_stop(timeout)
                if stop is None or client.read_register(PC) != place:
                    break  # the command is over
                self._steps(client, 1)
            client.remove_breakpoint(place)
            self._steps(client, random.randrange(_STEPS))
            self._flip(trial)
            if target._idle <= client.read_register(PC) <= target._idle + _IDLE_BYTES:
                target._at_idle = True
            else:
                resume(_SECONDS)

        target._resume = stopping
        try:
            return train()
        finally:
            target._resume = resume

    @staticmethod
    def _steps(client: Any, count: int) -> None:
        for _ in range(count):
            client.step()
            client.wait_stop(_SECONDS)


class TwiceRun(Run):
    """The same on a device that shows each batch twice; a bit flips in the first run or in the
    second. What is right besides the state: results and saturation."""

    def __init__(
        self,
        connect: Callable[[], TwiceDevice],
        network: Network,
        method: Method,
        images: UInt8,
        labels: UInt8,
    ) -> None:
        super().__init__(connect, network, method, images, labels)
        self._again()
        self._result = self._train()
        self._wanted = self._outcome()

    def _train(self) -> BatchResult:
        self._result = super()._train()
        return self._result

    def _outcome(self) -> list[list[int]]:
        result, counts = self._result, self.device.saturation()
        every = (result.predictions, result.loss_norms, result.saturated, counts.reshape(-1))
        return [values.tolist() for values in every]

    def _is_right(self) -> bool:
        return self._outcome() == self._wanted

    def _is_told(self) -> bool:
        assert isinstance(self.device, TwiceDevice)
        return bool(self.device.disagreements)

    def _again(self) -> None:
        super()._again()
        assert isinstance(self.device, TwiceDevice)
        self.device.disagreements.clear()

    def _within(self, trial: Trial) -> None:
        device: Any = self.device
        once = device._once
        which, runs = Random(f"{trial.seed} run").randrange(2), 0

        def disturbed(*batch: Any) -> BatchResult:
            nonlocal runs
            runs += 1
            if runs != which + 1:
                return once(*batch)  # type: ignore[no-any-return]
            if self.memory.on_chip:
                return self._interrupted(trial, lambda: once(*batch))
            return self._traced(trial)

        device._once = disturbed
        try:
            self._train()
        finally:
            del device._once


def drawn(
    random: Random, part: str, when: str, spans: list[Span], base: int, count: int, seed: int
) -> list[Trial]:
    """`count` bits of these spans, each byte as likely as any other."""
    sizes = np.cumsum([span.size for span in spans])
    trials = []
    for number in range(count):
        at = random.randrange(int(sizes[-1]))
        which = int(np.searchsorted(sizes, at, side="right"))
        offset = at - (int(sizes[which - 1]) if which else 0)
        trials.append(
            Trial(
                part, when, spans[which].address - base + offset, random.randrange(8), seed + number
            )
        )
    return trials
