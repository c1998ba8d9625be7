"""What a cut of the power leaves of flash: the torn states of tests/device/library/flash_model.h.

A bit is 0, 1 or loose: it reads as it likes, here one way from one boot to the next, until it is
programmed or erased to the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

PAGE = 256
PROGRAMS = (
    *("not begun", "done", "some", "some, rest loose", "some loose", "all loose"),
    *("first bytes", "few loose", "done but few"),
)
ERASES = (
    *("not begun", "done", "some", "some, rest loose", "some loose", "all loose"),
    *("few loose", "done but few", "first pages", "last pages", "any pages"),
    *("some zeroed", "some zeroed loose", "all zeroed"),
)


class Flash:
    """A part of flash under a machine that has the value of every bit: `value`, with `loose` ones
    drawn anew by `draw`."""

    def __init__(self, value: bytes, seed: int) -> None:
        self.value: Bytes = np.frombuffer(value, np.uint8).copy()
        self.loose: Bytes = np.zeros(len(value), np.uint8)
        self.random = np.random.default_rng(seed)

    def draw(self) -> None:
        """A new boot: all loose bits read as 0, as 1, or as any."""
        says = self.random.choice(3)
        size = len(self.value)
        any_ = self.random.integers(0, 256, size, np.uint8)
        read = np.zeros(size, np.uint8) if says == 0 else np.full(size, 255, np.uint8)
        read = any_ if says == 2 else read
        self.value = self.value & ~self.loose | read & self.loose

    def program(self, at: int, data: bytes, torn: str = "done") -> None:
        part = slice(at, at + len(data))
        open_ = (self.value[part] | self.loose[part]) & ~np.frombuffer(data, np.uint8)
        self._apply(part, *self._outcome(open_, torn), to_one=False)

    def erase(self, at: int, size: int, torn: str = "done") -> None:
        part = slice(at, at + size)
        zeroes = torn.endswith(("zeroed", "zeroed loose"))
        held = self.value[part]
        open_ = (held if zeroes else ~held) | self.loose[part]
        if zeroes:
            torn = {"some zeroed": "some", "all zeroed": "done"}.get(torn, "some loose")
        self._apply(part, *self._outcome(open_, torn), to_one=not zeroes)

    def _apply(self, part: slice, done: Bytes, loose: Bytes, to_one: bool) -> None:
        self.loose[part] = self.loose[part] & ~done | loose
        self.value[part] = self.value[part] | done if to_one else self.value[part] & ~done

    def _some(self, size: int) -> Bytes:
        """Any bits: few, half or most of them."""
        one, other = self.random.integers(0, 256, (2, size), np.uint8)
        kinds: tuple[Bytes, ...] = (one & other, one, one | other)
        return kinds[self.random.choice(3)]

    def _few(self, open_: Bytes) -> Bytes:
        """One to three of the open bits."""
        few = np.zeros_like(open_)
        where = np.flatnonzero(open_)
        for at in self.random.choice(where, min(len(where), 1 + self.random.choice(3)), False):
            few[at] = open_[at] & -open_[at].astype(np.int16) & 0xFF
        return few

    def _outcome(self, open_: Bytes, torn: str) -> tuple[Bytes, Bytes]:
        """(done, loose) of the open bits."""
        none = np.zeros_like(open_)
        size = len(open_)
        if torn == "not begun":
            return none, none
        if torn == "done":
            return open_, none
        if torn == "all loose":
            return none, open_
        if torn.startswith("some"):
            some = self._some(size) & open_
            rest = {"some": none, "some, rest loose": open_ & ~some}
            return (none, some) if torn == "some loose" else (some, rest[torn])
        if "few" in torn:
            few = self._few(open_)
            return (none, few) if torn == "few loose" else (open_ & ~few, few)
        place = np.arange(size)
        if torn == "any pages":
            chosen = self.random.integers(0, 2, size // PAGE + 1)[place // PAGE] == 1
        else:
            middle = int(self.random.integers(0, size))
            chosen = place < (middle if torn == "first bytes" else middle - middle % PAGE)
        return np.where(chosen != (torn == "last pages"), open_, none), none
