"""The standalone application's lines, learner and store on this machine, against golden."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import FIRMWARE, SANITIZED, build
from picotrain.hardware.standalone.window import MOST_EVERY
from picotrain.image.elf import Elf, open_elf
from picotrain_golden import Method, Network
from standalone_twin import BLANK, FORM, Image, Twin, digits_network, pixels, turned_digits, window
from trainable_affine import trainable_network

APPLICATION = FIRMWARE / "examples" / "standalone"
ARENA = 1 << 18
DWARF = ("-g", "-gdwarf-4", "-fno-eliminate-unused-debug-types")
SIZE = "error: PIXELS are 1568 hexadecimal digits, two for each of 28x28x1"
CLASSES = "none of the classes: give 0 to 9"
ONLY_INFERS = "error: this device only infers: write its model with another method than infer"

Say = Callable[..., list[str]]
Windows = Callable[..., Path]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path) -> Path:
    sources = ["standalone_lines.c", "flash_model.c"]
    sources += [str(APPLICATION / name) for name in ("lines.c", "learner.c")]
    folder = tmp_path_factory.mktemp("lines")
    return build(folder, sources, (*SANITIZED, *DWARF, "-Wconversion"), sanitized_library)


@pytest.fixture(scope="module")
def elf(program: Path) -> Elf:
    return open_elf(program)


@pytest.fixture
def windows(elf: Elf, tmp_path: Path) -> Windows:
    """Files of flash: a network, the name of a method or a method, and fields of the header."""

    def make(network: Network, method: Method, changes: Mapping[str, Any] | None = None) -> Path:
        file = tmp_path / f"window-{len(list(tmp_path.iterdir()))}"
        file.write_bytes(window(elf, network, method, changes))
        return file

    return make


@pytest.fixture
def say(program: Path) -> Say:
    """All answers to these lines; a file stands for a boot with it as the window."""

    def told(*lines: bytes | Path, arena: int = ARENA) -> list[str]:
        given = b"".join(
            b"!window %s\n!boot\n" % bytes(line) if isinstance(line, Path) else line + b"\n"
            for line in lines
        )
        done = subprocess.run([program, str(arena)], input=given, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode("ascii").splitlines()

    return told


def info(line: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in line.split())


def samples_of(network: Network, count: int) -> list[tuple[Image, int]]:
    if network.name.startswith("tinycnn"):
        return turned_digits(count)
    draw = np.random.default_rng(5)
    images = draw.integers(0, 256, (count, *network.input_shape), np.uint8)
    return [
        (image, int(label))
        for image, label in zip(images, draw.integers(0, network.classes, count), strict=True)
    ]


def learning(twin: Twin, samples: Sequence[tuple[Image, int]]) -> list[tuple[bytes, str]]:
    """Lines that teach these images, and what golden answers."""
    return [(b"%d " % label + pixels(image), twin.learn(image, label)) for image, label in samples]


def asking(twin: Twin, samples: Sequence[tuple[Image, int]]) -> list[tuple[bytes, str]]:
    return [(b"? " + pixels(image), twin.ask(image)) for image, _ in samples]


NETWORKS: dict[str, Callable[[], Network]] = {
    "digits": digits_network,
    "affine": lambda: trainable_network(1),
}


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("method_name", ["priot", "priot-s", "niti-static"])
def test_it_learns_keeps_and_forgets_as_golden_does(
    say: Say, windows: Windows, network_name: str, method_name: Any
) -> None:
    network, method = NETWORKS[network_name](), Method(method_name)
    samples = samples_of(network, 30)
    twin, fresh = Twin(network, method), Twin(network, method)
    talk = [
        *asking(twin, samples[:2]),
        *learning(twin, samples),
        *asking(twin, samples[:3]),
        (b"save", "saved 1"),
        (b"!boot", ""),
        *asking(twin, samples[:3]),
        *learning(twin, samples[:5]),
        *asking(twin, samples[:3]),
        (b"factory", "factory"),
        *asking(fresh, samples[:3]),
        *learning(fresh, samples[:3]),
        (b"!boot", ""),
        *asking(Twin(network, method), samples[:3]),
    ]
    answers = [answer for _, answer in talk if answer]
    assert say(windows(network, method), *(line for line, _ in talk)) == answers
    assert len(set(answers)) > 10


def test_what_it_says_of_itself(say: Say, windows: Windows) -> None:
    samples = turned_digits(3)
    lines = [line for line, _ in learning(Twin(digits_network(), Method("priot")), samples)]
    file = windows(digits_network(), Method("priot", easy=7), {"save_every": 50})
    told = say(file, b"info", *lines, b"info", b"save", b"info", b"!boot", b"info")
    at_first, learned, saved, again = (info(told[at]) for at in (0, 4, 6, 7))
    crc = file.read_bytes()[256 + 12 : 256 + 16][::-1].hex()
    assert at_first == {
        "protocol": "1",
        "network": "a___name",
        "model": crc,
        "classes": "10",
        "pixels": "28x28x1",
        "method": "priot",
        "state": "factory",
        "learned": "0",
        "unsaved": "0",
        "refused": "none",
        "threshold": "7",
        "every": "50",
        "save": "ok",
        "boot_us": "1234",
        "ram": at_first["ram"],
    }
    assert re.fullmatch(rf"\d+/{ARENA}", at_first["ram"])
    assert learned == at_first | {"learned": "3", "unsaved": "3"}
    assert told[5] == "saved 1"
    assert saved == at_first | {"learned": "3", "state": "1"}
    assert again == saved


def test_bad_lines_change_nothing(say: Say, windows: Windows) -> None:
    twin = Twin(digits_network(), Method("priot"))
    samples = turned_digits(6)
    image = pixels(samples[0][0])
    bad = [
        (b"10 " + image, f"error: label 10 is {CLASSES}"),
        (b"9999 " + image, f"error: label 9999 is {CLASSES}"),
        (b"99999 " + image, FORM),
        (b"5" + image, FORM),
        (b"-1 " + image, FORM),
        (b"?" + image, FORM),
        (b"5", FORM),
        (b"?", FORM),
        (b"\0", FORM),
        (b" ", FORM),
        (b"learn", FORM),
        (b"saved", FORM),
        (b"sav", FORM),
        (b"save ", FORM),
        (b"info 1", FORM),
        (b"factory reset", FORM),
        (b"x" * 5000, FORM),
        (b"5 ", SIZE),
        (b"? ", SIZE),
        (b"5 " + image[2:], SIZE),
        (b"5 " + image[1:], SIZE),
        (b"5 " + image + b"0", SIZE),
        (b"5 " + image + b"00", SIZE),
        (b"5 " + image + b" ", SIZE),
        (b"? " + 3 * image, SIZE),
        (b"5  " + image[1:], SIZE),
        (b"5 " + image[:-1] + b"g", SIZE),
        (b"5 " + image[:-1] + b"\0", SIZE),
        (b"5 " + image[:-1] + b"\xe1", SIZE),
        (b"5 0x" + image[2:], SIZE),
        (b"threshold", FORM),
        (b"threshold ", "error: threshold takes a number from 0 to 4095"),
        (b"threshold 4096", "error: threshold takes a number from 0 to 4095"),
        (b"threshold -1", "error: threshold takes a number from 0 to 4095"),
        (b"threshold 1 ", "error: threshold takes a number from 0 to 4095"),
        (b"every %d" % (MOST_EVERY + 1), f"error: every takes a number from 0 to {MOST_EVERY}"),
        (b"every 99999999999", "error: every takes a number from 0 to 1000000"),
        (b"every x", "error: every takes a number from 0 to 1000000"),
    ]
    talk = [*learning(twin, samples), *bad, *asking(twin, samples), *learning(twin, samples)]
    given = [line.replace(b"\0", b"\1") for line, _ in talk]  # the program's own lines end at NUL
    assert say(windows(digits_network(), Method("priot")), *given) == [said for _, said in talk]


def test_line_ends_and_letters_may_be_any(say: Say, windows: Windows) -> None:
    twin = Twin(digits_network(), Method("priot"))
    ((image, label),) = turned_digits(1)
    line = b"%d " % label + pixels(image).upper()
    told = say(windows(digits_network(), Method("priot")), b"\r\n\r", line + b"\r", b"save\r", b"")
    assert told == [twin.learn(image, label), "saved 1"]


def test_an_easy_image_changes_nothing(say: Say, windows: Windows) -> None:
    """A threshold of one sort is the method's, of another set by a line, and kept by a save."""
    network, method = digits_network(), Method("priot", easy=250)
    samples = turned_digits(25)
    twin = Twin(network, method)
    begin = learning(twin, samples)
    twin.threshold(100)
    more = learning(twin, samples)
    rest = [*learning(twin, samples), *asking(twin, samples[:4])]
    talk = [
        *begin,
        (b"threshold 100", "threshold 100"),
        *more,
        (b"save", "saved 1"),
        (b"!boot", ""),
        *rest,
    ]
    answers = [answer for _, answer in talk if answer]
    file = windows(network, method)
    *told, last = say(file, *(line for line, _ in talk), b"info")
    assert told == answers
    kinds = [answer.split()[0] for answer in told]
    assert kinds.count("easy") > 5 and kinds.count("learned") > 20
    assert info(last)["threshold"] == "100"
    assert int(info(last)["learned"]) == kinds.count("learned")
    assert info(say(file, b"threshold 9", b"factory", b"info")[-1])["threshold"] == "250"


