"""A board that is not there: fake ports, drives and tools, and a host process as the device."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from picotrain import cli
from picotrain.cli.hardware import hw_test as hw_test_verb
from picotrain.cli.material import random_material
from picotrain.device.link.port import SerialPort
from picotrain.device.targets import serial as serial_target
from picotrain.errors import CrashFailure, FlashFailure, LinkFailure, UserError
from picotrain.hardware import rig as rig_module
from picotrain.hardware.cycle_steps import Case, CyclesDiffer, Row, _judge, choose_cases
from picotrain.hardware.device_steps import Material, compare
from picotrain.hardware.drives import Places, by_label, find_drives, only_drive, why_none
from picotrain.hardware.estimate import (
    SHORTER,
    Speed,
    Traffic,
    duration,
    forecast,
    of_comparison,
)
from picotrain.hardware.flash import (
    DRIVE_SECONDS,
    GONE_SECONDS,
    PORT_SECONDS,
    Flasher,
    System,
    ask_over_link,
    run_tool,
    touch,
)
from picotrain.hardware.plan import Plan
from picotrain.hardware.ports import Port, choose_port, find_ports, is_emulator
from picotrain.hardware.report import Header, content, html, junit, line, summary
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import (
    CheckFailed,
    Finding,
    NotPossible,
    Outcome,
    Result,
    Step,
    exit_status,
    passed,
    run_suite,
)
from picotrain.image import firmware, uf2
from picotrain.image.elf import open_elf
from picotrain.learn import methods, models
from picotrain.profile.bench import Job
from picotrain.profile.bench_cases import Measurement
from picotrain_golden import Method
from support import require

OURS = Port("/dev/ttyACM0", "picotrain", "picotrain", "E66001")
OTHER = Port("/dev/ttyACM1", "picotrain", "picotrain", "E66002")
PYTHON = Port("/dev/ttyACM2", "pico", "Board in FS mode", "E66003")
UNNAMED = Port("COM3", "pico")
PROBE = Port("/dev/ttyACM3", "probe", "Debug Probe", "E66004")
ADAPTER = Port("/dev/ttyUSB0", "other", "FT232R", "A1")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "hardware.md"

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
            "one with --port (with make: PORT=/dev/ttyACM0)",
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
    assert only_drive(places) is None
    drive = plug(places, name)
    (places.roots[0] / "user" / "PHOTOS").mkdir(parents=True)
    assert find_drives(places) == [drive]
    assert only_drive(places) == drive


def test_a_root_can_be_the_drive_itself(places: Places) -> None:
    (places.roots[1] / "INFO_UF2.TXT").write_text(RP2_INFO)
    assert only_drive(places) == places.roots[1]


def test_two_drives_are_one_too_many(places: Places) -> None:
    plug(places, "a/RPI-RP2")
    plug(places, "a/RPI-RP21")
    with pytest.raises(
        UserError, match=r"several Picos wait for a program: .*leave one plugged in"
    ):
        only_drive(places)


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


def test_a_waiting_drive_is_used_as_it_is(desk: Desk, flash: Flash) -> None:
    plug(desk.places)
    desk.ports = [OTHER]
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
        UserError, match=r"another Pico than /dev/ttyACM0 .* waits for a program at"
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
    plug(desk.places)
    assert flash(desk, ADAPTER.url) == ADAPTER
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
    desk.answers = [(249, "No accessible RP2040 devices in BOOTSEL mode were found."), (0, "OK")]
    assert flash(desk) == OURS
    assert desk.asked == [OURS.url]
    assert [command[:4] for command in desk.commands] == [["picotool", "load", "-v", "-x"]] * 2
    assert desk.commands[0][4].endswith("picotrain.uf2")
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
    with pytest.raises(UserError, match=r"pyocd is not installed; run `.venv/bin/pip install"):
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
        touch(Port("/dev/ttyNONE", "pico", "SDK"))
    finally:
        os.close(master)
        os.close(slave)


# The suite


class FakeRig:
    """A device that comes back, or does not."""

    def __init__(self, lost: str = "") -> None:
        self.lost = lost
        self.recovered = 0

    def recover(self) -> None:
        self.recovered += 1
        if self.lost:
            raise LinkFailure(self.lost)

    def close(self) -> None:
        pass


def raising(error: BaseException) -> Callable[[], Finding]:
    def run() -> Finding:
        raise error

    return run


def good() -> Finding:
    return Finding("fine", {"n": 1})


def suite(steps: list[Step], rig: FakeRig, skip: dict[str, str] | None = None) -> list[Result]:
    results: list[Result] = []
    run_suite(steps, rig, skip or {}, lambda _: None, results.append)
    return results


def outcomes(results: list[Result]) -> list[tuple[str, str, str]]:
    return [(str(one.outcome), one.failure, one.text) for one in results]


def test_every_way_that_a_step_can_end() -> None:
    crash = CrashFailure("it faulted", {"pc": 0x20000010}, "main+0x4")
    steps = [
        Step("a", "", good),
        Step("b", "", raising(NotPossible("no qemu"))),
        Step("c", "", raising(CheckFailed("wrong", {"rows": [1]}))),
        Step("d", "", raising(UserError("no permission"))),
        Step("e", "", raising(crash)),
        Step("f", "", good, ("a",)),
        Step("g", "", good, ("a", "c")),
        Step("h", "", good),
        Step("i", "", good, ("h",)),
    ]
    rig = FakeRig()
    results = suite(steps, rig, {"h": "--skip h"})
    assert outcomes(results) == [
        ("passed", "", "fine"),
        ("not run", "", "no qemu"),
        ("failed", "CHECK", "wrong"),
        ("failed", "SETUP", "no permission"),
        ("failed", "CRASH", "it faulted"),
        ("passed", "", "fine"),
        ("not run", "", "c did not pass"),
        ("skipped", "", "--skip h"),
        ("passed", "", "fine"),
    ]
    assert results[2].details == {"rows": [1]}
    assert results[4].details == {"registers": {"pc": "0x20000010"}}
    assert rig.recovered == 3
    assert not passed(results)


def test_a_lost_device_ends_the_suite() -> None:
    rig = FakeRig("nobody answers")
    steps = [Step("a", "", raising(LinkFailure("gone"))), Step("b", "", good), Step("c", "", good)]
    results = suite(steps, rig)
    assert outcomes(results)[0] == ("failed", "LINK", "gone")
    for result in results[1:]:
        assert result.outcome is Outcome.NOT_RUN
        assert result.text == "the device does not answer since a failed"
    assert rig.recovered == 1


def test_a_device_that_nothing_needs_any_more_is_not_called_back() -> None:
    rig = FakeRig()
    steps = [Step("a", "", raising(LinkFailure("gone"))), Step("b", "", good, ("a",))]
    assert suite(steps, rig)[1].text == "a did not pass"
    assert rig.recovered == 0


def test_ctrl_c_keeps_what_is_there() -> None:
    results: list[Result] = []
    steps = [
        Step("a", "", good),
        Step("b", "", raising(KeyboardInterrupt())),
        Step("c", "", good),
    ]
    with pytest.raises(KeyboardInterrupt):
        run_suite(steps, FakeRig(), {}, lambda _: None, results.append)
    assert [str(one.outcome) for one in results] == ["passed", "not run", "not run"]


def test_the_status_tells_the_user_s_mistake_from_the_device_s_failure() -> None:
    gap, setup = raising(NotPossible("x")), raising(UserError("no permission"))
    lost = raising(LinkFailure("gone"))
    for runs, status in (
        ([good], 0),
        ([setup], 2),
        ([setup, gap], 2),
        ([setup, lost], 1),
        ([lost], 1),
        ([gap], 1),
    ):
        steps = [Step(str(number), "", run) for number, run in enumerate(runs)]
        assert exit_status(suite(steps, FakeRig())) == status


def test_only_what_was_left_out_on_request_is_no_gap() -> None:
    assert not passed([])
    assert passed(suite([Step("a", "", good), Step("b", "", good)], FakeRig(), {"b": "no"}))
    assert not passed(suite([Step("a", "", raising(NotPossible("x")))], FakeRig()))


# Cycles


def test_the_limit_of_a_chip_and_of_an_emulator() -> None:
    def row(model: int, *device: int) -> Row:
        return Row("K", "", model, device)

    assert row(10000, 10100, 99999).within(exact=False)
    assert not row(10000, 10101, 10102).within(exact=False)
    assert row(100, 132).within(exact=False)
    assert not row(100, 133).within(exact=False)
    assert not row(10000, 9899).within(exact=False)
    assert row(100, 100).within(exact=True)
    assert not row(100, 100, 101).within(exact=True)
    assert (row(200, 203, 201).deviation, row(200, 203, 201).percent) == (1, 0.5)


def test_a_deviation_names_the_first_and_keeps_all() -> None:
    rows = [Row("A", "x", 1000, (1000,)), Row("B", "y", 1000, (1200, 1100))]
    with pytest.raises(
        CyclesDiffer, match=r"1 of 2 .* the first is B \(y\): model 1,000, device 1,"
    ):
        _judge(rows, exact=False)
    try:
        _judge(rows, exact=True)
    except CyclesDiffer as failure:
        assert [row["within"] for row in failure.details["rows"]] == [True, False]
    assert "largest deviation +0 cycles" in _judge(rows[:1], exact=True).text


def test_cases_are_the_smallest_and_the_largest_of_each_kernel() -> None:
    def measurement(kernel: str, what: str, units: int, jobs: int = 1) -> Measurement:
        job = Job(kernel, {})
        return Measurement(kernel, what, "priot", "MAC", units, (job,) * jobs, 1)

    chosen = choose_cases(
        [
            measurement("A", "middle", 20),
            measurement("A", "many", 300, jobs=100),
            measurement("A", "large", 90),
            measurement("B", "only", 5),
        ]
    )
    assert [(case.kernel, case.what) for case in chosen] == [
        ("A", "many priot"),
        ("A", "large priot"),
        ("B", "only priot"),
    ]


# The report

HEADER = Header(
    "2026-01-01T00:00:00+00:00",
    "/dev/ttyACM0",
    "picotrain.elf",
    "00ff",
    "picotrain hw-test",
    {"python": "3"},
)
RESULTS = [
    Result("find", "find", Outcome.PASSED, 0.1, "found"),
    Result(
        "identity",
        "who",
        Outcome.PASSED,
        0.1,
        "chip",
        "",
        {
            "chip": "e6",
            "build": "ab",
            "clock_hz": 125000000,
            "boot_cycles": 250000,
            "reset": "power",
        },
    ),
    Result("flash", "flash", Outcome.SKIPPED, 0, "--no-flash"),
    Result("crash", "crash", Outcome.NOT_RUN, 0, "no <record> & \x00\x1b"),
    Result("verify.priot", "v", Outcome.FAILED, 2.5, "step 0 'differs' <b>", "MISMATCH"),
]


def cycles_result() -> Result:
    details = _judge([Row("CONV2D", "small", 1000, (1001,))], exact=False).details
    return Result("cycles", "cycles", Outcome.PASSED, 1, "1 run", "", details)


def test_the_report_s_json_is_complete() -> None:
    document = content(HEADER, RESULTS)
    assert json.loads(json.dumps(document)) == document
    assert document["passed"] is False
    assert document["counts"] == {"passed": 2, "failed": 1, "not run": 1, "skipped": 1}
    assert document["steps"][4]["failure"] == "MISMATCH"
    assert document["emulator"] is False
    assert summary(HEADER, RESULTS) == "FAILED: 2 passed, 1 failed, 1 not run, 1 skipped"
    assert summary(HEADER, RESULTS[:3]) == "PASSED: 2 passed, 1 skipped"
    assert summary(HEADER, []) == "FAILED: no step ran"
    assert "MISMATCH: step 0" in line(RESULTS[4])


def test_the_page_shows_every_step_and_loads_nothing() -> None:
    page = html(HEADER, [*RESULTS, cycles_result()])
    for result in RESULTS:
        assert f"<code>{result.name}</code>" in page
    assert "step 0 &#39;differs&#39; &lt;b&gt;" in page
    assert "125<small>MHz</small>" in page
    assert "<h1>Hardware test failed</h1>" in page
    assert '<p class="value bad">1<small>failed</small></p>' in page
    assert '<p class="note"><code>verify.priot</code></p>' in page
    assert '<p class="note">3 passed, 1 not run, 1 skipped</p>' in page
    assert page.count("+0.100 %") == 1
    assert '<p class="value">+0.100<small>%</small></p>' in page
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r"<script|<link rel=\"stylesheet|@import", page)
    assert page == html(HEADER, [*RESULTS, cycles_result()])


def test_a_pass_and_a_gap_lead_with_themselves() -> None:
    assert '<p class="value">2<small>passed</small></p>' in html(HEADER, RESULTS[:3])
    page = html(HEADER, RESULTS[:4])
    assert '<p class="value bad">1<small>not run</small></p>' in page
    assert '<p class="note"><code>crash</code></p>' in page


def test_an_emulator_is_not_called_a_board() -> None:
    url = "socket://127.0.0.1:4000"
    header = replace(HEADER, port=url, emulator=True)
    where = f"on an emulator at {url}, no board took part"
    assert f"<h1>Hardware test passed {where}</h1>" in html(header, RESULTS[:3])
    assert f"<title>Hardware test failed {where}" in html(header, RESULTS)
    assert summary(header, RESULTS[:2]) == f"PASSED {where}: 2 passed"
    assert content(header, RESULTS)["emulator"] is True
    kept = {one.get("name"): one.get("value") for one in properties(junit(header, RESULTS))}
    assert kept == {"port": url, "emulator": "true"}
    assert {one.get("value") for one in properties(junit(HEADER, RESULTS))} == {
        "/dev/ttyACM0",
        "false",
    }


def properties(text: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter("property"))


@pytest.mark.parametrize(
    ("url", "emulator"),
    [
        ("socket://127.0.0.1:4000", True),
        ("rfc2217://host:4000", True),
        ("loop://", True),
        ("/dev/ttyACM0", False),
        ("COM3", False),
        ("auto", False),
        ("spy:///dev/ttyACM0", False),
        ("hwgrep://2e8a:000a", False),
    ],
)
def test_what_is_no_board(url: str, emulator: bool) -> None:
    assert is_emulator(url) is emulator


def test_a_percentage_is_rounded_once() -> None:
    """194 of 224,245 is 0.08651 %: rounded to four places first, it would end as 0.086 or 0.087."""
    finding = _judge([Row("K", "x", 224_245, (224_439,))], exact=False)
    assert "+194 cycles (+0.087 %, K)" in finding.text
    page = html(HEADER, [Result("cycles", "", Outcome.PASSED, 1, "", "", finding.details)])
    assert "+0.087<small>%</small>" in page
    assert page.count("+0.087 %") == 1
    assert "0.086" not in page


def test_a_page_of_nothing_is_a_page() -> None:
    page = html(HEADER, [Result("find", "", Outcome.FAILED, 0, "no port", "SETUP")])
    assert "<h1>Hardware test failed</h1>" in page
    assert "It did not answer." in page


def test_ci_sees_failures_and_gaps() -> None:
    root = ElementTree.fromstring(junit(HEADER, RESULTS))
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == (
        "5",
        "1",
        "1",
        "1",
    )
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases["find"].findall("system-out")) == 1
    gap = cases["crash"].find("error")
    assert gap is not None and gap.get("message") == "no <record> & ??"
    failure = cases["verify.priot"].find("failure")
    assert failure is not None and failure.get("type") == "MISMATCH"
    assert cases["flash"].find("skipped") is not None


# The verbs, with the host process as a device at a TCP port


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a device that does not come back."""
    monkeypatch.setattr(rig_module, "_BACK_SECONDS", 0.5)
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 0.5)
    monkeypatch.setattr(serial_target, "WAITS", (0.2, 0.4))


