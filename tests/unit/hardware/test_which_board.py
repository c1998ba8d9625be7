"""The flasher writes to the board that is meant, whatever else is plugged in, or to none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from picotrain.device.link.ports import Port, choose_port, find_ports, leads_to
from picotrain.errors import FlashFailure, LinkFailure, UserError
from picotrain.hardware.drives import Places, find_waiting, place_of_drive, usb_address
from picotrain.hardware.flash import Flasher, System
from picotrain.image import uf2

INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"


# What a name of a port leads to


@pytest.fixture
def terminal() -> Iterator[str]:
    """A serial port of this machine: one end of a pseudo-terminal."""
    ends = os.openpty()
    yield os.ttyname(ends[1])
    for end in ends:
        os.close(end)


def spellings(port: str, folder: Path) -> list[str]:
    (folder / "by-id").mkdir()
    link = folder / "by-id" / "usb-picotrain_E66001-if00"
    link.symlink_to(port)
    second = folder / "pico"
    second.symlink_to(link)
    head, _, tail = port.rpartition("/")
    return [
        str(link),
        str(second),
        os.path.relpath(link),
        f"{folder}//by-id/./usb-picotrain_E66001-if00",
        f"{folder}/by-id/../pico",
        f"{head}//{tail}",
        f"{head}/./{tail}",
        f"{port}/",
    ]


def test_every_name_of_a_port_is_that_port(terminal: str, tmp_path: Path) -> None:
    found = [Port(terminal, "picotrain", "picotrain", "E66001"), Port("/dev/null", "other")]
    for name in spellings(terminal, tmp_path):
        assert choose_port(name, found) == found[0], name
    assert choose_port("/dev/zero", found) == Port("/dev/zero", "other")


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert choose_port(str(loop), []).kind == "other"
    assert choose_port("a\0b", []).kind == "other"
    assert choose_port("/dev/" + 300 * "x", []).kind == "other"
    gone = tmp_path / "link"
    gone.symlink_to("ttyACM0")
    unplugged = Port(str(tmp_path / "ttyACM0"), "picotrain")
    assert choose_port(str(gone), [unplugged]) == unplugged
    assert leads_to("socket://H:1") == "socket://H:1"


def test_names_of_windows() -> None:
    names = ["COM3", "com3", r"\\.\COM3", r"\\.\com3"]
    assert {leads_to(name, windows=True) for name in names} == {"COM3"}
    assert leads_to("COM10", windows=True) != leads_to("COM1", windows=True)


def test_a_port_knows_its_place_on_usb() -> None:
    info = SimpleNamespace(
        device="/dev/ttyACM0", vid=0x2E8A, pid=0x000A, product="picotrain", manufacturer=""
    )
    info.serial_number, info.location = "E66001", "1-4.2:1.0"
    assert find_ports(lambda: [info])[0].location == "1-4.2"
    info.location = None
    assert find_ports(lambda: [info])[0].location == ""


# A desk with several boards


@dataclass
class Board:
    """A Pico: running with a port, or in BOOTSEL with a drive (`mounts`), at its place on USB."""

    location: str
    number: str
    url: str
    bootsel: bool = False
    mounts: bool = True
    kind: str = "picotrain"
    written: bytes = b""

    def port(self) -> Port:
        product = "MicroPython" if self.kind == "pico" else "picotrain"
        return Port(self.url, self.kind, product, self.number, self.location)  # type: ignore[arg-type]


@dataclass
class Desk:
    """Boards, with the file systems of a Linux (`tells`), or of a system that tells no places."""

    folder: Path
    boards: list[Board]
    tells: bool = True
    time: float = 0.0
    asked: list[str] = field(default_factory=list)
    tools: list[list[str]] = field(default_factory=list)
    has_picotool: bool = False
    uart: Board | None = None
    extra: list[Port] = field(default_factory=list)
    when_asked: Callable[[], None] = lambda: None
    deaf: bool = False

    @property
    def places(self) -> Places:
        usb = self.folder / "usb" if self.tells else None
        return Places((self.folder / "media",), self.folder / "labels", usb, self.locate)

    def locate(self, drive: Path) -> str:
        return drive.name.removeprefix("RPI-RP2-") if self.tells else ""

    def drive(self, board: Board) -> Path:
        return self.folder / "media" / f"RPI-RP2-{board.location}"

    def show(self) -> None:
        """Makes the files that the boards' states make."""
        for number, board in enumerate(self.boards, 1):
            usb = self.folder / "usb" / board.location
            usb.mkdir(parents=True, exist_ok=True)
            (usb / "idVendor").write_text("2e8a\n")
            (usb / "idProduct").write_text("0003\n" if board.bootsel else "000a\n")
            (usb / "busnum").write_text("1\n")
            (usb / "devnum").write_text(f"{10 + number}\n")
            drive = self.drive(board)
            file = drive / "picotrain.uf2"
            if file.is_file():
                board.written, board.bootsel, board.kind = file.read_bytes(), False, "picotrain"
                file.unlink()
            if board.bootsel and board.mounts:
                drive.mkdir(parents=True, exist_ok=True)
                (drive / "INFO_UF2.TXT").write_text(INFO)
            elif drive.is_dir():
                (drive / "INFO_UF2.TXT").unlink()
                drive.rmdir()

    def ports(self) -> list[Port]:
        self.show()
        return [board.port() for board in self.boards if not board.bootsel] + self.extra

    def at(self, url: str) -> Board:
        if self.uart is not None:
            return self.uart
        return next(board for board in self.boards if leads_to(board.url) == leads_to(url))

    def ask(self, _: Path, port: Port, __: int) -> str:
        self.asked.append(port.url)
        if self.deaf:
            raise LinkFailure(f"nobody answers at {port.url}")
        board = self.at(port.url)
        board.bootsel = True
        self.when_asked()
        self.show()
        return board.number

    def touch(self, port: Port) -> None:
        self.ask(Path(), port, 1200)

    def tool(self, command: list[str], _: float) -> tuple[int, str]:
        self.tools.append(list(command))
        waiting = [board for board in self.boards if board.bootsel]
        if "--address" in command:
            number = int(command[command.index("--address") + 1]) - 11
            waiting = [board for board in waiting if board is self.boards[number]]
        if not waiting:
            return 1, "No accessible RP2040 devices in BOOTSEL mode were found."
        if command[1] == "load":
            waiting[0].written, waiting[0].bootsel = b"by tool", False
        return 0, ""

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.show()

    def flash(self, wanted: str = "auto", how: str = "auto") -> Port:
        self.show()
        path = self.folder / "picotrain.bin"
        code = bytes(252)
        path.write_bytes(code + uf2.boot2_checksum(code).to_bytes(4, "little") + b"program")
        system = System(
            ports=self.ports,
            places=self.places,
            ask=self.ask,
            touch=self.touch,
            tool=self.tool,  # type: ignore[arg-type]
            which=lambda _: "picotool" if self.has_picotool else None,
            has_module=lambda _: True,
            sleep=self.sleep,
            now=lambda: self.time,
        )
        return Flasher(path, wanted, 921600, lambda _: None, system).flash(how)  # type: ignore[arg-type]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "labels").mkdir()
    first, second = tmp_path / "ttyACM0", tmp_path / "ttyACM1"
    boards = [Board("1-1", "E66001", str(first)), Board("1-4.2", "E66002", str(second))]
    return Desk(tmp_path, boards)


