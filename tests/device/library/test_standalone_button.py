"""When BOOTSEL has been held long enough, of a program that looks at it between other work."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from building import FIRMWARE, SANITIZED, build

Looks = Sequence[tuple[int, bool]]
"""Microseconds, and whether it is held."""

EACH = 10_000


@pytest.fixture(scope="module")
def held_at(
    tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path
) -> Callable[[Looks], list[int]]:
    sources = ["standalone_button.c", str(FIRMWARE / "examples" / "standalone" / "button.c")]
    folder = tmp_path_factory.mktemp("button")
    program = build(folder, sources, (*SANITIZED, "-Wconversion"), sanitized_library)

    def looked(looks: Looks) -> list[int]:
        given = "".join(f"{at % (1 << 32)} {int(held)}\n" for at, held in looks)
        done = subprocess.run([program], input=given, capture_output=True, check=True, text=True)
        return [int(line) for line in done.stdout.split()]

    return looked


def held(begin: int, count: int, each: int = EACH) -> list[tuple[int, bool]]:
    return [(begin + index * each, True) for index in range(count)]


@pytest.mark.parametrize("begin", [0, 123, (1 << 32) - 1_000_000])
def test_it_counts_from_the_first_look_that_saw_it(
    held_at: Callable[[Looks], list[int]], begin: int
) -> None:
    assert held_at([(begin, False), *held(begin + EACH, 300)]) == []
    assert held_at([(begin, False), *held(begin + EACH, 301)]) == [301]


def test_it_is_said_once_until_it_is_let_go(held_at: Callable[[Looks], list[int]]) -> None:
    first = held(0, 1000)
    assert held_at([*first, (10_000_000, False), *held(10_010_000, 900)]) == [300, 1301]


def test_a_look_that_saw_it_let_go_begins_anew(held_at: Callable[[Looks], list[int]]) -> None:
    assert held_at([*held(0, 300), (3_000_000, False), *held(3_010_000, 300)]) == []


def test_a_short_press_behind_long_work_is_short(held_at: Callable[[Looks], list[int]]) -> None:
    """Nobody looked for 25 s, as in an erase of all sectors, and then it is held for a moment."""
    assert held_at([(0, False), *held(25_000_000, 20), (25_200_000, False)]) == []


def test_of_work_between_two_looks_half_a_second_counts(
    held_at: Callable[[Looks], list[int]],
) -> None:
    assert held_at(held(0, 7, each=8_000_000)) == [6]
    assert held_at(held(0, 6, each=8_000_000)) == []
    assert held_at(held(0, 12, each=250_000)) == []
    assert held_at(held(0, 13, each=250_000)) == [12]
