"""The device's side of the link as a process that answers at once (`firmware/boards/host/wire.h`).

It takes a piece of bytes and says when it has no more to answer, so that whoever tests the protocol
need not wait for what does not come.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from picotrain.errors import LinkFailure
from picotrain.image.firmware import MODEL_FLASH, require

_SIZE = struct.Struct("<I")


class PipedDevice:
    """The firmware's link as a function from bytes to bytes; a context manager."""

    def __init__(self, elf: Path, arena_bytes: int, flash_bytes: int = MODEL_FLASH) -> None:
        self.elf = require(elf)
        command = [str(self.elf), "--link", "-", str(arena_bytes), str(flash_bytes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def exchange(self, data: bytes) -> bytes:
        """All that the device sends because of `data`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_SIZE.pack(len(data)) + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        answer = b""
        while size := _SIZE.unpack(self._read(_SIZE.size))[0]:
            answer += self._read(size)
        return answer

    def close(self) -> int:
        """End the process; its exit status."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return self._process.wait()

    def __enter__(self) -> PipedDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise self._ended()
        return data

    def _ended(self) -> LinkFailure:
        return LinkFailure(f"the host process ended (exit status {self._process.wait()})")
