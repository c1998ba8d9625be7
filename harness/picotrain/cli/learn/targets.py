"""`picotrain targets`: which backends work here."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.device.backends import availability
from picotrain.text import table


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "targets",
        "Which backends work here, and what to do about those that do not.",
        "picotrain targets",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    report = availability()
    rows = [[entry.name, "works" if entry.works else "missing", entry.what] for entry in report]
    print(table(rows, ["target", "state", "what it is"]))
    for entry in report:
        if not entry.works:
            print(f"{entry.name}: {entry.remedy}")
        elif entry.remark:
            print(f"{entry.name}: {entry.remark}")
    finish(options, [asdict(entry) for entry in report])
    return 0