@pytest.fixture
def host_port() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The TCP port of a host process."""
    command = [require(firmware.HOST), "--link", "0", "262144", "1048576"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
        process.kill()


def hw_test(url: str, folder: Path, *more: str, elf: Path = firmware.HOST) -> int:
    common = ["--steps", "1", "--method", "priot", "--elf", str(elf), "--report", str(folder)]
    return cli.main(["hw-test", "--port", url, *common, *more])


def document(folder: Path) -> dict[str, dict[str, object]]:
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html", "junit.xml"}
    steps = json.loads((folder / "report.json").read_text())["steps"]
    return {step["name"]: step for step in steps}


def test_a_device_without_a_clock_has_gaps(
    tmp_path: Path,
    host_port: tuple[int, subprocess.Popen[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"socket://127.0.0.1:{host_port[0]}"
    assert hw_test(url, tmp_path / "report") == 1
    steps = document(tmp_path / "report")
    gaps = {name for name, step in steps.items() if step["outcome"] == "not run"}
    assert gaps == {"cycles", "crash"}
    assert steps["flash"]["outcome"] == "skipped"
    assert {step["outcome"] for name, step in steps.items() if name not in gaps | {"flash"}} == {
        "passed"
    }
    told = capsys.readouterr().out
    assert "flash is left out: socket://" in told
    assert told.index("passed    link.throughput") < told.index("still to come: about ")
    assert told.index("still to come: about ") < told.index("passed    verify.priot")


def test_ctrl_c_between_two_steps_leaves_gaps_too(
    tmp_path: Path,
    host_port: tuple[int, subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(hw_test_verb, "forecast", interrupt)
    assert hw_test(f"socket://127.0.0.1:{host_port[0]}", tmp_path / "report") == 130
    steps = document(tmp_path / "report")
    assert steps["link.throughput"]["outcome"] == "passed"
    assert (steps["watchdog"]["outcome"], steps["watchdog"]["text"]) == ("not run", "interrupted")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["passed"] is False


def test_what_is_left_out_on_request_is_no_gap(
    tmp_path: Path, host_port: tuple[int, subprocess.Popen[str]]
) -> None:
    url = f"socket://127.0.0.1:{host_port[0]}"
    more = ("--no-flash", "--skip", "cycles,crash,verify,link,watchdog")
    assert hw_test(url, tmp_path / "report", *more) == 0
    steps = document(tmp_path / "report")
    assert steps["flash"]["text"] == "--no-flash"
    assert steps["verify.priot-lean"]["text"] == "--skip verify"
    assert hw_test(url, tmp_path / "none", "--skip", "nonsense") == 2
    assert not (tmp_path / "none").exists()


def test_a_process_that_dies_is_a_lost_device(
    tmp_path: Path, host_port: tuple[int, subprocess.Popen[str]], hurry: None
) -> None:
    port, process = host_port
    timer = threading.Timer(1.5, process.kill)
    timer.start()
    try:
        assert hw_test(f"socket://127.0.0.1:{port}", tmp_path / "report") == 1
    finally:
        timer.cancel()
    steps = document(tmp_path / "report")
    found = [step["outcome"] for step in steps.values()]
    assert found.count("failed") == 1
    assert found[-1] == "not run"
    assert str(steps["watchdog"]["text"]).startswith("the device does not answer since ")


@pytest.fixture
def stranger() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Somebody else at a TCP port; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve(behave: Callable[[socket.socket], None]) -> str:
        def loop() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                    with client:
                        behave(client)
                except OSError:
                    return

        threading.Thread(target=loop, daemon=True).start()
        return f"socket://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    listener.close()


def chatter(client: socket.socket) -> None:
    """MicroPython's prompt, whatever is said."""
    while client.recv(1000):
        client.sendall(b"\r\n>>> \0\xff\0")


