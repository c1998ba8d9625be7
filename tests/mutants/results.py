"""What came of the mutants: experiments/results/mutants.json. Without times, so that the same
outcomes are the same bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mutants.mutants import ROOT, Mutant, mutants
from picotrain.inputs import read_json
from picotrain.output import write_json

KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
RESULTS = ROOT / "experiments" / "results" / "mutants.json"


@dataclass(frozen=True)
class Outcome:
    """`by`: the first test that failed, or what ended it; of a broken one what went wrong."""

    mutant: Mutant
    result: str
    by: str


def read(path: Path = RESULTS) -> list[Outcome]:
    if not path.exists():
        return []
    listed = read_json(path, "run make mutants")["mutants"]
    return [Outcome(Mutant(**one["mutant"]), one["result"], one["by"]) for one in listed]


def keep(found: Outcome, path: Path = RESULTS) -> None:
    """Others stay, while their mutants are listed."""
    outcomes = {one.mutant: one for one in (*read(path), found)}
    kept = [outcomes[mutant] for mutant in mutants() if mutant in outcomes]
    write_json(path, {"mutants": [_fields(one) for one in kept]})


def _fields(outcome: Outcome) -> dict[str, Any]:
    mutant = {name: value for name, value in asdict(outcome.mutant).items() if value}
    return {
        "mutant": mutant | {"now": outcome.mutant.now},
        "result": outcome.result,
        "by": outcome.by,
    }
