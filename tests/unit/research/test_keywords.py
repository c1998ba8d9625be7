"""What a microphone does, the spotter's new head, and what the page makes of its runs."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

import slow_affine
from picotrain.datasets.dataset import Split
from picotrain.errors import UserError
from picotrain.research.keywords import head, measure, summary, tasks
from picotrain.research.keywords.sounds import CHANGES, Change, heard
from picotrain.research.keywords.tasks import Task
from picotrain.research.reproduce import steps
from picotrain_golden import Layer, Method, Network, Parameters, Trainer
from picotrain_golden.network import linear


def test_changes() -> None:
    clean = np.random.default_rng(1).normal(size=16000)
    assert (heard(clean) == clean).all()
    assert heard(clean, Change("", gain=-20.0)) == pytest.approx(clean / 10)
    late = heard(clean, Change("", late=100.0))
    assert late[:1600] == pytest.approx(0.0)
    assert late[1600:] == pytest.approx(clean[:-1600])
    tilted = heard(clean, Change("", tilt=0.5))
    assert tilted[1:] == pytest.approx(clean[1:] - 0.5 * clean[:-1])
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_a_new_head_learns_what_the_body_tells_apart() -> None:
    pool = Layer("avgpool", (4, 4, 3), (1, 1, 3), (4, 4), (1, 1), (0, 0), False)
    old = linear((1, 1, 3), 2, False)
    parameters = (None, Parameters(np.zeros((2, 3), np.int8), 0))
    numbers = (slow_affine.affine(pool), slow_affine.affine(old))
    network = Network("pool", (4, 4, 3), (pool, old), parameters, numbers)
    random = np.random.default_rng(0)
    labels = np.arange(90, dtype=np.uint8) % 3
    values = random.normal(0, 20, (90, 4, 4, 3))
    values[np.arange(90), :, :, labels] += 30
    images = np.clip(np.rint(values), -128, 127).astype(np.int8).view(np.uint8)
    headed = head.with_head(network, 3, Split(images[:60], labels[:60]))
    assert headed.classes == 3
    assert headed.layers[0] is pool and headed.affine[0] is numbers[0]
    said = Trainer(headed, Method("infer")).predict(images[60:])
    assert (said == labels[60:]).mean() > 0.9
    # The scale of the logits is that of nats, over the range of the known images.
    mantissa, exponent = headed.logits_scale
    assert 0.001 < mantissa * 2.0 ** (exponent - 15) < 1.0


def test_rows_are_means_over_tasks_of_each_seed() -> None:
    runs = [
        {"task": task, "method": "PRIOT", "seed": seed, "before": 0.5, "after": after}
        for task, seed, after in (
            ("a", 0, [0.6, 0.8]),
            ("b", 0, [0.9, 0.6]),
            ("a", 1, [0.7, 0.9]),
            ("b", 1, [0.7, 0.7]),
        )
    ]
    every, one, other = summary.rows({"chosen": {"PRIOT": [3, 2]}, "runs": runs})
    assert (every.task, one.task, other.task) == ("", "a", "b")
    assert every.schedule == "3,2"
    assert (every.last.mean, every.best.mean) == (pytest.approx(0.75), pytest.approx(0.825))
    assert every.last.std == pytest.approx(0.1 / np.sqrt(2))
    assert (one.last.mean, other.last.mean) == (pytest.approx(0.85), pytest.approx(0.65))


def task(kind: str, name: str) -> Task:
    layer = linear((1, 1, 3), 2, False)
    network = Network("none", (1, 1, 3), (layer,), (None,), (slow_affine.affine(layer),))
    parts = (Split(np.zeros((n, 1, 1, 3), np.uint8), np.zeros(n, np.uint8)) for n in (3, 2, 4))
    return Task(kind, name, network, *parts)


def pretended(task: Task, label: str, method: Method, seed: int, evaluated: Split) -> measure.Run:
    """An adaptation in which the second schedule of each method is the best on validation images,
    and the others are on test images."""
    best = method.schedule == measure.CANDIDATES[label][1].schedule
    good = best == (len(evaluated) == len(task.validation))
    return measure.Run(task.name, label, method.schedule, seed, 0.5, (0.6, 0.9 if good else 0.4))


def test_validation_images_choose_and_the_file_has_what_the_committed_one_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = [task(tasks.VOICES, "a"), task(tasks.VOICES, "b"), task(tasks.MICROPHONES, "c")]
    committed = json.loads((steps.EXPERIMENTS / "results" / "keywords.json").read_text())
    monkeypatch.setattr(measure, "EMULATED", "golden")
    monkeypatch.setattr(measure, "costs", lambda _: {**committed["device"]})
    monkeypatch.setattr(measure, "adapted", pretended)
    monkeypatch.setattr(tasks, "everything", lambda: iter(every))
    found = measure.measure(processes=1)
    assert set(found) == set(committed)
    assert (found["train_images"], found["microphone_images"]) == (3, 3)
    assert found["test_images"] == {"voices": 4, "microphones": 4}
    for kind, count in ((tasks.VOICES, 2), (tasks.MICROPHONES, 1)):
        assert found[kind].keys() == committed[kind].keys()
        assert found[kind]["runs"][0].keys() == committed[kind]["runs"][0].keys()
        assert len(found[kind]["runs"]) == count * len(measure.CANDIDATES) * measure.SEEDS
        for label, methods in measure.CANDIDATES.items():
            assert found[kind]["chosen"][label] == list(methods[1].schedule)
            assert [*found[kind]["validation"][label].values()] == [0.4, 0.9, 0.4]
    assert {run["after"][-1] for run in found[tasks.VOICES]["runs"]} == {0.4}


def test_what_is_missing_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> Iterator[Task]:
        pytest.fail("the heads were made")

    def absent(name: str) -> None:
        raise UserError(f"target {name} needs qemu-system-arm")

    monkeypatch.setattr(tasks, "everything", everything)
    monkeypatch.setattr(measure, "open_device", absent)
    with pytest.raises(UserError, match="target qemu needs qemu-system-arm"):
        measure.measure()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_runs_have_the_order_of_their_jobs_whoever_is_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow_at_first(*job: object) -> measure.Run:
        _, label, _, seed, _ = job
        time.sleep(0.3 if seed == 0 else 0.0)
        return measure.Run("a", str(label), (), int(str(seed)), 0.0, (float(os.getpid()),))

    monkeypatch.setattr(measure, "adapted", slow_at_first)
    one = task(tasks.VOICES, "a")
    jobs = [(one, "PRIOT", Method("priot"), seed, one.test) for seed in range(4)]
    made = measure._all("runs", jobs, processes=2)
    assert [run.seed for run in made] == [0, 1, 2, 3]
    assert float(os.getpid()) not in {run.after[0] for run in made}
