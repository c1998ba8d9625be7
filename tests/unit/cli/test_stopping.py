"""SIGTERM and SIGHUP end a run as Ctrl-C does: nothing is lost, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from picotrain.__main__ import main as start
from picotrain.image import firmware
from picotrain.stopping import Stopped, status_of, stoppable
from support import require

LONG = "--dataset digits --train-samples 200 --test-samples 20 --epochs 1000 --json r.json"
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return
    raise AssertionError(f"it never said {word}")


def in_ram(process: int) -> set[Path]:
    """The files that are the memory of its device."""
    maps = Path(f"/proc/{process}/maps").read_text().split()
    return {Path(word) for word in maps if "/picotrain-" in word and not word.endswith("host")}


def children(process: int) -> set[int]:
    return {
        int(word)
        for task in Path(f"/proc/{process}/task").iterdir()
        for word in (task / "children").read_text().split()
    }


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("target", ["golden", "host"])
def test_a_stopped_run_keeps_its_result_and_leaves_nothing(
    tmp_path: Path, target: str, number: signal.Signals
) -> None:
    if target == "host":
        require(firmware.HOST)
    command = [sys.executable, "-m", "picotrain", "adapt", "--target", target, *LONG.split()]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(process, "epoch   1")
        started = children(process.pid)
        memory = in_ram(process.pid)
        assert bool(started) == bool(memory) == (target == "host")
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == STATUS[number]
    lines = told.splitlines()
    assert lines[-2:] == ["the result so far is in r.json", "picotrain: interrupted"]
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["complete"] is False and len(result["history"]) >= 1
    assert [one for one in started if Path(f"/proc/{one}").exists()] == []
    assert [path for path in memory if path.exists()] == []


def test_before_the_first_epoch_an_earlier_result_stays(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"complete": true}')
    long = LONG.replace("--train-samples 200", "--train-samples 1000")
    command = [sys.executable, "-m", "picotrain", "adapt", "--target", "golden", *long.split()]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(process, "before")
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told.splitlines()[-1]) == (143, "picotrain: interrupted")
    assert "so far" not in told
    assert (tmp_path / "r.json").read_text() == '{"complete": true}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_raised_once_and_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert before is signal.SIG_DFL
    with pytest.raises(Stopped, match=number.name) as stop, stoppable():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)  # while devices are closed
    assert status_of(stop.value) == STATUS[number]
    assert signal.getsignal(number) is before


@pytest.fixture
def interrupts() -> Iterator[None]:
    """The handler of Ctrl-C is given back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def cli_that(run: Callable[[], int]) -> ModuleType:
    """In the place of `picotrain.cli`: its attributes are looked up as it is imported."""
    module = ModuleType("picotrain.cli")
    module.__getattr__ = lambda name: run  # type: ignore[method-assign]
    return module


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_while_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("picotrain.cli")

    def interrupted(name: str) -> Any:
        raise KeyboardInterrupt

    module.__getattr__ = interrupted  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "picotrain.cli", module)
    assert start() == 130
    assert capsys.readouterr().err == "picotrain: interrupted\n"


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("code", [0, 1, 2])
def test_an_interrupt_behind_the_result_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setitem(sys.modules, "picotrain.cli", cli_that(lambda: code))
    assert start() == code
    os.kill(os.getpid(), signal.SIGINT)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_runs_a_verb_without_them() -> None:
    entered = []

    def run() -> None:
        with stoppable():
            entered.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