def silence(client: socket.socket) -> None:
    while client.recv(1000):
        pass


def mirror(client: socket.socket) -> None:
    """A wire from TX to RX."""
    while data := client.recv(1000):
        client.sendall(data)


def hang_up(client: socket.socket) -> None:
    client.recv(1)


@pytest.mark.parametrize(
    ("behave", "sentence"),
    [
        (chatter, "is no picotrain device"),
        (silence, "nobody answers at socket://"),
        (mirror, "is no picotrain device"),
        (hang_up, "is gone"),
    ],
)
def test_a_wrong_device_is_named_in_one_sentence(
    tmp_path: Path,
    stranger: Callable[[Callable[[socket.socket], None]], str],
    hurry: None,
    behave: Callable[[socket.socket], None],
    sentence: str,
) -> None:
    require(firmware.HOST)
    assert hw_test(stranger(behave), tmp_path / "report") == 1
    steps = document(tmp_path / "report")
    identity = steps["identity"]
    assert (identity["outcome"], identity["failure"]) == ("failed", "LINK")
    assert sentence in str(identity["text"])
    assert "\n" not in str(identity["text"])
    assert steps["watchdog"]["outcome"] == "not run"


@pytest.mark.parametrize(
    ("url", "status", "failure"),
    [
        ("nonsense://x", 2, "SETUP"),
        ("/dev/null", 2, "SETUP"),
        ("/dev/ttyNONE", 2, "SETUP"),
        ("socket://127.0.0.1:1", 1, "LINK"),
    ],
)
def test_a_port_that_does_not_open_is_not_found(
    tmp_path: Path, hurry: None, url: str, status: int, failure: str
) -> None:
    require(firmware.HOST)
    assert hw_test(url, tmp_path / "report", "--no-flash") == status
    steps = document(tmp_path / "report")
    assert (steps["find"]["outcome"], steps["find"]["failure"]) == ("failed", failure)
    assert steps["identity"]["outcome"] == "not run"
    assert steps["identity"]["text"] == "find did not pass"
    assert url.removeprefix("socket://") in str(steps["find"]["text"])


