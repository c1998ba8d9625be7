"""A device at a TCP port, played by a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Play = Callable[[socket.socket], None]


@contextmanager
def played(play: Play) -> Iterator[str]:
    """The URL at which `play` has the other end of the connection, which is closed after it."""
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            end, _ = server.accept()
            with end:
                play(end)
        except BaseException as error:
            failed.append(error)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        thread.join(30)
    assert not failed, failed


def answering(answers: dict[str, str]) -> Play:
    """Answers lines from a table, until nobody asks any more."""

    def play(end: socket.socket) -> None:
        with end.makefile("rw", newline="\n") as stream:
            for line in stream:
                stream.write(answers[line.rstrip("\n")] + "\r\n")
                stream.flush()

    return play
