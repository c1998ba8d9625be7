"""A board that is not there: fake ports, drives and tools, and flashing with them."""

from __future__ import annotations

import os
import shutil
import sys
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from picotrain.device.link.ports import Port, choose_port, find_ports
from picotrain.errors import FlashFailure, LinkFailure, UserError
from picotrain.hardware.drives import (
    Places,
    Waiting,
    by_label,
    find_drives,
    find_waiting,
    only_waiting,
    why_none,
)
from picotrain.hardware.flash import (
    DRIVE_SECONDS,
    GONE_SECONDS,
    PORT_SECONDS,
    Flasher,
    System,
    run_tool,
    touch,
)
from picotrain.image import uf2

OURS = Port("/dev/ttyACM0", "picotrain", "picotrain", "E66001")
OTHER = Port("/dev/ttyACM1", "picotrain", "picotrain", "E66002")
PYTHON = Port("/dev/ttyACM2", "pico", "Board in FS mode", "E66003")
UNNAMED = Port("COM3", "pico")
PROBE = Port("/dev/ttyACM3", "probe", "Debug Probe", "E66004")
ADAPTER = Port("/dev/ttyUSB0", "other", "FT232R", "A1")

RP2_INFO = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"
RP2350_INFO = "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n"


# Ports


def usb(device: str, vid: int | None, pid: int, product: str | None, maker: str = "") -> object:
    return SimpleNamespace(
        device=device, vid=vid, pid=pid, product=product, manufacturer=maker, serial_number="N1"
    )


