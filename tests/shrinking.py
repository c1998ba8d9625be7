"""A small graph with all that ties channels, for tests of room `shrink`."""

from __future__ import annotations

import tomllib

from picotrain.learn.architectures import reader
from picotrain.learn.architectures.architecture import Architecture

TIED = """form = "affine"
name = "tied"
input = [28, 28, 1]
[[layer]]
kind = "conv2d"
name = "stem"
channels = 12
kernel = 3
stride = 2
padding = "same"
activation = "relu"
[[layer]]
kind = "depthwise"
kernel = 3
padding = 1
activation = "relu6"
[[layer]]
kind = "conv2d"
name = "point"
channels = 12
kernel = 1
[[layer]]
kind = "add"
inputs = ["point", "stem"]
activation = "relu"
[[layer]]
kind = "conv2d"
channels = 16
kernel = 3
stride = 2
padding = "same"
activation = "relu"
[[layer]]
kind = "maxpool"
kernel = 2
[[layer]]
kind = "linear"
outputs = 20
activation = "relu"
[[layer]]
kind = "linear"
outputs = 10
"""


def tied() -> Architecture:
    return reader.parse(tomllib.loads(TIED), "tied.toml")
