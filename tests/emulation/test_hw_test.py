"""`picotrain hw-test` on an emulated Pico: what it finds, and what it says when the line breaks."""

from __future__ import annotations

import json
import random
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from picotrain import cli
from picotrain.cli.hardware import hw_test as hw_test_verb
from picotrain.device.link.ports import Port
from picotrain.device.targets import serial as serial_target
from picotrain.device.targets.rp2040js import Rp2040js
from picotrain.device.targets.serial import SerialTarget
from picotrain.hardware import link_steps
from picotrain.hardware import rig as rig_module
from picotrain.hardware.cycle_steps import Case, choose_cases
from picotrain.hardware.flash import ask_over_link
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import Finding
from picotrain.image import firmware, uf2
from picotrain.profile.bench_cases import Measurement
from support import require

Steps = dict[str, dict[str, Any]]
Launch = Callable[..., Rp2040js]


@pytest.fixture
def launch(package: Path) -> Iterator[Launch]:
    """Starts emulated Picos, which run beside the test; ended after it."""
    elf, rom = require(firmware.RP2040), require(firmware.RP2040_ROM)
    started: list[Rp2040js] = []

    def start(**options: Any) -> Rp2040js:
        started.append(Rp2040js(elf, rom, package, **options))
        started[-1].start()
        started[-1].go()
        return started[-1]

    yield start
    for machine in started:
        machine.close()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a device that does not come back."""
    monkeypatch.setattr(rig_module, "_BACK_SECONDS", 1.0)
    monkeypatch.setattr(serial_target, "_BACK_SECONDS", 1.0)


def hw_test(url: str, folder: Path, *more: str) -> tuple[int, Steps]:
    """Exit status, and the steps of the report by name."""
    fixed = ["--port", url, "--report", str(folder), "--model", "models/oddnet.toml"]
    status = cli.main(["hw-test", *fixed, "--steps", "1", "--bytes", "4096", *more])
    steps = json.loads((folder / "report.json").read_text())["steps"]
    return status, {step["name"]: step for step in steps}


def test_everything_passes_over_usb(tmp_path: Path, launch: Launch) -> None:
    status, steps = hw_test(launch().usb_url, tmp_path, "--skip", "cycles")
    assert {name for name, step in steps.items() if step["outcome"] != "passed"} == {
        "flash",
        "cycles",
    }
    assert status == 0
    assert steps["flash"]["outcome"] == "skipped"
    registers = steps["crash"]["details"]["registers"]
    assert int(registers["pc"], 16) >> 28 in (1, 2)
    assert steps["identity"]["details"]["clock_hz"] == 125_000_000
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    page = (tmp_path / "report.html").read_text()
    assert "<h1>Hardware test passed on an emulator at socket://" in page
    assert json.loads((tmp_path / "report.json").read_text())["emulator"] is True


def test_cycles_are_exact_over_the_uart(
    tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without USB no interrupt comes, so the chip's clock shows what the model says.

    An emulated UART is slow, so it is one job of each kernel, and none with more than 20 KB. Some
    take longer than the emulator's slice of 400,000 cycles, in which a question cannot interrupt
    them.
    """

    def small(found: Iterable[Measurement]) -> list[Case]:
        first: dict[str, Case] = {}
        for case in choose_cases(found):
            if sum(operand.nbytes for operand in case.job.inputs.values()) < 20_000:
                first.setdefault(case.kernel, case)
        return list(first.values())

    monkeypatch.setattr(hw_test_verb, "choose_cases", small)
    more = ("--exact", "--method", "infer", "--skip", "link.echo,link.throughput,verify")
    status, steps = hw_test(launch().uart_url, tmp_path, *more)
    assert status == 0
    assert steps["link.garbage"]["outcome"] == steps["crash"]["outcome"] == "passed"
    rows = steps["cycles"]["details"]["rows"]
    assert all(row["device"] == [row["model"]] for row in rows)
    assert len({row["kernel"] for row in rows}) == 21
    assert min(row["model"] for row in rows) > 100
    assert max(row["model"] for row in rows) > 400_000


def test_what_a_uf2_file_holds_boots(launch: Launch) -> None:
    (segment,) = uf2.decode(uf2.encode(uf2.read_image(require(firmware.RP2040))))
    machine = launch(image=segment.data)
    target = SerialTarget(firmware.RP2040, machine.usb_url)
    target.connect()
    assert target.hello().reset == "power"
    target.close()


def test_a_device_that_is_asked_goes_to_bootsel(launch: Launch) -> None:
    machine = launch()
    ask_over_link(firmware.RP2040, Port(machine.usb_url, "picotrain"), 921600)
    machine.halt()
    assert machine.run(20).why == "bootsel"


# What breaks on the way


class Proxy:
    """TCP between the test and a device; after `whole` bytes from the device it does `then`."""

    def __init__(self, url: str, whole: int, then: str) -> None:
        self._device = int(url.rpartition(":")[2])
        self._left = whole
        self._then = then
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while self._left > 0 or self._then == "noise":
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", self._device)) as far:
                self._pass(near, far)
        self._listener.close()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        noise = random.Random(7)
        while True:
            for ready in select.select([near, far], [], [])[0]:
                try:
                    data = ready.recv(4096)
                    if not data:
                        return
                    if ready is near:
                        far.sendall(data)
                        continue
                    self._left -= len(data)
                    if self._left <= 0 and self._then == "hang up":
                        return
                    near.sendall(data if self._left > 0 else noise.randbytes(len(data)))
                except OSError:
                    return


@pytest.mark.parametrize(
    ("whole", "then", "sentence"),
    [
        (30_000, "hang up", "is gone"),
        (30_000, "noise", "no answer"),
        (62_000, "hang up", "is gone"),
    ],
)
def test_a_line_that_breaks_ends_in_one_sentence_and_a_report(
    tmp_path: Path, launch: Launch, hurry: None, whole: int, then: str, sentence: str
) -> None:
    proxy = Proxy(launch().usb_url, whole, then)
    try:
        status, steps = hw_test(proxy.url, tmp_path, "--skip", "verify")
    finally:
        proxy.close()
    assert status == 1
    failed = [step for step in steps.values() if step["outcome"] == "failed"]
    assert [step["failure"] for step in failed] == ["LINK"]
    assert sentence in failed[0]["text"]
    assert "\n" not in failed[0]["text"]
    assert steps["identity"]["outcome"] == "passed"
    assert steps["watchdog"]["outcome"] == "not run"
    assert (
        steps["watchdog"]["text"] == f"the device does not answer since {failed[0]['name']} failed"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html", "junit.xml"}


def test_an_unplugged_device_is_reported(
    tmp_path: Path, launch: Launch, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = launch()
    garbage = link_steps.garbage

    def unplug_first(rig: DeviceRig) -> Finding:
        with rig.wire():
            machine.plug(False)
            return garbage(rig)

    monkeypatch.setattr(link_steps, "garbage", unplug_first)
    status, steps = hw_test(machine.usb_url, tmp_path, "--skip", "link.echo")
    assert status == 1
    failed = [step for step in steps.values() if step["outcome"] == "failed"]
    assert [(step["name"], step["failure"]) for step in failed] == [("link.garbage", "LINK")]
    assert "\n" not in failed[0]["text"]
    assert steps["identity"]["outcome"] == "passed"
    assert steps["watchdog"]["outcome"] == "not run"
