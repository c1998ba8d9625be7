"""An architecture as TOML, and back."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from picotrain.learn import models
from picotrain.learn.architectures.architecture import Architecture
from picotrain.learn.architectures.reader import parse
from picotrain.learn.architectures.writer import toml_of
from shrinking import tied

AFFINE = [name for name in models.shipped() if models.resolve(name).affine]

MORE = """form = "affine"
name = "more"
input = [9, 8, 2]
[[layer]]
kind = "conv2d"
channels = 4
kernel = [3, 2]
stride = [2, 1]
padding = "same"
[[layer]]
kind = "avgpool"
kernel = 3
stride = 2
padding = 1
[[layer]]
kind = "depthwise"
kernel = 2
bias = false
padding = [1, 0]
activation = "relu6"
[[layer]]
kind = "maxpool"
kernel = [2, 1]
padding = "same"
[[layer]]
kind = "linear"
outputs = 3
"""


def again(architecture: Architecture) -> Architecture:
    return parse(tomllib.loads(toml_of(architecture, "one\ntwo")), "again.toml")


@pytest.mark.parametrize("name", AFFINE)
def test_a_shipped_network_comes_back(name: str) -> None:
    architecture = models.resolve(name)
    assert again(architecture) == architecture


def test_all_kinds_of_windows_come_back() -> None:
    for architecture in (tied(), parse(tomllib.loads(MORE), "more.toml")):
        assert again(architecture) == architecture


def test_who_is_read_gets_a_name() -> None:
    architecture = tied()
    bare = replace(architecture, steps=tuple(replace(step, name="") for step in architecture.steps))
    found = again(bare)
    assert found.layers == architecture.layers
    assert [step.name for step in found.steps[:4]] == ["layer0", "", "layer2", ""]
