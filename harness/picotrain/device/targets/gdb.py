"""A client for the gdb remote serial protocol: memory, registers, breakpoints, run and stop.

Requests are pipelined: a long read or write puts many packets on the way before the first answer
comes, which is what makes a megabyte take milliseconds instead of seconds.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from picotrain.errors import LinkFailure

REGISTERS = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc")
"""The core registers of an Arm device, in the order of their numbers in the protocol."""
SP, LR, PC = 13, 14, 15

_BATCH = 64
"""Packets on the way at once. Their answers must fit in the socket while we still send."""


@dataclass(frozen=True)
class Stop:
    """Why the device stopped: the signal (2 interrupt, 5 breakpoint) and the whole stop reply."""

    signal: int
    text: str


class GdbClient:
    """One connection to a gdb stub, over a connected stream socket that it then owns."""

    def __init__(self, connection: socket.socket, timeout: float = 10.0) -> None:
        """`timeout` bounds, in seconds, the wait for any answer but a stop."""
        self._socket = connection
        self._timeout = timeout
        self._received = bytearray()
        self._acknowledge = True
        features = self._features(self._request("qSupported"))
        self._packet_size = int(features.get("PacketSize", "400"), 16)
        if self._request("QStartNoAckMode") == b"OK":
            self._acknowledge = False
        # QEMU keeps single-register access from those who have not read its register description.
        self._request("qXfer:features:read:target.xml:0,ffb")

    @staticmethod
    def _features(answer: bytes) -> dict[str, str]:
        pairs = (item.partition("=") for item in answer.decode("latin-1").split(";"))
        return {name: value for name, _, value in pairs}

    # Memory

    def read_memory(self, address: int, size: int) -> bytes:
        """Read `size` bytes of the device's memory."""
        chunk = (self._packet_size - 4) // 2
        pieces = [(at, min(chunk, size - at)) for at in range(0, size, chunk)]
        requests = (b"m%x,%x" % (address + at, count) for at, count in pieces)
        data = bytearray()
        problem = ""
        for (at, count), answer in zip(pieces, self._pipeline(requests), strict=True):
            text = answer.decode("latin-1")
            if len(text) != 2 * count:
                problem = problem or f"cannot read {count} bytes at {address + at:#010x} ({text})"
            elif not problem:
                try:
                    data += bytes.fromhex(text)
                except ValueError:
                    problem = f"the bytes read at {address + at:#010x} are not hexadecimal"
        if problem:
            raise LinkFailure(problem)
        return bytes(data)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write `data` to the device's memory."""
        chunk = (self._packet_size - 32) // 2
        view = memoryview(data)
        pieces = [(at, view[at : at + chunk]) for at in range(0, len(data), chunk)]
        requests = (
            b"M%x,%x:%s" % (address + at, len(piece), piece.hex().encode()) for at, piece in pieces
        )
        problem = ""
        for (at, piece), answer in zip(pieces, self._pipeline(requests), strict=True):
            if answer != b"OK":
                problem = problem or (
                    f"cannot write {len(piece)} bytes at {address + at:#010x} "
                    f"({answer.decode('latin-1')})"
                )
        if problem:
            raise LinkFailure(problem)

    # Registers

    def read_registers(self, numbers: Iterable[int]) -> list[int]:
        """Read 32-bit registers by their numbers in the protocol, e.g. `PC`."""
        numbers = list(numbers)
        values = []
        problem = ""
        for number, answer in zip(
            numbers, self._pipeline(b"p%x" % n for n in numbers), strict=True
        ):
            try:
                values.append(int.from_bytes(bytes.fromhex(answer.decode("latin-1")), "little"))
                if len(answer) != 8:
                    raise ValueError
            except ValueError:
                problem = problem or f"cannot read register {number} ({answer.decode('latin-1')})"
        if problem:
            raise LinkFailure(problem)
        return values

    def read_register(self, number: int) -> int:
        """Read one 32-bit register."""
        return self.read_registers([number])[0]

    def write_register(self, number: int, value: int) -> None:
        """Write one 32-bit register."""
        text = value.to_bytes(4, "little").hex().encode()
        self._expect_ok(b"P%x=%s" % (number, text), f"cannot write register {number}")

    # Breakpoints and running

    def insert_breakpoint(self, address: int) -> None:
        """Stop the device before it executes the 16-bit instruction at `address`."""
        self._expect_ok(b"Z0,%x,2" % address, f"cannot set a breakpoint at {address:#010x}")

    def remove_breakpoint(self, address: int) -> None:
        """Undo `insert_breakpoint`."""
        self._expect_ok(b"z0,%x,2" % address, f"cannot remove the breakpoint at {address:#010x}")

    def insert_watchpoint(self, address: int) -> None:
        """Stop the device behind the instruction that reads the 32-bit word at `address`."""
        self._expect_ok(b"Z3,%x,4" % address, f"cannot watch {address:#010x}")

    def resume(self) -> None:
        """Let the device run; `wait_stop` tells when it stopped."""
        self._send([b"c"])

    def step(self) -> None:
        """Let the device run one instruction, whatever breakpoint is on it; then `wait_stop`."""
        self._send([b"s"])

    def interrupt(self) -> None:
        """Ask a running device to stop; `wait_stop` tells when it did."""
        self._send_bytes(b"\x03")

    def wait_stop(self, timeout: float) -> Stop | None:
        """Wait until the running device stops; None if it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline)
            if answer is None:
                return None
            if answer[:1] in b"TS" and len(answer) >= 3:
                try:
                    return Stop(int(answer[1:3], 16), answer.decode("latin-1"))
                except ValueError:
                    pass
            if answer[:1] == b"O":  # text for the console
                continue
            text = answer.decode("latin-1")
            if answer[:1] in b"WX" and answer:
                raise LinkFailure(f"the device's program ended ({text})")
            raise LinkFailure(f"the gdb stub sent {text!r} instead of a stop reply")

    # Ending

    def detach(self) -> None:
        """Let the device run on without us, and close."""
        self._expect_ok(b"D", "the gdb stub did not let go of the device")
        self.close()

    def kill(self) -> None:
        """Tell the stub to end the device, and close; no answer is expected."""
        self._send([b"k"])
        self.close()

    def close(self) -> None:
        """Close the socket; may be called twice."""
        self._socket.close()

    # Packets

    def _request(self, text: str) -> bytes:
        return self._pipeline([text.encode()])[0]

    def _expect_ok(self, payload: bytes, problem: str) -> None:
        answer = self._pipeline([payload])[0]
        if answer != b"OK":
            raise LinkFailure(f"{problem} ({answer.decode('latin-1')})")

    def _pipeline(self, payloads: Iterable[bytes]) -> list[bytes]:
        """Send all, with a bounded number on the way; the answers in the same order."""
        queue = iter(payloads)
        answers: list[bytes] = []
        sent = 0
        exhausted = False
        while not exhausted or len(answers) < sent:
            batch = []
            # Refill by halves: the stub has work while we send, and we send few large pieces.
            if not exhausted and sent - len(answers) <= _BATCH // 2:
                for payload in queue:
                    batch.append(payload)
                    if sent - len(answers) + len(batch) >= _BATCH:
                        break
                else:
                    exhausted = True
            if batch:
                self._send(batch)
                sent += len(batch)
            if len(answers) < sent:
                answer = self._receive(time.monotonic() + self._timeout)
                if answer is None:
                    raise LinkFailure(f"the gdb stub did not answer within {self._timeout:g} s")
                answers.append(answer)
        return answers

    def _send(self, payloads: Iterable[bytes]) -> None:
        # The acknowledgement of an answer travels with the next packet: a stub that wants one
        # waits for nothing else, and a running device sees no byte that could stop it.
        lead = b"+" if self._acknowledge else b""
        self._send_bytes(
            b"".join(b"%s$%s#%02x" % (lead, payload, _checksum(payload)) for payload in payloads)
        )

    def _send_bytes(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise LinkFailure(f"cannot send to the gdb stub: {error}") from None

    def _receive(self, deadline: float) -> bytes | None:
        """The payload of the next packet, or None once `deadline` has passed."""
        searched = 0
        while True:
            end = self._received.find(b"#", searched)
            if 0 <= end <= len(self._received) - 3:
                break
            searched = len(self._received) if end < 0 else end
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return None
            try:
                self._socket.settimeout(remaining)
                received = self._socket.recv(1 << 18)
            except TimeoutError:
                return None
            except OSError as error:
                raise LinkFailure(f"cannot receive from the gdb stub: {error}") from None
            if not received:
                raise LinkFailure("the gdb stub closed the connection")
            self._received += received

        packet = bytes(self._received[: end + 3])
        del self._received[: end + 3]
        start = packet.find(b"$") + 1
        payload = packet[start:end]
        if b"-" in packet[:start]:
            raise LinkFailure("the gdb stub rejected a packet as damaged")
        if start == 0 or packet[end + 1 :] != b"%02x" % _checksum(payload):
            raise LinkFailure("a packet of the gdb stub arrived damaged")
        return _expand(payload)


def _checksum(payload: bytes) -> int:
    return int(np.frombuffer(payload, np.uint8).sum()) & 0xFF


def _expand(payload: bytes) -> bytes:
    """Undo escapes (`}` and the byte xor 0x20) and run lengths (`*` and the count plus 29)."""
    if b"}" not in payload and b"*" not in payload:
        return payload
    data = bytearray()
    rest = iter(payload)
    try:
        for byte in rest:
            if byte == ord("}"):
                data.append(next(rest) ^ 0x20)
            elif byte == ord("*"):
                data += data[-1:] * (next(rest) - 29)
            else:
                data.append(byte)
    except StopIteration:
        raise LinkFailure("a packet of the gdb stub ends in the middle of an escape") from None
    return bytes(data)
