"""The target `serial` on ports that are not as they should be."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
import serial

from link_programs import ARENA, terminal
from picotrain.device.link.piped import PipedDevice
from picotrain.device.link.port import SerialPort
from picotrain.device.link.throughput import measure_throughput
from picotrain.device.targets import serial as serial_target
from picotrain.device.targets.fault import read_fault
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import CrashFailure, LinkFailure, UserError
from picotrain.image.elf import Elf

# The target, on ports that are not as they should be


def test_a_serial_device(host_elf: Elf) -> None:
    with PipedDevice(host_elf.path, ARENA) as device, terminal(device.exchange) as path:
        target = SerialTarget(host_elf.path, path, 115200)
        target.connect()
        assert target.name == f"serial:{path}"
        assert measure_throughput(target, 10_000).size == 10_000
        with pytest.raises(UserError, match="used by another program"):
            SerialTarget(host_elf.path, path).connect()
        target.close()


def test_a_device_that_is_unplugged(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 0.5)
    with PipedDevice(host_elf.path, ARENA) as device:
        with terminal(device.exchange) as path:
            target = SerialTarget(host_elf.path, path)
            target.connect()
        with pytest.raises(LinkFailure, match=f"{path} is gone .*is it still plugged in"):
            target.read(target.mailbox_address(), 4)
    told = f"serial:{path}: waiting up to 0.5 s for the device to come back\n"
    assert capsys.readouterr().err == told


def test_a_silent_port(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda _: b"") as path,
        pytest.raises(LinkFailure, match=r"nobody answers at .*baud rate \(9600\)"),
    ):
        SerialTarget(host_elf.path, path, 9600).connect()


@pytest.mark.parametrize("noise", [b"login: ", b"\0", b"\0\1\2\3\0"])
def test_a_port_with_something_else(
    host_elf: Elf, monkeypatch: pytest.MonkeyPatch, noise: bytes
) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda _: noise) as path,
        pytest.raises(LinkFailure, match="is no picotrain device"),
    ):
        SerialTarget(host_elf.path, path).connect()


def test_a_port_that_sends_everything_back(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    with (
        terminal(lambda data: data) as path,
        pytest.raises(LinkFailure, match="is no picotrain device"),
    ):
        SerialTarget(host_elf.path, path).connect()


@contextmanager
def stranger_at_socket(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP port with something else behind it, for one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with listener.accept()[0] as client, suppress(OSError):
                client.settimeout(10.0)
                serve(client)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def flood(client: socket.socket) -> None:
    """More than anyone can read, for at most 10 s."""
    end = monotonic() + 10.0
    while monotonic() < end:
        client.sendall(b"x" * (1 << 16))


def mirror(client: socket.socket) -> None:
    while data := client.recv(4096):
        client.sendall(data)


def swallow(client: socket.socket) -> None:
    while client.recv(4096):
        pass


@pytest.mark.parametrize(
    ("serve", "text"),
    [
        (flood, r"is no picotrain device \([0-9]+ bytes"),
        (mirror, r"is no picotrain device \([0-9]+ bytes"),
        (swallow, "nobody answers at socket://.*emulator"),
    ],
)
def test_a_socket_with_something_else(
    host_elf: Elf,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[[socket.socket], None],
    text: str,
) -> None:
    """It has no baud rate that could be wrong, and is given up in time, whatever it sends."""
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    start = monotonic()
    with stranger_at_socket(serve) as url:
        with pytest.raises(LinkFailure, match=text) as info:
            SerialTarget(host_elf.path, url).connect()
        assert monotonic() - start < 4.0
    assert "baud" not in str(info.value)


class Endless:
    """A port of pyserial's on which bytes never end."""

    in_waiting = 4096

    def open(self) -> None:
        self.reset_input_buffer()

    def reset_input_buffer(self) -> None:
        pytest.fail("pyserial's reads a socket on and on")

    def read(self, size: int) -> bytes:
        return b"x" * min(size, self.in_waiting)


def test_a_flood_is_discarded_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "serial_for_url", lambda *_, **__: Endless())
    port = SerialPort("socket://127.0.0.1:4000", 921600)
    start = monotonic()
    port.discard()
    assert 0.1 < monotonic() - start < 1.0


