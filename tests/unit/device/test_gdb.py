"""The gdb client against a stub that plays a script, or a memory, over a socket pair."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from picotrain.device.targets.gdb import PC, GdbClient, Stop
from picotrain.errors import LinkFailure

Answer = Callable[[bytes], bytes | None]


def frame(payload: bytes) -> bytes:
    return b"$%s#%02x" % (payload, sum(payload) & 0xFF)


class Stub(threading.Thread):
    """Answers each packet by `answer`; None means no answer. Checks every checksum it receives."""

    def __init__(self, connection: socket.socket, answer: Answer, no_ack: bool) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.answer = answer
        self.no_ack = no_ack
        self.requests: list[bytes] = []
        self.acknowledged = 0
        self.interrupts = 0
        self.damaged = 0

    def run(self) -> None:
        buffer = b""
        while True:
            try:
                received = self.connection.recv(4096)
            except OSError:
                return
            if not received:
                return
            buffer += received
            while buffer:
                if buffer[:1] == b"+":
                    self.acknowledged += 1
                    buffer = buffer[1:]
                elif buffer[:1] == b"\x03":
                    self.interrupts += 1
                    self.connection.sendall(frame(b"T02thread:01;"))
                    buffer = buffer[1:]
                else:
                    end = buffer.find(b"#")
                    if end < 0 or len(buffer) < end + 3:
                        break
                    self.serve(buffer[1:end], buffer[: end + 3])
                    buffer = buffer[end + 3 :]

    def serve(self, payload: bytes, whole: bytes) -> None:
        self.damaged += whole != frame(payload)
        if payload == b"qSupported":
            reply: bytes | None = b"PacketSize=40;QStartNoAckMode+"
        elif payload == b"QStartNoAckMode":
            reply = b"OK" if self.no_ack else b""
        elif payload.startswith(b"qXfer"):
            reply = b""
        else:
            self.requests.append(payload)
            reply = self.answer(payload)
        if reply is not None:
            acknowledgement = b"" if self.no_ack else b"+"
            raw = reply[1:] if reply[:1] == b"\0" else frame(reply)
            self.connection.sendall(acknowledgement + raw)


class Bench:
    """Makes connected pairs of client and stub, and closes them."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def connect(
        self, answer: Answer, no_ack: bool = True, timeout: float = 2.0
    ) -> tuple[GdbClient, Stub]:
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        stub = Stub(theirs, answer, no_ack)
        stub.start()
        return GdbClient(ours, timeout), stub


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for connection in bench.sockets:
        connection.close()


def memory(content: bytearray) -> Answer:
    """A stub's m and M on one memory at address 0; E14 outside."""

    def answer(request: bytes) -> bytes:
        kind, rest = request[:1], request[1:]
        where, _, data = rest.partition(b":")
        address, size = (int(number, 16) for number in where.split(b","))
        if address + size > len(content):
            return b"E14"
        if kind == b"m":
            return bytes(content[address : address + size]).hex().encode()
        content[address : address + size] = bytes.fromhex(data.decode())
        return b"OK"

    return answer


@pytest.mark.parametrize("no_ack", [True, False])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 10_000])
def test_memory_round_trip(bench: Bench, no_ack: bool, size: int) -> None:
    content = bytearray(12_000)
    client, stub = bench.connect(memory(content), no_ack)
    data = bytes(n * 7 & 0xFF for n in range(size))
    client.write_memory(1000, data)
    assert content[1000 : 1000 + size] == data
    assert client.read_memory(1000, size) == data
    assert content[:1000] == bytes(1000)
    assert not any(content[1000 + size :])
    assert stub.damaged == 0
    assert all(len(request) + 4 <= 0x40 for request in stub.requests)
    assert no_ack == (stub.acknowledged <= 2)


def test_errors_of_memory_name_the_place_and_leave_the_link_usable(bench: Bench) -> None:
    client, _ = bench.connect(memory(bytearray(100)))
    with pytest.raises(LinkFailure, match=r"cannot write .* at 0x0000005a \(E14\)"):
        client.write_memory(90, bytes(16))
    with pytest.raises(LinkFailure, match=r"cannot read .* \(E14\)"):
        client.read_memory(0, 1000)
    assert client.read_memory(0, 100) == bytes(100)


def test_hexadecimal_is_checked(bench: Bench) -> None:
    client, _ = bench.connect(lambda _: b"zz")
    with pytest.raises(LinkFailure, match="not hexadecimal"):
        client.read_memory(0x20000000, 1)


