"""The shipped backbones for tasks of few samples: the bytes, and what they can do."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from picotrain.datasets.fewshot import TUNED_ON, Rule, load_domain, sample_episode
from picotrain.datasets.files import MissingDataError
from picotrain.learn import models
from picotrain.learn.fewshot.heads import with_head
from picotrain.learn.fewshot.prototypes import features, nearest
from picotrain_golden import Method, validate_training

SHA256 = {
    "mobilenet-v2-few-meta": "8b61639d09d1fe9771491165a5d28a73bc4b99c6e4cc343336ef8b114a31ddfc",
    "mobilenet-v2-few-pre": "6d93e56675facef75c45d21786b8383c97d3dabfcf7182e0afe093dbf69ca7c6",
    "proxyless-few-meta": "d40a0363627cdfb78a6bbb00b6d2dd114c79804aff84c908952e8b4c20014ecf",
    "proxyless-few-pre": "76370a4840f668da64837694d7ce84bc73dd1d760f995c01d05eef655eac22f2",
}
EASY = Rule(ways=5, shots=5, query=5)


@pytest.mark.parametrize("name", SHA256)
def test_the_file_is_the_recorded_one_and_trains(name: str) -> None:
    path = models.BACKBONES / f"{name}.npz"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]
    network, info = models.load_backbone(path)
    models.check_same(models.resolve(network.name), network, path)
    assert info["command"].startswith(f"picotrain metatrain --model {network.name} ")
    for ways in (5, 50):
        for method in ("priot", "priot-s", "niti-static", "niti-dynamic"):
            validate_training(with_head(network, ways), Method(method))


@pytest.mark.parametrize("name", SHA256)
def test_class_means_tell_classes_apart(name: str) -> None:
    """Over 0.6 of 5 ways are right, where chance gives 0.2."""
    try:
        domain = load_domain(TUNED_ON, download=False)
    except MissingDataError as error:
        pytest.skip(str(error))
    network, _ = models.load_backbone(models.BACKBONES / f"{name}.npz")
    right = []
    for number in range(4):
        task = sample_episode(domain, 0, number, EASY)
        support, query = (features(network, one.images) for one in (task.support, task.query))
        found = nearest(support, task.support.labels, query, task.ways)
        right.append((found == task.query.labels).mean())
    assert np.mean(right) > 0.6, right
