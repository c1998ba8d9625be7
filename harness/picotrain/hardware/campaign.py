"""Fault injection: the real client, the real device, and a line between them that does its worst.

    python3 -m picotrain.hardware.campaign --frames 1000000 --seed 1

The line damages requests and answers and knows what was sent, so it counts every frame that either
side took for something else. Each exchange is damaged a few times, then left alone: the first clean
attempt must succeed. Commands are among the requests, and each must run exactly once.

Nothing waits: the device's side is a process that says when it has no more to answer
(`picotrain.device.link.piped`), and the client is told at once that nothing comes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import repeat
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import numpy as np

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.link import cobs
from picotrain.device.link.client import LinkClient
from picotrain.device.link.damage import DAMAGES
from picotrain.device.link.frames import DELIMITER, Frame, LinkFormat
from picotrain.device.link.piped import PipedDevice
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import LinkFailure, told
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.inputs import positive, seed
from picotrain.learn import models
from picotrain.output import check, write_json
from picotrain.progress import progress_bar
from picotrain.text import table
from picotrain.versions import to_run
from picotrain_golden import Method

Damages = dict[str, Callable[[bytes, Random], bytes]]

_MOST_DAMAGED = 3
"""Attempts of one exchange that are damaged, at most."""
_ATTEMPTS = _MOST_DAMAGED + 3
_ARENA = 240 * 1024
_MEMORY = 8192
"""Bytes of the io window that are poked and peeked."""
_COMMAND_SHARE = 0.05
_DIRECTIONS = ("request", "answer")
_DAMAGED_WAYS: tuple[tuple[str, ...], ...] = (("request",), ("answer",), _DIRECTIONS)


@dataclass
class CampaignResult:
    """What was done to the line and what came of it."""

    seed: int
    frames: int = 0
    """Frames that were damaged."""
    damaged: dict[str, dict[str, int]] = field(default_factory=dict)
    """Direction -> kind of damage -> frames."""
    exchanges: int = 0
    retries: int = 0
    commands: int = 0
    accepted_by_device: int = 0
    """Frames that the device answered and that were not what the client sent."""
    accepted_by_host: int = 0
    """Answers that the client took and that were not what the device sent."""
    ignored_by_device: int = 0
    """Whole requests that the device did not answer."""
    not_recovered: int = 0
    """Exchanges that did not succeed with the first clean attempt."""
    not_once: int = 0
    """Commands that did not run exactly once."""
    memory_differences: int = 0
    """Bytes of the device's memory that were not what was written last."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not any(
            (
                self.accepted_by_device,
                self.accepted_by_host,
                self.ignored_by_device,
                self.not_recovered,
                self.not_once,
                self.memory_differences,
            )
        )

    def text(self) -> str:
        """A table of the damage and a line for each count that must be 0."""
        kinds = sorted({kind for counts in self.damaged.values() for kind in counts})
        rows = [
            [kind, *(f"{self.damaged[way].get(kind, 0):,}" for way in _DIRECTIONS)]
            for kind in kinds
        ]
        counts = [
            ("wrongly accepted by the device", self.accepted_by_device),
            ("wrongly accepted by the host", self.accepted_by_host),
            ("whole requests without an answer", self.ignored_by_device),
            ("exchanges not recovered by one clean retry", self.not_recovered),
            ("commands not run exactly once", self.not_once),
            ("bytes of memory that differ", self.memory_differences),
        ]
        return "\n".join(
            [
                table(rows, ["damage", *(f"{way}s" for way in _DIRECTIONS)]),
                "",
                f"{self.frames:,} damaged frames in {self.exchanges:,} exchanges, "
                f"{self.retries:,} retries, {self.commands:,} commands, seed {self.seed}, "
                f"{self.seconds:.0f} s",
                *(f"{name}: {count:,}" for name, count in counts),
                "passed" if self.passed else "FAILED",
            ]
        )


