"""Serial ports, and which of them is a picotrain device."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from serial.tools import list_ports

from picotrain.errors import UserError
from picotrain.places import FLASH, with_make

AUTO = "auto"
OPTION = "--port "

_RASPBERRY_PI = 0x2E8A
_PICO_SERIAL = 0x000A
_DEBUG_PROBE = 0x000C
_OURS = "picotrain"

Kind = Literal["picotrain", "pico", "probe", "other"]
"""`pico`: an RP2040 with another program, or one whose name the system hides; `probe`: the UART of
a debug probe; `other`: some adapter, or what the user named."""

_KINDS: dict[Kind, str] = {
    "picotrain": "a picotrain device on USB",
    "pico": "a Raspberry Pi microcontroller with another program",
    "probe": "the UART of a debug probe",
    "other": "a serial adapter",
}

_NONE = (
    f"no picotrain device is plugged in: plug in a Pico that runs picotrain ({FLASH} puts it "
    "there), or name its serial adapter with {option}"
)


@dataclass(frozen=True)
class Port:
    """A serial port; `serial_number` is empty where it has none.

    `location` is where on USB its device is, as Linux names it (`1-4.2`); empty: not known.
    """

    url: str
    kind: Kind
    product: str = ""
    serial_number: str = ""
    location: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.url} ({self.serial_number})" if self.serial_number else self.url

    @property
    def what(self) -> str:
        return _KINDS[self.kind]


_EMULATED = ("socket://", "rfc2217://", "loop://")


def is_emulator(url: str) -> bool:
    """Whether no board is known to be at a port: it is an address, not a device of this computer.

    That may be a board behind a network, but a report cannot vouch for it.
    """
    return url.lower().startswith(_EMULATED)


def find_ports(comports: Callable[[], Iterable[Any]] = list_ports.comports) -> list[Port]:
    """The ports on USB, picotrain devices first."""
    found = [_classify(info) for info in comports() if info.vid is not None]
    order: list[str] = list(_KINDS)
    return sorted(found, key=lambda port: (order.index(port.kind), port.url))


def _classify(info: Any) -> Port:
    names = f"{info.product or ''} {info.manufacturer or ''}".lower()
    kind: Kind = "other"
    if info.vid == _RASPBERRY_PI:
        kind = "probe" if info.pid == _DEBUG_PROBE else "pico"
        if info.pid == _PICO_SERIAL and _OURS in names:
            kind = "picotrain"
    # Of one interface of a device with several: 1-4.2:1.0.
    location = (getattr(info, "location", None) or "").partition(":")[0]
    return Port(info.device, kind, info.product or "", info.serial_number or "", location)


def leads_to(name: str, windows: bool = os.name == "nt") -> Hashable:
    """What a port's name leads to: the same for all names of one port.

    Links (/dev/serial/by-id), relative paths and the two names of one port of macOS are such names,
    and on Windows com3 and \\\\.\\COM3.
    """
    if "://" in name:
        return name
    if windows:
        return name.removeprefix("\\\\.\\").upper()
    try:
        path = Path(name).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle; a NUL
        return name
    if sys.platform == "darwin" and path.name.startswith("tty."):
        path = path.with_name(path.name.replace("tty.", "cu.", 1))
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_rdev if stat.S_ISCHR(found.st_mode) else path


def choose_port(wanted: str, found: Sequence[Port], option: str = OPTION) -> Port:
    """The port that `wanted` names, or for "auto" the only one that can be meant.

    That is a picotrain device, else a Pico whose name the system does not tell (Windows), else a
    debug probe's UART. Raises UserError where there is none or several; `option` is how a user
    names one.
    """
    if wanted != AUTO:
        place = leads_to(wanted)
        same = (port for port in found if leads_to(port.url) == place)
        return next(same, Port(wanted, "other"))
    unnamed = [port for port in found if port.kind == "pico" and not port.product]
    for candidates in ([port for port in found if port.kind == "picotrain"], unnamed):
        if candidates:
            return only(candidates, option)
    probes = [port for port in found if port.kind == "probe"]
    if probes:
        return only(probes, option)
    foreign = [port for port in found if port.kind == "pico"]
    if foreign:
        raise UserError(
            f"{foreign[0].url} is a Raspberry Pi microcontroller that runs {foreign[0].product!r}, "
            f"not picotrain: flash it with {FLASH}"
        )
    raise UserError(_NONE.format(option=f"{option}PORT"))


def only(candidates: Sequence[Port], option: str = OPTION) -> Port:
    """The only one of them. Raises UserError where there are several."""
    if len(candidates) > 1:
        names = ", ".join(map(str, candidates))
        url = candidates[0].url
        make = with_make(url) if option == OPTION else ""
        raise UserError(
            f"several devices are plugged in: {names}; choose one with {option}{url}{make}"
        )
    return candidates[0]
