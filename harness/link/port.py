"""A serial port, or what pyserial's URLs make of one, as a stream of the link."""

from __future__ import annotations

import errno
import select
from contextlib import suppress
from typing import Any

import serial

from harness.errors import LinkFailure, UserError

_WRITE_SECONDS = 5.0
_MOST = 1 << 16

# What opening and using a port raises, apart from OSError, of which SerialException is one: a
# handle that another thread or an unplugged adapter took away shows as the other two.
_PROBLEMS = (OSError, TypeError, ValueError)


class PortLost(LinkFailure):
    """The port was there and is gone: unplugged, or the device at its end started anew."""


class SerialPort:
    """An open port; a `harness.link.client.Stream`."""

    def __init__(self, url: str, baud: int) -> None:
        """Open `url`, e.g. /dev/ttyACM0 or socket://127.0.0.1:4000.

        Raises UserError where there is no such port or it may not be opened, LinkFailure where
        nothing is at the other end.
        """
        self.url = url
        try:
            self._port: Any = serial.serial_for_url(
                url, baudrate=baud, timeout=0, write_timeout=_WRITE_SECONDS, exclusive=True
            )
        except (*_PROBLEMS, AttributeError, ImportError) as error:
            raise _explain(url, baud, error) from None
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
        """Forget what has arrived and was not read. Raises PortLost."""
        try:
            self._port.reset_input_buffer()
        except _PROBLEMS as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Give the port back; may be called twice."""
        with suppress(*_PROBLEMS):  # it may be gone already
            self._port.close()

    def _lost(self, error: Exception) -> PortLost:
        return PortLost(f"{self.url} is gone ({error}): is the device still plugged in?")


def _selectable(port: Any) -> bool:
    """Whether `select` tells when bytes arrive: on Linux and macOS, of devices and sockets."""
    try:
        select.select([port], [], [], 0)
    except (OSError, TypeError, ValueError, AttributeError):
        return False
    return True


def _explain(url: str, baud: int, error: Exception) -> Exception:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return UserError(
            f"there is no serial port {url}: plug the device in, and see which port appears "
            "(`ls /dev/ttyACM* /dev/ttyUSB*`)"
        )
    if number in (errno.EACCES, errno.EPERM):
        return UserError(
            f"no permission to open {url}: add yourself to the group dialout "
            "(`sudo usermod -aG dialout $USER`) and log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN):
        return UserError(f"{url} is used by another program: close it first")
    if number in (errno.ENXIO, errno.ENODEV, errno.EIO):
        return LinkFailure(f"{url} has nothing at its other end: plug the device in again")
    if "://" in url and isinstance(error, OSError):
        return LinkFailure(f"nobody listens at {url}: start the emulator first ({error})")
    if isinstance(error, OSError):
        return UserError(f"{url} cannot be opened with {baud} baud: {error}")
    return UserError(f"{url!r} is no serial port: name a device or a pyserial URL ({error})")
