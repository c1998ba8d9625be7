"""One progress bar, on standard error, so that standard output stays the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE_SECONDS = 10.0
"""Between two lines in a log."""


@contextmanager
def progress_bar(label: str, total: int, unit: str = "img") -> Iterator[Callable[[int], None]]:
    """A bar of `total` units; yields the function that advances it.

    On a terminal it is redrawn and then cleared; in a log it is a line now and then, and none for
    what is done sooner.
    """
    if sys.stderr is None:
        yield lambda _: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(
            total=total, desc=label, unit=unit, leave=False, mininterval=0.2, dynamic_ncols=True
        ) as bar:
            yield lambda count: bar.update(count) and None
    else:
        yield _Lines(label, total, unit).advance


class _Lines:
    """Progress as lines of a log: whole ones, never redrawn."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = 0
        self._start = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said >= PAUSE_SECONDS and self._done < self._total:
            self._said = now
            print(
                f"{self._label}: {self._done:,} of {self._total:,} {self._unit}, "
                f"{now - self._start:.0f} s",
                file=sys.stderr,
                flush=True,
            )
