"""The target `serial`, over TCP, with the host program as the device."""

from __future__ import annotations

import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import pytest

from link_programs import ARENA, BUILDS, listening, terminal
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.link.client import WAITS, LinkClient, Refused
from picotrain.device.link.frames import Frame, LinkFormat
from picotrain.device.link.piped import PipedDevice
from picotrain.device.link.throughput import measure_throughput
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets import serial as serial_target
from picotrain.device.targets.serial import SerialTarget, build_id
from picotrain.errors import (
    CrashFailure,
    DeviceFailure,
    FlashFailure,
    LinkFailure,
    TimeoutFailure,
)
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison, verify
from support import METHODS, images, require, shipped


@pytest.fixture
def served(host_elf: Elf) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with listening(host_elf.path) as opened:
        yield opened


@pytest.fixture
def target(host_elf: Elf, served: tuple[subprocess.Popen[bytes], str]) -> Iterator[SerialTarget]:
    opened = SerialTarget(host_elf.path, served[1])
    opened.connect()
    yield opened
    opened.close()


def test_hello_of_the_target(target: SerialTarget, host_elf: Elf) -> None:
    hello = target.hello()
    assert (hello.reset, hello.clock_hz, hello.boot_cycles) == ("power", 0, 0)
    assert hello.mailbox == target.mailbox_address()
    assert hello.build == build_id(host_elf.path)[:8] != bytes(8)
    assert target.echo(b"\0there?\xff") == b"\0there?\xff"
    assert (target.profile(), target.calls()) == (None, None)


@pytest.mark.parametrize("build", BUILDS)
def test_verify_over_the_link(build: str, reference: GoldenDevice) -> None:
    elf = require(getattr(firmware, BUILDS[build]))
    network = shipped("oddnet")
    pixels, labels = images(network, 4)
    with listening(elf) as (_, url):
        target = SerialTarget(elf, url)
        target.connect()
        device = MailboxDevice(target)
        for frozen, method in ((False, METHODS["niti-dynamic"]), (True, METHODS["priot"])):
            for one in (reference, device):
                one.load_model(network, frozen=frozen)
                one.set_method(method)
            comparison = Comparison(reference, device, network)
            report = verify(comparison, pixels, labels, 4, True, lambda _: None)
            assert report.steps == 4
        assert target.retries == 0
        device.close()


