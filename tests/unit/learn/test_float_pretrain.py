"""Backbones made in floating point: what PyTorch trained is what the integers compute."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from picotrain import datasets
from picotrain.datasets import Dataset
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.float_pretrain import FloatOptions, pretrain_float
from picotrain_golden import Histograms, Method, Trainer, calibrated, observe

OPTIONS = FloatOptions(epochs=5, int8_epochs=1, batch=32, mirror=False)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return datasets.load("digits")


def test_without_pytorch(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"needs PyTorch: `.* -m pip install 'torch"):
        pretrain_float(models.resolve("tinycnn"), digits, OPTIONS, lambda _: None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            replace(OPTIONS, batch=1200),
            "1197 training images, less than a batch of 1200",
        ),
        (replace(OPTIONS, rate=0.0), "--rate is 0.0; use a step size above 0"),
        (replace(OPTIONS, rate=float("nan")), "--rate is nan"),
        (
            replace(OPTIONS, rate=1e300),
            r"--rate is 1e\+300; use a step size above 0 and up to 1e\+30, e.g. 0.1",
        ),
    ],
)
def test_mistakes(digits: Dataset, options: FloatOptions, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        pretrain_float(models.resolve("tinycnn"), digits, options, lambda _: None)


def test_what_the_last_step_did_is_looked_at(digits: Dataset) -> None:
    """The loss of a batch is that before its step: of one batch it is always a number."""
    pytest.importorskip("torch")
    few = replace(digits, splits={**digits.splits, "train": digits.train.take(np.arange(32))})
    sentence = (
        r"what epoch [12] learnt is not all finite numbers; use a smaller step size \(--rate\)"
    )
    with pytest.raises(UserError, match=sentence):
        pretrain_float(models.resolve("tinycnn"), few, replace(OPTIONS, rate=1e30), lambda _: None)


def test_int8_network_computes_what_was_trained(digits: Dataset) -> None:
    pytest.importorskip("torch")
    history: list[dict[str, object]] = []
    network, returned = pretrain_float(models.resolve("tinycnn"), digits, OPTIONS, history.append)
    assert returned == history
    assert [entry["weights"] for entry in history] == ["float"] * 5 + ["int8"]
    assert history[-1]["validation_accuracy"] > 0.9

    for held in network.parameters:
        assert held is None or 64 <= np.abs(held.weights).max() <= 127

    histograms = Histograms.empty(network)
    train, validation = digits.train, digits.validation
    for image, label in zip(train.images[:200], train.labels[:200], strict=True):
        histograms.add(observe(network, image, int(label)))
    trainer = Trainer(calibrated(network, histograms), Method("infer"))
    right = (trainer.predict(validation.images) == validation.labels).mean()
    assert right == pytest.approx(history[-1]["validation_accuracy"], abs=0.03)


def test_same_seed_gives_the_same_weights(digits: Dataset) -> None:
    pytest.importorskip("torch")
    few = replace(digits, splits={**digits.splits, "train": digits.train.take(np.arange(256))})
    options = replace(OPTIONS, epochs=1)
    made = [
        pretrain_float(models.resolve("tinycnn"), few, replace(options, seed=seed), lambda _: None)
        for seed in (1, 1, 2)
    ]
    first, again, other = ([p.weights for p in net.parameters if p] for net, _ in made)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
