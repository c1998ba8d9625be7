"""Mutants: single faults that are put into a copy of the checkout, each of which a suite must find.

`*.toml` beside this file list them. `make mutants` runs all and writes docs/reliability.md,
`make mutants SAMPLE=20` as many as it says, others every day.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Suite:
    """Tests that find a kind of fault: goals of firmware/Makefile and folders with a makefile that
    they need, and what they are to pytest."""

    name: str
    goals: tuple[str, ...]
    folders: tuple[str, ...]
    pytest: tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """In `file`, the text `was`, which is there once, becomes `now`."""

    area: str
    file: str
    was: str
    now: str
    suite: str
    only: str = ""
    """Of the suite the tests with this in their names: `-k`."""
    survives: str = ""
    """Why no test can find it, of one that is kept to say so."""

    @property
    def name(self) -> str:
        """In one line."""
        return f"{self.file}: {self.change}"

    @property
    def change(self) -> str:
        return f"{self._short(self.was)} -> {self._short(self.now)}"

    @staticmethod
    def _short(text: str) -> str:
        return " ".join(text.split()) or "nothing"

    def put(self, root: Path) -> None:
        """Change the file below `root`. ValueError where the text is not there once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.was) != 1 or self.was == self.now:
            raise ValueError(f"{self.name}: the text is there {text.count(self.was)} times, not 1")
        path.write_text(text.replace(self.was, self.now), encoding="utf-8")


def suites() -> dict[str, Suite]:
    with (HERE / "suites.toml").open("rb") as file:
        found = tomllib.load(file)
    return {
        name: Suite(
            name,
            tuple(one.get("goals", ())),
            tuple(one.get("folders", ())),
            tuple(one["pytest"]),
        )
        for name, one in found.items()
    }


def mutants() -> list[Mutant]:
    """Of all files, in their order."""
    made = []
    for path in sorted(HERE.glob("*.toml")):
        if path.name == "suites.toml":
            continue
        with path.open("rb") as file:
            listed = tomllib.load(file)["mutant"]
        made += [Mutant(area=path.stem, **one) for one in listed]
    return made


def sample(everyone: list[Mutant], count: int, seed: str) -> list[Mutant]:
    """So many that a test can find, in their order: those of a day where the seed is a date."""
    able = [index for index, one in enumerate(everyone) if not one.survives]
    return [everyone[index] for index in sorted(Random(seed).sample(able, min(count, len(able))))]


def today() -> str:
    return date.today().isoformat()
