"""The flash image on Renode's model of a Pico (emulation/renode), from its boot ROM on.

The machine is started once and runs free. The harness shares SRAM and flash with it as files in
memory: a command is posted there, and polled there until it is served. The monitor, slow but
telling, starts all this and says where a program hangs.
"""

from __future__ import annotations

import mmap
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from signal import SIGKILL
from time import monotonic, sleep
from typing import IO

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.targets import memory_file
from picotrain.device.targets.fault import (
    LOOK_SECONDS,
    Watch,
    operation_in_work,
    place_of,
    read_fault,
)
from picotrain.device.targets.renode_monitor import RenodeMonitor
from picotrain.device.targets.renode_release import require_renode
from picotrain.errors import (
    CrashFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
    UserError,
)
from picotrain.image import firmware, uf2
from picotrain.image.elf import Elf, open_elf
from picotrain.places import BUILD, BUILD_AGAIN, SHIPPED

FLASH = range(0x10000000, 0x10200000)
SRAM = range(0x20000000, 0x20042000)

ACCELERATOR = BUILD / "cycle-counter" / "libcycle_counter.so"
"""The library of emulation/renode/CycleAccelerator.cs, where emulation/renode/Makefile puts it."""

_PLATFORM = SHIPPED / "emulation" / "renode"
_COUNTER_ADDRESS = 0xF0000000

_SRAM_SEGMENT = 0x50000
_FOLDER_BYTES = 2 * len(FLASH) + _SRAM_SEGMENT + (1 << 20)
"""Flash as memory and as image, SRAM, and the counts."""

WAITING = frozenset(
    ("pt_board_run", "pt_board_idle", "pt_board_alive", "pt_link_serve", "pt_board_receive")
) | {"pt_usb_receive", "pt_uart_receive", "pt_app_serve", "pt_watchdog_feed"}
"""The functions in which the board waits for a command, the linker's stubs to them too."""

_START_SECONDS = 120.0
_BOOT_SECONDS = 30.0
_PORT_TRIES = 5
_SILENT = "no message"
_POLL_SECONDS = 0.0002


