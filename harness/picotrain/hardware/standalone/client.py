"""A device that stands alone, from a program: its lines (firmware/examples/standalone).

with Standalone("/dev/ttyACM0") as device:
    device.learn(image, 3)
    print(device.ask(image).label)
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np

from picotrain.device.interface import UInt8
from picotrain.device.link.port import SerialPort
from picotrain.device.targets.serial import BAUD
from picotrain.errors import DeviceFailure, LinkFailure, TimeoutFailure, UserError, whole_number
from picotrain.hardware.standalone.lines import Lines, number, shown

SECONDS = 30.0
"""For an answer; a save erases flash, a sector in up to 0.4 s."""


class Refusal(DeviceFailure):
    """The device answered with an error, whose text this is."""

    failure_class = "COMMAND"


@dataclass(frozen=True)
class Answer:
    """The class of an image, and how sure it is, in 128ths (firmware/nn/pt_readout.h)."""

    label: int
    confidence: int


@dataclass(frozen=True)
class Learned:
    """The loss norm of an image; `easy`: it was so small that nothing was learned."""

    norm: int
    easy: bool


class Standalone:
    """A device at a port, such as /dev/ttyACM0 or socket://HOST:PORT; a context manager.

    Raises UserError where there is no such port, LinkFailure where nobody or something else
    answers, TimeoutFailure after `seconds` without an answer, and Refusal.
    """

    def __init__(self, port: str, baud: int = BAUD, seconds: float = SECONDS) -> None:
        self._port = SerialPort(port, baud)
        self._lines = Lines(self._port)
        self._seconds = seconds
        self._behind = False
        """Whether a request was sent whose answer has not been seen."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def ask(self, image: UInt8) -> Answer:
        """What the network takes an image for: pixels uint8, 0..255."""
        label, confidence = self._numbers(f"? {_hex(image)}", "", 2)
        return Answer(label, confidence)

    def learn(self, image: UInt8, label: int) -> Learned:
        """One step with an image of a class."""
        line = self.say(f"{whole_number('the label', label)} {_hex(image)}")
        word, _, text = line.partition(" ")
        norm = number(text)
        if word not in ("learned", "easy") or norm is None:
            raise self._unexpected(line)
        return Learned(norm, word == "easy")

    def save(self) -> int:
        """Keep in flash what was learned; the save's number."""
        return self._numbers("save", "saved ", 1)[0]

    def factory(self) -> None:
        """Forget all that was learned, in flash too."""
        self._numbers("factory", "factory", 0)

    def info(self) -> dict[str, str]:
        """What the device says of itself: its network, its method, what was learned and saved."""
        line = self.say("info")
        pairs = [word.partition("=") for word in line.split()]
        if not pairs or not all(name and equals for name, equals, _ in pairs):
            raise self._unexpected(line)
        return {name: value for name, _, value in pairs}

    def threshold(self, norm: int) -> None:
        """From now on images with a loss norm of at most this teach nothing: 0 to 4095."""
        self._set("threshold", norm)

    def every(self, images: int) -> None:
        """From now on it saves by itself after so many images that taught something; 0: never."""
        self._set("every", images)

    def say(self, request: str) -> str:
        """Any line; the line that answers it."""
        if not (request and request.isascii() and request.isprintable()):
            raise UserError(f"{shown(request)!r} is no line of ASCII; a request is one")
        if self._behind:
            self._catch_up()
        self._lines.forget()
        deadline = self._send(request)
        line = self._next(request, deadline)
        self._behind = False
        if line.startswith("error:"):
            raise Refusal(line.removeprefix("error:").strip())
        return line

    def _catch_up(self) -> None:
        """Leave what answers a request that nobody waited for: it is not that of the next one."""
        deadline = self._send("\ninfo")
        while not self._next("info", deadline).startswith("protocol="):
            pass
        self._behind = False

    def _send(self, request: str) -> float:
        self._behind = True
        self._port.write(f"{request}\n".encode("ascii"))
        return monotonic() + self._seconds

    def _next(self, request: str, deadline: float) -> str:
        line = self._lines.next(deadline - monotonic())
        if line is None:
            raise TimeoutFailure(
                f"the device at {self._port.url} did not answer {shown(request)!r} within "
                f"{self._seconds:g} s; is it one that stands alone, with a model?"
            )
        return line

    def _set(self, what: str, number: int) -> None:
        line = self.say(f"{what} {whole_number(what, number)}")
        if line != f"{what} {number}":
            raise self._unexpected(line)

    def _numbers(self, request: str, begins: str, count: int) -> list[int]:
        """The numbers of an answer that begins so."""
        line = self.say(request)
        found = [number(word) for word in line.removeprefix(begins).split()]
        numbers = [one for one in found if one is not None]
        if not line.startswith(begins) or not len(numbers) == len(found) == count:
            raise self._unexpected(line)
        return numbers

    def _unexpected(self, line: str) -> LinkFailure:
        return LinkFailure(
            f"what answers at {self._port.url} is no device that stands alone: it said "
            f"{shown(line)!r}"
        )


def _hex(image: Any) -> str:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or not image.size:
        raise UserError("an image is a uint8 array of pixels 0..255; convert it")
    return image.tobytes().hex()
