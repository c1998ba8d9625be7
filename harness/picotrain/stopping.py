"""SIGTERM and SIGHUP end a run as Ctrl-C does: devices are closed, the result so far is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal that ends the run, raised where the run is."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def status_of(stop: KeyboardInterrupt) -> int:
    """The exit status, as a shell would say it."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[None]:
    """The signals raise `Stopped` in it. What is ignored (nohup), or handled by a program that
    calls this one, stays so."""
    taken = []
    for number in _SIGNALS:
        try:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _stop)
                taken.append(number)
        except ValueError:  # only the main thread may
            break
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    # One is enough: a second one must not break what closes devices.
    signal.signal(number, signal.SIG_IGN)
    raise Stopped(number)