class RenodeTarget:
    """The `Target` on Renode. Keep it in a thread that outlives it: Renode dies with that thread.

    `counting` adds emulation/renode/CycleCounter.cs, which costs most of the speed: a third of it
    with `accelerator`, the library of CycleAccelerator.cs. Where that is not built, or Renode
    cannot use it, a RuntimeWarning says why, and counting goes without. Without counting Renode
    knows instructions only, and so does the firmware's own clock.
    """

    name = "renode"

    def __init__(
        self,
        elf: Path,
        rom: Path,
        renode: str = "renode",
        counting: bool = True,
        accelerator: Path | None = ACCELERATOR,
        folders: Sequence[Path] = (),
    ) -> None:
        self.elf = elf
        self._rom = rom
        self._renode = renode
        self._counting = counting
        self._accelerator = accelerator
        self._folders = folders
        self._files = ExitStack()
        self._folder = Path()
        self._memories: dict[range, memoryview] = {}
        self._monitor: RenodeMonitor | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._finalizer: weakref.finalize[..., RenodeTarget] | None = None
        self._usable = False

    # The Target protocol

    def connect(self) -> None:
        """Start Renode and boot the firmware until it waits for a command."""
        self.close()
        for path, what in ((self.elf, "firmware"), (self._rom, "boot ROM")):
            if not path.is_file():
                raise UserError(f"there is no {what} {path}: build it first")
        executable = require_renode(self._renode)
        try:
            self._write_platform()
            self._start(executable)
            self._load()
            self._boot()
        except BaseException:
            self.close()
            raise

    def mailbox_address(self) -> int:
        """Where the firmware keeps its mailbox, by its symbol."""
        return self._symbols.symbol("pt_mailbox")

    def read(self, address: int, size: int) -> bytes:
        """Read SRAM or flash, while the device runs."""
        memory, at = self._find(address, size)
        return bytes(memory[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        """Write SRAM or flash, while the device runs; slow where that changes its code."""
        memory, at = self._find(address, len(data))
        memory[at : at + len(data)] = data
        if any(address < code.stop and code.start < address + len(data) for code in self._code):
            self._connected().command("sysbus.cpu ClearTranslationCache")
            if self._counting:
                self._connected().command("sysbus.cycles Forget")

    def run(self, timeout: float) -> None:
        """Wait until the device has carried out what was written to `command`."""
        if not self._usable:
            raise LinkFailure("Renode's device is lost since its last failure: connect again")
        self._usable = False
        deadline = monotonic() + timeout
        watch, looked = Watch(self._running().pid, "Renode"), monotonic()
        while self._word("command") or self._word("status") == self._busy:
            self._check()
            if monotonic() > deadline:
                late = TimeoutFailure(
                    f"the device was still in {self._where()} after {timeout:g} s"
                )
                late.kind = "endless loop"
                late.operation = operation_in_work(self._symbols, self.read)
                raise late
            if monotonic() - looked > LOOK_SECONDS:
                looked = monotonic()
                watch.look()
            sleep(_POLL_SECONDS)
        self._check()
        if self._word("status") == self._idle:
            bitten = self._connected().number("sysbus.watchdog BittenAt")
            told = read_fault(self.read(*self._fault), self._symbols, bitten)
            self._usable = True
            raise told or LinkFailure("the device started anew, and left no record why")
        self._usable = True

    def profile(self) -> list[BlockCount] | None:
        """Counters of the blocks since `connect`, if `counting`, start-up included.

        The machine runs free, so that the loop in which the board waits says more of the host's
        time than of the program's: it is left out.
        """
        blocks = self.all_blocks()
        if blocks is None:
            return None
        return [block for block in blocks if not self._waits(block.pc)]

    def all_blocks(self) -> list[BlockCount] | None:
        """The same with all waiting; its sums are those of `counters`."""
        if not self._counting:
            return None
        self._check_counts()
        dump = self._folder / "blocks.txt"
        self._connected().command(f'sysbus.cycles Dump "{dump}"')
        blocks = []
        for line in dump.read_text(encoding="utf-8").splitlines():
            pc, *counts = line.split()
            blocks.append(BlockCount(int(pc, 16), *map(int, counts)))
        return sorted(blocks, key=lambda block: (block.pc, block.instructions))

    def calls(self) -> list[CallNode] | None:
        """None: Renode's hook tells of blocks, not of calls."""
        return None

    def close(self) -> None:
        """End Renode and remove its files."""
        if self._monitor:
            self._monitor.close()
        if self._finalizer:
            self._finalizer()
        for memory in self._memories.values():
            memory.release()
        self._memories = {}
        self._files.close()
        self._files = ExitStack()
        self._monitor = self._process = self._output = self._finalizer = None
        self._usable = False

    # More than the protocol

    def counters(self) -> tuple[int, int]:
        """Cycles and instructions since `connect`, waiting included.

        Raises UserError where the target does not count.
        """
        if not self._counting:
            raise UserError("this Renode target counts no cycles: open it with counting=True")
        self._check_counts()
        monitor = self._connected()
        return monitor.number("sysbus.cycles Cycles"), monitor.number("sysbus.cycles Instructions")

    def _check_counts(self) -> None:
        monitor = self._connected()
        if unexplained := monitor.number("sysbus.cycles Unexplained"):
            raise LinkFailure(f"the cycle counter missed {unexplained} instructions")
        if unpriced := monitor.number("sysbus.cycles Unpriced"):
            raise LinkFailure(
                f"the program executed {unpriced} instructions that a Cortex-M0+ does not have, "
                "so they have no cycles: build it for ARMv6-M"
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LinkFailure("Renode is not running: connect first")
        return self._process

    def _waits(self, pc: int) -> bool:
        name = self._symbols.function_at(pc)
        return name.removeprefix("__").removesuffix("_veneer") in WAITING

    def monitor(self) -> RenodeMonitor:
        """Renode's monitor, for what the protocol has no word for."""
        return self._connected()

    # The mailbox

    @cached_property
    def _symbols(self) -> Elf:
        return open_elf(self.elf)

    @cached_property
    def _busy(self) -> int:
        return int(self._symbols.enum("pt_status")["PT_STATUS_BUSY"])

    @cached_property
    def _idle(self) -> int:
        return int(self._symbols.enum("pt_status")["PT_STATUS_IDLE"])

    @cached_property
    def _fields(self) -> dict[str, int]:
        """Where each field of the mailbox is."""
        fields = self._symbols.dtype("pt_mailbox").fields
        assert fields is not None
        return {name: self.mailbox_address() + int(field[1]) for name, field in fields.items()}

    @cached_property
    def _fault(self) -> tuple[int, int]:
        """Address and size of the fault record."""
        size = self._symbols.dtype("pt_fault").itemsize
        return self._symbols.symbol("pt_fault_record"), size

    @cached_property
    def _code(self) -> tuple[range, ...]:
        """Where code is that Renode may have translated."""
        symbol = self._symbols.symbol
        resident = range(symbol("pt_code_start"), symbol("pt_code_end"))
        return resident, range(FLASH.start, symbol("pt_flash_start"))

    def _word(self, field: str) -> int:
        return int.from_bytes(self.read(self._fields[field], 4), "little")

    def _check(self) -> None:
        """Raise CrashFailure if the device has faulted, LinkFailure if Renode has ended."""
        failure = read_fault(self.read(*self._fault), self._symbols)
        if isinstance(failure, CrashFailure):  # else the device is on its way to be idle again
            raise failure
        if self._process is not None and self._process.poll() is not None:
            raise LinkFailure(f"Renode ended: {self._last_words()}")

    def _where(self) -> str:
        """The place in the code where the device is; it stands still afterwards."""
        monitor = self._connected()
        monitor.command("pause")
        return place_of(self._symbols, monitor.number("sysbus.cpu PC"))

    # Memory

    def _find(self, address: int, size: int) -> tuple[memoryview, int]:
        if not self._memories:
            raise LinkFailure("Renode is not running: connect first")
        for span, memory in self._memories.items():
            if span.start <= address and address + size <= span.stop:
                return memory, address - span.start
        raise LinkFailure(f"there is no memory of {size} bytes at {address:#010x}")

    def _map(self, name: str, span: range) -> None:
        """Map Renode's file of a memory, whose one segment begins at an offset."""
        monitor = self._connected()
        monitor.command(f"sysbus.{name} TouchAllSegments")
        path = Path(monitor.command(f"sysbus.{name} GetSegmentPath 0"))
        offset = monitor.number(f"sysbus.{name} GetSegmentAlignmentOffset 0")
        with path.open("r+b") as file:
            memory_file.reserve(file.fileno(), path.stat().st_size)
            content = mmap.mmap(file.fileno(), 0)
        self._files.callback(content.close)
        self._memories[span] = memoryview(content)[offset : offset + len(span)]

    # Renode's process

    def _write_platform(self) -> None:
        """What Renode reads in its folder: the platform with shared memories, and the image."""
        # Renode removes folders whose name begins with its own.
        within = memory_file.memory_folder(
            _FOLDER_BYTES, "Renode's memory", self._folders or memory_file.folders()
        )
        temporary = tempfile.TemporaryDirectory(prefix="picotrain-", dir=within)
        folder = self._files.enter_context(temporary)
        self._folder = Path(folder)
        shared = "".join(
            f'{name}:\n    segmentSize: {segment:#x}\n    sharedMemoryFileRoot: "{folder}"\n\n'
            for name, segment in (("flash", len(FLASH)), ("sram", _SRAM_SEGMENT))
        )
        counter = f"cycles: Timers.CycleCounter @ sysbus {_COUNTER_ADDRESS:#x}\n    cpu: cpu\n"
        (self._folder / "platform.repl").write_text(
            f'using "{_PLATFORM / "rp2040.repl"}"\n\n{shared}{counter if self._counting else ""}'
        )
        (self._folder / "image.bin").write_bytes(flash_image(self.elf))

    def _start(self, executable: Path) -> None:
        self._output = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        for _ in range(_PORT_TRIES):
            if self._try_start(executable, _free_port()):
                return
        words = self._last_words()
        raise LinkFailure(
            f"Renode does not start: {executable} ended without a word, so it is no Renode; set "
            "RENODE to Renode's executable"
            if words == _SILENT
            else f"Renode does not start: {words} (it is {executable})"
        )

    def _try_start(self, executable: Path, port: int) -> bool:
        """Start Renode with its monitor at `port`; False if the port was taken meanwhile."""
        # Another program may listen there now, even another Renode: ours knows a word.
        word = secrets.token_hex(8)
        command = [str(executable), "--disable-xwt", "--plain", "--hide-log", "-P", str(port)]
        command += ["--config", str(self._folder / "config"), "-e", f'$picotrain="{word}"']
        wrapper = shutil.which("setpriv")
        if wrapper:  # then Renode ends even when we are killed
            command = [wrapper, "--pdeathsig", "KILL", "--", *command]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            start_new_session=True,
        )
        self._process = process
        self._finalizer = weakref.finalize(self, _end, process)
        deadline = monotonic() + _START_SECONDS
        while process.poll() is None:
            if monotonic() > deadline:
                raise LinkFailure(f"Renode has no monitor after {_START_SECONDS:g} s")
            try:
                connection = socket.create_connection(("127.0.0.1", port), 1.0)
            except OSError:
                sleep(0.05)
                continue
            try:
                monitor = RenodeMonitor(connection)
                if monitor.command("echo $picotrain").splitlines()[-1:] == [word]:
                    self._monitor = monitor
                    return True
            except LinkFailure:
                pass  # not ours, or it has just ended
            connection.close()
            break
        self._finalizer()
        return False

    def _load(self) -> None:
        monitor = self._connected()
        monitor.command(f"$platform={_path(self._folder / 'platform.repl')}")
        monitor.command(f"$image={_path(self._folder / 'image.bin')}")
        monitor.command(f"$rom={_path(self._rom.absolute())}")
        monitor.command(f"include {_path(_PLATFORM / 'rp2040.resc')}", _START_SECONDS)
        try:
            for name, span in (("flash", FLASH), ("sram", SRAM)):
                self._map(name, span)
        except OSError as error:
            raise LinkFailure(f"Renode's memory cannot be shared: {error}") from error
        if self._counting:
            self._accelerate()
        # Not held to real time, and few interruptions of the core.
        monitor.command("emulation SetAdvanceImmediately true")
        monitor.command('emulation SetGlobalQuantum "0.01"')

    def _accelerate(self) -> None:
        """Have blocks counted by the library, if there is one."""
        library = self._accelerator
        if library is None:
            return
        if library == ACCELERATOR and not library.is_file():
            warnings.warn(
                "Renode counts cycles slowly, because its accelerator is not built: "
                f"{firmware.missing(library) or BUILD_AGAIN}",
                RuntimeWarning,
                stacklevel=4,
            )
            return
        monitor = self._connected()
        try:
            monitor.command(f"include {_path(_PLATFORM / 'CycleAccelerator.cs')}", _START_SECONDS)
            answer = monitor.command(f"sysbus.cycles Accelerate {_path(library.absolute())}")
        except LinkFailure as failure:
            answer = str(failure)
        if monitor.command("sysbus.cycles Accelerated") != "True":
            warnings.warn(f"Renode counts cycles slowly: {answer}", RuntimeWarning, stacklevel=4)

    def _boot(self) -> None:
        self._connected().command("start")
        magic = int(self._symbols.enum("pt_protocol")["PT_MAILBOX_MAGIC"])
        deadline = monotonic() + _BOOT_SECONDS
        while self._word("magic") != magic:
            self._check()
            if monotonic() > deadline:
                raise FlashFailure(
                    f"the firmware did not start: after {_BOOT_SECONDS:g} s it was in "
                    f"{self._where()}"
                )
            sleep(_POLL_SECONDS)
        self._usable = True

    def _connected(self) -> RenodeMonitor:
        if self._monitor is None:
            raise LinkFailure("Renode is not running: connect first")
        return self._monitor

    def _last_words(self) -> str:
        if self._output is None:
            return _SILENT
        text = os.pread(self._output.fileno(), 1 << 16, 0).decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else _SILENT


def flash_image(elf: Path) -> bytes:
    """What the image puts into flash, from its first byte on; gaps are erased flash.

    Raises UserError where that would not boot.
    """
    image = bytearray()
    for address, data in uf2.read_image(elf):
        at = address - FLASH.start
        image.extend(b"\xff" * (at + len(data) - len(image)))
        image[at : at + len(data)] = data
    return bytes(image)


def _path(path: Path) -> str:
    """A path as the monitor takes it."""
    return "@" + str(path).replace(" ", "\\ ")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)  # `renode` may be a script around it
    process.wait()
