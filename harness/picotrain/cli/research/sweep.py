"""`picotrain sweep`: a grid of adaptations, in parallel, resumable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from picotrain.cli.options import NamedFile, Verbs, add_output, add_verb, finish, result_file
from picotrain.errors import UserError
from picotrain.inputs import named, positive
from picotrain.output import tell
from picotrain.places import RESULTS
from picotrain.research.sweep.cell import Job
from picotrain.research.sweep.grid import Cell, load_grid
from picotrain.research.sweep.plot import check_plot, write_plot
from picotrain.research.sweep.results import check_file, groups, summary, write_results
from picotrain.research.sweep.run import CELLS, Pace, Store, check_scheduler, frame, plan, sweep
from picotrain.stopping import status_of
from picotrain.text import table

CELLS_VARIABLE = "PICOTRAIN_CELLS"


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "sweep",
        "Run every cell of a grid (docs/sweep.md) in parallel; one that was stopped goes on.",
        "picotrain sweep experiments/example.toml --jobs 2 --plot example.svg",
    )
    parser.add_argument(
        "grid",
        action=NamedFile,
        metavar="GRID.toml",
        help="what to run: docs/sweep.md",
    )
    add_output(parser, "--out", f"results, .csv or .parquet (default: {RESULTS}/GRID-DIGEST.csv)")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (default: all cores)")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on the Dask cluster there, e.g. tcp://HOST:8786"
    )
    parser.add_argument("--list", action="store_true", help="only show the cells and their state")
    add_output(parser, "--plot", "accuracy over mu, or over the epochs, as .svg or .png")
    parser.add_argument(
        "--cells",
        action=NamedFile,
        metavar="FOLDER",
        help=f"finished cells (default: ${CELLS_VARIABLE}, or {CELLS})",
    )
    parser.add_argument(
        "--keep-stale",
        action="store_true",
        help="keep finished cells even if the firmware or the Python that made them has changed",
    )
    parser.set_defaults(run=run, complete=complete)


def complete(options: argparse.Namespace) -> None:
    """The name of the results, where none is given: grids of one name may lie in many folders."""
    if options.out is None:
        grid = argparse.Namespace(grid=options.grid, outputs=())
        options.out = result_file(grid, options.grid.stem, suffix=".csv")


def run(options: argparse.Namespace) -> int:
    out = options.out
    check_file(out)
    if options.plot is not None:
        check_plot(options.plot)
    if options.scheduler is not None:
        check_scheduler(options.scheduler)
    if options.scheduler and options.jobs:
        raise UserError("--jobs is for this machine; leave it out with --scheduler")
    jobs = plan(load_grid(options.grid))
    store = Store(
        options.cells or named(os.environ.get(CELLS_VARIABLE) or str(CELLS)), options.keep_stale
    )
    states = [store.state(job) for job in jobs]
    if options.list:
        print(_list(jobs, states))
        finish(options, _listed(jobs, states))
        return 0
    _announce(options.grid, jobs, states)
    pace = Pace()
    try:
        errors = sweep(jobs, store, options.jobs, options.scheduler, pace)
    except KeyboardInterrupt as stop:
        kept = sum(store.state(job) == "done" for job in jobs)
        print(
            f"picotrain: interrupted; {kept} of {len(jobs)} cells are kept, the same command "
            "goes on",
            file=sys.stderr,
        )
        return status_of(stop)
    results = frame(jobs, store)
    write_results(out, results)
    by = groups(results)
    means = summary(results, by)
    if len(means):
        print(_table(means, by))
    if options.plot is not None and len(means):
        write_plot(options.plot, results)
        tell("plot", options.plot)
    tell("results", out)
    if pace.cells:
        print(f"throughput: {pace}")
    failed = [job for job in jobs if job.digest in errors]
    for job in failed:
        print(f"picotrain: cell {_describe(job)} failed: {errors[job.digest]}", file=sys.stderr)
    finish(
        options,
        {
            "grid": str(options.grid),
            "results": str(out),
            "cells": len(jobs),
            "throughput": pace.to_json() if pace.cells else None,
            "failed": {job.digest: errors[job.digest] for job in failed},
            "summary_by": by,
            "summary": means.astype(object).where(means.notna(), None).to_dict("records"),
        },
    )
    return 1 if failed else 0


def _announce(grid: Path, jobs: Sequence[Job], states: Sequence[str]) -> None:
    stale = states.count("stale")
    again = f", {stale} of them again, since the code has changed" if stale else ""
    print(
        f"{grid}: {len(jobs)} cells, {states.count('done')} done, "
        f"{len(jobs) - states.count('done')} to run{again}",
        flush=True,
    )


def _describe(job: Job) -> str:
    cell = job.cell
    return (
        f"{job.digest} ({cell.label}, {cell.dataset}, angle {cell.angle:g}, mu {cell.mu}, "
        f"calibration {_numbers(cell)}, seed {cell.seed})"
    )


def _numbers(cell: Cell) -> str:
    """Where the static numbers come from."""
    exponent = f" at exponent {cell.logits_exponent}" if cell.logits_exponent else ""
    return f"{cell.calibration}{exponent}"


def _list(jobs: Sequence[Job], states: Sequence[str]) -> str:
    header = ("cell", "state", "label", "dataset", "method", "angle", "mu", "calibration", "seed")
    rows = [
        (
            *(job.digest, state, job.cell.label, job.cell.dataset, job.cell.method),
            *(f"{job.cell.angle:g}", job.cell.mu, _numbers(job.cell), str(job.cell.seed)),
        )
        for job, state in zip(jobs, states, strict=True)
    ]
    return f"{table(rows, header)}\n{states.count('done')} of {len(jobs)} cells are done"


def _listed(jobs: Sequence[Job], states: Sequence[str]) -> list[dict[str, object]]:
    return [
        {"cell": job.digest, "state": state, "label": job.cell.label, "seed": job.cell.seed}
        for job, state in zip(jobs, states, strict=True)
    ]


def _table(means: pd.DataFrame, by: Sequence[str]) -> str:
    """Accuracies in percent, mean and standard deviation over the seeds."""
    header = (*by, "n", "before %", "best %", "last %")
    rows = []
    for record in means.to_dict("records"):
        keys = [f"{v:g}" if isinstance(v, float) else str(v) for v in (record[k] for k in by)]
        shares = (_percent(record, name) for name in ("before", "best", "last"))
        rows.append((*keys, str(record["n"]), *shares))
    return table(rows, header)


def _percent(record: dict[str, float], name: str) -> str:
    mean, std = record[f"{name}_mean"], record[f"{name}_std"]
    return f"{100 * mean:.1f}" if pd.isna(std) else f"{100 * mean:.1f} ± {100 * std:.1f}"
