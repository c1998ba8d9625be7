"""`make flips`: single bit flips in a device's memory, seeded, and what comes of each; those within
a step also on a device that shows each batch twice.

    python -m flips.flipping [--share 0.1] [--seed 1] [--target host qemu]

Writes experiments/results/reliability-memory.json and docs/reliability.md; with a share of the
trials it only says what it found.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any

import support
from flips.memory import COUNTED, WORKED_WITH, Memory, Span
from flips.trials import OUTCOMES, SETTLED, Run, Trial, TwiceRun, drawn
from picotrain.device import backends
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.twice import TwiceDevice
from picotrain.errors import told
from picotrain.inputs import seed
from picotrain.progress import progress_bar
from picotrain.text import table as text_table
from reliability import page
from reliability.asked import share

NETWORK, IMAGES = "oddnet", 4

FIXED = ("code", "network", "frozen weights", "settings and plan", "stack guard")
"""Parts of which every flip is to be found, however it came."""
STEP = (
    *("scores", "weights that train", "activations, errors, scratch", "what a step has in work"),
    "scores and their index",
)
"""What a step reads and changes: a flip in it while it runs may leave another state in silence,
where each batch is shown once."""


@dataclass(frozen=True)
class Part:
    """Where bits flip under `method`, and how many: by target, then between commands, within a
    step, and when a batch is on its way."""

    name: str
    method: str
    spans: Callable[[Memory], list[Span]]
    counts: dict[str, tuple[int, int, int]]


def _code(memory: Memory) -> list[Span]:
    return memory.code() if memory.on_chip else []


PARTS = (
    Part("code", "priot", _code, {"qemu": (56, 28, 0)}),
    Part("stack guard", "priot", lambda m: [m.stack_guard()], {"qemu": (4, 2, 0)}),
    Part(
        "frozen weights",
        "priot",
        Memory.weights,
        {"host": (300, 200, 0), "qemu": (4, 4, 0)},
    ),
    Part(
        "network",
        "priot",
        lambda m: [m.description()],
        {"host": (120, 80, 0), "qemu": (2, 2, 0)},
    ),
    Part("settings and plan", "priot", Memory.settings, {"host": (200, 100, 0), "qemu": (3, 3, 0)}),
    Part(
        "windows", "priot", lambda m: m.mailbox("window"), {"host": (80, 0, 0), "qemu": (2, 0, 0)}
    ),
    Part(
        "rest of the mailbox",
        "priot",
        lambda m: m.mailbox(
            "argument", "status", "error", "detail", "response", "cycles", "memory"
        ),
        {"host": (80, 40, 0), "qemu": (2, 2, 0)},
    ),
    Part("sums", "priot", lambda m: [m.guard()], {"host": (60, 0, 0), "qemu": (2, 0, 0)}),
    Part(
        "batch",
        "priot",
        lambda m: [m.batch(IMAGES)],
        {"host": (0, 0, 120), "qemu": (0, 0, 3)},
    ),
    Part("scores", "priot", lambda m: [m.scores()], {"host": (200, 200, 0), "qemu": (4, 30, 0)}),
    Part(
        "weights that train",
        "niti-static",
        Memory.weights,
        {"host": (200, 200, 0), "qemu": (4, 30, 0)},
    ),
    Part(
        "activations, errors, scratch",
        "priot",
        lambda m: [m.transient()],
        {"host": (60, 200, 0), "qemu": (2, 30, 0)},
    ),
    Part(
        "what a step has in work",
        "priot",
        lambda m: m.trainer_fields((*WORKED_WITH, *COUNTED)),
        {"host": (60, 100, 0), "qemu": (2, 20, 0)},
    ),
    Part(
        "scores and their index",
        "priot-s-random-normal",
        lambda m: [m.scores()],
        {"host": (60, 200, 0), "qemu": (2, 30, 0)},
    ),
)
_SAID = {"check": "named by CHECK", "command": "refused by a command"}
"""Outcomes that are no word of a sentence."""
WHEN = ("between", "within", "transfer")


def connect(target: str) -> MailboxDevice:
    device = backends.open_device(target)
    assert isinstance(device, MailboxDevice)
    return device


def connect_twice(target: str) -> TwiceDevice:
    device = backends.open_device(target, twice=lambda _: None)
    assert isinstance(device, TwiceDevice)
    return device


def run_of(target: str, method: str, twice: bool = False) -> Run:
    network = support.shipped(NETWORK)
    images, labels = support.images(network, IMAGES, seed=4)
    trained = (network, support.METHODS[method], images, labels)
    if twice:
        return TwiceRun(lambda: connect_twice(target), *trained)
    return Run(lambda: connect(target), *trained)


def trials_of(run: Run, parts: list[Part], target: str, share: float, seed: int) -> list[Trial]:
    """A share of those of these parts, at least one of each kind."""
    trials = []
    for number, part in enumerate(parts):
        for which, (when, count) in enumerate(zip(WHEN, part.counts[target], strict=True)):
            if count:
                random = Random(f"{seed} {target} {part.name} {when}")
                first = seed << 32 | number << 24 | which << 20
                wanted = max(1, round(count * share))
                spans, base = part.spans(run.memory), run.memory.base
                trials += drawn(random, part.name, when, spans, base, wanted, first)
    return trials


def is_within_step(part: str, when: str) -> bool:
    """A flip that no sum can tell, and which is tried on a device that shows each batch twice."""
    return when == "within" and part in STEP


def campaign(
    target: str, share: float = 1.0, seed: int = 1, twice: bool = False
) -> Iterator[tuple[Trial, str, str]]:
    """Every trial of a target with its outcome and the region that was named; or, where each batch
    is shown `twice`, the same flips again, of those within a step."""
    for method in dict.fromkeys(part.method for part in PARTS):
        parts = [one for one in PARTS if one.method == method and target in one.counts]
        if twice and not any(part.name in STEP for part in parts):
            continue
        run = run_of(target, method, twice)
        try:
            for trial in trials_of(run, parts, target, share, seed):
                if not twice or is_within_step(trial.part, trial.when):
                    outcome = run.trial(trial)
                    yield trial, outcome.kind, outcome.region
        finally:
            run.close()


Found = list[tuple[str, Trial, str, str]]
"""Of each trial its target, itself, the outcome, and the region that was named."""


def found_on(target: str, share: float, seed: int, twice: bool) -> Found:
    """What `table` takes."""
    counts = [
        count
        for part in PARTS
        for when, count in zip(WHEN, part.counts.get(target, (0, 0, 0)), strict=True)
        if count and (not twice or is_within_step(part.name, when))
    ]
    found = []
    wanted = sum(max(1, round(count * share)) for count in counts)
    with progress_bar(f"flips on {target}{' twice' * twice}", wanted) as advance:
        for trial, kind, region in campaign(target, share, seed, twice):
            found.append((target, trial, kind, region))
            advance(1)
    return found


def table(found: Found, outcomes: tuple[str, ...] = OUTCOMES) -> list[dict[str, Any]]:
    """A row for each part and moment: how many of each outcome, by target and in all."""
    rows = []
    for part in PARTS:
        for when in WHEN:
            here = [one for one in found if (one[1].part, one[1].when) == (part.name, when)]
            if here:
                kinds = Counter(kind for _, _, kind, _ in here)
                regions = Counter(region for *_, region in here if region)
                rows.append(
                    {
                        "part": part.name,
                        "when": when,
                        "fixed": part.name in FIXED,
                        "flips": len(here),
                        **{kind: kinds[kind] for kind in outcomes},
                        "regions": dict(sorted(regions.items())),
                        "targets": dict(sorted(Counter(target for target, *_ in here).items())),
                    }
                )
    return rows


def in_words(rows: list[dict[str, Any]]) -> str:
    """A table of `table`'s rows, and a sentence about all of them."""
    kinds = [one for one in (SETTLED, *OUTCOMES) if one in rows[0]]
    lines = [
        [
            row["part"],
            row["when"],
            *(f"{row[key]:,}" if row[key] else "" for key in ("flips", *kinds)),
        ]
        for row in rows
    ]
    sums = {key: sum(row[key] for row in rows) for key in ("flips", *kinds)}
    counted = ", ".join(f"{sums[kind]:,} {_SAID.get(kind, kind)}" for kind in kinds if sums[kind])
    shown = "each batch shown twice" if SETTLED in kinds else "each batch shown once"
    return (
        f"{text_table(lines, ['bits of', 'when', 'flips', *kinds])}\n"
        f"{sums['flips']:,} flips, {shown}: {counted}"
    )


