"""`picotrain data`: list, fetch and verify data sets."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from picotrain import datasets
from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.errors import UserError
from picotrain.progress import progress_bar
from picotrain.text import table


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs, "data", "List, fetch and verify data sets.", "picotrain data fetch mnist"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "fetch", "verify"),
        default="list",
        help="what to do (default: %(default)s)",
    )
    parser.add_argument("name", nargs="?", help="a data set; without one, verify takes all")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.action == "list":
        with progress_bar("list", len(datasets.COLLECTIONS), "data set") as advance:
            states = datasets.describe(advance)
    elif options.action == "fetch":
        if options.name is None:
            raise UserError(f"fetch needs a data set; use one of {', '.join(datasets.COLLECTIONS)}")
        states = [datasets.fetch(options.name)]
    else:
        names = [options.name] if options.name else datasets.COLLECTIONS
        states = []
        with progress_bar("verify", len(names), "data set") as advance:
            for name in names:
                states.append(datasets.verify(name))
                advance(1)
    rows = [[s.name, s.state, f"{s.bytes:,}", s.where] for s in states]
    print(table(rows, ["data set", "state", "bytes", "where"]))
    for state in states:
        if state.detail:
            print(f"{state.name}: {state.detail}")
    finish(options, [asdict(state) for state in states])
    return 0
