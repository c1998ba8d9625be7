"""The client of a device that stands alone, against one that is played."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from picotrain.device.link.port import PortLost
from picotrain.errors import LinkFailure, TimeoutFailure, UserError
from picotrain.hardware.standalone.client import Answer, Learned, Refusal, Standalone
from picotrain.hardware.standalone.lines import shown
from played import answering, played

IMAGE = np.array([[0, 1], [171, 255]], np.uint8)
ANSWERS = {
    "? 0001abff": "7 52",
    "3 0001abff": "learned 41",
    "4 0001abff": "easy 0",
    "save": "saved 12",
    "factory": "factory",
    "threshold 20": "threshold 20",
    "every 1000": "every 1000",
    "info": "network=tinycnn method=priot learned=41",
    "9 0001abff": "error: label 9, and there are 4 classes",
}


def test_every_request_has_its_answer() -> None:
    with played(answering(ANSWERS)) as url, Standalone(url, seconds=20) as device:
        assert device.ask(IMAGE) == Answer(7, 52)
        assert device.learn(IMAGE, 3) == Learned(41, easy=False)
        assert device.learn(IMAGE, 4) == Learned(0, easy=True)
        assert device.save() == 12
        device.factory()
        device.threshold(20)
        device.every(1000)
        assert device.info() == {"network": "tinycnn", "method": "priot", "learned": "41"}
        with pytest.raises(Refusal) as refused:
            device.learn(IMAGE, 9)
        assert refused.value.told == "COMMAND: label 9, and there are 4 classes"
        assert device.save() == 12  # it goes on


DIGITS = "saved " + 5000 * "1"
"""More than Python reads as a number."""


OTHERS = ("", "hello", "7", "7 x", "7 1 2", "learned 4", "saved x", DIGITS)


@pytest.mark.parametrize("answer", OTHERS)
@pytest.mark.parametrize("request_", ["ask", "learn", "save", "factory", "info"])
def test_another_program_is_told(answer: str, request_: str) -> None:
    if (request_, answer) == ("learn", "learned 4"):
        answer = "learned -4"
    line = {"ask": "? 0001abff", "learn": "3 0001abff"}.get(request_, request_)
    arguments = {"ask": (IMAGE,), "learn": (IMAGE, 3)}.get(request_, ())
    with played(answering({line: answer})) as url, Standalone(url, seconds=20) as device:
        with pytest.raises(LinkFailure) as failure:
            getattr(device, request_)(*arguments)
        assert str(failure.value) == (
            f"what answers at {url} is no device that stands alone: it said {shown(answer)!r}"
        )


def test_what_came_before_a_request_is_no_answer() -> None:
    def play(end: socket.socket) -> None:
        with end.makefile("rw", newline="\n") as stream:
            for number in (1, 2):
                assert stream.readline() == "save\n"
                stream.write(f"saved {number}\nand more, and half a li")
                stream.flush()

    with played(play) as url, Standalone(url, seconds=20) as device:
        assert device.save() == 1
        assert device.save() == 2


def test_nobody_answers() -> None:
    with (
        played(_until_closed) as url,
        Standalone(url, seconds=0.2) as device,
        pytest.raises(TimeoutFailure, match=r"did not answer 'save' within 0\.2 s; is it one"),
    ):
        device.save()


@pytest.mark.parametrize("late", ["7 52", "error: PIXELS are 8 hexadecimal digits"])
def test_a_late_answer_is_not_that_of_the_next_request(late: str) -> None:
    go = threading.Event()

    def play(end: socket.socket) -> None:
        with end.makefile("rw", newline="\n") as stream:
            assert stream.readline() == "? 0001abff\n"
            assert go.wait(30)
            assert [stream.readline(), stream.readline()] == ["\n", "info\n"]
            stream.write(f"{late}\nprotocol=1 network=tinycnn\n")
            stream.flush()
            assert stream.readline() == "? 0001abff\n"
            stream.write("3 9\n")
            stream.flush()
            assert stream.readline() == "save\n"
            stream.write("saved 4\n")

    with played(play) as url, Standalone(url, seconds=5) as device:
        with pytest.raises(TimeoutFailure):
            device.ask(IMAGE)
        go.set()
        assert device.ask(IMAGE) == Answer(3, 9)
        assert device.save() == 4


@pytest.mark.parametrize("request_", ["", "save\nsave", "info\r", "\xe9", "\0"])
def test_a_request_is_one_line(request_: str) -> None:
    with (
        played(_until_closed) as url,
        Standalone(url, seconds=20) as device,
        pytest.raises(UserError, match="is no line of ASCII; a request is one"),
    ):
        device.say(request_)


def test_a_device_that_goes() -> None:
    with (
        played(lambda end: None) as url,
        Standalone(url, seconds=20) as device,
        pytest.raises(PortLost, match="is gone"),
    ):
        device.save()


def _until_closed(end: socket.socket) -> None:
    while end.recv(1 << 16):
        pass


def test_what_is_no_image() -> None:
    with played(_until_closed) as url, Standalone(url) as device:
        for image in (IMAGE.astype(np.int64), IMAGE[:0], [[1, 2]]):
            with pytest.raises(UserError, match="an image is a uint8 array of pixels"):
                device.ask(image)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"the label is 1\.5; give a whole number"):
            device.learn(IMAGE, 1.5)  # type: ignore[arg-type]