def test_ports_are_told_apart() -> None:
    found = find_ports(
        lambda: [
            usb("/dev/ttyS0", None, 0, None),
            usb("/dev/ttyUSB0", 0x0403, 0x6001, "FT232R"),
            usb("/dev/ttyACM3", 0x2E8A, 0x000C, "Debug Probe (CMSIS-DAP)"),
            usb("/dev/ttyACM2", 0x2E8A, 0x0005, "Board in FS mode", "MicroPython"),
            usb("/dev/ttyACM4", 0x2E8A, 0x000A, "Pico", "Raspberry Pi"),
            usb("/dev/ttyACM1", 0x2E8A, 0x000A, "Picotrain"),
            usb("/dev/ttyACM0", 0x2E8A, 0x000A, None, "picotrain"),
        ]
    )
    assert [(port.url, port.kind) for port in found] == [
        ("/dev/ttyACM0", "picotrain"),
        ("/dev/ttyACM1", "picotrain"),
        ("/dev/ttyACM2", "pico"),
        ("/dev/ttyACM4", "pico"),
        ("/dev/ttyACM3", "probe"),
        ("/dev/ttyUSB0", "other"),
    ]


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([OURS], OURS),
        ([OURS, PYTHON, PROBE, ADAPTER], OURS),
        ([UNNAMED, PROBE], UNNAMED),
        ([PROBE, PYTHON, ADAPTER], PROBE),
    ],
)
def test_auto_takes_the_only_port_that_can_be_meant(found: list[Port], chosen: Port) -> None:
    assert choose_port("auto", found) == chosen


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "no picotrain device is plugged in: plug in a Pico that runs picotrain"),
        ([ADAPTER], "no picotrain device is plugged in"),
        (
            [OURS, OTHER],
            "several devices are plugged in: /dev/ttyACM0 (E66001), /dev/ttyACM1 (E66002); choose "
            "one with --port /dev/ttyACM0 (with make: PORT=/dev/ttyACM0)",
        ),
        ([PYTHON], "/dev/ttyACM2 is a Raspberry Pi microcontroller that runs 'Board in FS mode'"),
    ],
)
def test_auto_says_why_it_cannot_choose(found: list[Port], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        choose_port("auto", found)
    assert str(error.value).startswith(sentence)


def test_a_named_port_is_taken_whatever_it_is() -> None:
    assert choose_port("/dev/ttyACM1", [OURS, OTHER]) == OTHER
    named = choose_port("socket://127.0.0.1:4000", [OURS])
    assert (named.url, named.kind) == ("socket://127.0.0.1:4000", "other")


# Drives


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("media", "mnt", "labels"):
        (tmp_path / name).mkdir()
    return Places((tmp_path / "media", tmp_path / "mnt", tmp_path / "none"), tmp_path / "labels")


def plug(places: Places, name: str = "user/RPI-RP2", info: str = RP2_INFO) -> Path:
    drive = places.roots[0] / name
    drive.mkdir(parents=True)
    (drive / "INFO_UF2.TXT").write_text(info.replace("\n", "\r\n"))
    return drive


@pytest.mark.parametrize("name", ["RPI-RP2", "user/RPI-RP2", "user/RPI-RP21"])
def test_a_drive_is_found_by_what_it_says(places: Places, name: str) -> None:
    assert find_waiting(places) == []
    drive = plug(places, name)
    (places.roots[0] / "user" / "PHOTOS").mkdir(parents=True)
    assert find_drives(places) == [drive]
    assert find_waiting(places) == [Waiting("", drive)]


def test_a_root_can_be_the_drive_itself(places: Places) -> None:
    (places.roots[1] / "INFO_UF2.TXT").write_text(RP2_INFO)
    assert find_waiting(places) == [Waiting("", places.roots[1])]


def test_two_drives_are_one_too_many(places: Places) -> None:
    plug(places, "a/RPI-RP2")
    plug(places, "a/RPI-RP21")
    with pytest.raises(
        UserError,
        match=r"several Picos wait for a program: .*leave one plugged in, or name the drive",
    ):
        only_waiting(find_waiting(places))


def test_why_there_is_no_drive(places: Places) -> None:
    assert why_none(places).startswith("no drive RPI-RP2 appeared: hold BOOTSEL while you plug")
    drive = plug(places, "user/RP2350", RP2350_INFO)
    assert find_drives(places) == []
    assert why_none(places).startswith(f"{drive} is the drive of a board 'RP2350', not of an RP2")
    label = places.labels / "RPI-RP2"
    label.symlink_to("../../sda1")
    assert by_label(places) == label
    assert f"`udisksctl mount -b {label}` does it" in why_none(places)


def test_a_drive_that_says_nonsense_is_none(places: Places) -> None:
    plug(places, "user/X", "\xff\xfe no board")
    assert find_drives(places) == []


# Flashing


@dataclass
class Desk:
    """A clock, ports and a drive that do what the test says; a `System` for the flasher.

    `on_ask` and `on_write` run when the device is asked for BOOTSEL and when the file is complete,
    `delay` seconds later.
    """

    places: Places
    ports: list[Port] = field(default_factory=list)
    time: float = 0.0
    delay: float = 1.0
    asked: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    written: bytes = b""
    port_after: Port | None = OURS
    takes: bool = True
    deaf: bool = False
    pending: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    @property
    def drive(self) -> Path:
        return self.places.roots[0] / "user" / "RPI-RP2"

    def later(self, action: Callable[[], None]) -> None:
        self.pending.append((self.time + self.delay, action))

    def to_bootsel(self, port: Port) -> None:
        self.ports.remove(port)
        self.later(lambda: plug(self.places) and None)

    def ask(self, _: Path, port: Port, __: int) -> None:
        self.asked.append(port.url)
        if self.deaf:
            raise LinkFailure(f"nobody answers at {port.url}")
        self.to_bootsel(port)

    def touch(self, port: Port) -> None:
        self.touched.append(port.url)
        self.to_bootsel(port)

    def tool(self, command: Sequence[str], _: float) -> tuple[int, str]:
        self.commands.append(list(command))
        self.time += 1
        status, output = self.answers.pop(0) if self.answers else (1, "No accessible devices")
        if status == 0:
            self.start_program()
        return status, output

    def start_program(self) -> None:
        if self.port_after is not None:
            self.ports.append(self.port_after)

    def restart(self) -> None:
        shutil.rmtree(self.drive)
        self.start_program()

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        file = self.drive / "picotrain.uf2"
        if self.takes and not self.written and file.is_file():
            self.written = file.read_bytes()
            self.later(self.restart)
        due = [action for at, action in self.pending if at <= self.time]
        self.pending = [one for one in self.pending if one[0] > self.time]
        for action in due:
            action()

    def system(self) -> System:
        return System(
            ports=lambda: list(self.ports),
            places=self.places,
            ask=self.ask,
            touch=self.touch,
            tool=self.tool,
            which=lambda name: name if name in self.tools else None,
            has_module=lambda name: name in self.tools,
            sleep=self.sleep,
            now=lambda: self.time,
        )


def image() -> bytes:
    code = bytes(252)
    return code + uf2.boot2_checksum(code).to_bytes(4, "little") + b"program" * 99


@pytest.fixture
def flash(tmp_path: Path) -> Callable[..., Port]:
    path = tmp_path / "picotrain.bin"
    path.write_bytes(image())

    def flash_(desk: Desk, wanted: str = "auto", how: str = "auto") -> Port:
        flasher = Flasher(path, wanted, 921600, desk.said.append, desk.system())
        return flasher.flash(how)  # type: ignore[arg-type]

    return flash_


@pytest.fixture
def desk(places: Places) -> Desk:
    return Desk(places)


Flash = Callable[..., Port]


def test_a_running_device_is_asked_and_comes_back(desk: Desk, flash: Flash) -> None:
    desk.ports = [OURS, PROBE]
    desk.port_after = Port("/dev/ttyACM7", "picotrain", "picotrain", OURS.serial_number)
    assert flash(desk) == desk.port_after
    assert desk.asked == [OURS.url]
    assert desk.touched == []
    assert uf2.decode(desk.written)[0].data.startswith(image())
    assert desk.said == [
        "asking /dev/ttyACM0 (E66001) for BOOTSEL",
        "waiting for the drive RPI-RP2: 0 of 20 s",
        f"copying {len(desk.written):,} bytes to {desk.drive}",
        "waiting for it to start the program: 0 of 15 s",
    ]


def test_other_bytes_than_a_program_go_the_same_way(desk: Desk, tmp_path: Path) -> None:
    """As those of `picotrain flash-model`, which the program stays beside."""
    program = tmp_path / "picotrain.bin"
    program.write_bytes(image())
    desk.ports = [OURS]
    model = [uf2.Segment(0x10100000, b"model" * 100)]
    flasher = Flasher(program, "auto", 921600, desk.said.append, desk.system(), model)
    assert flasher.flash() == OURS
    assert desk.asked == [OURS.url]
    [segment] = uf2.decode(desk.written)
    assert (segment.address, segment.data[:500]) == model[0]


def test_a_waiting_drive_is_used_as_it_is(desk: Desk, flash: Flash) -> None:
    plug(desk.places)
    desk.ports = [ADAPTER, PROBE]
    assert flash(desk) == OURS
    assert desk.asked == desk.touched == []
    assert desk.written


def test_the_other_devices_are_left_alone(desk: Desk, flash: Flash) -> None:
    desk.ports = [OURS, OTHER]
    assert flash(desk, OURS.url) == OURS
    assert desk.asked == [OURS.url]
    desk.written = b""
    with pytest.raises(UserError, match="several devices are plugged in"):
        flash(desk)


def test_a_drive_of_another_pico_is_not_taken_for_the_named_one(desk: Desk, flash: Flash) -> None:
    plug(desk.places, "user/RPI-RP21")
    desk.ports = [OURS]
    with pytest.raises(
        UserError, match=r"a Pico waits for a program at .* not known to be /dev/ttyACM0"
    ):
        flash(desk, OURS.url)
    assert not desk.written


def test_another_program_is_touched(desk: Desk, flash: Flash) -> None:
    desk.ports = [PYTHON]
    assert flash(desk) == OURS
    assert desk.touched == [PYTHON.url]
    assert desk.asked == []


def test_a_device_that_does_not_answer_is_touched(desk: Desk, flash: Flash) -> None:
    desk.ports = [OURS]
    desk.deaf = True
    assert flash(desk) == OURS
    assert desk.touched == [OURS.url]
    assert "it does not answer: trying 1200 baud" in desk.said


def test_a_device_on_a_uart_stays_at_its_adapter(desk: Desk, flash: Flash) -> None:
    desk.ports = [ADAPTER]
    assert flash(desk, ADAPTER.url).url == ADAPTER.url
    desk.ports, desk.written, desk.deaf = [ADAPTER], b"", True
    with pytest.raises(FlashFailure, match=r"nobody answers.*or hold BOOTSEL while you plug it in"):
        flash(desk, ADAPTER.url)


def test_without_a_drive_it_says_what_to_do(desk: Desk, flash: Flash) -> None:
    with pytest.raises(FlashFailure, match="no drive RPI-RP2 appeared: hold BOOTSEL"):
        flash(desk)
    assert DRIVE_SECONDS <= desk.time < DRIVE_SECONDS + 1
    assert desk.said[:2] == [
        "no picotrain device runs: hold BOOTSEL while you plug the Pico in",
        "waiting for the drive RPI-RP2: 0 of 20 s",
    ]
    assert len(desk.said) == 5


def test_a_drive_that_is_not_mounted_gets_the_command(desk: Desk, flash: Flash) -> None:
    (desk.places.labels / "RPI-RP2").symlink_to("sda1")
    with pytest.raises(FlashFailure, match=r"not mounted: `udisksctl mount -b .*RPI-RP2` does it"):
        flash(desk)


def test_a_drive_that_stays_did_not_take_it(desk: Desk, flash: Flash) -> None:
    plug(desk.places)
    desk.takes = False
    with pytest.raises(FlashFailure, match="did not take the program: plug the Pico in again"):
        flash(desk)
    assert GONE_SECONDS <= desk.time < GONE_SECONDS + 1


def test_a_drive_that_cannot_be_written_is_no_reason_to_wait(desk: Desk, flash: Flash) -> None:
    drive = plug(desk.places)
    (drive / "picotrain.uf2").symlink_to("/dev/full")
    with pytest.raises(FlashFailure, match="cannot be written: No space left on device; mount it"):
        flash(desk)
    assert desk.time == 0


def test_a_stale_mount_is_gone_when_its_label_is(desk: Desk, flash: Flash) -> None:
    plug(desk.places)
    label = desk.places.labels / "RPI-RP2"
    label.symlink_to("sda1")

    def restart() -> None:
        label.unlink()
        desk.start_program()

    desk.restart = restart  # type: ignore[method-assign]
    assert flash(desk) == OURS
    assert desk.drive.is_dir()


def test_a_program_without_a_port_is_a_failure(desk: Desk, flash: Flash) -> None:
    plug(desk.places)
    desk.port_after = None
    with pytest.raises(FlashFailure, match="was written, but no port of it appeared within 15 s"):
        flash(desk)
    assert desk.time >= PORT_SECONDS


def test_picotool_is_preferred_and_waited_for(desk: Desk, flash: Flash) -> None:
    desk.tools = {"picotool"}
    desk.ports = [OURS]
    desk.answers = [(249, "No accessible RP2040 devices in BOOTSEL mode were found.")] * 2
    desk.answers += [(0, "OK")]
    assert flash(desk) == OURS
    assert desk.asked == [OURS.url]
    assert desk.commands[0] == ["picotool", "info"]
    assert [command[:4] for command in desk.commands[1:]] == [["picotool", "load", "-v", "-x"]] * 2
    assert desk.commands[1][4].endswith("picotrain.uf2")
    assert not desk.written


def test_the_drive_can_be_asked_for(desk: Desk, flash: Flash) -> None:
    desk.tools = {"picotool"}
    plug(desk.places)
    assert flash(desk, how="drive") == OURS
    assert desk.commands == []


def test_picotool_s_failures(desk: Desk, flash: Flash) -> None:
    with pytest.raises(UserError, match="picotool is not on PATH"):
        flash(desk, how="picotool")
    desk.tools = {"picotool"}
    with pytest.raises(FlashFailure, match=r"picotool sees no Pico in BOOTSEL.*udev rule"):
        flash(desk)
    desk.answers = [(1, "Loading\nERROR: verify failed\n\n")]
    with pytest.raises(FlashFailure, match="picotool failed: ERROR: verify failed"):
        flash(desk)


def test_a_probe_flashes_the_elf(desk: Desk, flash: Flash) -> None:
    with pytest.raises(UserError, match=r"pyocd is not installed; run `.* -m pip install"):
        flash(desk, how="probe")
    desk.tools = {"pyocd"}
    desk.answers = [(1, "0001 C No connected debug probes\n")]
    with pytest.raises(FlashFailure, match=r"pyocd failed: .*No connected debug probes; check"):
        flash(desk, how="probe")
    desk.answers = [(0, "")]
    assert flash(desk, how="probe") == OURS
    assert desk.commands[-1][:6] == [sys.executable, "-m", "pyocd", "flash", "--target", "rp2040"]
    # Without a USB cable the probe's own UART is the way.
    desk.answers, desk.ports, desk.port_after = [(0, "")], [PROBE], None
    assert flash(desk, how="probe") == PROBE


def test_a_tool_is_bounded_and_may_be_missing() -> None:
    assert run_tool([sys.executable, "-c", "print('done'); exit(3)"], 20) == (3, "done\n")
    with pytest.raises(FlashFailure, match="did not finish within"):
        run_tool([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)
    with pytest.raises(FlashFailure, match="no-such-tool does not start: No such file"):
        run_tool(["no-such-tool"], 1)


def test_the_touch_sets_1200_baud() -> None:
    master, slave = os.openpty()
    try:
        touch(Port(os.ttyname(slave), "pico", "SDK"))
        assert termios.tcgetattr(slave)[4:6] == [termios.B1200, termios.B1200]
        with pytest.raises(UserError, match="there is no serial port /dev/ttyNONE"):
            touch(Port("/dev/ttyNONE", "pico", "SDK"))
    finally:
        os.close(master)
        os.close(slave)