def test_it_saves_by_itself(say: Say, windows: Windows) -> None:
    network, method = digits_network(), Method("priot")
    samples = turned_digits(11)
    twin = Twin(network, method)
    talk = learning(twin, samples[:10])
    after = asking(twin, samples)
    rest = learning(twin, samples[10:])
    lost = [*talk, *rest, (b"!boot", ""), *after, (b"info", "")]
    told = say(windows(network, method, {"save_every": 5}), *(line for line, _ in lost))
    assert told[:-1] == [answer for _, answer in lost if answer]
    assert (info(told[-1])["learned"], info(told[-1])["state"]) == ("10", "2")
    told = say(windows(network, method), b"every 3", *(line for line, _ in talk), b"info")
    assert told[0] == "every 3"
    assert (info(told[-1])["state"], info(told[-1])["unsaved"]) == ("3", "1")


# States that cannot serve


@pytest.mark.parametrize(
    ("changes", "method", "name"),
    [
        ({"mu": 2}, Method("priot"), "none"),
        ({}, Method("priot-s"), "method"),
        ({"easy": 5}, Method("priot"), "method"),
        ({"threshold": -15}, Method("priot"), "method"),
        ({}, Method("infer"), "method"),
    ],
)
def test_a_state_of_another_method_is_refused(
    say: Say, windows: Windows, changes: dict[str, int], method: Method, name: str
) -> None:
    network = digits_network()
    twin, samples = Twin(network, Method("priot")), turned_digits(4)
    talk = learning(twin, samples)
    first, other = windows(network, Method("priot")), windows(network, method, changes)
    asked = [line for line, _ in asking(twin, samples)]
    learned = [line for line, _ in talk]
    told = say(first, *learned, b"save", other, b"info", *asked, first, *asked)
    said, others, back = info(told[5]), told[6:10], told[10:]
    kept = [answer for _, answer in asking(twin, samples)]
    assert said["refused"] == name
    assert said["state"] == ("1" if name == "none" else "factory")
    if name != "none":
        assert others == [answer for _, answer in asking(Twin(network, Method("priot")), samples)]
    assert back == kept, "the state is still there for its own method"


