"""`picotrain capture` of a board that is played, at a TCP port and at a pty."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tty
from pathlib import Path

import numpy as np
import pytest

from picotrain import datasets
from picotrain.cli import main
from picotrain.hardware.standalone.capture import Recording, Unfit
from played import Play, played

SHAPE = ("--shape", "2x3")


def pixels(first: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.arange(first, first + 6, dtype=np.uint8).reshape(2, 3, 1)


def sample(first: int, label: int | None = None) -> str:
    return f"sample {'' if label is None else f'{label} '}{pixels(first).tobytes().hex()}\n"


def saying(text: str) -> Play:
    """Sends it all, and waits until the other end goes."""

    def play(end: socket.socket) -> None:
        end.sendall(text.encode())
        end.settimeout(60)
        while end.recv(1 << 16):
            pass

    return play


def gone_after(text: str) -> Play:
    return lambda end: end.sendall(text.encode())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "mine.npz"


def held(path: Path) -> tuple[list[int], list[int]]:
    """First pixels and labels."""
    with np.load(path) as arrays:
        assert set(arrays.files) == {"x", "y"} and arrays["x"].dtype == np.uint8
        assert arrays["x"].shape[1:] == (2, 3, 1)
        for image in arrays["x"]:
            assert np.array_equal(image, pixels(int(image.flat[0])))
        return arrays["x"][:, 0, 0, 0].tolist(), arrays["y"].tolist()


def test_what_is_recorded_is_a_data_set(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(sample(10 * n, n % 2) for n in range(12))
    with played(saying(text)) as url:
        code = main(["capture", "--port", url, *SHAPE, "--count", "12", "--out", str(out)])
    assert code == 0
    assert held(out) == ([10 * n for n in range(12)], [0, 1] * 6)
    dataset = datasets.load(f"npz:{out}")
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sizes == {"train": 9, "validation": 1, "test": 2}
    assert (dataset.image_shape, dataset.classes) == ((2, 3, 1), 2)
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "   1 of 12  label 0" and said[12] == "  12 of 12  label 1"
    assert said[13:] == [f"samples recorded: 12, in {out}", "of a class: 0: 6, 1: 6"]


def test_other_lines_are_shown_and_unfit_ones_told(
    out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [
        "00ff\r\n",  # the end of a line that began before
        "hello \x1b[2J board\r\n",
        sample(0, 3).replace("\n", "\r\n"),
        "sample 0102\n",
        sample(0, 10),
        sample(0).replace("05", "0g"),
        "sample\n",
        "sample 1 2 3\n",
        "sample -1 000102030405\n",
        f"sample {5000 * '0'} 000102030405\n",  # more digits than Python reads as a number
        sample(7).upper().replace("SAMPLE", "sample"),
        sample(99),
    ]
    report = tmp_path / "r.json"
    with played(saying("".join(lines))) as url:
        options = ["--port", url, *SHAPE, "--count", "2", "--classes", "10", "--label", "9"]
        code = main(["capture", *options, "--out", str(out), "--json", str(report)])
    assert code == 0
    assert held(out) == ([0, 7], [3, 9])
    told = "was not recorded: "
    assert capsys.readouterr().err.splitlines() == [
        "00ff",
        "hello ?[2J board",
        f"line 4 {told}it has 4 digits, and 2x3x1 takes 12",
        f"line 5 {told}'10' is no label, 0 to 9",
        f"line 6 {told}'g' is no hexadecimal digit",
        f"line 7 {told}it has 0 words behind 'sample', not PIXELS or LABEL PIXELS",
        f"line 8 {told}it has 3 words behind 'sample', not PIXELS or LABEL PIXELS",
        f"line 9 {told}'-1' is no label, 0 to 9",
        f"line 10 {told}'{80 * '0'}...' is no label, 0 to 9",
    ]
    assert json.loads(report.read_text()) == {
        "file": str(out),
        "shape": [2, 3, 1],
        "recorded": 2,
        "samples": 2,
        "classes": {"3": 1, "9": 1},
        "not_recorded": 7,
        "other_lines": 2,
    }


def test_labels_are_asked_for(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("5\nx\n256\n 0 \n"))
    text = sample(1) + sample(2, 7) + sample(3) + sample(4)
    with played(saying(text)) as url:
        arguments = ["capture", "--port", url, *SHAPE, "--count", "4", "--out", str(out)]
        assert main(arguments) == 2
    assert held(out) == ([1, 2, 3], [5, 7, 0])
    said = capsys.readouterr()
    assert said.out.count("label, 0 to 255: ") == 5
    assert said.err.splitlines() == [
        "'x' is no label, 0 to 255",
        "'256' is no label, 0 to 255",
        f"samples recorded: 3, in {out}",
        "picotrain: nobody is there to give a label; give --label",
    ]


def test_a_lost_port_keeps_what_was_recorded(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SHAPE, "--label", "1", "--count", "9", "--out", str(out)]
    with played(gone_after("hello\n")) as url:
        assert main(["capture", "--port", url, *arguments]) == 1
    assert not out.exists() and "\nno sample was recorded\n" in capsys.readouterr().err
    half = sample(3)[:-3]
    with played(gone_after(sample(1) + sample(2) + half)) as url:
        assert main(["capture", "--port", url, *arguments]) == 1
    assert held(out) == ([1, 2], [1, 1])
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"samples recorded: 2, in {out}"
    assert told[1].startswith(f"picotrain: LINK: {url} is gone")


class Capture(subprocess.Popen[str]):
    """`picotrain capture` as a process, of label 1."""

    def __init__(self, url: str, out: Path, count: int) -> None:
        command = [sys.executable, "-m", "picotrain", "capture", *SHAPE, "--label", "1"]
        command += ["--count", str(count), "--out", str(out), "--port", url]
        super().__init__(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, begins: str) -> None:
        assert self.stdout is not None
        for line in self.stdout:
            if line.startswith(begins):
                return
        raise AssertionError(f"it never said {begins}")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_recorded(out: Path, number: signal.Signals, status: int) -> None:
    with played(saying(sample(1) + sample(2))) as url, Capture(url, out, 9) as process:
        process.until("   2 of 9")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, held(out)) == (status, ([1, 2], [1, 1]))
    assert err == f"samples recorded: 2, in {out}\npicotrain: interrupted\n"


def test_at_a_pty(out: Path) -> None:
    board, port = os.openpty()
    tty.setraw(port)
    try:
        with Capture(os.ttyname(port), out, 2) as process:
            process.until("waiting")
            os.write(board, (sample(5) + sample(6)).encode())
            _, err = process.communicate(timeout=60)
    finally:
        os.close(board)
        os.close(port)
    assert (process.returncode, err, held(out)) == (0, "", ([5, 6], [1, 1]))


def test_more_is_added(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(text: str, *more: str) -> int:
        with played(saying(text)) as url:
            arguments = ["capture", "--port", url, "--count", "1", "--out", str(out)]
            return main([*arguments, "--label", "2", "--append", *more])

    assert run(sample(1), *SHAPE) == 0
    assert run(sample(2, 4)) == 0
    assert held(out) == ([1, 2], [2, 4])
    said = capsys.readouterr().out.splitlines()
    assert said[-2] == "of a class: 2: 1, 4: 1"
    assert f"samples recorded: 1, 2 in all, in {out}" in said
    assert said[-1] == "a data set has at least 10 samples: go on with --append"


def test_mistakes_are_told_before_the_port_is_opened(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.npz"
    np.savez(tmp_path / "three.npz", x=np.zeros((2, 2, 3), np.uint8), y=[0, 300])
    np.savez(tmp_path / "more.npz", x=np.zeros((2, 2, 3), np.uint8), y=[0, 1], x_test=[1])
    np.savez(tmp_path / "int8.npz", x=np.zeros((2, 2, 3), np.int8), y=[0, 1])
    np.savez(tmp_path / "few.npz", x=np.zeros((2, 2, 3), np.uint8), y=[0])
    np.savez(other, x=np.zeros((2, 2, 3), np.uint8), y=[0, 1])
    (tmp_path / "text.npz").write_text("x")
    add = ["--append", "--out"]
    cases = [
        (["--shape", "28", "--out", str(out)], "--shape '28' is no shape; give one such as 28x28"),
        (["--shape", "0x3", "--out", str(out)], "--shape 0x3 has 0 pixels; give 1 to 524,288"),
        (["--out", str(out)], "give --shape, that of a sample, such as 28x28"),
        ([*SHAPE, "--out", "mine.txt"], "--out mine.txt is no data set by its name; let it end"),
        ([*SHAPE, "--out", str(other)], f"{other} is there already; give --append to add to it"),
        ([*SHAPE, "--out", str(out), "--classes", "257"], "there are at most 256; give fewer"),
        ([*SHAPE, "--out", str(out), "--classes", "4", "--label", "4"], "none of --classes 4"),
        (["--shape", "3x2", *add, str(other)], "has samples of 2x3x1, and --shape is 3x2x1; name"),
        ([*add, str(other), "--classes", "1"], "has labels 0 to 1, and --classes 1 allows 0 to 0"),
        ([*add, str(tmp_path / "three.npz")], "has labels 0 to 300, and --classes 256 allows"),
        ([*add, str(tmp_path / "more.npz")], "has x, x_test, y, not x and y; add to a file of"),
        ([*add, str(tmp_path / "int8.npz")], "has x of int8 [2, 2, 3] and y of int64; add to"),
        ([*add, str(tmp_path / "few.npz")], "has 2 images and labels [1]; add to a file of"),
        ([*add, str(tmp_path / "text.npz")], "cannot be added to: it is no zip file: it begins"),
    ]
    for options, told in cases:
        assert main(["capture", "--port", "socket://127.0.0.1:1", "--count", "1", *options]) == 2
        said = capsys.readouterr()
        assert told in said.err and said.err.count("\n") == 1 and said.out == "", options
    assert not out.exists() and len(np.load(other)["y"]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--label", "256"], "256 is not between 0 and 255"),
        (["--count", "0"], "0 is less than 1"),
    ],
)
def test_options_that_do_not_parse(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["capture", "--count", "1", "--out", "x.npz", *options])
    assert told in capsys.readouterr().err


def test_a_sample_has_digits_of_ascii() -> None:
    with pytest.raises(Unfit):
        Recording((1, 1, 1)).sample("sample 1 \uff11\uff12")
    with pytest.raises(Unfit):
        Recording((1, 1, 1)).sample("sample \uff11 12")
