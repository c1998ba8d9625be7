"""`picotrain reproduce`: the experiments, and the page of their results."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from picotrain.cli.options import Verbs, add_verb, finish
from picotrain.errors import UserError
from picotrain.inputs import named, positive
from picotrain.output import check, check_folder
from picotrain.places import RESULTS


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "reproduce",
        "Run the experiments in experiments/ and write docs/results.md; what is finished is kept.",
        "picotrain reproduce --fast",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help=f"a small version on the embedded digits, in {RESULTS}/reproduce-fast",
    )
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (default: all cores)")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="STEP",
        help="these steps, then the page; `smaller` are all whose names begin with smaller-",
    )
    parser.add_argument(
        "--render", action="store_true", help="only the page, from the results that are there"
    )
    parser.add_argument(
        "--keep-stale",
        action="store_true",
        help="keep finished cells even if the code that made them has changed",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    # Only here: pandas and the plots' library take longer to import than most verbs to run.
    from picotrain.cli.research.sweep import CELLS_VARIABLE
    from picotrain.research.fewshot import page as sparse
    from picotrain.research.reproduce import page, steps
    from picotrain.research.shrink import page as smaller

    if options.render and options.only:
        raise UserError("--render runs no step; leave --only or --render out")
    place = steps.small() if options.fast else steps.full()
    place = replace(place, jobs=options.jobs, keep_stale=options.keep_stale)
    if os.environ.get(CELLS_VARIABLE):
        place = replace(place, cells=named(os.environ[CELLS_VARIABLE]))
    for path in (place.page, place.sparse_page, place.smaller_page):
        check(path)
    check_folder(place.figures)
    missing: dict[str, str] = {}
    if not options.render:
        check_folder(place.results)
        missing = steps.run(steps.choose(options.only), place, lambda text: print(text, flush=True))
    made = page.render(place, missing)
    made.write(place)
    drawn = sparse.write(place.results, place.sparse_page, place.figures)
    drawn += smaller.write(place.results, place.smaller_page, place.figures)
    for path in (place.page, place.sparse_page, place.smaller_page):
        print(f"page: {path}")
    if missing:
        # Why of each was said when its turn came, and is on the page.
        print(f"picotrain: these steps did not run: {', '.join(missing)}", file=sys.stderr)
    finish(
        options,
        {"page": str(place.page), "figures": sorted([*made.figures, *drawn]), "missing": missing},
    )
    # The small version does without what needs something else; the full one is not done without.
    return 1 if any(not options.fast or not steps.STEPS[name].needs for name in missing) else 0