def test_a_state_of_another_model_is_refused_and_another_is_saved_beside_it(
    say: Say, windows: Windows
) -> None:
    network, affine = digits_network(), trainable_network(1)
    twin, samples = Twin(network, Method("priot")), turned_digits(4)
    first, other = windows(network, Method("priot")), windows(affine, Method("priot"))
    given = [line for line, _ in learning(twin, samples)]
    told = say(first, *given, b"save", other, b"info", b"save", b"info", b"!boot", b"info")
    assert info(told[5])["refused"] == "model"
    assert told[6] == "saved 2"
    assert (info(told[7])["state"], info(told[7])["refused"]) == ("2", "model")
    assert (info(told[8])["state"], info(told[8])["refused"]) == ("2", "none")


def test_a_state_of_another_version_stays_until_factory(say: Say, windows: Windows) -> None:
    network, method = digits_network(), Method("priot")
    twin, samples = Twin(network, method), turned_digits(3)
    given = [line for line, _ in learning(twin, samples)]
    fresh = asking(Twin(network, method), samples)
    refusal = "error: not saved: the state in flash is of another version: factory forgets it"
    told = say(
        windows(network, method, {"save_every": 2}),
        *(*given, b"save", b"!version", b"!boot", b"info"),
        *(line for line, _ in fresh),
        *(*given, b"info", b"save", b"save", b"factory", b"info", b"save"),
    )
    assert info(told[4]) | {"refused": "version", "state": "factory", "save": "version"} == info(
        told[4]
    )
    assert told[5:8] == [answer for _, answer in fresh]
    assert told[8].startswith("learned")
    assert info(told[11]) == info(told[4]) | {"learned": "3", "unsaved": "3"}
    assert told[12:15] == [refusal, refusal, "factory"]
    assert (info(told[15])["refused"], info(told[15])["save"]) == ("none", "ok")
    assert told[16] == "saved 1"


