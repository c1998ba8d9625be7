"""Jobs side by side, in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from multiprocessing.process import BaseProcess
from typing import TypeVar

from picotrain.errors import DeviceFailure
from picotrain.progress import progress_bar
from picotrain.research.sweep.cell import become_worker

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def results(
    run: Callable[[_Job], _Result], jobs: Sequence[_Job], processes: int | None, kept: str
) -> Generator[_Result]:
    """As they come: from this process if it is to be one, else from others beside it, which end
    when the generator is closed. `kept` says what is left when one of them is killed."""
    count = min(processes or _cores(), len(jobs))
    if count == 1:
        return (run(job) for job in jobs)
    others = set(multiprocessing.active_children())
    # Forked where that is safe: a worker has what this process has imported and loaded. It is
    # done here, before there is a progress bar, whose thread no child may inherit.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(count, context, initializer=become_worker)
    futures = [pool.submit(run, job) for job in jobs]
    workers = set(multiprocessing.active_children()) - others
    return _finished(pool, futures, workers, kept)


def in_order(
    label: str,
    run: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    processes: int | None,
    kept: str,
) -> list[_Result]:
    """All results, in the order of the jobs, with a bar of this label."""
    made: dict[int, _Result] = {}
    found = results(partial(_numbered, run), list(enumerate(jobs)), processes, kept)
    with closing(found), progress_bar(label, len(jobs), "run") as advance:
        for number, result in found:
            made[number] = result
            advance(1)
    return [made[number] for number in range(len(jobs))]


def _numbered(run: Callable[[_Job], _Result], job: tuple[int, _Job]) -> tuple[int, _Result]:
    return job[0], run(job[1])


def _finished(
    pool: ProcessPoolExecutor,
    futures: Sequence[Future[_Result]],
    workers: set[BaseProcess],
    kept: str,
) -> Generator[_Result]:
    """The results of a pool as they come; it ends with the last one, or in the middle of work."""
    done = False
    try:
        for future in as_completed(futures):
            yield future.result()
        done = True
    except BrokenProcessPool as error:
        raise DeviceFailure(
            f"a process was killed ({first_line(error)}); {kept}: "
            "start it again, with fewer --jobs if memory ran out"
        ) from error
    finally:
        if not done:
            for worker in workers:
                worker.kill()
        pool.shutdown(cancel_futures=True)


def first_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0]
