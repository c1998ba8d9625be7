"""The firmware as a process of this machine: the fastest way to run the C, sanitizers included.

The process shares a file of memory with the harness (`firmware/boards/host/main.c`), so a crash or
an endless loop in the C is a failure that is reported, not the end of the harness.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.targets import memory_file
from picotrain.device.targets.fault import LOOK_SECONDS, Watch, read_death
from picotrain.errors import CrashFailure, FlashFailure, LinkFailure, TimeoutFailure
from picotrain.image.elf import open_elf
from picotrain.image.firmware import MODEL_FLASH, require

_START_SECONDS = 30.0
_LAST_WORDS_SECONDS = 2.0


class HostTarget:
    """The `Target` on a host process with an arena of `arena_bytes`, and flash for a model.

    The process can only read that flash; `write` reaches it, as a programmer of flash would.
    Its memory is a file in the first of `folders` with room for it, by default one in RAM.
    """

    name = "host"

    def __init__(
        self,
        elf: Path,
        arena_bytes: int,
        flash_bytes: int = MODEL_FLASH,
        folders: Sequence[Path] = (),
        runner: Sequence[str] = (),
    ) -> None:
        """`runner`: what runs a program of another machine on this one, as `qemu-s390x` does."""
        self.elf = require(elf)
        self._runner = runner
        self._arena_bytes = arena_bytes
        self._flash_bytes = flash_bytes
        self._folders = folders
        self._spans: list[tuple[int, int, int]] = []  # address, bytes, offset in the file
        self._memory: mmap.mmap | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def connect(self) -> None:
        self.close()
        size = open_elf(self.elf).dtype("pt_host_memory").itemsize + self._arena_bytes
        flash_at = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        file_size = flash_at + self._flash_bytes
        folders = self._folders or memory_file.folders(ram_first=True)
        what = "the host program's memory"
        with memory_file.memory_file(file_size, what, folders, named=True) as file:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
            self._memory = mmap.mmap(file.fileno(), file_size)
            try:
                sizes = str(self._arena_bytes), str(self._flash_bytes)
                self._process = subprocess.Popen(
                    [*self._runner, self.elf, file.name, *sizes],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    bufsize=0,
                )
            except OSError as error:
                raise FlashFailure(f"{self.elf} does not start: {error}") from error
            # The file has no name any more once the process has mapped it.
            bases = f"{open_elf(self.elf).order}QQ"
            base, flash = struct.unpack(bases, self._receive(16, _START_SECONDS))
            self._spans = [(base, size, 0), (flash, self._flash_bytes, flash_at)]
            self._receive(1, _START_SECONDS)

    @property
    def pid(self) -> int:
        """Of the process, for tests that break it."""
        return self._connected()[0].pid

    def mailbox_address(self) -> int:
        return self._spans[0][0]

    def read(self, address: int, size: int) -> bytes:
        memory, at = self._locate(address, size)
        return memory[at : at + size]

    def write(self, address: int, data: bytes) -> None:
        memory, at = self._locate(address, len(data))
        memory[at : at + len(data)] = data

    def run(self, timeout: float) -> None:
        process, _ = self._connected()
        assert process.stdin is not None
        try:
            process.stdin.write(b"r")
        except BrokenPipeError:
            raise self._died() from None
        self._receive(1, timeout)

    def profile(self) -> list[BlockCount] | None:
        return None

    def calls(self) -> list[CallNode] | None:
        return None

    def close(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _connected(self) -> tuple[subprocess.Popen[bytes], mmap.mmap]:
        if self._process is None or self._memory is None:
            raise LinkFailure("the host process does not run; connect first")
        return self._process, self._memory

    def _locate(self, address: int, size: int) -> tuple[mmap.mmap, int]:
        _, memory = self._connected()
        for start, length, at in self._spans:
            if start <= address and address + size <= start + length:
                return memory, at + address - start
        raise LinkFailure(f"no memory at 0x{address:x}, {size} bytes, in the host process")

    def _receive(self, size: int, timeout: float) -> bytes:
        process, _ = self._connected()
        assert process.stdout is not None
        data = b""
        while len(data) < size:
            if not self._ready(process, process.stdout, timeout):
                raise self._late(process, timeout)
            piece = os.read(process.stdout.fileno(), size - len(data))
            if not piece:
                raise self._died()
            data += piece
        return data

    def _ready(self, process: subprocess.Popen[bytes], output: IO[bytes], timeout: float) -> bool:
        """Whether it said something in time."""
        watch, left = Watch(process.pid, "the host program"), timeout
        while left > 0:
            if select.select([output], [], [], min(left, LOOK_SECONDS))[0]:
                return True
            left -= LOOK_SECONDS
            try:
                watch.look()
            except TimeoutFailure:
                self.close()
                raise
        return False

    def _late(self, process: subprocess.Popen[bytes], timeout: float) -> TimeoutFailure:
        """It is asked to die, as it then leaves where it was."""
        process.send_signal(signal.SIGABRT)
        try:
            process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            place = ""
        else:
            place = read_death(self._death(), open_elf(self.elf)).place
        failure = TimeoutFailure(
            f"the host process did not finish within {timeout:g} s"
            + (f": it was in {place}" if place else "")
        )
        failure.kind, failure.operation = "endless loop", self._operation()
        self.close()
        return failure

    def _died(self) -> CrashFailure:
        process, _ = self._connected()
        code = process.wait()
        assert self._errors is not None
        self._errors.seek(0)
        report = self._errors.read().decode(errors="replace").strip()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        death = read_death(self._death(), open_elf(self.elf))
        what = f": {death.what}" if death.what else ""
        failure = CrashFailure(
            f"the host process ended ({how}){what}" + (f":\n{report}" if report else ""),
            death.registers,
            death.place,
        )
        failure.kind = death.kind or ("killed" if code == -signal.SIGKILL else "ended")
        failure.operation = self._operation()
        self.close()
        return failure

    def _death(self) -> bytes:
        """The record that it may have left."""
        base, _, _ = self._spans[0]
        fields = open_elf(self.elf).dtype("pt_host_memory").fields
        assert fields is not None
        kind, at, *_ = fields["death"]
        return self.read(base + at, kind.itemsize)

    def _operation(self) -> int:
        """That was in work: the application lies in the memory, too."""
        base, _, _ = self._spans[0]
        kind, at = open_elf(self.elf).dtype("pt_host_memory"), base
        for name in ("app", "trainer", "operation"):
            assert kind.fields is not None
            kind, offset, *_ = kind.fields[name]
            at += offset
        return int.from_bytes(self.read(at, kind.itemsize), sys.byteorder)