def written(desk: Desk) -> list[bool]:
    return [board.written != b"" for board in desk.boards]


@pytest.mark.parametrize("tells", [True, False], ids=["linux", "elsewhere"])
@pytest.mark.parametrize("name", ["link", "relative", "slashes", "plain"])
def test_another_board_in_bootsel_is_never_written(desk: Desk, name: str, tells: bool) -> None:
    """However the running one is named: a link was no picotrain device, so the other one was."""
    ours, other = desk.boards
    desk.tells, other.bootsel = tells, True
    (desk.folder / "by-id").symlink_to(ours.url)
    wanted = {
        "link": str(desk.folder / "by-id"),
        "relative": os.path.relpath(ours.url),
        "slashes": ours.url.replace("/ttyACM0", "//ttyACM0"),
        "plain": ours.url,
    }[name]
    with pytest.raises(UserError) as error:
        desk.flash(wanted)
    assert str(error.value).startswith("a Pico waits for a program at ")
    assert str(desk.drive(other)) in str(error.value)
    assert f"not known to be {ours.url} (E66001): unplug it, or name its drive" in str(error.value)
    assert written(desk) == [False, False] and desk.asked == []


@pytest.mark.parametrize("name", ["link", "plain"])
def test_the_named_board_is_written_and_followed(desk: Desk, name: str) -> None:
    ours = desk.boards[0]
    (desk.folder / "by-id").symlink_to(ours.url)
    assert desk.flash(str(desk.folder / "by-id") if name == "link" else ours.url) == ours.port()
    assert written(desk) == [True, False] and desk.asked == [ours.url]