def test_a_damaged_state_is_refused_and_the_one_before_serves(say: Say, windows: Windows) -> None:
    network, method = digits_network(), Method("priot")
    twin, samples = Twin(network, method), turned_digits(6)
    first = learning(twin, samples[:3])
    older = asking(twin, samples)
    second = learning(twin, samples[3:])
    asked = [line for line, _ in older]
    told = say(
        windows(network, method),
        *(*(line for line, _ in first), b"save", *(line for line, _ in second), b"save"),
        *(b"!damage", b"!boot", b"info", *asked, b"!damage all", b"!boot", b"info", *asked),
    )
    one, other = told[8:15], told[15:]
    assert info(one[0]) | {"refused": "damaged", "state": "1", "learned": "3"} == info(one[0])
    assert one[1:] == [answer for _, answer in older]
    assert info(other[0])["refused"] == "damaged" and info(other[0])["state"] == "factory"
    assert other[1:] == [answer for _, answer in asking(Twin(network, method), samples)]


def test_a_full_or_worn_ring_keeps_the_last_state(say: Say, windows: Windows) -> None:
    """13 sectors each in a ring of 32: from the third on each save takes an older one's place."""
    network, method = digits_network(), Method("priot")
    twin, samples = Twin(network, method), turned_digits(8)
    talk = [
        pair
        for number, sample in enumerate(samples, 1)
        for pair in (*learning(twin, [sample]), (b"save", f"saved {number}"))
    ]
    asked = asking(twin, samples)
    more = learning(twin, samples)
    talk += [(b"!boot", ""), *asked, *more, (b"!worn", "")]
    told = say(
        windows(network, method),
        *(line for line, _ in talk),
        *(b"save", b"info", b"!boot", *(line for line, _ in asked)),
    )
    expected = [answer for _, answer in talk if answer]
    assert told[: len(expected)] == expected
    refusal, said, *after = told[len(expected) :]
    assert refusal.startswith("error: not saved: with the last state it takes 26 sectors of flash")
    assert (info(said)["save"], info(said)["state"]) == ("room", "8")
    assert after == [answer for _, answer in asked]


# Models that cannot serve


