"""Runs the cells that are not finished: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from picotrain.errors import UserError
from picotrain.inputs import read_json
from picotrain.output import check_folder, write_json
from picotrain.places import RESULTS
from picotrain.progress import progress_bar
from picotrain.research.sweep import pool
from picotrain.research.sweep.cell import (
    Job,
    Outcome,
    job_of,
    key_of,
    portable,
    run_job,
    share,
)
from picotrain.research.sweep.grid import Cell
from picotrain.research.sweep.pool import first_line
from picotrain.research.sweep.results import OPTIONS, frame_of
from picotrain.versions import to_install

CELLS = RESULTS / "cells"
_FORMAT = 1
_CONNECT_SECONDS = 10
_ADDRESS = re.compile(r"(\w+://)?[^\s/]+:\d+")


@dataclass(frozen=True)
class Store:
    """A folder with one JSON file per finished cell, named by its digest.

    Each file appears whole, so a sweep that is killed at any moment leaves only finished cells.
    A cell that other code finished counts only if `keep_stale`.
    """

    folder: Path = CELLS
    keep_stale: bool = False

    def load(self, job: Job) -> Outcome | None:
        """The outcome of a job, if it is finished."""
        content = self._content(job)
        if content is None or not self._counts(content, job):
            return None
        return Outcome(job.digest, tuple(content["rows"]), content["state_sha256"])

    def state(self, job: Job) -> str:
        """`done`, `open`, or `stale`: finished, but by other code, so that it will run again."""
        content = self._content(job)
        if content is None:
            return "open"
        return "done" if self._counts(content, job) else "stale"

    def _counts(self, content: dict[str, Any], job: Job) -> bool:
        return self.keep_stale or content["code"] == job.code

    def save(self, job: Job, outcome: Outcome) -> None:
        write_json(
            self._path(job),
            {
                "format": _FORMAT,
                "cell": job.digest,
                "code": job.code,
                "key": key_of(job.cell),
                "state_sha256": outcome.state_sha256,
                "rows": list(outcome.rows),
            },
        )

    def _path(self, job: Job) -> Path:
        return self.folder / f"{job.digest}.json"

    def _content(self, job: Job) -> dict[str, Any] | None:
        path = self._path(job)
        try:
            if not path.exists():
                return None
            content = read_json(path, "remove it")
            if content["format"] != _FORMAT or content["cell"] != job.digest:
                raise ValueError("it is of another cell or version")
            _ = content["code"], content["rows"], content["state_sha256"]
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} holds no finished cell ({error}); remove it") from error
        return content


@dataclass
class Pace:
    """What a sweep ran, in so much time on the clock: finished cells, and images of theirs that
    devices saw."""

    cells: int = 0
    images: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, float]:
        return {
            "cells": self.cells,
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "cells_per_minute": round(60 * self.cells / self.seconds, 2),
            "images_per_second": round(self.images / self.seconds, 1),
        }

    def __str__(self) -> str:
        found = self.to_json()
        return (
            f"{self.cells} cells in {self.seconds:,.1f} s: {found['cells_per_minute']:,.1f} cells "
            f"a minute, {found['images_per_second']:,.0f} images a second"
        )


def plan(cells: Sequence[Cell]) -> list[Job]:
    """The jobs of the cells, in their order."""
    return [job_of(cell) for cell in cells]


def check_scheduler(address: str) -> None:
    """Raise UserError where this cannot be the address of a Dask scheduler."""
    if not _ADDRESS.fullmatch(address):
        raise UserError(f"--scheduler {address!r} is no address; use e.g. tcp://127.0.0.1:8786")


def sweep(
    jobs: Sequence[Job],
    store: Store,
    processes: int | None = None,
    scheduler: str | None = None,
    pace: Pace | None = None,
) -> dict[str, str]:
    """Run what is not finished; returns the error of each job that failed, by its digest.

    Each finished cell is kept at once. `processes` of None: one per core. `scheduler`: the address
    of a Dask cluster, which runs the cells instead; this process alone writes files. `pace` is told
    what ran.
    """
    pace = Pace() if pace is None else pace
    start = time.monotonic()
    missing = list({job.digest: job for job in jobs if store.load(job) is None}.values())
    by_digest = {job.digest: job for job in missing}
    errors: dict[str, str] = {}
    if not missing:
        return errors
    check_folder(store.folder)
    outcomes = _on_cluster(missing, scheduler) if scheduler else _here(missing, processes)
    with closing(outcomes), progress_bar("sweep", len(missing), unit="cell") as advance:
        for outcome in outcomes:
            if outcome.error:
                errors[outcome.digest] = outcome.error
            else:
                store.save(by_digest[outcome.digest], outcome)
                pace.cells += 1
                pace.images += outcome.images
            advance(1)
            pace.seconds = time.monotonic() - start
    return errors


def frame(jobs: Sequence[Job], store: Store) -> pd.DataFrame:
    """The results of the finished jobs, in their order: the same whoever ran them, and when."""
    rows = []
    for job in jobs:
        outcome = store.load(job)
        if outcome is None:
            continue
        options = {name: getattr(job.cell, name) for name in OPTIONS}
        for measured in outcome.rows:
            rows.append(
                {
                    "cell": job.digest,
                    **options,
                    "seed": job.cell.seed,
                    **measured,
                    "state_sha256": outcome.state_sha256,
                }
            )
    return frame_of(rows)


def _here(jobs: Sequence[Job], processes: int | None) -> Generator[Outcome]:
    """Outcomes as they come, from processes of this machine."""
    share(jobs)
    return pool.results(run_job, jobs, processes, "finished cells are kept")


def _on_cluster(jobs: Sequence[Job], address: str) -> Generator[Outcome]:
    """Outcomes as they come, from the workers of a Dask cluster."""
    try:
        import distributed
    except ImportError:
        raise UserError(
            f"--scheduler needs the package distributed: `{to_install('dask')}`"
        ) from None
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address!r} ({first_line(error)}); start one with "
            "`dask scheduler`, or leave --scheduler out"
        ) from error
    with client:
        # pure=False: Dask must not answer from what it ran before.
        futures = client.map(
            run_job, list(map(portable, jobs)), key=[_task(job) for job in jobs], pure=False
        )
        digests = {future.key: job.digest for future, job in zip(futures, jobs, strict=True)}
        try:
            for future in distributed.as_completed(futures, loop=client.loop):
                try:
                    yield future.result()
                except Exception as error:
                    reason = f"{type(error).__name__}: {first_line(error)}"
                    yield Outcome(digests[future.key], error=reason)
        finally:
            client.cancel(futures)


def _task(job: Job) -> str:
    return f"picotrain-{job.digest}-{job.code}-{os.getpid()}-{os.urandom(4).hex()}"
