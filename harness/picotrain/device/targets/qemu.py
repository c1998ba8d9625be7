"""The firmware on QEMU's `microbit` machine, enlarged to the RP2040's 264 KiB of SRAM.

An image that was linked for more SRAM gets a machine that has it.

`QemuMachine` is the machine with any program in it, steered by gdb packets. `QemuTarget` is a
`Target` on it: the harness steers our device through two functions of the firmware, alone in a
1 KiB page because QEMU runs a page with a breakpoint one instruction at a time:

- `pt_board_idle`, called when there is nothing to do, starts with a load of the word behind its
  second instruction. A watchpoint on that word is how a command ends; the next one starts behind
  the load. At a breakpoint QEMU would forget all that it has translated.
- `pt_board_halt`, called when all is lost, with the registers in `pt_fault_record`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from signal import SIGINT, SIGKILL
from typing import IO

from picotrain.device.cycles import FILE_BYTES, BlockCount, CallNode, read_calls, read_counters
from picotrain.device.targets import memory_file
from picotrain.device.targets.fault import (
    LOOK_SECONDS,
    Watch,
    damaged_image,
    operation_in_work,
    out_of_stack,
    place_of,
    read_fault,
)
from picotrain.device.targets.gdb import PC, REGISTERS, GdbClient, Stop
from picotrain.errors import (
    CrashFailure,
    DeviceFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
    UserError,
)
from picotrain.image.elf import Elf, open_elf

FLASH_SIZE = 0x200000
SRAM = 0x20000000
SRAM_SIZE = 0x42000

_START_SECONDS = 30.0
_INTERRUPT_SECONDS = 5.0

_IDLE_NEXT, _IDLE_WORD = 2, 4
"""In `pt_board_idle`, after the load: its second instruction, and the word."""

XPSR = 25


class QemuMachine:
    """A program on qemu-system-arm, stopped at reset; with the plugin it counts cycles.

    The counts are in a file in the first of `folders` with room for it.
    Keep it in a thread that outlives it: QEMU dies with the thread that started it.
    """

    def __init__(
        self,
        elf: Path,
        plugin: Path | None,
        qemu: str = "qemu-system-arm",
        folders: Sequence[Path] = (),
        sram_size: int = SRAM_SIZE,
    ) -> None:
        self.elf = elf
        self._plugin = plugin
        self._qemu = qemu
        self._folders = folders
        self._sram = sram_size
        self._client: GdbClient | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._files = ExitStack()
        self._counters: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._finalizer: weakref.finalize[..., QemuMachine] | None = None

    @property
    def pid(self) -> int:
        """Of QEMU's process, for tests that break it."""
        if self._process is None:
            raise LinkFailure("QEMU is not running: connect first")
        return self._process.pid

    def power_on(self) -> None:
        """Start QEMU, stopped before the first instruction."""
        self.close()
        for path, what in ((self.elf, "firmware"), (self._plugin, "QEMU plugin")):
            if path is not None and not path.is_file():
                raise UserError(f"there is no {what} {path}: build it first")
        try:
            ours = self._start()
            try:
                self._client = GdbClient(ours)
            except LinkFailure as failure:
                raise self._explain(failure) from None
        except BaseException:
            self.close()
            raise

    def read(self, address: int, size: int) -> bytes:
        """Read memory of the stopped device."""
        try:
            return self._connected().read_memory(address, size)
        except LinkFailure as failure:
            raise self._explain(failure) from None

    def registers(self) -> dict[str, int]:
        """The core registers of the stopped device, by name."""
        names = (*REGISTERS, "xpsr")
        try:
            values = self._connected().read_registers([*range(len(REGISTERS)), XPSR])
        except LinkFailure as failure:
            raise self._explain(failure) from None
        return dict(zip(names, values, strict=True))

    def blocks(self, at: int | None = None) -> list[BlockCount] | None:
        """Counters of all blocks since `power_on`; None without the plugin. `at`: the pc, to count
        the branch that led there."""
        return read_counters(self._counters.fileno(), at) if self._counters else None

    def nodes(self, at: int | None = None) -> list[CallNode] | None:
        """The call tree since `power_on`; all its cycles are those of `blocks`."""
        return read_calls(self._counters.fileno(), at) if self._counters else None

    def close(self) -> None:
        """End QEMU."""
        if self._client:
            self._client.close()
        if self._finalizer:
            self._finalizer()
        self._files.close()
        self._client = self._process = self._counters = self._errors = None
        self._finalizer = None

    # QEMU's process

    @property
    def _sram_size(self) -> int:
        return self._sram

    def _command(self, qemu: str, gdb_descriptor: int) -> list[str]:
        command = [qemu, "-M", "microbit"]
        command += ["-global", f"nrf51-soc.sram-size={self._sram_size:#x}"]
        command += ["-global", f"nrf51-soc.flash-size={FLASH_SIZE:#x}"]
        command += ["-kernel", str(self.elf)]
        command += ["-nodefaults", "-display", "none", "-serial", "none", "-monitor", "none", "-S"]
        command += ["-chardev", f"socket,id=gdb,fd={gdb_descriptor}", "-gdb", "chardev:gdb"]
        if self._plugin and self._counters:
            file = str(self._plugin.absolute()).replace(",", ",,")
            counters = f"/dev/fd/{self._counters.fileno()}"
            command += ["-plugin", f"file={file},out={counters}"]
        return command

    def _start(self) -> socket.socket:
        """Start QEMU stopped at reset; our end of the connection to its gdb stub.

        It inherits a socket and nameless files, so that nothing is left on the disk, however
        QEMU or we end.
        """
        qemu = shutil.which(self._qemu)
        if qemu is None:
            raise UserError(
                f"{self._qemu} is not installed: install the Debian package qemu-system-arm"
            )
        files = self._files = ExitStack()
        folders = self._folders or memory_file.folders()
        self._errors = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        inherited = []
        if self._plugin:
            # The plugin sizes it, and takes the room again.
            counters = memory_file.memory_file(FILE_BYTES, "QEMU's cycle counts", folders)
            self._counters = files.enter_context(counters)
            inherited.append(self._counters.fileno())
        ours, theirs = socket.socketpair()
        files.enter_context(ours)
        with theirs:
            command = self._command(qemu, theirs.fileno())
            wrapper = shutil.which("setpriv")
            if wrapper:  # then QEMU ends even when we are killed
                command = [wrapper, "--pdeathsig", "KILL", "--", *command]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(*inherited, theirs.fileno()),
            )
        self._finalizer = weakref.finalize(self, _end, self._process)
        return ours

    def _connected(self) -> GdbClient:
        if self._client is None:
            raise LinkFailure("QEMU is not running: connect first")
        return self._client

    def _stderr(self) -> list[str]:
        if self._errors is None:
            return []
        text = os.pread(self._errors.fileno(), 1 << 16, 0).decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _explain(self, failure: LinkFailure) -> Exception:
        """The failure itself, or what lies behind it when QEMU is no more."""
        if self._process is None:
            return failure
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return Watch(self._process.pid, "QEMU").stopped() or failure
        lines = self._stderr()
        for line in lines:
            if "Lockup" in line:
                return self._locked_up(line, "\n".join(lines))
            if "Could not load kernel" in line:
                return FlashFailure(f"QEMU cannot load {self.elf}: {line}")
            if line.startswith("cycles plugin: "):
                return LinkFailure(f"QEMU ended: {line}")
        last = lines[-1] if lines else f"no message, exit status {self._process.returncode}"
        ended = LinkFailure(f"QEMU ended: {last}")
        ended.kind = "killed" if self._process.returncode == -SIGKILL else ""
        return ended

    def _locked_up(self, line: str, dump: str) -> CrashFailure:
        """QEMU gives up on a fault inside the fault handler and prints the registers."""
        found = {int(n): int(v, 16) for n, v in re.findall(r"R(\d\d)=([0-9a-f]{8})", dump)}
        registers = {name: found[n] for n, name in enumerate(REGISTERS) if n in found}
        place = self._place(registers["pc"]) if "pc" in registers else ""
        failure = CrashFailure(f"the device locked up at {place}: {line}", registers, place)
        failure.kind = "lockup"
        if "sp" in registers and (outside := self._out_of_stack(registers)):
            failure.kind = "stack overflow"
            failure.message += f"; {outside}"
        return failure

    def _out_of_stack(self, registers: dict[str, int]) -> str:
        """Of a foreign program nobody knows where its stack is."""
        known = "pt_stack_start" in self._symbols.symbols()
        return out_of_stack(registers, self._symbols) if known else ""

    @cached_property
    def _symbols(self) -> Elf:
        return open_elf(self.elf)

    def _place(self, pc: int) -> str:
        return self._symbols.symbolise(pc)