def test_without_a_model_every_line_is_answered_by_why(
    say: Say, windows: Windows, tmp_path: Path
) -> None:
    network, method = digits_network(), Method("priot")
    good = windows(network, method)
    again = ": write it again with picotrain flash-model"
    image = pixels(turned_digits(1)[0][0])

    def changed(at: int) -> Path:
        data = bytearray(good.read_bytes())
        data[at] ^= 1
        file = tmp_path / f"changed-{at}"
        file.write_bytes(data)
        return file

    blank = tmp_path / "blank"
    blank.write_bytes(b"")
    damaged = "error: the model in flash is damaged or of another version (-7 of nn/pt_error.h)"
    another = windows(network, method, {"version": 2})
    cases = {
        blank: BLANK,
        changed(0): BLANK,
        changed(20): "error: the header of the model in flash is damaged" + again,
        changed(5): "error: the header of the model in flash is of version 257, this firmware "
        "reads 1" + again,
        changed(300): damaged + again,
        changed(20_000): damaged + again,
        another: "error: the header of the model in flash is of version 2, this firmware reads 1"
        + again,
        windows(network, method, {"model_size": 786_432}): "error: the header of the model in "
        "flash is damaged" + again,
        windows(network, method, {"kind": 5}): "error: method 5 of the header in flash is none "
        "for a device alone: choose another with picotrain flash-model",
        windows(network, method, {"kind": 77}): "error: the method in flash is not possible with "
        "this model (-2 of nn/pt_error.h): choose another with picotrain flash-model",
        windows(network, method, {"mu": 99}): "error: the method in flash is not possible with "
        "this model (-2 of nn/pt_error.h): choose another with picotrain flash-model",
    }
    lines = (b"info", b"? " + image, b"3 " + image, b"save", b"factory", b"", b"nonsense")
    for file, error in cases.items():
        assert say(file, *lines) == 6 * [error]


def test_too_little_memory_is_told_with_the_numbers(say: Say, windows: Windows) -> None:
    for method in (Method("priot"), Method("niti-static"), Method("infer")):
        file = windows(digits_network(), method)
        (told,) = say(file, b"info", arena=60_000 if method.name != "infer" else 10_000)
        found = re.fullmatch(
            r"error: this model and method need at least (\d+) bytes of RAM, there are \d+: choose "
            "priot-s, or a smaller network",
            told,
        )
        assert found
        needed = int(found[1])
        (told,) = say(file, b"info", arena=needed)
        assert needed - 16 <= int(info(told)["ram"].split("/")[0]) <= needed
        (told,) = say(file, b"info", arena=needed - 8)
        assert f" {needed} bytes of RAM, there are {needed - 8}: " in told
        (told,) = say(file, b"info", arena=64)
        assert re.match(
            r"error: this model and method need at least \d+ bytes of RAM, there are 64", told
        )


def test_a_device_that_only_infers(say: Say, windows: Windows) -> None:
    twin, samples = Twin(digits_network(), Method("priot")), turned_digits(2)
    asked = asking(twin, samples)
    taught = [line for line, _ in learning(twin, samples)]
    told = say(
        windows(digits_network(), Method("infer")),
        *(*(line for line, _ in asked), taught[0], b"save", *(line for line, _ in asked)),
        *(b"info", b"factory"),
    )
    answers = [answer for _, answer in asked]
    assert told[:6] == [*answers, ONLY_INFERS, ONLY_INFERS, *answers]
    assert info(told[6])["method"] == "infer"
    assert told[7] == "factory"


# Two ports


def test_a_part_of_a_line_is_of_its_port_alone(say: Say, windows: Windows) -> None:
    network, method = digits_network(), Method("priot")
    twin, ((image, label), (second, other)) = Twin(network, method), turned_digits(2)
    text = b"%d " % label + pixels(image)
    asked = b"? " + pixels(second)
    told = say(
        windows(network, method),
        *(b"!part " + text[:500], b"!port 1", b"save", b"!part in", b"!port 0"),
        *(b"!part " + text[500:700], b"!port 1", b"fo", asked, b"!port 0", text[700:]),
        *(b"!port 1", pixels(second), b"!part 5 aa", b"!drop", asked),
    )
    assert told[0] == "saved 1" and told[1].startswith("protocol=1 ")
    # The image is port 0's until its line has ended; then port 1 has its turn.
    assert told[2:] == ["(waits)", twin.learn(image, label), FORM, twin.ask(second)]
    assert other >= 0


def test_a_line_that_is_dropped_or_wrong_gives_the_image_back(say: Say, windows: Windows) -> None:
    network, method = digits_network(), Method("priot")
    twin, ((image, _),) = Twin(network, method), turned_digits(1)
    asked = b"? " + pixels(image)
    for end in (b"!drop", b"!part x"):
        told = say(windows(network, method), b"!part 5 00", end, b"!port 1", asked)
        assert told == [twin.ask(image)]