@pytest.mark.parametrize("verb", ["hw-test", "flash"])
@pytest.mark.parametrize("port", ["", " "])
def test_an_empty_port_is_told(verb: str, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--port", port]) == 2
    assert "--port is empty: name a port, or auto" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told_before_the_first_step(
    tmp_path: Path, host_port: tuple[int, subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"socket://127.0.0.1:{host_port[0]}"
    (tmp_path / "file").write_text("")
    for more in ([], ["--json", str(tmp_path / "file" / "x.json")]):
        folder = tmp_path / "report" if more else tmp_path / "file" / "report"
        assert hw_test(url, folder, *more) == 2
        told = capsys.readouterr()
        assert f"cannot write into {tmp_path / 'file'}" in told.err
        assert "find:" not in told.out


def test_another_build_is_told(
    tmp_path: Path, host_port: tuple[int, subprocess.Popen[str]], hurry: None
) -> None:
    url = f"socket://127.0.0.1:{host_port[0]}"
    assert hw_test(url, tmp_path / "report", elf=require(firmware.HOST_TUNED)) == 1
    identity = document(tmp_path / "report")["identity"]
    assert identity["failure"] == "FLASH"
    assert "runs another build" in str(identity["text"])


def test_a_device_of_another_build_can_still_be_asked_for_bootsel(
    host_port: tuple[int, subprocess.Popen[str]],
) -> None:
    port, process = host_port
    ask_over_link(require(firmware.HOST_TUNED), Port(f"socket://127.0.0.1:{port}", "other"), 921600)
    assert process.wait(10) is not None


def test_flash_needs_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["flash", "--port", "socket://127.0.0.1:1"]) == 2
    assert "only a Pico can be flashed" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["hw-test", "flash"])
def test_a_file_that_is_no_pico_s_firmware_is_refused_before_the_first_step(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text"
    text.write_text("no program\n" * 99)
    for elf, sentence in (
        (text, "is no ELF file"),
        (Path(sys.executable).resolve(), "is no picotrain firmware with debug information"),
        (require(firmware.MICROBIT), "is the firmware of another board, which has no serial link"),
        # The host process has a link and no flash.
        (require(firmware.HOST), "no Arm program"),
    ):
        more = ["--report", str(tmp_path / "report")] if verb == "hw-test" else []
        assert cli.main([verb, "--elf", str(elf), *more]) == 2
        told = capsys.readouterr()
        assert f"{elf}" in told.err and sentence in told.err
        assert not told.out
    assert not (tmp_path / "report").exists()


def test_a_missing_firmware_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hw-test", "--elf", str(tmp_path / "none.elf")]) == 2
    assert "none.elf: no such file" in capsys.readouterr().err


def test_ports_lists_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ports", "--json", str(tmp_path / "ports.json")]) == 0
    assert set(json.loads((tmp_path / "ports.json").read_text())) == {"ports", "drives"}
    assert capsys.readouterr().out


# How long it takes


def material(steps: int) -> Material:
    network, images = random_material("oddnet", 1, 2)
    return Material(network, images, steps)


def test_the_bytes_of_a_comparison_are_those_on_the_link(
    host_port: tuple[int, subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    read, write = SerialPort.read, SerialPort.write

    def counting_read(port: SerialPort, seconds: float) -> bytes:
        data = read(port, seconds)
        moved.append(len(data))
        return data

    def counting_write(port: SerialPort, data: bytes) -> None:
        moved.append(len(data))
        write(port, data)

    monkeypatch.setattr(SerialPort, "read", counting_read)
    monkeypatch.setattr(SerialPort, "write", counting_write)
    elf = open_elf(firmware.HOST)
    payload = int(elf.enum("pt_link_protocol")["PT_LINK_PAYLOAD"])
    mailbox = elf.dtype("pt_mailbox").itemsize
    rig = DeviceRig(firmware.HOST, 921600)
    rig.port = Port(f"socket://127.0.0.1:{host_port[0]}", "other")
    rig.device()
    try:
        for steps in (1, 3):
            moved.clear()
            method = Method("priot")
            compare(rig, material(steps), method, False)
            step, whole = of_comparison(material(steps), method, False, payload, mailbox)
            # What frames add: their heads, and the echo of what was asked.
            assert 1.0 < sum(moved) / whole.bytes < 1.3
            assert whole.requests > steps * step.requests > 0
    finally:
        rig.close()


def test_the_speed_is_that_of_the_measurement() -> None:
    speed = Speed.measured(echo=0.002, peek_rate=50_000, poke_rate=40_000, payload=1000)
    assert speed.seconds(Traffic(10, read=10_000)) == pytest.approx(10_000 / 50_000)
    assert speed.seconds(Traffic(10, written=10_000)) == pytest.approx(10_000 / 40_000)
    assert speed.seconds(Traffic(7)) == pytest.approx(7 * 0.002)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.4, "3 s"), (99.4, "99 s"), (290, "5 min"), (1800, "30 min"), (3900, "1 h 5 min")],
)
def test_a_duration_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def plan(steps: int = 20) -> Plan:
    job = Job("K", {"IN": np.zeros(5000, np.int8)})
    return Plan(
        elf=require(firmware.HOST),
        wanted="socket://",
        baud=921600,
        how="auto",
        material=material(steps),
        methods=[("priot", Method("priot"), False), ("infer", Method("infer"), False)],
        cases=lambda: [Case("K", "x", job)],
        exact=True,
        throughput_bytes=1,
    )


SLOW = {"echo_seconds": 0.03, "peek_bytes_per_second": 5e3, "poke_bytes_per_second": 5e3}
FAST = {"echo_seconds": 0.001, "peek_bytes_per_second": 500e3, "poke_bytes_per_second": 400e3}


def test_a_slow_link_is_told_how_to_be_quicker() -> None:
    every = ["verify.priot", "verify.infer", "cycles"]
    assert SHORTER not in forecast(plan(), FAST, every)
    slow = forecast(plan(), SLOW, every)
    assert re.match(r"still to come: about \d+ min at this speed, for 2 x 20 steps with up", slow)
    assert " and the cycles, " in slow
    assert slow.endswith(SHORTER)


def test_what_is_not_to_come_takes_no_time() -> None:
    assert forecast(plan(), SLOW, ["crash"]) == ""
    assert "the cycles, 0.0 MB" in forecast(plan(), SLOW, ["cycles"])
    assert ", for 1 x 20 steps " in forecast(plan(), FAST, ["verify.infer", "watchdog"])


def test_the_options_that_make_it_shorter_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["hw-test", "--help"])
    text = capsys.readouterr().out
    options = re.findall(r"--[a-z]+", SHORTER)
    assert options == ["--steps", "--model", "--method"]
    assert all(option in text for option in options)
    assert {"oddnet"} <= set(models.shipped()) and "priot" in methods.NAMES


# The page


def test_the_page_quotes_what_the_tool_prints() -> None:
    """What docs/hardware.md puts into code marks in its table of troubles is in the source."""
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "harness").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    source = re.sub(r"\{[^{}]*\}", "…", source)
    page = PAGE.read_text().split("## Troubleshooting")[1]
    quoted = [
        piece.strip(" '()")
        for row in page.splitlines()
        if row.startswith("| `")
        for piece in re.split("…|RPI-RP2", row.split("`")[1])
    ]
    quoted = [piece for piece in quoted if len(piece) > 3]
    assert len(quoted) > 25
    assert [piece for piece in quoted if piece not in source] == []
