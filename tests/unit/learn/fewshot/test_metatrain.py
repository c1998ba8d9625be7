"""Backbones for tasks of few samples, of data that is made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.cli import main
from picotrain.cli.learn import metatrain as verb
from picotrain.datasets import Dataset, Split
from picotrain.datasets.fewshot import Domain
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.fewshot.metatrain import MetaOptions, MetaTraining
from picotrain.learn.fewshot.prototypes import accuracies, features

TEXT = """form = "affine"
name = "small"
input = [32, 32, 1]
[[layer]]
kind = "conv2d"
channels = 8
kernel = 3
stride = 2
padding = "same"
activation = "relu6"
[[layer]]
kind = "depthwise"
kernel = 3
stride = 2
padding = "same"
activation = "relu6"
[[layer]]
kind = "conv2d"
channels = 16
kernel = 1
activation = "relu6"
[[layer]]
kind = "avgpool"
global = true
[[layer]]
kind = "linear"
outputs = 6
"""


def stripes(classes: int, each: int, seed: int) -> Split:
    """Class c has stripes in a direction of its own, and noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:32, 0:32]
    labels = np.repeat(np.arange(classes, dtype=np.uint8), each)
    angles = np.pi * (labels + 0.3 * seed) / classes
    phases = random.uniform(0, 2 * np.pi, len(labels))
    waves = np.sin(
        (rows * np.cos(angles)[:, None, None] + columns * np.sin(angles)[:, None, None]) * 0.9
        + phases[:, None, None]
    )
    noise = random.normal(0, 30, waves.shape)
    images = np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)
    return Split(images[..., np.newaxis], labels)


def domain(name: str, split: Split) -> Domain:
    return Domain(name, split.images, split.labels, "made up", {"file": "0"})


LEARNT, TUNED = stripes(8, 60, 0), stripes(7, 40, 1)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The verb's data are stripes from now on."""
    splits = {"train": LEARNT, "validation": LEARNT, "test": LEARNT}
    dataset = Dataset("stripes", splits, 8, "made up", {})
    domains = {"cifar100-train": LEARNT, "cifar100-validation": TUNED}
    monkeypatch.setattr(verb.cifar100, "to_learn_from", lambda: dataset)
    monkeypatch.setattr(verb, "load_domain", lambda name: domain(name, domains[name]))
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    return path


def test_both_backbones_are_made(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    out, first, told = (tmp_path / name for name in ("meta.npz", "pre.npz", "told.json"))
    words = ["metatrain", "--model", str(small), "--epochs", "12", "--tasks", "40"]
    words += ["--pretrained", str(first), "--out", str(out), "--json", str(told)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.count("nearest mean, in float") == 2
    assert "epoch 12  loss" in shown and "task    40  loss" in shown
    results = json.loads(told.read_text())
    tuned = domain("cifar100-validation", TUNED)
    for path, name in ((first, "pretrained"), (out, "metatrained")):
        network, info = models.load_backbone(path)
        assert (network.name, network.classes) == ("small", 6)
        assert info["validation_accuracy"] == results[name]["validation_accuracy"] > 0.5
        # A logit of 100 is a cosine of 1, and that is 20 nats: 0.2 is M * 2^(E-15).
        mantissa, exponent = network.logits_scale
        assert mantissa * 2.0 ** (exponent - 15) == pytest.approx(0.2, rel=1e-4)
        held = network.parameters[0]
        assert held is not None and min(held.gradient_bits, held.score_bits) > 0
        integers = float(np.mean(accuracies(tuned, features(network, TUNED.images), 50)))
        assert integers == pytest.approx(info["validation_accuracy"], abs=0.05)
    assert "task_history" not in results["pretrained"]
    assert [entry["task"] for entry in results["metatrained"]["task_history"]] == [40]
    assert results["metatrained"]["command"].startswith(f"picotrain metatrain --model {small}")


def test_a_loss_that_is_no_number_ends_it(small: Path) -> None:
    """Epochs have such an end, too; tasks would go on for hours."""
    pytest.importorskip("torch")
    splits = {"train": LEARNT, "validation": LEARNT, "test": LEARNT}
    dataset = Dataset("stripes", splits, 8, "made up", {})
    default = MetaOptions()
    options = MetaOptions(
        replace(default.classes, epochs=1), replace(default.tasks, tasks=20, rate=1e38)
    )
    training = MetaTraining(
        models.resolve(str(small)),
        dataset,
        domain("learnt", LEARNT),
        domain("tuned", TUNED),
        options,
    )
    training.classes(lambda _: None)
    with pytest.raises(UserError, match=r"the loss of task \d+ is not a finite number; use a smal"):
        training.tasks(lambda _: None)


def test_the_same_seed_gives_the_same_backbone(small: Path) -> None:
    pytest.importorskip("torch")
    splits = {"train": LEARNT, "validation": LEARNT, "test": LEARNT}
    dataset = Dataset("stripes", splits, 8, "made up", {})
    default = MetaOptions()
    digests = []
    for seed in (0, 0, 1):
        options = MetaOptions(
            replace(default.classes, epochs=1, seed=seed),
            replace(default.tasks, tasks=3, seed=seed),
        )
        training = MetaTraining(
            models.resolve(str(small)),
            dataset,
            domain("learnt", LEARNT),
            domain("tuned", TUNED),
            options,
        )
        seen: list[Any] = []
        training.classes(seen.append)
        training.tasks(seen.append)
        assert [sorted(entry) for entry in seen][1] == sorted(
            ("task", "loss", "train_accuracy", "validation_accuracy")
        )
        digests.append(models.network_sha256(training.backbone().network))
    assert digests[0] == digests[1] != digests[2]


def test_what_cannot_be_trained(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["--out", "x.txt"], "--out x.txt is no backbone by its name"),
        (["--out", "x.npz", "--rate", "0"], "--rate is 0.0; use a step size above 0"),
        (["--out", "x.npz", "--task-rate", "nan"], "--task-rate is nan; use a step size above 0"),
        (["--out", "x.npz", "--model", "tinycnn"], "tinycnn is no feature extractor for tasks"),
        (["--out", "x.npz", "--model", "resnet8"], "takes images of 32x32x3, but those of tasks"),
    ):
        assert main(["metatrain", *words]) == 2
        assert told in capsys.readouterr().err
