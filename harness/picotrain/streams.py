"""Standard output and standard error that end no run: closed, full, or of a narrow encoding."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

_AS_IT_CAME = "picotrain-as-it-came"


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """What a locale's encoding lacks is shown by its number, as Python shows it; but a file's name,
    which Python keeps byte by byte in such a locale, by those bytes."""
    if isinstance(error, UnicodeEncodeError):
        with suppress(UnicodeError):
            name = error.object[error.start : error.end].encode("ascii", "surrogateescape")
            name.decode("utf-8")
            return name, error.end
    return codecs.backslashreplace_errors(error)


codecs.register_error(_AS_IT_CAME, _as_it_came)


class Guard(io.TextIOBase):
    """A stream that keeps the first `failure` of what it writes to, and is silent from then on.

    Where nobody reads any more (`| head`), `stop` lets that end the run, by BrokenPipeError.
    """

    def __init__(self, stream: TextIO | None, stop: bool) -> None:
        self._stream = stream
        self._stop = stop
        self.failure: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_AS_IT_CAME)

    def write(self, text: str) -> int:
        self._attempt(lambda stream: stream.write(text))
        return len(text)

    def write_bytes(self, content: bytes) -> None:
        """Bytes as they are, after all text so far."""

        def action(stream: TextIO) -> None:
            stream.flush()
            stream.buffer.write(content)
            stream.buffer.flush()

        self._attempt(action)

    def flush(self) -> None:
        if self._stream is not None:
            self._attempt(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding if self._stream is not None else "utf-8"

    def _attempt(self, action: Callable[[TextIO], object]) -> None:
        if self.failure is not None:
            return
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            action(self._stream)
        except (OSError, ValueError) as error:
            # ValueError: the stream was closed under us.
            closed = OSError(errno.EBADF, str(error))
            self.failure = error if isinstance(error, OSError) else closed
            self._silence()
            if self._stop and isinstance(error, BrokenPipeError):
                raise

    def _silence(self) -> None:
        """What is left in its buffer must not fail once more when the process ends."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)


@contextmanager
def guarded() -> Iterator[tuple[Guard, Guard]]:
    """Both streams behind guards, for as long as a command runs."""
    _occupy()
    before = sys.stdout, sys.stderr
    out, err = Guard(sys.stdout, stop=True), Guard(sys.stderr, stop=False)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """Leave no number of a standard stream free: the next file opened would get it, and what a
    child process prints would go into that file."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # A child without it would have its own first file there.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
