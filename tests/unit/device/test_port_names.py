"""Names that lead to no serial port, or to one that may not be opened: one sentence each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from picotrain.device import backends
from picotrain.device.link import ports
from picotrain.device.link.port import SerialPort
from picotrain.device.link.ports import Port
from picotrain.device.targets.serial import SerialTarget
from picotrain.errors import UserError
from picotrain.image import firmware

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may open everything."""
    if os.geteuid() != 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def refusal(name: str) -> str:
    with pytest.raises(UserError) as error:
        SerialPort(name, 115200)
    return str(error.value)


def test_names_that_lead_to_no_port(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    file = tmp_path / "file"
    file.write_text("")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    listed = "`picotrain ports` lists them"
    assert refusal(str(loop)) == (
        f"{loop} leads to no serial port (Too many levels of symbolic links); {listed}"
    )
    assert refusal(f"{file}/x") == f"{file}/x leads to no serial port (Not a directory); {listed}"
    long = "/dev/" + 300 * "x"
    assert refusal(long) == (
        f"{long[:80]}... leads to no serial port (File name too long); {listed}"
    )
    assert refusal("tty\0") == (f"'tty\\x00' names no serial port: a name has no NUL; {listed}")
    for other in (file, fifo, tmp_path):
        assert refusal(str(other)) == f"{other} is no serial port; {listed}"


def test_ports_that_may_not_be_opened() -> None:
    """In a folder that is closed, of a group, and of nobody else at all."""
    ends = os.openpty()
    port = Path(os.ttyname(ends[1]))
    mode = stat.S_IMODE(port.stat().st_mode)
    group = port.stat().st_gid
    try:
        # Not in pytest's own folder, whose folders nobody else may enter.
        os.chown(port, -1, 20)
        port.chmod(0o660)
        with as_nobody():
            assert refusal(str(port)) == (
                f"no permission to open {port}: add yourself to the group {port.group()} "
                f"(`sudo usermod -aG {port.group()} $USER`) and log in again"
            )
        port.chmod(0o600)
        with as_nobody():
            assert refusal(str(port)) == (
                f"no permission to open {port}: the udev rule of docs/hardware.md gives it"
            )
    except PermissionError:
        pytest.skip("only root can give a port to another group")
    finally:
        port.chmod(mode)
        os.chown(port, -1, group)
        for end in ends:
            os.close(end)


def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "ttyACM0").symlink_to("/dev/null")
    if os.geteuid() != 0:
        closed.chmod(0)
    try:
        with as_nobody():
            name = f"{closed}/ttyACM0"
            assert refusal(name) == (
                f"the folder of {name} is closed to you: name the port by a path that is open"
            )
    finally:
        closed.chmod(0o700)


# serial:auto


OURS = Port("/dev/ttyACM7", "picotrain", "picotrain", "E66001")
OTHER = Port("/dev/ttyACM8", "picotrain", "picotrain", "E66002")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            [],
            "no picotrain device is plugged in: plug in a Pico that runs picotrain (`make "
            "hw-flash` puts it there), or name its serial adapter with --target serial:PORT",
        ),
        (
            [OURS, OTHER],
            "several devices are plugged in: /dev/ttyACM7 (E66001), /dev/ttyACM8 (E66002); choose "
            "one with --target serial:/dev/ttyACM7",
        ),
    ],
)
def test_serial_auto_says_why_it_cannot_choose(
    monkeypatch: pytest.MonkeyPatch, found: list[Port], sentence: str
) -> None:
    monkeypatch.setattr(ports, "find_ports", lambda: found)
    monkeypatch.setattr(firmware, "require", lambda path: path)
    with pytest.raises(UserError) as error:
        backends.open_target("serial:auto")
    assert str(error.value) == sentence


def test_serial_auto_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "find_ports", lambda: [OURS, Port("/dev/ttyUSB0", "other")])
    monkeypatch.setattr(firmware, "require", lambda path: path)
    target = backends.open_target("serial:auto")
    assert isinstance(target, SerialTarget)
    assert target.name == "serial:/dev/ttyACM7"
    assert backends.backend_of("serial:auto") == "serial"