def test_a_command_is_not_asked_after_for_a_while(
    target: SerialTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = MailboxDevice(target)
    events: list[object] = []
    exchange = LinkClient.exchange

    def exchanged(client: LinkClient, kind: str, *more: Any) -> bytes:
        events.append(kind)
        return exchange(client, kind, *more)

    monkeypatch.setattr(LinkClient, "exchange", exchanged)
    monkeypatch.setattr(serial_target, "sleep", events.append)
    for silence, timeout, waited in ((0.25, 2.0, 0.25), (50.0, 2.0, 2.0)):
        target.silence = silence
        events.clear()
        device.command("RESET", timeout=timeout)
        at = events.index(waited)
        assert events[at - 1 : at + 2] == ["POKE", waited, "PEEK"]


def test_flash_of_the_target_is_padded(target: SerialTarget) -> None:
    address, _ = MailboxDevice(target).window("FLASH")
    data = bytes(range(1, 251)) * 20
    target.write(address + 256, data)
    assert target.read(address + 256, len(data) + 6) == data + b"\xff" * 6
    with pytest.raises(LinkFailure, match="pages of 256 bytes"):
        target.write(address + 100, b"x")


def test_memory_outside_the_windows(target: SerialTarget) -> None:
    with pytest.raises(Refused, match="ERR_WINDOW"):
        target.read(0, 4)
    with pytest.raises(Refused, match="ERR_READ_ONLY"):
        target.write(target.mailbox_address(), b"x")


def test_the_next_client_finds_the_device_as_it_was(target: SerialTarget) -> None:
    address, _ = MailboxDevice(target).window("MODEL")
    target.write(address, b"left here")
    target.close()
    target.close()
    with pytest.raises(LinkFailure, match="connect first"):
        target.read(address, 4)
    target.connect()
    assert target.read(address, 9) == b"left here"
    assert target.hello().reset == "power"


def test_a_client_that_leaves_in_the_middle_of_a_frame(
    host_elf: Elf, served: tuple[subprocess.Popen[bytes], str]
) -> None:
    link = LinkFormat(host_elf)
    port = int(served[1].rpartition(":")[2])
    wire = link.encode(Frame(4, 1, b"x" * 500))
    for cut in (1, 2, 100, len(wire) - 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(wire[:cut])
        target = SerialTarget(host_elf.path, served[1])
        target.connect()
        assert target.echo(b"there?") == b"there?"
        assert target.retries == 0
        target.close()


def test_restart_of_the_program(target: SerialTarget) -> None:
    device = MailboxDevice(target)
    address, _ = device.window("MODEL")
    flash, _ = device.window("FLASH")
    target.write(flash, b"kept" * 64)
    target.write(address, b"lost")
    hello = target.restart()
    assert hello is not None and hello.reset == "request"
    device = MailboxDevice(target)
    assert target.read(device.window("MODEL")[0], 4) == bytes(4)
    assert target.read(device.window("FLASH")[0], 256) == b"kept" * 64


@pytest.mark.parametrize(("how", "reset"), [("hang", "watchdog"), ("fault", "fault")])
def test_self_tests_end_in_a_reset(target: SerialTarget, how: str, reset: str) -> None:
    hello = target.restart(how)
    assert hello is not None and hello.reset == reset
    assert MailboxDevice(target).window("MODEL")[1] == ARENA


@pytest.mark.parametrize(
    ("how", "failure", "text"),
    [
        ("hang", TimeoutFailure, "the watchdog reset the device"),
        ("fault", CrashFailure, "faulted"),
        ("program", LinkFailure, r"started anew \(request\)"),
    ],
)
def test_a_device_that_restarts_underneath(
    target: SerialTarget, how: str, failure: type[DeviceFailure], text: str
) -> None:
    """Whoever waits for a command learns why it never ends, and can go on."""
    target._link().restart(how)
    with pytest.raises(failure, match=text):
        target.run(20.0)
    device = MailboxDevice(target)
    device.command("RESET")
    target._link().restart("fault")
    with pytest.raises(CrashFailure):
        target.read(target.mailbox_address(), 4)


def test_a_command_lost_in_a_restart_is_not_taken_for_done(
    target: SerialTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset between the command and the first question: the mailbox is as after power-up."""
    MailboxDevice(target).command("RESET")
    target._link().restart("program")
    target._greet(WAITS)
    with pytest.raises(LinkFailure, match=r"started anew \(request\)"):
        target.run(5.0)


def test_a_port_that_closes_and_comes_back(host_elf: Elf) -> None:
    with listening(host_elf.path) as (process, url):
        port = int(url.rpartition(":")[2])
        target = SerialTarget(host_elf.path, url)
        target.connect()
        process.kill()
        process.wait()
        with listening(host_elf.path, port):
            with pytest.raises(LinkFailure, match=r"started anew \(power\)"):
                target.read(target.mailbox_address(), 4)
            assert MailboxDevice(target).command("INFO")["error"] == 0
            target.close()


def test_an_emulator_that_has_ended(host_elf: Elf, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(host_elf.path) as (process, url):
        target = SerialTarget(host_elf.path, url)
        target.connect()
        process.kill()
        process.wait()
        start = monotonic()
        with pytest.raises(LinkFailure, match=f"{url} is gone .*does the emulator still run"):
            target.read(target.mailbox_address(), 4)
        assert 2.0 <= monotonic() - start < 6.0
        told = f"serial:{url}: waiting up to 2 s for the device to come back\n"
        assert capsys.readouterr().err == told
        with pytest.raises(LinkFailure, match="connect first"):
            target.hello()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


class Relay:
    """A port before a device that notices nothing of its clients: a new one takes the old's place.

    `cut` takes the port from a client, as a cable does; `deaf` keeps what clients send.
    """

    def __init__(self, device_url: str) -> None:
        self.deaf = False
        self._device = socket.create_connection(("127.0.0.1", port_of(device_url)))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None
        self._cut, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def cut(self) -> None:
        self._cut.set()
        while self._cut.is_set():
            sleep(0.01)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._leave()
        self._listener.close()
        self._device.close()

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def _serve(self) -> None:
        while not self._ended.is_set():
            if self._cut.is_set():
                self._leave()
                self._cut.clear()
            ports = [self._listener, self._device, *([self._client] if self._client else [])]
            ready = select.select(ports, [], [], 0.02)[0]
            with suppress(ConnectionError):
                if self._client in ready:
                    self._forward_request()
                if self._device in ready:
                    data = self._device.recv(4096)
                    if self._client is not None:
                        self._client.sendall(data)
            if self._listener in ready:
                self._leave()
                self._client = self._listener.accept()[0]

    def _forward_request(self) -> None:
        assert self._client is not None
        data = self._client.recv(4096)
        if not data:
            self._leave()
        elif not self.deaf:
            self._device.sendall(data)


@pytest.fixture
def relay(served: tuple[subprocess.Popen[bytes], str]) -> Iterator[Relay]:
    opened = Relay(served[1])
    yield opened
    opened.close()


def test_two_programs_at_one_port(
    host_elf: Elf, relay: Relay, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last reset was the watchdog's, but that is not why the port went away."""
    first, second = (SerialTarget(host_elf.path, relay.url) for _ in range(2))
    first.connect()
    hello = first.restart("hang")
    assert hello is not None and hello.reset == "watchdog"
    address, _ = MailboxDevice(first).window("MODEL")
    first.write(address, b"kept")
    second.connect()
    for loser in (first, second):
        with pytest.raises(LinkFailure, match="did not start anew: a loose cable, or another prog"):
            loser.read(address, 4)
        assert loser.read(address, 4) == b"kept"  # it has the port again
    assert capsys.readouterr().err == ""  # nobody waited
    first.close()
    second.close()


def test_a_loose_cable_while_a_command_runs(host_elf: Elf, relay: Relay) -> None:
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    assert MailboxDevice(target).command("RESET")["error"] == 0
    relay.cut()
    with pytest.raises(LinkFailure, match="did not start anew"):
        target.run(5.0)
    target.run(5.0)
    target.close()


@pytest.mark.parametrize(
    ("how", "failure", "text"),
    [
        ("hang", TimeoutFailure, "the watchdog reset the device"),
        ("fault", CrashFailure, "faulted"),
        ("program", LinkFailure, r"started anew \(request\)"),
    ],
)
def test_a_device_that_restarts_while_its_port_is_away(
    host_elf: Elf, relay: Relay, how: str, failure: type[DeviceFailure], text: str
) -> None:
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    target._link().restart(how)
    relay.cut()
    with pytest.raises(failure, match=text):
        target.read(target.mailbox_address(), 4)
    assert MailboxDevice(target).command("INFO")["error"] == 0
    target.close()


def test_another_process_that_another_host_has_greeted(host_elf: Elf, relay: Relay) -> None:
    """It refuses an address that was right in the process before."""
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    target._hello = replace(target._known(), mailbox=16)
    relay.cut()
    with pytest.raises(LinkFailure, match=r"started anew \(power\)"):
        target.read(0, 4)
    target.close()


def test_a_port_that_comes_back_silent(
    host_elf: Elf,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serial_target, "WAITS", (0.05, 0.05))
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 0.5)
    target = SerialTarget(host_elf.path, relay.url)
    target.connect()
    relay.deaf = True
    relay.cut()
    with pytest.raises(LinkFailure, match=r"did not come back within 0\.5 s: nobody answers"):
        target.read(target.mailbox_address(), 4)
    assert capsys.readouterr().err.count("waiting up to 0.5 s for the device to come back\n") == 1
    with pytest.raises(LinkFailure, match="connect first"):
        target.hello()


def test_an_emulator_with_another_build(served: tuple[subprocess.Popen[bytes], str]) -> None:
    other = require(firmware.HOST_TUNED)
    text = r"another build \([0-9a-f]{16}\).*: start the emulator again with the new image$"
    with pytest.raises(FlashFailure, match=text):
        SerialTarget(other, served[1]).connect()


def test_a_device_with_another_build(host_elf: Elf) -> None:
    other = require(firmware.HOST_TUNED)
    with (
        PipedDevice(host_elf.path, ARENA) as device,
        terminal(device.exchange) as path,
        pytest.raises(FlashFailure, match=r"another build \([0-9a-f]{16}\).*make hw-flash"),
    ):
        SerialTarget(other, path).connect()


def test_throughput(target: SerialTarget) -> None:
    found = measure_throughput(target, 20_000)
    assert found.size == 20_000
    assert min(found.peek_bytes_per_second, found.poke_bytes_per_second) > 1000
    assert 0 < found.echo_seconds < 1
    assert "20,000 bytes each way" in found.text()
    with pytest.raises(LinkFailure, match="do not fit"):
        measure_throughput(target, ARENA + 1)