class QemuTarget(QemuMachine):
    """The `Target` on qemu-system-arm."""

    name = "qemu"

    def __init__(
        self,
        elf: Path,
        plugin: Path | None,
        qemu: str = "qemu-system-arm",
        folders: Sequence[Path] = (),
    ) -> None:
        super().__init__(elf, plugin, qemu, folders)
        self._idle = 0
        self._halt = 0
        self._at_idle = False

    # The Target protocol

    def connect(self) -> None:
        """Start QEMU and run the firmware from reset until it is idle."""
        self.power_on()
        try:
            self._idle = self._symbols.symbol("pt_board_idle") & ~1
            self._halt = self._symbols.symbol("pt_board_halt") & ~1
            client = self._connected()
            try:
                client.insert_watchpoint(self._idle + _IDLE_WORD)
                client.insert_breakpoint(self._halt)
            except LinkFailure as failure:
                raise self._explain(failure) from None
            self._resume(_START_SECONDS)
        except BaseException:
            self.close()
            raise

    def mailbox_address(self) -> int:
        """Where the firmware keeps its mailbox, by its symbol."""
        return self._symbols.symbol("pt_mailbox")

    def write(self, address: int, data: bytes) -> None:
        """Write memory of the stopped device, flash too."""
        # QEMU's stub answers OK to a write to nowhere.
        end = address + len(data)
        memories = range(FLASH_SIZE), range(SRAM, SRAM + self._sram_size)
        if not any(m.start <= address and end <= m.stop for m in memories):
            raise LinkFailure(f"cannot write {len(data)} bytes at {address:#010x}: no memory there")
        try:
            self._connected().write_memory(address, data)
        except LinkFailure as failure:
            raise self._explain(failure) from None

    def run(self, timeout: float) -> None:
        """Let the firmware leave `pt_board_idle`, and wait until it is back."""
        client = self._connected()
        if not self._at_idle:
            raise LinkFailure("QEMU's device is not idle since its last failure: connect again")
        try:
            client.write_register(PC, self._idle + _IDLE_NEXT)
        except LinkFailure as failure:
            raise self._explain(failure) from None
        self._resume(timeout)

    def profile(self) -> list[BlockCount] | None:
        """Counters of all blocks since `connect`, the page of `pt_board_idle` included."""
        return self.blocks()

    def calls(self) -> list[CallNode] | None:
        """The call tree since `connect`; all its cycles are those of `profile()`."""
        return self.nodes()

    def close(self) -> None:
        """End QEMU."""
        super().close()
        self._at_idle = False

    @property
    def _sram_size(self) -> int:
        """A Pico's, or more where the image keeps its stack, the end of SRAM, behind that."""
        return max(SRAM_SIZE, self._symbols.symbol("pt_stack_end") - SRAM)

    def _explain(self, failure: LinkFailure) -> Exception:
        told = super()._explain(failure)
        if told is not failure:
            self._at_idle = False
        return told

    # Running

    def _resume(self, timeout: float) -> None:
        """Let the device run until it is idle."""
        client = self._connected()
        self._at_idle = False
        try:
            client.resume()
            stop = self._wait(client, timeout)
            if stop is None:
                client.interrupt()
                stop = client.wait_stop(_INTERRUPT_SECONDS)
            if stop is None:
                raise TimeoutFailure(f"QEMU did not stop when asked to after {timeout:g} s")
            pc = client.read_register(PC)
        except LinkFailure as failure:
            raise self._explain(failure) from None

        # Where it stopped decides, not why: it may become idle just when interrupted.
        if pc in (self._idle, self._idle + _IDLE_NEXT):
            self._at_idle = True
        elif pc == self._halt:
            raise self._crash()
        elif stop.signal == SIGINT:
            place = place_of(self._symbols, pc)
            late = TimeoutFailure(f"the device was still in {place} after {timeout:g} s")
            late.kind = "endless loop"
            late.operation = operation_in_work(self._symbols, self.read)
            raise late
        else:
            raise LinkFailure(f"the device stopped in {self._place(pc)} ({stop.text})")

    def _wait(self, client: GdbClient, timeout: float) -> Stop | None:
        """Until the device stops, unless QEMU itself is stopped."""
        assert self._process is not None
        watch, left = Watch(self._process.pid, "QEMU"), timeout
        stop = None
        while stop is None and left > 0:
            stop = client.wait_stop(min(left, LOOK_SECONDS))
            left -= LOOK_SECONDS
            if stop is None:
                watch.look()
        return stop

    def _crash(self) -> DeviceFailure:
        size = self._symbols.dtype("pt_fault").itemsize
        record = self.read(self._symbols.symbol("pt_fault_record"), size)
        crash = read_fault(record, self._symbols)
        if crash is not None:
            return crash
        registers = self.registers()
        place = self._place(registers["lr"])
        if place.startswith("pt_image_damaged"):
            return damaged_image(self.name)
        return CrashFailure(f"the device halted, called from {place}", registers, place)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
