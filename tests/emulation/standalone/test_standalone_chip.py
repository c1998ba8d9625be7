"""The standalone application's flash image on the emulated chip, from boot to power off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alone import CLOCK, RING, SECONDS, WINDOW, Alone
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.places import SHIPPED
from picotrain_golden import Method
from standalone_twin import BLANK, FORM, Twin, digits_network, pixels, turned_digits, window
from support import require

IMAGES, TAUGHT = 40, 100
"""Images of the accuracy, behind those that are learned."""

Open = Callable[..., Alone]


@pytest.fixture
def switched_on(package: Path) -> Iterator[Open]:
    """A chip that runs; `priot` with tinycnn unless another `held` is given."""
    opened: list[Alone] = []

    def on(port: str = "usb", held: bytes | None = None) -> Alone:
        elf = open_elf(require(firmware.STANDALONE))
        given = window(elf, digits_network(), Method("priot")) if held is None else held
        alone = Alone(package, given, port)
        opened.append(alone)
        return alone.__enter__()

    yield on
    for alone in opened:
        assert alone.machine.messages() == []
        alone.__exit__()


def right(answers: list[str], labels: list[int]) -> int:
    return sum(int(one.split()[0]) == label for one, label in zip(answers, labels, strict=True))


def milliseconds(cycles: int) -> int:
    return round(1000 * cycles / CLOCK)


def kilo(size: int) -> int:
    return round(size / 1000)


def test_learn_save_power_off_and_factory(switched_on: Open) -> None:
    """Every answer is golden's, and so the accuracy is the same after the power was off."""
    chip = switched_on()
    network, method = digits_network(), Method("priot")
    twin, fresh = Twin(network, method), Twin(network, method)
    samples = turned_digits(TAUGHT + IMAGES)
    tests = samples[TAUGHT:]
    labels = [label for _, label in tests]

    def ask() -> list[str]:
        return [chip.say(b"? " + pixels(image)) for image, _ in tests]

    first = ask()
    assert first == [fresh.ask(image) for image, _ in tests]
    taught = [chip.say(b"%d " % label + pixels(image)) for image, label in samples[:TAUGHT]]
    assert taught == [twin.learn(image, label) for image, label in samples[:TAUGHT]]
    learned = [twin.ask(image) for image, _ in tests]
    assert chip.say(b"save") == "saved 1"
    chip.power_off()
    chip.boot()
    assert chip.info()["state"] == "1" and chip.info()["refused"] == "none"
    assert chip.info()["learned"] == str(sum(one.startswith("learned") for one in taught))
    assert ask() == learned
    assert right(learned, labels) > right(first, labels) + IMAGES // 4
    assert chip.stack_left() > 1024
    assert chip.say(b"factory") == "factory"
    assert ask() == first
    chip.power_off()
    chip.boot()
    assert chip.info()["state"] == "factory"


@pytest.mark.parametrize("port", ["usb", "uart"])
def test_both_ports_take_the_same_lines(switched_on: Open, port: str) -> None:
    chip = switched_on(port)
    twin = Twin(digits_network(), Method("priot"))
    samples = turned_digits(4)
    image = pixels(samples[0][0])
    for sample, label in samples:
        assert chip.say(b"%d " % label + pixels(sample)) == twin.learn(sample, label)
        assert chip.say(b"10 " + image) == "error: label 10 is none of the classes: give 0 to 9"
        assert chip.say(b"1 " + image[1:]).startswith("error: PIXELS are 1568 ")
        assert chip.say(b"reboot") == FORM
        assert chip.say(b"? " + image) == twin.ask(samples[0][0])
    assert chip.say(b"save") == "saved 1"


def test_a_part_of_a_line_dies_with_its_client(switched_on: Open) -> None:
    """By USB when it hangs up, by the UART after 2 s of silence."""
    for port in ("usb", "uart"):
        chip = switched_on(port)
        image = turned_digits(1)[0][0]
        answer = Twin(digits_network(), Method("priot")).ask(image)
        chip.dial().write(b"? " + pixels(image)[:700])
        chip.wait(0.1)
        if port == "usb":
            chip.hang_up()
            chip.wait(0.1)
        else:
            chip.wait(2.1)
        assert chip.say(b"? " + pixels(image)) == answer