def test_registers(bench: Bench) -> None:
    values = {15: b"78563412", 0: b"01000000"}

    def answer(request: bytes) -> bytes:
        if request[:1] == b"p":
            return values.get(int(request[1:], 16), b"E14")
        number, _, value = request[1:].partition(b"=")
        values[int(number, 16)] = value
        return b"OK"

    client, stub = bench.connect(answer)
    assert client.read_register(PC) == 0x12345678
    assert client.read_registers([0, 15]) == [1, 0x12345678]
    client.write_register(PC, 0x20000402)
    assert stub.requests[-1] == b"Pf=02040020"
    assert client.read_register(PC) == 0x20000402
    with pytest.raises(LinkFailure, match=r"cannot read register 3 \(E14\)"):
        client.read_registers([0, 3, 15])


def test_breakpoints(bench: Bench) -> None:
    client, stub = bench.connect(lambda request: b"E22" if b",999" in request else b"OK")
    client.insert_breakpoint(0x400)
    client.remove_breakpoint(0x400)
    assert stub.requests == [b"Z0,400,2", b"z0,400,2"]
    with pytest.raises(LinkFailure, match="cannot set a breakpoint at 0x00000999"):
        client.insert_breakpoint(0x999)


def test_run_and_stop(bench: Bench) -> None:
    client, _ = bench.connect(lambda _: b"T05thread:01;")
    client.resume()
    assert client.wait_stop(2.0) == Stop(5, "T05thread:01;")


def test_console_output_is_not_a_stop(bench: Bench) -> None:
    client, _ = bench.connect(lambda _: b"\0" + frame(b"O6869") + frame(b"S05"))
    client.resume()
    assert client.wait_stop(2.0) == Stop(5, "S05")


def test_interrupt_after_a_timeout(bench: Bench) -> None:
    client, stub = bench.connect(lambda _: None)
    client.resume()
    began = time.monotonic()
    assert client.wait_stop(0.05) is None
    assert 0.04 < time.monotonic() - began < 1.0
    client.interrupt()
    stop = client.wait_stop(2.0)
    assert stop is not None
    assert stop.signal == 2
    assert stub.interrupts == 1


@pytest.mark.parametrize("text", [b"W00", b"X09", b"E01", b"", b"Tzz"])
def test_strange_stops_are_failures(bench: Bench, text: bytes) -> None:
    client, _ = bench.connect(lambda _: text)
    client.resume()
    with pytest.raises(LinkFailure):
        client.wait_stop(2.0)


def test_silence_is_a_failure(bench: Bench) -> None:
    client, _ = bench.connect(lambda _: None, timeout=0.1)
    with pytest.raises(LinkFailure, match=r"did not answer within 0\.1 s"):
        client.read_register(PC)


def test_end_of_the_stub_is_a_failure(bench: Bench) -> None:
    client, stub = bench.connect(lambda _: None)
    stub.connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(LinkFailure):
        client.read_register(PC)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\0$00000000#81", "damaged"),
        (b"\0garbage#00", "damaged"),
        (b"\0-" + frame(b"00000000"), "rejected"),
        (frame(b"}"), "middle of an escape"),
    ],
)
def test_damage_is_a_failure(bench: Bench, raw: bytes, message: str) -> None:
    reply = raw if raw[:1] == b"\0" else b"\0" + raw
    client, _ = bench.connect(lambda _: reply)
    with pytest.raises(LinkFailure, match=message):
        client.read_register(PC)


def test_packets_arrive_in_pieces(bench: Bench) -> None:
    client, stub = bench.connect(lambda _: None)

    def drip() -> None:
        while not stub.requests:
            time.sleep(0.001)
        for byte in frame(b"78563412"):
            stub.connection.sendall(bytes([byte]))
            time.sleep(0.001)

    thread = threading.Thread(target=drip)
    thread.start()
    assert client.read_register(PC) == 0x12345678
    thread.join()


def test_run_lengths_and_escapes(bench: Bench) -> None:
    # "0" and 7 more; '*' is a run of the byte before it, '}' an escape for '#', '$', '}' and '*'.
    client, _ = bench.connect(lambda _: b"0*$")
    assert client.read_register(PC) == 0
    client, _ = bench.connect(lambda _: b"T05x:}\x03}\x0a;")
    client.resume()
    assert client.wait_stop(2.0) == Stop(5, "T05x:#*;")


def test_detach_and_kill(bench: Bench) -> None:
    client, stub = bench.connect(lambda _: b"OK")
    client.detach()
    assert stub.requests == [b"D"]
    client.close()
    client, stub = bench.connect(lambda _: None)
    client.kill()
    stub.join(2.0)
    assert stub.requests == [b"k"]
