"""The flash image on rp2040js, an emulator of the whole RP2040, from its boot ROM on.

`Rp2040js` is the machine: a Node process that runs emulation/rp2040js/pico.mjs, with the UART and
USB as TCP ports and a control channel (README.md there). `Rp2040jsTarget` is a `Target` on it that
reaches memory directly: it stops at `pt_board_idle`, as the one on QEMU does.

`python3 -m picotrain.device.targets.rp2040js --uart 4000 --usb 4001` is the machine alone, with the
options of pico.mjs, until it is ended: for `picotrain hw-test --port socket://127.0.0.1:4001`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from time import monotonic
from types import TracebackType
from typing import IO, Any, NoReturn

import numpy as np

from picotrain.device.cycles import BlockCount, CallNode
from picotrain.device.targets import node_package
from picotrain.device.targets.fault import (
    LOOK_SECONDS,
    Watch,
    bite,
    damaged_image,
    operation_in_work,
    out_of_stack,
    place_of,
    read_fault,
)
from picotrain.errors import (
    CrashFailure,
    DeviceFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
    UserError,
)
from picotrain.image import firmware
from picotrain.image.elf import Elf, open_elf
from picotrain.places import BUILD_AGAIN

_RUNNER = node_package.SOURCE / "pico.mjs"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_END_SECONDS = 5.0
_COUNT = np.dtype([("pc", "f8"), ("executions", "f8"), ("cycles", "f8"), ("least", "f8")])


@dataclass(frozen=True)
class Stop:
    """Why and where the machine stopped.

    `why` is "stop" (an address that was asked for), "zero" (idle, and the word is 0), "cycles",
    "interrupted", "bootsel", "reset", "locked" (lockup) or "error" (not modelled).
    """

    why: str
    pc: int
    cycles: int
    instructions: int
    message: str = ""
    bitten: int = 0
    """Where the program was when the watchdog reset it, for "reset"."""


@dataclass(frozen=True)
class Transfer:
    """A control transfer on USB: "ack", "stall", "timeout" or "gone", and what was read."""

    status: str
    data: bytes = field(default=b"")


class Rp2040js:
    """A machine; a context manager. Stopped at reset until `run` or `go`.

    `image` is what is in flash, raw or UF2, a program or not; without it what the ELF file holds.
    `elf` is one of our firmware, at whose idle function the machine sleeps; None with an `image`
    of another program.
    `uart` and `usb` choose the ports; further `options` are those of pico.mjs. Nothing of it
    outlives this process.
    """

    def __init__(
        self,
        elf: Path | None,
        rom: Path,
        package: Path = node_package.FOLDER,
        *,
        image: bytes | None = None,
        uart: bool = True,
        usb: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        self.elf = elf
        self._rom = rom
        self._package = package
        self._image = image
        self._ports = [*(["--uart", "0"] if uart else []), *(["--usb", "0"] if usb else [])]
        self._options = list(options)
        self._listening: dict[str, int] = {}
        self._files = ExitStack()
        self._channel: socket.socket | None = None
        self._held = b""
        self._errors: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., Rp2040js] | None = None

    # Life

    @property
    def pid(self) -> int:
        """Of Node's process, for tests that break it."""
        if self._process is None:
            raise LinkFailure("rp2040js is not running: start it first")
        return self._process.pid

    def __enter__(self) -> Rp2040js:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start Node. Raises UserError where Node, the package or a file is missing."""
        self.close()
        node_package.installed(self._package)
        for what, file in (("firmware image", self.elf), ("boot ROM", self._rom)):
            if file is not None and not file.is_file():
                raise UserError(f"there is no {what} {file}: {BUILD_AGAIN}")
        node = shutil.which("node")
        assert node is not None
        files = self._files = ExitStack()
        try:
            self._errors = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            ours, theirs = socket.socketpair()
            files.enter_context(ours)
            with theirs:
                command = [node, str(_RUNNER), "--package", str(self._package)]
                command += ["--rom", str(self._rom)]
                command += [] if self.elf is None else ["--elf", str(self.elf)]
                if self._image is not None:
                    flash = Path(files.enter_context(tempfile.TemporaryDirectory())) / "flash.bin"
                    flash.write_bytes(self._image)
                    command += ["--flash", str(flash), "--any-flash"]
                command += ["--control", str(theirs.fileno()), *self._ports, *self._options]
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    pass_fds=(theirs.fileno(),),
                )
            self._finalizer = weakref.finalize(self, _end, self._process)
            self._channel = ours
            assert self._process.stdout is not None
            with self._process.stdout as output:
                line = output.readline()
            if not line:
                raise self._gone()
            self._listening = json.loads(line)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the machine; may be called twice."""
        if self._channel is not None:
            self._channel.close()  # at which Node ends
        if self._finalizer is not None:
            self._finalizer()
        self._files.close()
        self._channel = self._process = self._errors = self._finalizer = None
        self._held = b""

    @property
    def uart_url(self) -> str:
        """For pyserial: the UART."""
        return f"socket://127.0.0.1:{self._listening['uart']}"

    @property
    def usb_url(self) -> str:
        """For pyserial: the serial port on USB, from the moment that it is enumerated."""
        return f"socket://127.0.0.1:{self._listening['usb']}"

    # Time

    def go(self) -> None:
        """Run on, beside us, until `halt`."""
        self._ask({"do": "go"})

    def halt(self) -> None:
        """Stop between two instructions; time stands still."""
        self._ask({"do": "halt"})

    def run(
        self,
        timeout: float,
        stops: Sequence[int] = (),
        zero: int | None = None,
        cycles: int | None = None,
        through_resets: bool = False,
    ) -> Stop:
        """Run until the pc is one of `stops`, or the program is idle and the word at `zero` is 0.

        `timeout` are seconds of ours, `cycles` the chip's. The first instruction does not count.
        """
        request = {"do": "run", "stops": list(stops), "resets": through_resets}
        request |= {} if zero is None else {"zero": zero}
        request |= {} if cycles is None else {"cycles": cycles}
        self._send(request)
        answer = self._awaited(timeout)
        if answer is None:
            self._send({"do": "interrupt"})
            answer = self._receive(_ANSWER_SECONDS)
            self._receive(_ANSWER_SECONDS)
        if answer is None:
            raise LinkFailure("rp2040js does not stop when it is asked to")
        head = self._checked(answer)[0]
        pc, spent, instructions = (int(head[name]) for name in ("pc", "cycles", "instructions"))
        message, bitten = str(head.get("message", "")), int(head.get("bitten", 0))
        return Stop(str(head["why"]), pc, spent, instructions, message, bitten)

    def _awaited(self, timeout: float) -> tuple[dict[str, Any], bytes] | None:
        """As `_receive`, unless Node itself is stopped."""
        assert self._process is not None
        watch, left = Watch(self._process.pid, "rp2040js"), timeout
        answer = None
        while answer is None and left > 0:
            answer = self._receive(min(left, LOOK_SECONDS))
            left -= LOOK_SECONDS
            if answer is None:
                watch.look()
        return answer

    def reset(self, kind: str = "run") -> None:
        """Reset the chip: "run" as by the pin, "power" as by unplugging it, which SRAM forgets."""
        self._ask({"do": "reset", "kind": kind})

    # Memory and more

    def read(self, address: int, size: int) -> bytes:
        """Bytes of SRAM, flash or ROM. Raises LinkFailure where there are none."""
        return self._ask({"do": "read", "address": address, "size": size})[1]

    def write(self, address: int, data: bytes) -> None:
        """Change SRAM or flash."""
        self._ask({"do": "write", "address": address}, data)

    def state(self) -> dict[str, Any]:
        """Registers, counters, clk_sys, and how USB is; `locked`, `fatal`: why nothing runs."""
        return self._ask({"do": "state"})[0]

    def counts(self) -> list[BlockCount]:
        """Each instruction that ran, with option --count; `taken` are cycles above its least."""
        held = np.frombuffer(self._ask({"do": "counts"})[1], _COUNT)
        rows = (
            (int(r["pc"]), int(r["executions"]), int(r["cycles"]), int(r["least"])) for r in held
        )
        return [BlockCount(pc, 1, least, n, cycles - least * n) for pc, n, cycles, least in rows]

    def button(self, held: bool) -> None:
        """Press BOOTSEL, or let it go."""
        self._ask({"do": "button", "held": held})

    def led(self) -> bool:
        """Whether the LED is on."""
        return bool(self.state()["led"])

    def plug(self, into: bool) -> None:
        """Plug USB into the host, or out of it; the chip keeps its power."""
        self._ask({"do": "usb", "action": "plug" if into else "unplug"})

    def usb_request(
        self,
        kind: int,
        request: int,
        value: int = 0,
        index: int = 0,
        length: int = 0,
        data: bytes = b"",
    ) -> Transfer:
        """A control transfer, as the fields of its SETUP packet; the chip must be running."""
        setup = [kind, request, value, index, length or len(data)]
        head, raw = self._ask({"do": "usb", "control": setup, "data": list(data)})
        return Transfer(str(head["status"]), raw)

    def messages(self) -> list[str]:
        """What the emulator said on stderr: lockups, what it does not model, USB's mistakes."""
        if self._errors is None:
            return []
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    # The channel

    def _send(self, request: dict[str, Any], data: bytes = b"") -> None:
        if self._channel is None:
            raise LinkFailure("rp2040js is not running: start it first")
        head = {**request, "bytes": len(data)} if data else request
        try:
            self._channel.settimeout(_ANSWER_SECONDS)
            self._channel.sendall(json.dumps(head).encode() + b"\n" + data)
        except OSError:
            raise self._gone() from None

    def _receive(self, timeout: float) -> tuple[dict[str, Any], bytes] | None:
        """One answer and its bytes, or None after `timeout` seconds."""
        deadline = monotonic() + timeout
        while b"\n" not in self._held:
            if not self._more(deadline):
                return None
        line, _, self._held = self._held.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        size = int(head.get("bytes", 0))
        parts = [self._held]
        have = len(self._held)
        while have < size:
            self._held = b""
            if not self._more(monotonic() + _ANSWER_SECONDS):
                raise LinkFailure("rp2040js sent only a part of its answer")
            parts.append(self._held)
            have += len(self._held)
        data = b"".join(parts)
        self._held = data[size:]
        return head, data[:size]

    def _more(self, deadline: float) -> bool:
        """Take what has arrived; False if nothing does before the deadline."""
        assert self._channel is not None
        self._channel.settimeout(max(0.001, deadline - monotonic()))
        try:
            data = self._channel.recv(1 << 20)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            raise self._gone()
        self._held += data
        return True

    def _ask(self, request: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self._send(request, data)
        answer = self._awaited(_ANSWER_SECONDS)
        if answer is None:
            raise LinkFailure(f"rp2040js does not answer to {request['do']}")
        return self._checked(answer)

    @staticmethod
    def _checked(answer: tuple[dict[str, Any], bytes]) -> tuple[dict[str, Any], bytes]:
        if not answer[0]["ok"]:
            raise LinkFailure(f"rp2040js: {answer[0]['error']}")
        return answer

    def _gone(self) -> DeviceFailure:
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                return LinkFailure("rp2040js closed its control channel")
        lines = self.messages()
        ended = LinkFailure(f"rp2040js ended: {lines[-1] if lines else 'no message'}")
        killed = self._process is not None and self._process.returncode == -SIGKILL
        ended.kind = "killed" if killed else ""
        return ended


class Rp2040jsTarget:
    """The `Target` on rp2040js. With `counting` it profiles, at a cost in speed; without
    `contention` its cores never wait for each other's banks of memory."""

    name = "rp2040js"

    def __init__(
        self,
        elf: Path,
        rom: Path,
        package: Path = node_package.FOLDER,
        counting: bool = False,
        contention: bool = True,
    ) -> None:
        self.elf = elf
        self._counting = counting
        options = [*(["--count"] if counting else []), *([] if contention else ["--no-contention"])]
        self.machine = Rp2040js(elf, rom, package, uart=False, usb=False, options=options)
        self._at_idle = False

    # The Target protocol

    def connect(self) -> None:
        """Start the chip and run from reset until the firmware is idle."""
        self.close()
        self.machine.start()
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def mailbox_address(self) -> int:
        """Where the firmware keeps its mailbox, by its symbol."""
        return self._symbols.symbol("pt_mailbox")

    def read(self, address: int, size: int) -> bytes:
        """Read memory of the stopped device."""
        return self.machine.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write memory of the stopped device, flash too."""
        self.machine.write(address, data)

    def run(self, timeout: float) -> None:
        """Let the firmware leave `pt_board_idle`, and wait until it is back with no command left.

        After a reset the device is idle again, and what it held is lost.
        """
        if not self._at_idle:
            raise LinkFailure("rp2040js's device is not idle since its last failure: connect again")
        self._at_idle = False
        fields = self._symbols.dtype("pt_mailbox").fields
        assert fields is not None
        command = self.mailbox_address() + int(fields["command"][1])
        stop = self.machine.run(timeout, [self._symbols.symbol("pt_board_halt")], command)
        if stop.why == "zero":
            self._at_idle = True
            return
        failure = self._failure(stop, timeout)
        if stop.why == "reset":
            self._boot()
        raise failure

    def profile(self) -> list[BlockCount] | None:
        """Counters of all instructions since `connect`; None without `counting`."""
        return self.machine.counts() if self._counting else None

    def calls(self) -> list[CallNode] | None:
        """None: calls are not followed."""
        return None

    def close(self) -> None:
        """End the machine."""
        self._at_idle = False
        self.machine.close()

    # More

    def _boot(self) -> None:
        idle = self._symbols.symbol("pt_board_idle")
        stop = self.machine.run(_START_SECONDS, [idle, self._symbols.symbol("pt_board_halt")])
        if stop.why == "bootsel":
            raise FlashFailure(
                "the boot ROM refuses the flash image (CRC of the second stage) and waits as a "
                f"USB drive: build {self.elf} again"
            )
        if stop.why != "stop" or stop.pc != idle:
            raise self._failure(stop, _START_SECONDS)
        self._at_idle = True

    def _failure(self, stop: Stop, timeout: float) -> DeviceFailure:
        place = place_of(self._symbols, stop.pc)
        failure: DeviceFailure
        if stop.why == "interrupted":
            failure = TimeoutFailure(f"the device was still in {place} after {timeout:g} s")
            failure.kind = "endless loop"
        elif stop.why == "reset":
            size = self._symbols.dtype("pt_fault").itemsize
            record = self.machine.read(self._symbols.symbol("pt_fault_record"), size)
            told = read_fault(record, self._symbols, stop.bitten)
            if told is None and stop.bitten:  # the start that would note it is still to come
                told = bite(place_of(self._symbols, stop.bitten))
            return told or LinkFailure("the device started anew, and left no record why")
        elif stop.why == "stop" and self._halt_reason() == "PT_HALT_IMAGE":
            return damaged_image(self.name)
        elif stop.why in ("locked", "stop"):
            failure = self._ended(stop, place)
        elif stop.why == "bootsel":
            return LinkFailure("the device went to the boot ROM's USB drive")
        else:
            return LinkFailure(f"rp2040js stopped in {place}: {stop.message or stop.why}")
        failure.operation = operation_in_work(self._symbols, self.read)
        return failure

    def _ended(self, stop: Stop, place: str) -> CrashFailure:
        """Of a core that has locked up, or a program that has halted."""
        registers = self._registers()
        what, kind = "halted", "halt"
        if stop.why == "locked":
            what, kind = f"locked up ({stop.message})", "lockup"
            if outside := out_of_stack(registers, self._symbols):
                what, kind = f"{what}, {outside},", "stack overflow"
        failure = CrashFailure(
            f"the device {what} in {place}", registers, self._symbols.symbolise(stop.pc)
        )
        failure.kind = kind
        return failure

    def _halt_reason(self) -> str:
        """enum pt_halt of firmware/boards/rp2040/halt.h; empty where it is none."""
        data = self.machine.read(self._symbols.symbol("pt_halt_reason"), 4)
        names = {int(one): one.name for one in self._symbols.enum("pt_halt")}
        return names.get(int.from_bytes(data, "little"), "")

    def _registers(self) -> dict[str, int]:
        state = self.machine.state()
        names = [*(f"r{n}" for n in range(13)), "sp", "lr", "pc"]
        return dict(zip(names, state["registers"], strict=True)) | {"xpsr": state["xpsr"]}

    @property
    def _symbols(self) -> Elf:
        return open_elf(self.elf)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> NoReturn:
    """Become the machine, with our firmware; or say why not."""
    try:
        files = {
            "--package": node_package.installed(),
            "--rom": firmware.require(firmware.RP2040_ROM),
            "--elf": firmware.require(firmware.RP2040),
        }
    except (UserError, DeviceFailure) as reason:
        sys.exit(f"picotrain: {reason}")
    named = [text for option, path in files.items() for text in (option, str(path))]
    os.execvp("node", ["node", str(_RUNNER), *named, *sys.argv[1:]])


if __name__ == "__main__":
    main()