def test_what_was_there_before_is_discarded() -> None:
    def greet(client: socket.socket) -> None:
        client.sendall(b"x" * 1000)
        client.recv(1)

    with stranger_at_socket(greet) as url:
        port = SerialPort(url, 921600)
        assert port.read(5.0)[:1] == b"x"
        sleep(0.05)
        port.discard()
        assert port.read(0.05) == b""
        port.close()


@pytest.mark.parametrize(
    ("url", "failure", "text"),
    [
        ("/dev/ttyNOWHERE7", UserError, "there is no serial port /dev/ttyNOWHERE7: .*picotrain po"),
        ("socket://127.0.0.1:1", LinkFailure, "nobody listens at socket://127.0.0.1:1"),
        ("SOCKET://127.0.0.1:1", LinkFailure, "nobody listens at SOCKET://127.0.0.1:1"),
        ("rfc2217://127.0.0.1:1", LinkFailure, "nobody listens at rfc2217://127.0.0.1:1"),
        ("nonsense://x", UserError, "'nonsense://x' is no serial port"),
        ("hwgrep://no-such-name", UserError, "is no serial port.*no ports found"),
        ("socket://nowhere", UserError, "socket://nowhere names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1:", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://[::1]", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://", UserError, "names no port: socket://HOST:PORT$"),
        ("socket://127.0.0.1:99999", UserError, r"port 99999 is not in 1\.\.65535$"),
        ("socket://127.0.0.1:0", UserError, r"port 0 is not in 1\.\.65535$"),
        ("socket://[::1]:x", UserError, r"port x is not in 1\.\.65535$"),
        ("/dev/null", UserError, "/dev/null is no serial port; `picotrain ports` lists them$"),
        (__file__, UserError, "is no serial port; `picotrain ports` lists them$"),
        (str(Path(__file__).parent), UserError, "is no serial port; `picotrain ports` lists them$"),
        ("", UserError, "'' names no serial port: name one, `picotrain ports` lists them$"),
        ("auto", UserError, "'auto' names no serial port: name one, `picotrain ports` lists them$"),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else None,
)
def test_ports_that_cannot_be_opened(
    host_elf: Elf, url: str, failure: type[Exception], text: str
) -> None:
    with pytest.raises(failure, match=text):
        SerialTarget(host_elf.path, url).connect()


def test_a_host_that_is_not_there(host_elf: Elf, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"^socket://nowhere:4000: no such host \(Name or serv"):
        SerialTarget(host_elf.path, "socket://nowhere:4000").connect()


# Faults, which a host process keeps no record of


def test_a_fault_record_becomes_a_crash(microbit_elf: Elf) -> None:
    record = np.zeros(1, microbit_elf.dtype("pt_fault"))
    assert read_fault(record.tobytes(), microbit_elf) is None
    assert read_fault(b"", microbit_elf) is None
    record["magic"] = microbit_elf.enum("pt_fault_format")["PT_FAULT_MAGIC"]
    record["stacked"] = [*range(100, 104), 112, 0, 0, 0x01000000]
    record["stacked"][0][6] = microbit_elf.symbol("pt_app_serve") + 8
    record["stacked"][0][5] = microbit_elf.symbol("pt_app_start") + 1
    record["high"] = range(104, 112)
    record["sp"] = 0x20041FF0
    record["exception"], record["code"], record["operation"] = 3, 0xDE00, 7
    assert read_fault(record.tobytes(), microbit_elf) is None  # magic alone is chance
    record["check"] = zlib.crc32(record.tobytes()[:-4])
    crash = read_fault(record.tobytes(), microbit_elf)
    assert isinstance(crash, CrashFailure)
    assert (crash.kind, crash.operation) == ("undefined instruction", 7)
    assert crash.place == "pt_app_serve+0x8"
    assert "lr in pt_app_start+0x0, sp 0x20041ff0" in str(crash)
    for number in (*range(8), 8, 9, 10, 11, 12):
        assert crash.registers[f"r{number}"] == 100 + number
