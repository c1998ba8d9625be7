"""`docs/results.md` and its figures, from the results files alone.

The words are in `results.md.j2`. A sentence there that judges is given with its condition, and
rendering raises `Untrue` where a condition does not hold: then the sentence has to be rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.learn import calibration
from picotrain.learn.calibration import RULES
from picotrain.output import write_text
from picotrain.profile.profile import Profile
from picotrain.research.keywords import summary
from picotrain.research.reproduce import collapse, figures, findings, horizon, mechanism, regions
from picotrain.research.reproduce.results import Frame, Spread, cells, read
from picotrain.research.reproduce.steps import STEPS, Workplace
from picotrain.research.watch import summary as wearers
from picotrain.text import templates

FIGURE_METHODS = (
    *(findings.NITI_DYNAMIC, findings.NITI_STATIC, findings.PRIOT),
    *(findings.PRIOT_S_10, findings.PRIOT_S_20),
)


class Untrue(UserError):
    """A sentence of the page that the results no longer bear out."""


@dataclass(frozen=True)
class Page:
    """The text, and the figures by file name."""

    text: str
    figures: dict[str, str]

    def write(self, place: Workplace) -> None:
        write_text(place.page, self.text)
        for name, svg in self.figures.items():
            write_text(place.figures / name, svg)


def render(place: Workplace, missing: Mapping[str, str] | None = None) -> Page:
    """The page of what is in the folder of results; the same files give the same text.

    A part without its file is replaced by a sentence; `missing` says why, by step. Only the page
    of the full run judges: the small version's numbers mean nothing.
    """
    found = _Found(place)
    drawn: dict[str, str] = {}
    environment = templates("picotrain.research.reproduce", html=False)
    environment.filters |= {
        "pm": _pm,
        "one": lambda value: f"{value:.1f}",
        "small": lambda share: f"{100 * share:.3g}",
        "points": lambda share: _signed(share),
        "paired": lambda one: f"{_signed(one.mean)} ± {100 * one.std:.1f}",
        "ms": lambda cycles: f"{Profile.milliseconds(cycles):.1f}",
    }

    def so(condition: bool, sentence: str) -> str:
        if place.small:
            return ""
        if not condition:
            raise Untrue(f"no longer true, mend results.md.j2 or the results: {sentence!r}")
        return sentence

    def absent(*names: str) -> str:
        return " ".join(_absent(name, place, missing or {}) for name in names)

    def figure(name: str, svg: str, alt: str) -> str:
        drawn[name] = svg
        return f"![{alt}](figures/{name})"

    def also(words: str, name: str) -> str:
        """A link to another page, where the page lies beside it."""
        return f"[{words}]({name})" if (place.page.parent / name).is_file() else words

    text = environment.get_template("results.md.j2").render(
        small=place.small,
        found=found,
        so=so,
        absent=absent,
        figure=figure,
        also=also,
        recipes=_recipes,
        exponents=_listed,
        where_since=_where_since,
        f=findings,
        mechanism=mechanism,
        h=horizon,
        r=regions,
        figures=figures,
        rules=RULES,
        shipped=calibration.SHIPPED,
        methods=FIGURE_METHODS,
        keyword_rows=summary.rows,
        wearers=wearers,
    )
    return Page(text, drawn)


def _recipes(backbones: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The commands that make them; those that differ in the speaker alone are one."""
    commands = (
        one["command"].replace(one["dataset"], "fsdd-SPEAKER")
        if one["dataset"].startswith("fsdd-")
        else one["command"]
        for one in backbones.values()
    )
    return list(dict.fromkeys(commands))


def _listed(found: Sequence[object]) -> str:
    *most, last = map(str, found)
    return f"{', '.join(most)} and {last}" if most else last


def _where_since(large: Mapping[tuple[int, float], int], images: int) -> str:
    """Of `horizon.large`: at which exponents, and from how many images on at which angles."""
    by_exponent: dict[int, dict[float, int]] = {}
    for exponent, angle in sorted(large, key=lambda key: (-key[0], key[1])):
        by_exponent.setdefault(exponent, {})[angle] = large[exponent, angle]
    alike: dict[str, list[int]] = {}
    for exponent, since in by_exponent.items():
        counts = {angle: f"{images * epoch:,}" for angle, epoch in since.items()}
        if len(counts) > 1 and len(set(counts.values())) == 1:
            words = f"from {counts.popitem()[1]}"
        else:
            words = _listed([f"{angle:g}° from {count}" for angle, count in counts.items()])
        alike.setdefault(words, []).append(exponent)
    parts = (f"{_listed(found)} ({words} images)" for words, found in alike.items())
    return f"at exponent {'; '.join(parts)}" if large else "at no exponent"