class Injector:
    """The line: a `client.Stream` that damages what it is told to, and watches."""

    def __init__(
        self,
        device: PipedDevice,
        format_: LinkFormat,
        random: Random,
        result: CampaignResult,
        damages: Damages,
    ) -> None:
        self._device = device
        self._format = format_
        self._random = random
        self._result = result
        self._damages = damages
        self._counts = {way: Counter[str]() for way in _DIRECTIONS}
        self._to_device = _Watch()
        self._to_host = _Watch()
        self._pending = b""
        self._sent = [(b"", Frame(0, 0))] * 2
        self._answers: list[bytes] = []
        self.plan: list[tuple[str, ...]] = []
        """Which directions to damage, attempt by attempt; clean afterwards."""
        self.attempts = 0
        self.whole_answers = 0
        """Answers of this exchange that reached the client as the device sent them."""

    def begin(self, plan: list[tuple[str, ...]]) -> None:
        """Before each exchange."""
        self.plan = plan
        self.attempts = 0
        self.whole_answers = 0
        self._answers = []

    def write(self, wire: bytes) -> None:
        """One attempt: to the device, and its answers back."""
        ways = self.plan[self.attempts] if self.attempts < len(self.plan) else ()
        self.attempts += 1
        self._remember(wire)
        sent = self._damage(wire, "request") if "request" in ways else wire
        whole = self._to_device.count(sent, [content for content, _ in self._sent])
        answers = self._device.exchange(sent)
        bodies = [body for body in answers.split(DELIMITER) if body]
        # The end of the request before may have been lost; the first zero behind it completes it.
        late, present = (self._answers_to(frame, bodies) for _, frame in self._sent)
        given = len(late) + len(present)
        self._result.accepted_by_device += len(bodies) - min(given, whole)
        self._result.ignored_by_device += max(0, whole - given)
        self._answers += present
        if answers and "answer" in ways:
            answers = self._damage(answers, "answer")
        self.whole_answers += self._to_host.count(answers, self._answers)
        self._pending = answers

    def read(self, seconds: float) -> bytes:
        """What has arrived; nothing more will, however long one waits."""
        data, self._pending = self._pending, b""
        return data

    @property
    def damaged(self) -> dict[str, dict[str, int]]:
        return {way: dict(sorted(counts.items())) for way, counts in self._counts.items()}

    def _damage(self, data: bytes, way: str) -> bytes:
        kind = self._random.choice(tuple(self._damages))
        self._counts[way][kind] += 1
        self._result.frames += 1
        return self._damages[kind](data, self._random)

    def _remember(self, wire: bytes) -> None:
        """What the client sends now, and what it sent before that."""
        content = cobs.decode(wire.strip(DELIMITER))
        frame = self._format.decode(wire.strip(DELIMITER))
        assert content is not None and frame is not None
        if content != self._sent[-1][0]:
            self._sent = [self._sent[-1], (content, frame)]

    def _answers_to(self, request: Frame, bodies: Sequence[bytes]) -> list[bytes]:
        """The contents of those bodies that are answers to a request."""
        found = []
        for body in bodies:
            frame = self._format.decode(body)
            if frame is not None and (frame.kind, frame.sequence) == (
                request.kind | self._format.answer,
                request.sequence,
            ):
                found.append(cobs.decode(body) or b"")
        return found


class _Watch:
    """What a receiver finds between zeros in all that reached it."""

    def __init__(self) -> None:
        self._rest = b""

    def count(self, data: bytes, contents: Sequence[bytes]) -> int:
        """How many of its finds, complete with `data`, are one of `contents`, byte for byte."""
        *bodies, self._rest = (self._rest + data).split(DELIMITER)
        return sum(cobs.decode(body) in contents for body in bodies if body)


