"""Closed, full and narrow standard streams: no traceback, no lost result, and a status that says
what happened."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from threading import Event, current_thread, main_thread
from types import SimpleNamespace

import pytest

from picotrain import cli
from picotrain.progress import PAUSE_SECONDS, progress_bar

SMALL = "adapt --target golden --train-samples 20 --test-samples 10 --epochs 1"


def shell(
    arguments: str, redirection: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = f"{shlex.quote(sys.executable)} -m picotrain {arguments} {redirection}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


FULL = "No space left on device"
CLOSED = "Bad file descriptor"


@pytest.mark.parametrize(
    ("redirection", "why"), [(">/dev/full", FULL), (">&-", CLOSED), (">&- <&-", CLOSED)]
)
@pytest.mark.parametrize("arguments", ["ports", "--help", "--version", SMALL + " --json r.json"])
def test_standard_output_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, arguments: str, redirection: str, why: str
) -> None:
    done = shell(arguments, redirection, tmp_path)
    sentence = f"picotrain: cannot write to standard output: {why}; send it elsewhere"
    assert (done.returncode, done.stderr.splitlines()) == (1, [sentence])
    if "--json" in arguments:
        assert json.loads((tmp_path / "r.json").read_text())["complete"] is True


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- <&-", "2> >(true)"])
def test_standard_error_that_cannot_be_written_ends_no_run(
    tmp_path: Path, redirection: str
) -> None:
    done = shell(f"{SMALL} --json r.json", redirection, tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "result: r.json"
    assert json.loads((tmp_path / "r.json").read_text())["complete"] is True
    mistake = shell("adapt --mu 9", redirection, tmp_path)
    assert (mistake.returncode, mistake.stdout) == (2, "")


def test_both_closed_or_full(tmp_path: Path) -> None:
    for redirection in (">&- 2>&-", ">/dev/full 2>&1", ">&- 2>&- <&-"):
        assert shell("ports", redirection, tmp_path).returncode == 1
        assert shell("adapt --mu 9", redirection, tmp_path).returncode == 2


def test_no_child_prints_into_a_file_of_ours(tmp_path: Path) -> None:
    """The number of a closed stream is not given to the next file that is opened."""
    program = (
        "import os, pathlib\n"
        "from picotrain.streams import guarded\n"
        "with guarded(), open('file', 'w') as file:\n"
        "    os.system('echo from a child; echo and more >&2')\n"
        "pathlib.Path('numbers').write_text(str(file.name))\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = f"{shlex.quote(sys.executable)} program.py >&- 2>&- <&-"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("arguments", ["ports", "--help", SMALL + " --json r.json"])
def test_who_leaves_early_ends_it_in_silence(tmp_path: Path, arguments: str) -> None:
    done = shell(arguments, "| true", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_any_encoding_can_print_everything(tmp_path: Path, encoding: str) -> None:
    program = "import sys\nfrom picotrain.streams import guarded\n" + (
        "with guarded():\n"
        "    print('10 \\xb1 2 \\u2192 \\udce9')\n"
        "    print('10 \\xb1 2', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
    )
    expected = {
        "ascii": b"10 \\xb1 2 \\u2192 \\udce9\n",
        "iso-8859-1": b"10 \xb1 2 \\u2192 \\udce9\n",
        "utf-8": b"10 \xc2\xb1 2 \xe2\x86\x92 \\udce9\n",
    }
    assert done.stdout == expected[encoding]
    assert done.stderr.startswith(b"10 ")


def test_a_log_gets_whole_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("picotrain.progress.time.monotonic", lambda: clock[0])
    with progress_bar("epoch 1/2", 4000) as advance:
        for _ in range(4):
            clock[0] += 0.6 * PAUSE_SECONDS
            advance(1000)
    assert capsys.readouterr().err == "epoch 1/2: 2,000 of 4,000 images, 12 s\n"
    with progress_bar("short", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_a_log_goes_on_where_nothing_advances(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looked = [0.0], Event()

    def now() -> float:
        if current_thread() is not main_thread():
            clock[0] += 0.6 * PAUSE_SECONDS
            if clock[0] > 4 * PAUSE_SECONDS:
                looked.set()
        return clock[0]

    monkeypatch.setattr("picotrain.progress.time.monotonic", now)
    monkeypatch.setattr("picotrain.progress._LOOK_SECONDS", 0.001)
    with progress_bar("list", 3, "data set", alive=True):
        assert looked.wait(60)
    assert capsys.readouterr().err.splitlines()[:2] == [
        "list: 0 of 3 data sets, 12 s",
        "list: 0 of 3 data sets, 24 s",
    ]
    clock[0] = 0.0
    looked.clear()
    with progress_bar("single", 1, "step", alive=True):
        assert looked.wait(60)
    assert capsys.readouterr().err.startswith("single: 0 of 1 step, ")


def test_without_a_standard_error_there_is_no_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar("epoch", 10) as advance:
        advance(10)
    assert capsys.readouterr().out == ""


def test_a_run_without_a_terminal_leaves_nothing_on_standard_error(tmp_path: Path) -> None:
    done = shell(f"{SMALL} --json r.json", "", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\r" not in done.stdout


def test_the_seconds_of_an_epoch_say_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 5.0, 17.0, 40.5])  # the start, before, and after each epoch
    monkeypatch.setattr(
        "picotrain.learn.adapt.time", SimpleNamespace(monotonic=lambda: next(clock))
    )
    command = [*SMALL.split()[:-1], "2", "--json", str(tmp_path / "r.json")]
    assert cli.main(command) == 0
    epochs = [one for one in capsys.readouterr().out.splitlines() if one.startswith("epoch")]
    assert [line.split("took")[1] for line in epochs] == [
        "  12.0 s, 17.0 s in all",
        "  23.5 s, 40.5 s in all",
    ]


def test_streams_are_what_they_were_after_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    assert cli.main(["ports"]) == 0
    assert (sys.stdout, sys.stderr) == before
