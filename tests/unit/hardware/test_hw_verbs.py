"""The verbs for a board, with the host process as a device at a TCP port."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from picotrain import cli
from picotrain.cli.hardware import hw_test as hw_test_verb
from picotrain.cli.material import random_material
from picotrain.device.link.port import SerialPort
from picotrain.device.link.ports import Port
from picotrain.device.targets import serial as serial_target
from picotrain.hardware import link_steps
from picotrain.hardware import rig as rig_module
from picotrain.hardware.cycle_steps import Case
from picotrain.hardware.device_steps import Material, compare
from picotrain.hardware.estimate import (
    SHORTER,
    Speed,
    Traffic,
    duration,
    forecast,
    of_comparison,
)
from picotrain.hardware.flash import ask_over_link
from picotrain.hardware.plan import Plan
from picotrain.hardware.rig import DeviceRig
from picotrain.hardware.suite import Finding
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn import methods, models
from picotrain.profile.bench import Job
from picotrain_golden import Method
from support import require

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
    tmp_path: Path,
    host_port: tuple[int, subprocess.Popen[str]],
    hurry: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, process = host_port
    garbage = link_steps.garbage

    def dies(rig: DeviceRig) -> Finding:
        process.kill()
        return garbage(rig)

    monkeypatch.setattr(link_steps, "garbage", dies)
    assert hw_test(f"socket://127.0.0.1:{port}", tmp_path / "report") == 1
    steps = document(tmp_path / "report")
    found = {name: step["outcome"] for name, step in steps.items()}
    assert [name for name, outcome in found.items() if outcome == "failed"] == ["link.garbage"]
    assert found["link.refusals"] == "passed"
    assert found["watchdog"] == "not run"
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
    json_file = tmp_path / "file" / "x.json"
    for more in ([], ["--json", str(json_file)]):
        folder = tmp_path / "report" if more else tmp_path / "file" / "report"
        assert hw_test(url, folder, *more) == 2
        told = capsys.readouterr()
        where = str(json_file) if more else f"into {folder}"
        assert f"cannot write {where}: Not a directory" in told.err
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
