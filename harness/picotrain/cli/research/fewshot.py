"""`picotrain fewshot`: few-shot tasks of many domains, by every scheme of sparse updates."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from picotrain.cli.options import NamedFile, Verbs, add_output, add_seed, add_verb, finish
from picotrain.inputs import positive
from picotrain.output import tell, write_json, write_text
from picotrain.research.fewshot.campaign import Campaign, Tasks
from picotrain.research.fewshot.summary import Row
from picotrain.stopping import status_of
from picotrain.text import table


def add_parser(verbs: Verbs) -> None:
    from picotrain.datasets.fewshot import NAMES as DOMAINS
    from picotrain.datasets.fewshot import UNSEEN
    from picotrain.research.fewshot.defaults import BACKBONE, SETTINGS, SHARES
    from picotrain.research.fewshot.schemes import NAMES, RULES

    parser = add_verb(
        verbs,
        "fewshot",
        "Adapt to few-shot tasks on a device, by every scheme of sparse updates (docs/tinytrain.md)"
        "; what is finished is kept.",
        "picotrain fewshot --domains omniglot usps --episodes 20 --report fewshot.html",
    )
    parser.add_argument(
        "--backbone",
        action=NamedFile,
        metavar="FILE",
        default=BACKBONE,
        help="network whose head the tasks replace (default: %(default)s)",
    )
    parser.add_argument(
        "--domains",
        nargs="+",
        metavar="NAME",
        default=list(UNSEEN),
        help=f"{', '.join(DOMAINS)} (default: those that no network has seen)",
    )
    parser.add_argument(
        "--episodes",
        type=positive,
        default=200,
        metavar="N",
        help="tasks of each domain (default: %(default)s)",
    )
    parser.add_argument("--ways", type=positive, metavar="N", help="classes (default: by the rule)")
    parser.add_argument(
        "--shots", type=positive, metavar="N", help="images of each class (default: by the rule)"
    )
    parser.add_argument(
        "--schemes",
        nargs="+",
        metavar="NAME",
        default=list(NAMES),
        help=f"{', '.join(NAMES)} (default: all)",
    )
    parser.add_argument(
        "--rules",
        nargs="+",
        metavar="NAME",
        default=list(RULES),
        help=f"what learns: {', '.join(RULES)} (default: both)",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=float,
        metavar="SHARE",
        default=list(SHARES),
        help="of the MACs of full's backward pass, by six digits (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="images that a task is learnt from, one by one (default: "
        + ", ".join(f"{rule} {steps}" for rule, steps in SETTINGS.steps.items())
        + ")",
    )
    add_seed(parser, 0, "draws the tasks, the views of images, and all that is random")
    parser.add_argument("--target", default="host", help="backend (default: %(default)s)")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (default: all cores)")
    add_output(parser, "--out", "the results: accuracies of all tasks, costs, layers, as .json")
    add_output(parser, "--report", "a page with accuracies, costs, and what learned, as .html")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from picotrain.datasets.fewshot import Rule
    from picotrain.learn import models
    from picotrain.research.fewshot import campaign, summary
    from picotrain.research.fewshot.defaults import KEPT, SETTINGS
    from picotrain.research.fewshot.schemes import RULES, all_schemes

    settings = SETTINGS
    if options.steps is not None:
        settings = replace(settings, steps=dict.fromkeys(RULES, options.steps))
    planned = campaign.Campaign(
        models.load_backbone(options.backbone)[0],
        tuple(all_schemes(options.schemes, options.rules, _shares(options.budgets))),
        settings,
        Rule(ways=options.ways, shots=options.shots),
        options.seed,
        options.target,
    )
    domains = list(dict.fromkeys(options.domains))
    try:
        tasks = campaign.run(planned, domains, options.episodes, KEPT, options.jobs)
    except KeyboardInterrupt as stop:
        print(
            f"picotrain: interrupted; finished tasks are kept in {KEPT}, the same command goes on",
            file=sys.stderr,
        )
        return status_of(stop)
    print(_table(summary.rows(tasks)))
    found = summary.condensed(planned, tasks)
    if options.out is not None:
        write_json(options.out, found)
        tell("results", options.out)
    if options.report is not None:
        _write_report(options, planned, tasks)
    finish(options, found)
    return 0


def _shares(given: Sequence[float]) -> list[float]:
    """By six digits, as labels name them: 0.142857 is a seventh."""
    from picotrain.research.fewshot.defaults import SHARES

    known = {f"{share:g}": share for share in SHARES}
    return [known.get(f"{share:g}", float(f"{share:g}")) for share in given]


def _write_report(options: argparse.Namespace, planned: Campaign, tasks: Tasks) -> None:
    # Only here: the plots' library takes long to import.
    from picotrain.research.fewshot.report.render import render
    from picotrain.versions import versions

    page = render(planned, tasks, options.backbone.name, options.command, versions())
    write_text(options.report, page)
    tell("report", options.report)


def _table(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        if row.domain:
            continue
        own = [
            f"{100 * one.accuracy.mean:.1f}"
            for one in rows
            if one.domain and one.scheme == row.scheme
        ]
        mean = f"{100 * row.accuracy.mean:.1f}"
        if row.accuracy.half:  # one task of each domain has no spread
            mean += f" ± {100 * row.accuracy.half:.1f}"
        lines.append([row.scheme, mean, *own, f"{row.bytes:,.0f}", f"{row.macs:,.0f}"])
    domains = list(dict.fromkeys(row.domain for row in rows if row.domain))
    return table(lines, ["scheme", "mean", *domains, "bytes", "MACs"])
