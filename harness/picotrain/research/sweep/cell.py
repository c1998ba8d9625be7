"""One cell: what decides its result, and how it is run, in whatever process."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm

import picotrain
import picotrain_golden
from picotrain import datasets
from picotrain.device.backends import KERNELS, choose_kernels, open_device
from picotrain.errors import DeviceFailure, UserError
from picotrain.image import firmware
from picotrain.image.elf import open_elf
from picotrain.learn.adapt import AdaptOptions, AdaptResult, Task, adapt, prepare
from picotrain.research.sweep.grid import Cell, load_dataset, load_network

_NOT_IN_KEY = ("label", "backbone", "ram_kib")
_DECIDING = (
    (picotrain_golden, "**/*.py"),
    (picotrain, "learn/adapt.py"),
    (picotrain, "learn/calibration.py"),
    (picotrain, "learn/logits.py"),
    (picotrain, "datasets/shuffle.py"),
    (picotrain, "datasets/transform.py"),
    (picotrain, "research/sweep/cell.py"),
)
"""Python that decides a result: what draws, turns, orders, calibrates and counts."""


@dataclass(frozen=True)
class Job:
    """A cell with what identifies its result.

    `digest`: 16 hex digits of the options, the backbone's file and the images; the same on every
    machine. `code`: the firmware and the Python that made or will make the result; it may differ
    where the results do not, as between compilers.
    """

    cell: Cell
    digest: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """What came of a job: measured rows, one per epoch from 0, or else an error's sentence.

    `images` is how many the device saw, trained on or evaluated."""

    digest: str
    rows: tuple[dict[str, Any], ...] = ()
    state_sha256: str = ""
    error: str = ""
    images: int = field(default=0, compare=False)


def job_of(cell: Cell) -> Job:
    return Job(cell, _digest(cell), _code(cell))


def key_of(cell: Cell) -> dict[str, Any]:
    """Everything that decides the result of a cell but the code, as JSON values."""
    options = {name: value for name, value in vars(cell).items() if name not in _NOT_IN_KEY}
    if not cell.logits_exponent:
        del options["logits_exponent"]  # as before there was this axis: the same digest
    if mine := datasets.own(cell.dataset):
        options["dataset"] = f"{mine[0]}{mine[1].name}"
    return {
        **options,
        "backbone_sha256": _file_sha256(cell.backbone, cell.backbone.stat().st_mtime_ns),
        "images_sha256": _images_sha256(cell.dataset),
    }


def _digest(cell: Cell) -> str:
    return _short(json.dumps(key_of(cell), sort_keys=True).encode())


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@lru_cache(maxsize=64)
def _file_sha256(path: Path, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=8)
def _images_sha256(dataset: str) -> str:
    """Of the pixels and labels as they are used, so that it notices a change of how they are read
    and split too."""
    digest = hashlib.sha256()
    for name, split in sorted(load_dataset(dataset).splits.items()):
        digest.update(f"{name} {split.images.shape} ".encode())
        digest.update(split.images.tobytes())
        digest.update(split.labels.tobytes())
    return digest.hexdigest()


def _code(cell: Cell) -> str:
    kernels = choose_kernels(cell.target, cell.kernels)
    image = b""
    if kernels is not None:
        image = open_elf(firmware.require(KERNELS[cell.target][kernels])).digest
    return _short(image + _python_digest())


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node


@lru_cache(maxsize=1)
def _python_digest() -> bytes:
    """Of the deciding modules, without comments, docstrings and layout: those change no result."""
    digest = hashlib.sha256()
    for package, pattern in _DECIDING:
        for path in sorted(Path(package.__path__[0]).glob(pattern)):
            digest.update(path.name.encode())
            digest.update(_bare_code(path.read_text(encoding="utf-8")).encode())
    return digest.digest()


def _bare_code(source: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))


def run_job(job: Job) -> Outcome:
    """Run a cell in this process, silently. A failure is an outcome too, so that others go on."""
    try:
        _check_same(job)
        with redirect_stderr(io.StringIO()):  # The bars of one cell; the sweep has its own.
            return _run(job)
    except UserError as error:
        return Outcome(job.digest, error=str(error))
    except DeviceFailure as failure:
        return Outcome(job.digest, error=f"{failure.failure_class}: {failure}")
    except Exception as error:
        return Outcome(job.digest, error=f"{type(error).__name__}: {error}")


def become_worker() -> None:
    """What a process that only runs jobs does first."""
    # Ctrl-C goes to every process of a terminal; the parent ends its workers, in silence: tqdm's
    # own lock would be a semaphore, and Python would warn that it was left behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A signal to one worker alone ends that worker.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    tqdm.set_lock(threading.RLock())
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """A worker whose parent was killed would wait for its next job for ever."""
    parent.join()
    os._exit(1)


def _check_same(job: Job) -> None:
    """Raise UserError where this process does not have what the sweep was started with."""
    for what, ours, theirs in (
        ("backbone or data set", _digest(job.cell), job.digest),
        ("firmware or Python code", _code(job.cell), job.code),
    ):
        if ours != theirs:
            raise UserError(
                f"the worker on {platform.node()} has another {what} than the sweep was started "
                "with; give it the same, or start the sweep again if it was changed meanwhile"
            )


def _run(job: Job) -> Outcome:
    cell = job.cell
    options = AdaptOptions(
        angle=cell.angle,
        method=cell.training_method(),
        epochs=cell.epochs,
        seed=cell.seed,
        train_samples=cell.train_samples,
        test_samples=cell.test_samples,
        evaluate_on=cell.split,
        calibration=cell.calibration,
        layer_mu=cell.layer_mus,
        replay=cell.replay,
        retention=cell.retention,
        logits_exponent=cell.read_with,
    )
    network = load_network(cell.backbone)
    task = _prepared(
        *(cell.dataset, cell.angle, cell.seed, cell.train_samples, cell.test_samples),
        *(cell.split, cell.replay),
    )
    arena = None if cell.ram_kib is None else cell.ram_kib * 1024
    device = open_device(cell.target, arena, cell.kernels)
    try:
        result = adapt(device, network, task, options, lambda _: None)
    finally:
        device.close()
    evaluated = len(task.test) + (len(task.upright) if cell.retention and task.upright else 0)
    images = cell.epochs * len(task.train) + (cell.epochs + 1) * evaluated
    return Outcome(job.digest, tuple(_rows(result)), result.state_sha256, images=images)


@lru_cache(maxsize=16)
def _prepared(
    dataset: str,
    angle: float,
    seed: int,
    train_samples: int | None,
    test_samples: int | None,
    split: str,
    replay: float,
) -> Task:
    """What `prepare` draws and turns: the same for all cells that differ in how they learn."""
    drawn = AdaptOptions(
        angle=angle,
        seed=seed,
        train_samples=train_samples,
        test_samples=test_samples,
        evaluate_on=split,
        replay=replay,
    )
    return prepare(load_dataset(dataset), drawn)


def share(jobs: Sequence[Job]) -> None:
    """Read, before workers are forked, what each of them would read before its first image: the
    layouts of the firmware."""
    for target, wanted in {(job.cell.target, job.cell.kernels) for job in jobs}:
        kernels = choose_kernels(target, wanted)
        if kernels is not None:
            elf = open_elf(firmware.require(KERNELS[target][kernels]))
            _ = elf.compiler, elf.dtype("pt_mailbox")


def _rows(result: AdaptResult) -> list[dict[str, Any]]:
    """What was measured in each epoch, by the names of `results.MEASURED`; epoch 0 is before."""
    rows: list[dict[str, Any]] = [
        {
            "epoch": 0,
            "mu_now": None,
            "accuracy": result.accuracy_before,
            "upright_accuracy": result.upright_before,
            **dict.fromkeys(("train_accuracy", "zero_errors", "skipped", "loss_norm")),
            **{f"saturated_{kind}": None for kind in ("forward", "error", "update", "logits")},
        }
    ]
    for index, epoch in enumerate(result.history):
        measured = {
            name: epoch[name]
            for name in (
                *("accuracy", "upright_accuracy", "train_accuracy"),
                *("zero_errors", "skipped", "loss_norm"),
            )
        }
        saturated = {
            f"saturated_{kind}": max(layer[index][kind] for layer in result.saturation)
            for kind in ("forward", "error", "update")
        }
        saturated["saturated_logits"] = result.saturation[-1][index]["forward"]
        rows.append({"epoch": epoch["epoch"], "mu_now": epoch["mu"], **measured, **saturated})
    return rows


def portable(job: Job) -> Job:
    """The job for a process with another working folder."""
    mine = datasets.own(job.cell.dataset)
    if mine is None:
        return job
    return replace(job, cell=replace(job.cell, dataset=f"{mine[0]}{mine[1].resolve()}"))
