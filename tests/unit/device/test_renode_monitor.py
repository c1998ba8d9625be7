"""The client of Renode's monitor, against a server that talks as Renode 1.16.1 does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from picotrain.device.targets.renode_monitor import RenodeMonitor, Telnet
from picotrain.errors import LinkFailure

GREETING = (
    b"\xff\xfd\x00\xff\xfb\x01\xff\xfb\x03\xff\xfc\x22Renode, version 1.16.1\n\r\n\r(monitor) "
)

Answer = Callable[[str], list[bytes]]
Connect = Callable[..., socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Start a server that answers a line with pieces of bytes, and closes after an empty piece."""
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(end: socket.socket, greeting: bytes, answer: Answer) -> None:
        try:
            end.sendall(greeting)
            with end.makefile("r", newline="\n") as lines:
                for line in lines:
                    for piece in answer(line.rstrip("\n")):
                        if not piece:
                            end.shutdown(socket.SHUT_RDWR)
                            return
                        end.sendall(piece)
        except OSError:
            pass

    def start(answer: Answer, greeting: bytes = GREETING) -> socket.socket:
        ours, theirs = socket.socketpair()
        ends.extend((ours, theirs))
        threads.append(threading.Thread(target=serve, args=(theirs, greeting, answer)))
        threads[-1].start()
        return ours

    yield start
    for end in ends:
        end.close()
    for thread in threads:
        thread.join(5)


def echo(text: str, prompt: str = "(rp2040) ") -> Answer:
    return lambda line: [line.encode() + b"\n\r" + text.encode() + prompt.encode()]


def test_returns_what_is_printed(connect: Connect) -> None:
    monitor = RenodeMonitor(connect(echo("0x10002A2C\r\r\n")))
    assert monitor.command("sysbus.cpu PC") == "0x10002A2C"
    assert monitor.number("sysbus.cpu PC") == 0x10002A2C
    monitor.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_however_the_stream_is_cut(connect: Connect, size: int) -> None:
    text = b"echo x\n\rone (two) three\r\r\n\xff\xfd\x00 (not) a prompt\r\n(my machine) "
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    monitor = RenodeMonitor(connect(lambda _: pieces))
    assert monitor.command("echo x") == "one (two) three\r\r\n (not) a prompt"


def test_the_prompt_in_the_line_itself_ends_nothing(connect: Connect) -> None:
    line = 'mach create "x"; echo "(x) "'
    monitor = RenodeMonitor(connect(echo("(x) \r\r\n")))
    assert monitor.command(line) == "(x)"


def test_commands_that_print_nothing(connect: Connect) -> None:
    monitor = RenodeMonitor(connect(echo("", "(x y) ")))
    assert monitor.command("start") == ""
    with pytest.raises(LinkFailure, match="answers 'start' with '', not a number"):
        monitor.number("start")


@pytest.mark.parametrize(
    "text",
    [
        "No such command or device: bogus\r\n",
        "\r\nThere was an error executing command 'x'\r\nParameters did not match\r\n",
        "Errors during compilation or loading:\r\nfile.cs(1,1): error CS1002\r\n",
    ],
)
def test_errors_are_told(connect: Connect, text: str) -> None:
    monitor = RenodeMonitor(connect(echo(text)))
    with pytest.raises(LinkFailure, match="Renode refuses 'x': "):
        monitor.command("x")


def test_no_greeting(connect: Connect) -> None:
    with pytest.raises(LinkFailure, match=r"no prompt at all within 0\.2 s"):
        RenodeMonitor(connect(echo(""), b"\xff\xfd\x00"), 0.2)


def test_no_answer(connect: Connect) -> None:
    monitor = RenodeMonitor(connect(lambda line: [line.encode() + b"\n\r(half"]))
    with pytest.raises(LinkFailure, match=r"no prompt after 'pause' within 0\.2 s"):
        monitor.command("pause", 0.2)


def test_it_ends_while_we_wait_and_before(connect: Connect) -> None:
    monitor = RenodeMonitor(connect(lambda _: [b"quit\n\r", b""]))
    with pytest.raises(LinkFailure, match="closed the connection"):
        monitor.command("quit")
    with pytest.raises(LinkFailure, match=r"is gone|closed"):
        monitor.command("start")
    monitor.close()


def test_one_line_at_a_time(connect: Connect) -> None:
    monitor = RenodeMonitor(connect(echo("")))
    with pytest.raises(ValueError, match="one line"):
        monitor.command("start\nquit")


def test_telnet_bytes() -> None:
    stream = b"a\xff\xfd\x00b\xff\xffc\xff\xfa\x18\x00\xff\xf0d\xff\xf1e"
    for size in range(1, len(stream) + 1):
        telnet = Telnet()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(map(telnet.text, pieces)) == b"ab\xffcde"
