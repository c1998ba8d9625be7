"""A serial port, or what pyserial's URLs make of one, as a stream of the link."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import serial

from picotrain.errors import LinkFailure, UserError

_WRITE_SECONDS = 5.0
_MOST = 1 << 16
_DISCARD_SECONDS = 0.2
_MOST_PORT = 0xFFFF
_MOST_SHOWN = 80
_LISTED = "`picotrain ports` lists them"

# What opening and using a port raises, apart from OSError, of which SerialException is one: a
# handle that another thread or an unplugged adapter took away shows as the other two.
_PROBLEMS = (OSError, TypeError, ValueError)


class PortLost(LinkFailure):
    """The port was there and is gone: unplugged, or the device at its end started anew."""


class SerialPort:
    """An open port; a `picotrain.device.link.client.Stream`."""

    def __init__(self, url: str, baud: int) -> None:
        """Open `url`, e.g. /dev/ttyACM0 or socket://127.0.0.1:4000.

        Raises UserError where there is no such port or it may not be opened, LinkFailure where
        nothing is at the other end.
        """
        _check_name(url)
        self.url = url
        try:
            self._port: Any = serial.serial_for_url(
                url,
                baudrate=baud,
                timeout=0,
                write_timeout=_WRITE_SECONDS,
                exclusive=True,
                do_not_open=True,
            )
            if is_socket(url):
                # open() calls it; pyserial's reads until nothing comes, which may be never.
                self._port.reset_input_buffer = lambda: None
            self._port.open()
        except (*_PROBLEMS, AttributeError, ImportError) as error:
            raise explain(url, baud, error) from None
        self._selectable = _selectable(self._port)

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises PortLost."""
        try:
            self._port.write(data)
        except _PROBLEMS as error:
            raise self._lost(error) from None

    def read(self, seconds: float) -> bytes:
        """What has arrived; waits for it up to `seconds`. Raises PortLost."""
        try:
            if self._selectable:
                if not select.select([self._port], [], [], seconds)[0]:
                    return b""
                return bytes(self._port.read(_MOST))
            self._port.timeout = seconds
            data = bytes(self._port.read(1))
            return data + bytes(self._port.read(self._port.in_waiting)) if data else data
        except _PROBLEMS as error:
            raise self._lost(error) from None

    def discard(self) -> None:
        """Forget what has arrived and was not read, for at most 0.2 s. Raises PortLost."""
        deadline = monotonic() + _DISCARD_SECONDS
        while self.read(0.0) and monotonic() < deadline:
            pass

    def close(self) -> None:
        """Give the port back; may be called twice."""
        with suppress(*_PROBLEMS):  # it may be gone already
            self._port.close()

    def _lost(self, error: Exception) -> PortLost:
        there = "does the emulator still run?" if is_socket(self.url) else "is it still plugged in?"
        return PortLost(f"{self.url} is gone ({error}): {there}")


def is_socket(url: str) -> bool:
    """Whether `url` leads to a TCP port, where emulators are; nothing about it depends on bauds."""
    return url.lower().startswith("socket://")


def _selectable(port: Any) -> bool:
    """Whether `select` tells when bytes arrive: on Linux and macOS, of devices and sockets."""
    try:
        select.select([port], [], [], 0)
    except (OSError, TypeError, ValueError, AttributeError):
        return False
    return True


def _check_name(url: str) -> None:
    """Raises UserError for names of which pyserial makes something else."""
    if url in ("", "auto"):
        raise UserError(f"{url!r} names no serial port: name one, {_LISTED}")
    if "\0" in url:
        raise UserError(f"{url!r} names no serial port: a name has no NUL; {_LISTED}")
    if not is_socket(url):
        return
    # The host may be an IPv6 address: [::1].
    found = re.match(r"[^:]*://(?:\[[^]]*\]|[^:/?#]*)(?::([^/?#]*))?", url)
    port = found and found[1]
    if not port:
        raise UserError(f"{url} names no port: socket://HOST:PORT")
    if not (port.isdecimal() and 1 <= int(port) <= _MOST_PORT):
        raise UserError(f"{url}: port {port} is not in 1..{_MOST_PORT}")


def explain(url: str, baud: int, error: Exception) -> Exception:
    """What opening `url` failed of: UserError, or LinkFailure where nothing is at the other end."""
    # pyserial puts some errors of the system into a text of its own.
    cause = error if _number(error) else error.__context__
    if isinstance(cause, socket.gaierror):
        return UserError(f"{url}: no such host ({cause.strerror})")
    number = _number(cause)
    if number in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return UserError(
            f"{_short(url)} leads to no serial port ({os.strerror(number)}); {_LISTED}"
        )
    if number == errno.ENOENT:
        return UserError(
            f"there is no serial port {url}: plug the device in, and see which port appears "
            "(`picotrain ports`)"
        )
    if number in (errno.ENOTTY, errno.EISDIR):
        return UserError(f"{url} is no serial port; {_LISTED}")
    if number in (errno.EACCES, errno.EPERM):
        return UserError(_forbidden(url))
    if number in (errno.EBUSY, errno.EAGAIN):
        return UserError(f"{url} is used by another program: close it first")
    if number in (errno.ENXIO, errno.ENODEV, errno.EIO):
        return LinkFailure(f"{url} has nothing at its other end: plug the device in again")
    if "://" in url and isinstance(cause, OSError):
        return LinkFailure(f"nobody listens at {url}: start the emulator first ({cause})")
    if "://" not in url and isinstance(error, OSError):
        return UserError(f"{url} cannot be opened with {baud} baud: {error}")
    return UserError(f"{url!r} is no serial port: name a device or a pyserial URL ({error})")


def _forbidden(url: str) -> str:
    """The way to a port may be closed, or the port itself, which a group of the system may open."""
    path = Path(url)
    try:
        found = path.stat()
    except OSError:
        return f"the folder of {url} is closed to you: name the port by a path that is open"
    if not stat.S_ISCHR(found.st_mode):
        return f"{url} is no serial port; {_LISTED}"
    try:
        group = path.group() if found.st_mode & stat.S_IWGRP else ""
    except (KeyError, NotImplementedError):
        group = ""
    if group in ("", "root"):
        return f"no permission to open {url}: the udev rule of docs/hardware.md gives it"
    return (
        f"no permission to open {url}: add yourself to the group {group} "
        f"(`sudo usermod -aG {group} $USER`) and log in again"
    )


def _short(name: str) -> str:
    return name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}..."


def _number(error: BaseException | None) -> int | None:
    """The system's number for an error; that of `termios` is no OSError."""
    first = error.args[0] if error and error.args else None
    return first if isinstance(first, int) else None
