"""docs/performance.md, from results files and others.toml: `python3 -m performance.beside`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from picotrain.device.meter import CLOCK_HZ
from picotrain.errors import told
from picotrain.image.firmware import PICO_RAM
from picotrain.inputs import read_json
from picotrain.profile.profile import FLOOR
from picotrain.text import templates
from rendered import ROOT, write_page

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "experiments" / "results"
FILE = RESULTS / "performance.json"
BESIDE = {"cores": "cores.json", "plugin": "plugin-speed.json", "host": "host-speed.json"}
"""Results of other commands, which the page shows where they are there."""
ENDS = {"forward": "predicted", "step": "stepped"}
"""What the float program does, and the function behind it."""


def million(value: float, digits: int = 2) -> str:
    """Of cycles."""
    return f"{value / 1e6:.{digits}f}"


def milliseconds(value: float) -> str:
    """At 125 MHz."""
    return f"{value / CLOCK_HZ * 1000:.1f}"


def times(other: float, mine: float) -> str:
    """How many times as many."""
    ratio = other / mine
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}"


def render(results: Path = RESULTS) -> str:
    """The page of what is in folder `results`."""
    environment = templates("performance", html=False)
    environment.filters |= {"million": million, "milliseconds": milliseconds}
    environment.globals |= {"times": times, "floor": FLOOR, "pico_kib": PICO_RAM >> 10}
    given: dict[str, Any] = {"found": read_json(results / FILE.name, "make performance")}
    for name, file in BESIDE.items():
        path = results / file
        given[name] = read_json(path, "make it anew") if path.is_file() else None
    others = tomllib.loads((HERE / "others.toml").read_text(encoding="utf-8"))
    return environment.get_template("performance.md.j2").render(others=others, **given)


def write() -> None:
    """The page of what is there."""
    write_page(PAGE, render())


if __name__ == "__main__":
    sys.exit(told("performance", lambda _: write()))