@pytest.mark.parametrize("tool", [False, True], ids=["drive", "picotool"])
def test_a_board_that_comes_meanwhile_is_left_alone(desk: Desk, tool: bool) -> None:
    """Another one is put into BOOTSEL while ours is asked; its drive is even there first."""
    ours, other = desk.boards
    desk.has_picotool = tool

    def meanwhile() -> None:
        other.bootsel = True
        ours.mounts = False

    desk.when_asked = meanwhile
    if tool:
        assert desk.flash(ours.url) == ours.port()
        assert desk.tools[-1][-4:] == ["--bus", "1", "--address", "11"]
        assert written(desk) == [True, False]
        return
    with pytest.raises(FlashFailure) as error:
        desk.flash(ours.url)
    assert "no drive RPI-RP2" in str(error.value) or "not mounted" in str(error.value)
    assert written(desk) == [False, False]
    ours.mounts = True
    other.bootsel = ours.bootsel = False
    desk.when_asked = lambda: setattr(other, "bootsel", True)
    assert desk.flash(ours.url) == ours.port()
    assert written(desk) == [True, False]


def test_a_board_that_does_not_come_names_the_stranger(desk: Desk) -> None:
    ours, other = desk.boards

    def meanwhile() -> None:
        ours.bootsel, other.bootsel = False, True

    desk.when_asked = meanwhile
    with pytest.raises(FlashFailure, match=r"USB 1-1 did not come to BOOTSEL, only another one"):
        desk.flash(ours.url)
    assert written(desk) == [False, False]


def test_without_places_two_that_wait_are_refused_by_name(desk: Desk) -> None:
    ours, other = desk.boards
    desk.tells = False
    desk.when_asked = lambda: setattr(other, "bootsel", True)
    with pytest.raises(UserError) as error:
        desk.flash(ours.url)
    assert str(error.value) == (
        f"several Picos wait for a program: {desk.drive(ours)}, {desk.drive(other)}; leave one "
        "plugged in, or name the drive of one with --port"
    )
    assert written(desk) == [False, False]


@pytest.mark.parametrize("kind", ["picotrain", "pico"])
def test_auto_with_one_that_runs_and_one_that_waits(desk: Desk, kind: str) -> None:
    running, waiting = desk.boards
    running.kind, waiting.bootsel = kind, True
    with pytest.raises(UserError) as error:
        desk.flash()
    assert str(error.value) == (
        f"several Picos are plugged in: {running.url} (E66001), {desk.drive(waiting)} (USB "
        "1-4.2); name the one to flash, by its port or its drive, with --port "
        f"(with make: PORT={running.url})"
    )
    assert written(desk) == [False, False]