def _pm(one: Spread) -> str:
    return f"{100 * one.mean:.1f} ± {100 * one.std:.1f}"


def _signed(share: float) -> str:
    """In points; what rounds to 0 has no sign."""
    text = f"{100 * share:+.1f}"
    return text if float(text) else "0.0"


def _absent(name: str, place: Workplace, missing: Mapping[str, str]) -> str:
    step = STEPS[name]
    if place.small:
        reason = missing.get(name, "it is not part of the small version")
        return f"*No results of `{name}` ({step.what}): {reason}.*"
    needs = f"; {step.needs}" if step.needs else ""
    return (
        f"*No results of `{name}` ({step.what}) yet: `picotrain reproduce --only {name}` makes "
        f"them{needs}.*"
    )


@dataclass(frozen=True)
class Table1:
    """Its cells in two readings: every method at its own best exponent and step size, and all at
    SHARED_EXPONENT (None where nothing says which those are)."""

    own: Frame
    shared: Frame | None


class _Found:
    """What is in the folder of results, worked out when the page asks for it."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._cells: dict[str, Frame | None] = {}
        self._runs: dict[str, list[horizon.History] | None] = {}

    def rows(self, name: str) -> Frame | None:
        path = self._place.csv(name)
        return read(path) if path.is_file() else None

    def cells(self, name: str) -> Frame | None:
        """Worked out once: the page asks for the same ones again and again."""
        if name not in self._cells:
            rows = self.rows(name)
            self._cells[name] = None if rows is None else cells(rows)
        return self._cells[name]

    def table1(self) -> Table1 | None:
        """MNIST's. Raises Untrue where an exponent or a step size is not the one that was chosen
        on validation images."""
        return self._table1("table1-mnist", "choose-30", "choose-45")

    def table1_cifar10(self) -> Table1 | None:
        """Raises Untrue as above."""
        return self._table1("table1-cifar10", "choose-cifar10")

    def _table1(self, name: str, *chosen_by: str) -> Table1 | None:
        table = self.cells(name)
        if table is None:
            return None
        choices = self._choices(*chosen_by)
        self._require_chosen(name, table, choices, findings.SHARED_EXPONENT)
        if self._place.small:
            return Table1(table, None)  # whose grid names no step sizes
        shared = findings.picked(*choices, exponent=findings.SHARED_EXPONENT)
        return Table1(
            findings.reading(table, findings.picked(*choices), True),
            findings.reading(table, shared, False) if shared else None,
        )

    def _choices(self, *names: str) -> list[Frame]:
        return [one for one in map(self.cells, names) if one is not None]

    def _require_chosen(
        self, name: str, table: Frame, choices: list[Frame], shared: str | None = None
    ) -> None:
        self._require(name, findings.unlike(table, choices, shared))

    def _require(self, name: str, wrong: list[str]) -> None:
        if wrong and not self._place.small:
            raise Untrue(f"{name}: " + "; ".join(wrong))

    def chosen(self, name: str) -> list[findings.Chosen] | None:
        found = self.cells(name)
        return None if found is None else findings.chosen(found)

    def runs(self, name: str) -> list[horizon.History] | None:
        """Of a step that keeps every epoch. Raises Untrue where `lasting` has other step sizes
        than `horizon` found."""
        if name not in self._runs:
            path = self._place.json(name)
            self._runs[name] = horizon.read(path) if path.is_file() else None
            if name == "lasting":
                before, after = self.runs("horizon"), self._runs[name]
                if before is not None and after is not None:
                    self._require(name, horizon.unlike(after, before))
        return self._runs[name]

    def ablation(self) -> list[findings.Variant] | None:
        found = self.cells("ablation")
        return None if found is None else findings.ablation(found)

    def speakers(self) -> list[findings.Speaker] | None:
        """Raises Untrue where a step size is not the one that was chosen."""
        found = self.cells("speech")
        if found is None:
            return None
        self._require_chosen("speech", found, self._choices("speech-choose"))
        return findings.speakers(found)

    def costs(self) -> dict[str, Any] | None:
        return _json(self._place.json("costs"))

    def backbones(self) -> dict[str, Any] | None:
        return _json(self._place.json("backbones"))

    def keywords(self) -> dict[str, Any] | None:
        return _json(self._place.json("keywords"))

    def watch(self) -> dict[str, Any] | None:
        return _json(self._place.json("watch"))

    def collapse(self) -> list[dict[str, Any]] | None:
        found = [_json(self._place.json(f"collapse-{run.name}")) for run in collapse.RUNS]
        whole = [one for one in found if one is not None]
        return whole if len(whole) == len(found) else None


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    return read_json(path, "remove it and run again")