def wrong(rows: list[dict[str, Any]]) -> list[str]:
    """Rows that break what is promised."""
    words = []
    for row in rows:
        learns = SETTLED not in row and is_within_step(row["part"], row["when"])
        missed = row["harmless"] + row["restored"] if row["part"] in FIXED else 0
        if (row["silent"] and not learns) or missed:
            words.append(f"{row['part']}, {row['when']}: {row}")
    return words


def main(arguments: Sequence[str]) -> int:
    """Flip, show, and write what was flipped in all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", nargs="+", default=["host", "qemu"])
    parser.add_argument("--share", type=share, default=1.0)
    parser.add_argument("--seed", type=seed, default=1)
    options = parser.parse_args(arguments)
    for one in options.target:
        backends.backend_of(one)
    with ProcessPoolExecutor(len(options.target)) as pool:
        asked = [
            [
                pool.submit(found_on, one, options.share, options.seed, twice)
                for one in options.target
            ]
            for twice in (False, True)
        ]
        once, twice = [[one for done in of for one in done.result()] for of in asked]
    rows, settled = table(once), table(twice, (SETTLED, *OUTCOMES))
    print(f"{in_words(rows)}\n\n{in_words(settled)}")
    if options.share == 1.0 and options.target == ["host", "qemu"]:
        page.keep(
            "memory",
            {
                "seed": options.seed,
                "network": NETWORK,
                "images": IMAGES,
                "rows": rows,
                "twice": settled,
            },
        )
    problems = wrong([*rows, *settled])
    for line in problems:
        print(f"not as promised: {line}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(told("flips", main))
