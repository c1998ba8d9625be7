"""The example for pico-sdk, with a stand-in for that: on this machine, and on an emulated chip."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from building import FIRMWARE
from picotrain.convert.export.header import header
from picotrain.datasets import load
from picotrain.device.blob import encode
from picotrain.image.elf import Elf
from picotrain_golden import Method
from standalone_twin import Twin, digits_network, pixels
from test_library import FIRST, need, ran, told

STAND_IN = Path(__file__).with_name("stand_in")
PIXELS = 28 * 28
FORM = "error: a line is a label or ?, a space, and the pixels"
SIZE = f"error: the pixels are {2 * PIXELS} hexadecimal digits"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, host_elf: Elf) -> Path:
    folder = tmp_path_factory.mktemp("pico")
    network = digits_network()
    (folder / "model.h").write_text(header(network, encode(network, host_elf), []))
    shutil.copytree(FIRMWARE / "examples" / "pico", folder / "project")
    return folder


def built(place: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Path:
    build = place / f"build-{len(options)}"
    monkeypatch.setenv("PICO_SDK_PATH", str(STAND_IN))
    monkeypatch.setenv("START", str(FIRST / "cortex-m0"))
    paths = (f"-DPICOTRAIN={FIRMWARE}", f"-DMODEL={place}")
    ran("cmake", "-S", "project", "-B", build, *paths, *options, cwd=place)
    ran("cmake", "--build", build, "-j2", cwd=place)
    return build / "lines"


def talk(asked: int, learned: int) -> tuple[bytes, list[str]]:
    """Lines, and what golden answers: images that are asked for and learned, and lines that are
    refused between them, after which all goes on as if they had not been."""
    network = digits_network()
    twin = Twin(network, Method("priot"))
    split = load("digits").train
    lines, answers = [b"\r\n"], []

    def say(line: bytes, answer: str, end: bytes = b"\n") -> None:
        lines.append(line + end)
        answers.append(answer)

    def ask(index: int) -> None:
        image = split.images[index]
        say(b"? " + pixels(image), twin.ask(image), b"\r\n")

    image = pixels(split.images[0])
    ask(0)
    for index in range(learned):
        # Turned, so that there is something to learn.
        turned = np.ascontiguousarray(np.rot90(split.images[index], axes=(0, 1)))
        label = int(split.labels[index])
        loss = twin.trainer.train_step(turned.reshape(network.input_shape), label).loss_norm
        say(f"{label} ".encode() + pixels(turned).upper(), f"learned {loss}")
        say(b"10 " + image, "error: label 10 is none of the 10")
    for line, answer in (
        (b"999 " + image, "error: label 999 is none of the 10"),
        (b"1000 " + image, FORM),
        (b"5" + image, FORM),
        (b"-1 " + image, FORM),
        (b"?" + image, FORM),
        (b"5", FORM),
        (b"?", FORM),
        (b"\0", FORM),
        (b"learn", FORM),
        (b"5 ", SIZE),
        (b"? " + image[2:], SIZE),
        (b"5 " + image[1:], SIZE),
        (b"5 " + image + b"0", SIZE),
        (b"5 " + image + b"00", SIZE),
        (b"5 " + image + b" ", SIZE),
        (b"005 " + image + b"0000", SIZE),
        (b"? " + 3 * image, SIZE),
        (b"? " + b"0" * 4_000, SIZE),
        (b"5  " + image[1:], SIZE),
        (b"5 " + image[:-1] + b"g", SIZE),
        (b"5 " + image[:-1] + b"\0", SIZE),
        (b"5 " + image[:-1] + b"\xe1", SIZE),
        (b"5 0x" + image[2:], SIZE),
    ):
        say(line, answer)
    for index in range(asked):
        ask(index)
    return b"".join(lines), answers


def test_it_learns_by_lines_as_golden_does(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("cmake", "cc", "c++")
    program = built(place, monkeypatch)
    lines, answers = talk(asked=20, learned=60)
    done = subprocess.run([program], input=lines, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == answers
    assert answers[0] not in answers[1:], "that image is as sure as it was before"
    assert len({one for one in answers if one.startswith("learned")}) > 20


def test_on_an_emulated_chip(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("cmake", "arm-none-eabi-gcc", "arm-none-eabi-g++", "arm-none-eabi-nm", "qemu-system-arm")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={FIRST / 'cortex-m0' / 'toolchain.cmake'}"
    program = built(place, monkeypatch, toolchain)
    lines, answers = talk(asked=4, learned=8)
    program = program.rename(place / "program")
    (place / "lines").write_bytes(lines)
    assert told(program).splitlines() == answers
    places = {
        name: int(address, 16)
        for address, name in re.findall(
            r"^(\w+) \w (\w+)$", ran("arm-none-eabi-nm", program, cwd=place), re.MULTILINE
        )
    }
    timed = ran("arm-none-eabi-objdump", "-h", "-w", place / TIMED, cwd=place)
    assert ".time_critical.picotrain " in timed
    assert ".time_critical.pt_lanes_row_s32 " in timed
    for name in ("pt_trainer_train", "pt_conv2d_forward_s8", "pt_lanes_row_s32", "pt_operators"):
        assert places[name] >= 0x20000000, name
    for name in ("main", "pt_model_open", "pt_network_tinycnn"):
        assert places[name] < 0x00200000, name


TIMED = Path("build-1", "picotrain", "libpicotrain_timed.a")