class _LinkedTarget:
    """The least `Target` over a client: enough for a MailboxDevice."""

    name = "host over the link"

    def __init__(self, elf: Path, client: LinkClient) -> None:
        self.elf = elf
        self._client = client
        self._mailbox = client.hello().mailbox
        self._most = client.format.payload - client.format.poke_head

    def connect(self) -> None:
        """It is connected."""

    def mailbox_address(self) -> int:
        return self._mailbox

    def read(self, address: int, size: int) -> bytes:
        return b"".join(
            self._client.peek(address + at, min(self._most, size - at))
            for at in range(0, size, self._most)
        )

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), self._most):
            self._client.poke(address + at, data[at : at + self._most])

    def run(self, timeout: float) -> None:
        """The device serves before it says that it has no more to answer."""

    def profile(self) -> list[BlockCount] | None:
        return None

    def calls(self) -> list[CallNode] | None:
        return None

    def close(self) -> None:
        """Whoever opened the device closes it."""


class Campaign:
    """One device with a model, a client, and what its memory must hold."""

    def __init__(self, device: PipedDevice, seed: int, damages: Damages = DAMAGES) -> None:
        self.result = CampaignResult(seed)
        self._random = Random(seed)
        self._elf = open_elf(device.elf)
        self._format = LinkFormat(self._elf)
        self._line = Injector(device, self._format, self._random, self.result, damages)
        self._client = LinkClient(self._line, self._format, sequence=0)
        target = _LinkedTarget(device.elf, self._client)
        self._device = MailboxDevice(target)
        network = models.initial_network(models.resolve("oddnet"), seed)
        self._device.load_model(network)
        self._device.set_method(Method("niti-dynamic", mu=2))
        image = np.zeros(network.input_shape, np.uint8)
        address, room = self._device.window("IO")
        self._device.write_window("IO", image.tobytes() + b"\0")
        # What is poked lies behind the image, which starts every traced step.
        self._address = address + image.size + 1
        size = min(_MEMORY, room - image.size - 1)
        self._memory = bytearray(target.read(self._address, size))
        self._mailbox = target.mailbox_address()
        self._steps = self._traced_step()
        self._next = len(self._steps)

    def run(self, frames: int, progress: Callable[[int], object] | None = None) -> CampaignResult:
        """Exchange until `frames` frames were damaged, then compare the whole memory."""
        start = monotonic()
        while self.result.frames < frames:
            before = self.result.frames
            if self._random.random() < _COMMAND_SHARE:
                self._command()
            else:
                self._random.choice((self._echo, self._peek, self._poke))()
            if progress is not None:
                progress(self.result.frames - before)
        self._line.begin([])
        held = b"".join(
            self._client.peek(self._address + at, min(1024, len(self._memory) - at))
            for at in range(0, len(self._memory), 1024)
        )
        self.result.memory_differences += sum(
            a != b for a, b in zip(held, self._memory, strict=True)
        )
        self.result.damaged = self._line.damaged
        self.result.retries = self._client.retries
        self.result.seconds = monotonic() - start
        return self.result

    # Requests

    def _echo(self) -> None:
        data = self._data(self._format.payload)
        self._exchange("ECHO", data, data)

    def _peek(self) -> None:
        at, size = self._span(self._format.payload)
        expected = bytes(self._memory[at : at + size])
        self._exchange("PEEK", self._format.span(self._address + at, size), expected)

    def _poke(self) -> None:
        at, size = self._span(self._format.payload - self._format.poke_head)
        data = self._data(size, exactly=True)
        self._memory[at : at + size] = data
        self._exchange("POKE", self._format.poke(self._address + at, data), b"")

    def _command(self) -> None:
        """One operation of a traced step. One left out or run twice shows in the event."""
        if self._next == len(self._steps):
            self._post("TRACE_BEGIN")
            self._next = 0
        self._post("TRACE_NEXT", bare=1)
        event = self._event()
        self.result.not_once += event != self._steps[self._next]
        # After a mistake the device is taken to be where it says, so that one counts once.
        self._next = self._steps.index(event) + 1 if event in self._steps else len(self._steps)

    def _post(self, name: str, bare: int = 0) -> None:
        """Write `command` and `argument` at once, and see that it was served without error."""
        self.result.commands += 1
        layout = self._elf.dtype("pt_mailbox")
        assert layout.fields is not None
        number = int(self._elf.enum("pt_command")[f"PT_CMD_{name}"])
        words = np.array([number, bare], "<u4").tobytes()
        address = self._mailbox + layout.fields["command"][1]
        self._exchange("POKE", self._format.poke(address, words), b"")

    def _event(self) -> tuple[int, int]:
        layout = self._elf.dtype("pt_mailbox")
        event = self._elf.dtype("pt_event")
        assert layout.fields is not None
        address = self._mailbox + layout.fields["response"][1]
        data = self._exchange("PEEK", self._format.span(address, event.itemsize), None)
        if data is None or len(data) != event.itemsize:
            return -1, -1
        found = np.frombuffer(data, event)[0]
        return int(found["kind"]), int(found["layer"])

    def _traced_step(self) -> list[tuple[int, int]]:
        """(kind, layer) of each operation, all different, as a clean run has them."""
        self._device.command("TRACE_BEGIN")
        steps: list[tuple[int, int]] = []
        while True:
            event = self._device.trace_next(bare=True)
            if self._device.operation_name(event) == "PT_DONE":
                assert len(set(steps)) == len(steps)
                return steps
            steps.append((int(event["kind"]), int(event["layer"])))

    def _exchange(self, kind: str, payload: bytes, expected: bytes | None) -> bytes | None:
        """One exchange on the damaged line; what it brought, None if nothing."""
        plan = [
            self._random.choice(_DAMAGED_WAYS)
            for _ in range(self._random.choice((1, 1, 1, 1, 2, _MOST_DAMAGED)))
        ]
        self._line.begin(plan)
        self.result.exchanges += 1
        try:
            answer = self._client.exchange(kind, payload, repeat(0.0, _ATTEMPTS))
        except LinkFailure:
            self.result.not_recovered += 1
            return None
        if self._line.attempts > len(plan) + 1:
            self.result.not_recovered += 1
        if not self._line.whole_answers or expected not in (None, answer):
            self.result.accepted_by_host += 1
        return answer

    # Material

    def _length(self, most: int) -> int:
        """Mostly short, at times the longest."""
        longest = self._random.choice((16, 64, 64, 300, most))
        return self._random.randint(1, min(longest, most))

    def _data(self, most: int, exactly: bool = False) -> bytes:
        """Random bytes; at times without a zero, at times with many, at times all alike."""
        size = most if exactly else self._length(most)
        match self._random.randrange(4):
            case 0:
                return self._random.randbytes(size).replace(b"\0", b"\1")
            case 1:
                return bytes(self._random.choices((0, 0, 1, 0xFF), k=size))
            case 2:
                return bytes([self._random.choice((0, 1, 0xFF))]) * size
        return self._random.randbytes(size)

    def _span(self, most: int) -> tuple[int, int]:
        size = self._length(most)
        return self._random.randint(0, len(self._memory) - size), size


def run_campaign(
    frames: int,
    seed: int,
    elf: Path = firmware.HOST,
    damages: Damages = DAMAGES,
    progress: Callable[[int], object] | None = None,
) -> CampaignResult:
    """Damage `frames` frames between the client and a host process of `elf`."""
    with PipedDevice(elf, _ARENA) as device:
        return Campaign(device, seed, damages).run(frames, progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 where anything was accepted, ignored or repeated that should not have been."""
    parser = argparse.ArgumentParser(
        prog=to_run("picotrain.hardware.campaign"),
        description="Damage frames between the client and the device, and count mistakes.",
    )
    parser.add_argument("--frames", type=positive, default=1_000_000)
    parser.add_argument("--seed", type=seed, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    options = parser.parse_args(arguments)
    if options.json is not None:
        check(options.json)
    with progress_bar("campaign", options.frames, "frame") as advance:
        result = run_campaign(options.frames, options.seed, progress=advance)
    print(result.text())
    if options.json is not None:
        content: dict[str, Any] = {**asdict(result), "passed": result.passed}
        write_json(options.json, content)
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(told("link-test", main))
