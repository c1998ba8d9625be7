"""Layers for people."""

from __future__ import annotations

from picotrain.learn.architectures.architecture import in_words
from picotrain_golden import Layer


def layer_in_words(layer: Layer) -> str:
    """Kind, kernel, stride and output: "conv2d 3x3 stride 2 to 16x16x8, ReLU"."""
    windowed = layer.kind not in ("linear", "maxpool2", "add")
    kernel = f" {in_words(layer.kernel)}" if windowed else ""
    down, across = layer.stride
    stride = ""
    if windowed and layer.stride != (1, 1):
        stride = f" stride {down}" if down == across else f" stride {down}x{across}"
    relu = ", ReLU" if layer.relu else ""
    return f"{layer.kind}{kernel}{stride} to {in_words(layer.out_shape)}{relu}"
