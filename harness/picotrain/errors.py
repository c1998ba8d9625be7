"""What can go wrong, told apart.

`UserError` is a mistake in the input: the CLI prints its one sentence and exits with 2. It is a
ValueError, as what `picotrain_golden` raises for its arguments is: a program catches both so.
`DeviceFailure` and its subclasses are failures of the device or of the way to it; the CLI prints
the class and the sentence and exits with 1.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class UserError(ValueError):
    """A mistake the user can mend; the text names the thing, the value and the fix."""


class PartedError(UserError):
    """One whose sentence is of two parts, for those who know a better second one: `what` is wrong,
    and the `fix`. It stays what it is on its way from another process."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


def must_be(what: str, value: Any, kind: type | tuple[type, ...], fix: str) -> None:
    """Raise UserError for a value of another type."""
    if not isinstance(value, kind):
        raise UserError(f"{what} is of type {type(value).__name__}; {fix}")


def whole_number(what: str, value: Any) -> int:
    """The value as an `int`; UserError for a text, a fraction and all else that is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{what} is {value!r}; give a whole number") from None


class DeviceFailure(Exception):
    """Base of all failures of a device; `failure_class` is what reports show."""

    failure_class = "DEVICE"
    kind: str = ""
    """Of a death, what it was of: told apart within its class."""
    operation: int | None = None
    """Of a step's plan, which was in work then."""
    doing: str = ""
    """The command that was in work, with that operation's name."""

    @property
    def told(self) -> str:
        """What the CLI prints."""
        during = f"; this was in {self.doing}" if self.doing else ""
        return f"{self.failure_class}: {self}{during}"


class BuildFailure(DeviceFailure):
    """The firmware, or a tool it needs, could not be built."""

    failure_class = "BUILD"


class FlashFailure(DeviceFailure):
    """The firmware could not be put on the device."""

    failure_class = "FLASH"


class LinkFailure(DeviceFailure):
    """The device does not answer as a picotrain device."""

    failure_class = "LINK"


class MagicMismatch(LinkFailure):
    """There is no mailbox where the ELF file says it should be."""

    failure_class = "LINK/MAGIC"


class VersionMismatch(LinkFailure):
    """The device speaks another version of the protocol."""

    failure_class = "LINK/VERSION"


@dataclass
class CrashFailure(DeviceFailure):
    """The device faulted; `registers` holds what its handler saved, `place` the symbolised pc."""

    message: str
    registers: dict[str, int] = field(default_factory=dict)
    place: str = ""
    failure_class = "CRASH"

    def __str__(self) -> str:
        return self.message


@dataclass
class DamageFailure(DeviceFailure):
    """Memory of the device that must not change by itself changed; `region` is what lies there, as
    `enum pt_region` of `firmware/nn/pt_guard.h` names it, IO for what was on its way, or STEP where
    runs of the same images from the same state came to other ends."""

    message: str
    region: str
    failure_class = "DAMAGED"

    def __str__(self) -> str:
        return self.message


class TimeoutFailure(DeviceFailure):
    """The device did not finish a command in time; the text says where it was."""

    failure_class = "TIMEOUT"


@dataclass
class MismatchFailure(DeviceFailure):
    """Device and golden differ; names the first element in the order of computation."""

    step: int
    layer: int
    tensor: str
    index: tuple[int, ...]
    expected: int
    actual: int
    failure_class = "MISMATCH"

    def __str__(self) -> str:
        return (
            f"step {self.step}, layer {self.layer}, {self.tensor}{list(self.index)}: "
            f"expected {self.expected}, device has {self.actual}"
        )


@dataclass
class CommandError(DeviceFailure):
    """The device refused a command with a named error and keeps running.

    `name` is the C enumerator, e.g. ``PT_ERR_MEMORY``; `detail` its numbers, as its comment in
    `firmware/nn/pt_error.h` explains them.
    """

    command: str
    name: str
    detail: tuple[int, ...]
    hint: str = ""
    failure_class = "COMMAND"

    @property
    def told(self) -> str:
        return str(self) if self._is_plain else super().told

    @property
    def _is_plain(self) -> bool:
        """Of the one refusal that is no mistake in a protocol, the sentence comes first."""
        return bool(self.hint) and self.name == "PT_ERR_MEMORY"

    def __str__(self) -> str:
        if self._is_plain:
            return f"{self.hint} ({self.command}: {self.name})"
        what = self.hint or f"details {list(self.detail)}"
        return f"{self.command}: the device refused with {self.name}: {what}"


def told(name: str, main: Callable[[Sequence[str]], int | None]) -> int:
    """The status of `main` of the command line; 2 for a mistake of the user's, 1 for a device that
    fails."""
    try:
        return main(sys.argv[1:]) or 0
    except (UserError, DeviceFailure) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
