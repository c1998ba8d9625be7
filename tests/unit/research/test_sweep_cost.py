"""What a sweep costs beside its adaptations, and how its processes end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from picotrain import cli, datasets, versions
from picotrain.errors import DeviceFailure
from picotrain.image import elf
from picotrain.learn import models
from picotrain.research.sweep import cell as cells
from picotrain.research.sweep import grid as grids
from picotrain.research.sweep.cell import run_job
from picotrain.research.sweep.grid import load_grid
from picotrain.research.sweep.run import Store, plan, sweep

GRID = """
[base]
epochs = {epochs}
train_samples = 16
test_samples = 16
seeds = [0, 1, 2, 3]

[[grid]]
method = "priot"
mu = ["2", "3", "4"]
"""
CELLS = 12
MOST_SECONDS = 0.005
"""Of CPU, of a cell beside its adaptation."""
PATIENCE = 60.0

forking = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def grid(folder: Path, epochs: int = 1) -> Path:
    path = folder / "grid.toml"
    path.write_text(GRID.format(epochs=epochs))
    return path


def test_what_is_the_same_for_all_cells_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def counted(module: Any, name: str, what: str) -> None:
        original = getattr(module, name)

        def call(*given: Any, **named: Any) -> Any:
            done.append(what)
            return original(*given, **named)

        monkeypatch.setattr(module, name, call)

    grids.load_dataset.cache_clear()
    grids.load_network.cache_clear()
    versions._found.cache_clear()
    versions.first_line.cache_clear()
    elf._cached.cache_clear()
    counted(datasets, "load", "data set")
    counted(models, "load_backbone", "backbone")
    counted(versions.subprocess, "run", "command")
    counted(elf, "ELFFile", "ELF file")
    arguments = ["--cells", str(tmp_path / "cells"), "--out", str(tmp_path / "out.csv")]
    assert cli.main(["sweep", str(grid(tmp_path)), *arguments, "--jobs", "1"]) == 0
    assert len(list(tmp_path.glob("cells/*.json"))) == CELLS
    once = ["backbone", "command", "data set"]
    assert sorted(one for one in done if one != "ELF file") == once
    # The host program, and the image whose arena a Pico has left, where it is built.
    assert done.count("ELF file") <= 2


def test_a_cell_costs_little_beside_its_adaptation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPU seconds of this process; the least of all cells, since others load the machine too."""
    jobs = plan(load_grid(grid(tmp_path)))
    inside = 0.0

    def apart(name: str) -> None:
        original = getattr(cells, name)

        def call(*given: Any) -> Any:
            nonlocal inside
            start = time.process_time()
            try:
                return original(*given)
            finally:
                inside += time.process_time() - start

        monkeypatch.setattr(cells, name, call)

    apart("prepare")
    apart("adapt")
    store, beside = Store(tmp_path / "cells"), []
    for job in jobs:
        start, inside = time.process_time(), 0.0
        outcome = run_job(job)
        store.save(job, outcome)
        assert store.load(job) == outcome
        beside.append(time.process_time() - start - inside)
        assert not outcome.error
        assert inside > 0
    assert min(beside) <= MOST_SECONDS, beside


@forking
def test_workers_have_what_the_parent_has_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan(load_grid(grid(tmp_path)))
    for module, name in ((datasets, "load"), (models, "load_backbone")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("a worker loads it again"))
    monkeypatch.setattr(elf, "ELFFile", lambda *_: pytest.fail("a worker reads the ELF again"))
    store = Store(tmp_path / "cells")
    assert sweep(jobs, store, processes=2) == {}
    assert all(store.load(job) for job in jobs)


@forking
def test_a_worker_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = plan(load_grid(grid(tmp_path)))
    parent, run = os.getpid(), cells.adapt

    def adapt(device: Any, network: Any, task: Any, options: Any, report: Any) -> Any:
        if options.seed == 3 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(device, network, task, options, report)

    monkeypatch.setattr(cells, "adapt", adapt)
    with pytest.raises(DeviceFailure, match=r"was killed .* finished cells are kept: start it ag"):
        sweep(jobs, Store(tmp_path / "cells"), processes=2)
    monkeypatch.undo()
    store = Store(tmp_path / "cells")
    assert sweep(jobs, store, processes=2) == {}
    assert all(store.load(job) for job in jobs)


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return set(map(int, listed))


def living(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@forking
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_sweep(tmp_path: Path, how: signal.Signals) -> None:
    """The signal reaches the parent alone, as from `kill`; the workers are in long cells."""
    places = ["--cells", str(tmp_path / "cells"), "--out", str(tmp_path / "out.csv")]
    command = ["sweep", str(grid(tmp_path, epochs=100_000)), *places, "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "picotrain", *command],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE
    programs: set[int] = set()
    workers: set[int] = set()
    while len(programs) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the cells did not start"
        time.sleep(0.05)
        workers = children(process.pid)
        programs = {one for worker in workers for one in children(worker)}
    process.send_signal(how)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in errors
    while any(map(living, workers | programs)):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)
