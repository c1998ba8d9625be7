"""The host program at the other end of a serial link."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from picotrain.image import firmware

ARENA = 240 * 1024
BUILDS = {"host": "HOST", "host-sanitized": "HOST_SANITIZED"}


@contextmanager
def terminal(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A serial device of this machine, and what its other end answers to each piece."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if select.select([master], [], [], 0.05)[0]:
                os.write(master, answer(os.read(master, 4096)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(master)
        os.close(slave)


@contextmanager
def listening(elf: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A host process that serves the link, and its URL."""
    command = [str(elf), "--link", str(port), str(ARENA), str(firmware.MODEL_FLASH)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, f"socket://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