def test_lines_that_come_while_it_works_are_not_lost(switched_on: Open) -> None:
    """By USB any number; by the UART what its ring holds."""
    twin = Twin(digits_network(), Method("priot"))
    samples = turned_digits(8)
    lines = [b"%d " % label + pixels(image) + b"\n" for image, label in samples]
    answers = [twin.learn(image, label) for image, label in samples]
    chip = switched_on()
    port = chip.dial()
    port.write(b"".join([*lines, b"save\n", b"? " + pixels(samples[0][0]) + b"\n"]))
    told = [port.readline().decode().strip() for _ in range(len(lines) + 2)]
    assert told == [*answers, "saved 1", twin.ask(samples[0][0])]


def test_the_page_has_its_sizes_and_its_boot_time(switched_on: Open) -> None:
    chip = switched_on()
    symbol, program = chip.elf.symbol, chip.elf.path.with_suffix(".bin")
    statics = symbol("pt_arena_start") - symbol("pt_code_end")
    ram = [int(number) for number in chip.info()["ram"].split("/")]
    assert chip.say(b"save") == "saved 1"
    chip.power_off()
    kept = milliseconds(chip.boot())
    assert chip.say(b"factory") == "factory"
    chip.power_off()
    fresh = milliseconds(chip.boot())
    page = " ".join(Path(SHIPPED, "docs", "field.md").read_text().split())
    assert f"takes {kilo(program.stat().st_size)} kB of flash" in page
    code = symbol("pt_code_end") - symbol("pt_code_start")
    assert f"of SRAM {kilo(code)} kB for code, {kilo(statics)} kB for data and 4 KiB for" in page
    assert f"arena has {kilo(ram[1])} kB, of which tinycnn takes {ram[0]:,} bytes" in page
    assert f"to the first line it takes {fresh} ms, with a state in flash {kept} ms" in page


# Without a model, and with another's state


def test_a_chip_without_a_model_says_so_and_blinks_slowly(switched_on: Open) -> None:
    chip = switched_on(held=b"")
    assert [chip.say(line) for line in (b"info", b"5 00", b"save", b"factory")] == 4 * [BLANK]
    assert 3 <= chip.blinks(3.2, 0.1) <= 8
    chip.machine.button(True)
    assert chip.blinks(3.2, 0.06) > 20
    chip.machine.button(False)
    assert chip.say(b"info") == BLANK


def test_a_state_of_another_method_is_refused(switched_on: Open) -> None:
    chip = switched_on()
    ((image, label),) = turned_digits(1)
    chip.say(b"%d " % label + pixels(image))
    assert chip.say(b"save") == "saved 1"
    chip.power_off()
    other = Method("priot-s")
    chip.machine.write(WINDOW, window(chip.elf, digits_network(), other))
    chip.boot()
    told = chip.info()
    assert (told["method"], told["state"], told["refused"]) == ("priot-s", "factory", "method")
    assert chip.say(b"? " + pixels(image)) == Twin(digits_network(), other).ask(image)


# The button, faults


def test_bootsel_held_for_three_seconds_is_factory(switched_on: Open) -> None:
    chip = switched_on()
    ((image, label),) = turned_digits(1)
    fresh = chip.say(b"? " + pixels(image))
    chip.say(b"%d " % label + pixels(image))
    assert chip.say(b"save") == "saved 1"
    chip.wait(0.1)
    assert chip.machine.led()
    for held, state in ((2.9, "1"), (3.1, "factory")):
        chip.machine.button(True)
        chip.wait(held)
        chip.machine.button(False)
        chip.wait(0.1)
        assert chip.info()["state"] == state
    assert chip.say(b"? " + pixels(image)) == fresh
    assert chip.machine.read(RING, 64 * 4096) == b"\xff" * 64 * 4096
    assert chip.machine.led()


def test_after_a_fault_it_goes_on_with_the_last_save(switched_on: Open) -> None:
    chip = switched_on()
    twin, samples = Twin(digits_network(), Method("priot")), turned_digits(4)
    for image, label in samples[:2]:
        chip.say(b"%d " % label + pixels(image))
        twin.learn(image, label)
    assert chip.say(b"save") == "saved 1"
    for image, label in samples[2:]:
        chip.say(b"%d " % label + pixels(image))
    # The next step meets an instruction that is none.
    chip.hang_up()
    chip.machine.halt()
    step = chip.elf.symbol("pt_trainer_train")
    chip.machine.write(step, b"\x00\xde")
    chip.machine.go()
    chip.dial().write(b"1 " + pixels(samples[0][0]) + b"\n")
    chip.machine.halt()
    stop = chip.machine.run(SECONDS)
    assert stop.why == "reset"
    chip.boot()
    assert chip.info()["state"] == "1" and chip.info()["learned"] == "2"
    assert chip.say(b"? " + pixels(samples[3][0])) == twin.ask(samples[3][0])