def test_a_drive_can_be_named(desk: Desk) -> None:
    waiting = desk.boards[1]
    waiting.bootsel = True
    desk.show()
    (desk.folder / "drive").symlink_to(desk.drive(waiting))
    assert desk.flash(f"{desk.folder}/drive/") == waiting.port()
    assert written(desk) == [False, True] and desk.asked == []
    with pytest.raises(UserError, match="is a folder, and not the drive of a Pico in BOOTSEL"):
        desk.flash(str(desk.folder))


def test_several_drives_and_a_board_that_is_not_mounted(desk: Desk) -> None:
    for board in desk.boards:
        board.bootsel = True
    desk.boards[1].mounts = False
    desk.show()
    assert [str(one) for one in find_waiting(desk.places)] == [
        f"{desk.drive(desk.boards[0])} (USB 1-1)",
        "USB 1-4.2",
    ]
    with pytest.raises(UserError, match=r"several Picos wait for a program: .*, USB 1-4\.2; leave"):
        desk.flash()
    assert written(desk) == [False, False]


@pytest.mark.parametrize("usb", [True, False], ids=["usb-too", "uart-alone"])
def test_at_the_end_of_a_uart(desk: Desk, usb: bool) -> None:
    """The chip's number, which the link tells, finds the board's place on USB."""
    ours, other = desk.boards
    adapter = Port("/dev/ttyUSB9", "other", "FT232R", "A1")
    desk.uart, desk.extra = ours, [adapter]
    if not usb:
        desk.boards = [ours]
        ours.location = "1-1"
    else:
        desk.when_asked = lambda: setattr(other, "bootsel", True)
    assert desk.flash(adapter.url) == adapter
    assert ours.written and not other.written
    ours.written, other.bootsel = b"", True
    desk.boards = [ours, other]
    with pytest.raises(UserError, match=r"waits for a program at .* not known to be /dev/ttyUSB9"):
        desk.flash(adapter.url)
    assert written(desk) == [False, False]


def test_elsewhere_picotool_is_asked_who_waits(desk: Desk) -> None:
    ours, other = desk.boards
    desk.tells, desk.has_picotool, other.bootsel, other.mounts = False, True, True, False
    with pytest.raises(UserError, match=r"a Pico waits for a program as picotool sees, and it is"):
        desk.flash(ours.url)
    assert desk.asked == [] and written(desk) == [False, False]
    assert desk.tools == [["picotool", "info"]]


def test_a_debug_probe_is_named_to_pyocd(desk: Desk) -> None:
    probes = [Port(f"/dev/ttyACM{n}", "probe", "Debug Probe", f"P{n}") for n in (8, 9)]
    desk.boards, desk.extra = [], probes
    with pytest.raises(UserError, match=r"several debug probes are plugged in: /dev/ttyACM8 "):
        desk.flash(how="probe")
    desk.tool = lambda command, _: (desk.tools.append(command), (0, ""))[1]  # type: ignore
    assert desk.flash("/dev/ttyACM9", how="probe") == probes[1]
    assert desk.tools[-1][6:8] == ["--uid", "P9"]


# The system's own files


def test_the_place_of_a_drive(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    blocks = tmp_path / "block"
    blocks.mkdir()
    for path, place in (
        (
            "pci0000:00/0000:00:14.0/usb1/1-4/1-4.2/1-4.2:1.0/host6/target6:0:0/block/sda/sda1",
            "1-4.2",
        ),
        ("pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/block/sda/sda1", ""),
        ("platform/soc/usb2/2-1/2-1:1.0/host0/block/sdb/sdb1", "2-1"),
    ):
        link = blocks / f"{os.major(device)}:{os.minor(device)}"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "devices" / path)
        assert place_of_drive(tmp_path, blocks) == place
    assert place_of_drive(tmp_path / "none", blocks) == ""


def test_the_address_for_picotool(desk: Desk) -> None:
    desk.show()
    assert usb_address(desk.places, "1-4.2") == (1, 12)
    assert usb_address(desk.places, "9-9") is None
    assert usb_address(desk.places, "") is None
