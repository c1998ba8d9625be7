"""One progress bar, on standard error, so that standard output stays the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock, Thread

PAUSE_SECONDS = 10.0
"""Between two lines in a log."""
_LOOK_SECONDS = 1.0


@contextmanager
def progress_bar(
    label: str, total: int, unit: str = "image", *, alive: bool = False
) -> Iterator[Callable[[int], None]]:
    """A bar of `total` units; yields the function that advances it.

    On a terminal it is redrawn and then cleared; in a log it is a line now and then, and none for
    what is done sooner. `alive`: it goes on where nothing advances it for long, as while a slow
    device has many images in one command; a thread does that, so no process may be forked inside.
    """
    if sys.stderr is None:
        yield lambda _: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with (
            tqdm(
                total=total,
                desc=label,
                unit=f" {unit}",
                leave=False,
                mininterval=0.2,
                dynamic_ncols=True,
            ) as bar,
            _repeating(bar.refresh, alive),
        ):
            yield lambda count: bar.update(count) and None
    else:
        lines = _Lines(label, total, unit)
        with _repeating(partial(lines.advance, 0), alive):
            yield lines.advance


@contextmanager
def _repeating(work: Callable[[], object], wanted: bool) -> Iterator[None]:
    """Does it now and then beside what goes on, where that is wanted."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(_LOOK_SECONDS):
            work()

    thread = Thread(target=repeat, daemon=True)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if wanted:
            thread.join()


class _Lines:
    """Progress as lines of a log: whole ones, never redrawn."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total = label, total
        self._unit = unit if total == 1 else f"{unit}s"
        self._one_at_a_time = Lock()
        self._done = 0
        self._start = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        with self._one_at_a_time:
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
