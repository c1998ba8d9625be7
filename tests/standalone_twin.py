"""What the standalone application (firmware/examples/standalone) is given, and what it must say.

`window` is the second MiB of flash as `picotrain flash-model` fills it, from window.h alone; `Twin`
answers the lines of an image as golden does.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets import load
from picotrain.device.blob import METHOD_KINDS, encode
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain_golden import Method, Network, Trainer
from picotrain_golden.passes import forward_pass, raw_output_error

Image = NDArray[np.uint8]

FORM = "error: a line is ? PIXELS, LABEL PIXELS, save, factory, threshold N, every N or info"
BLANK = "error: there is no model in flash: write one with picotrain flash-model"


def digits_network() -> Network:
    return models.load_backbone(models.backbone_path("tinycnn", "digits"))[0]


def turned_digits(count: int) -> list[tuple[Image, int]]:
    """Digits that the network does not know yet, and their labels."""
    split = load("digits").train
    turned = np.ascontiguousarray(np.rot90(split.images[:count], axes=(1, 2)))
    return [(image, int(label)) for image, label in zip(turned, split.labels, strict=False)]


def window(
    elf: Elf, network: Network, method: Method, changes: Mapping[str, Any] | None = None
) -> bytes:
    """Header and model; `changes` are fields of the header or of its method, set before its CRC."""
    blob = encode(network, elf)
    numbers, layout = elf.enum("pt_window_format"), elf.dtype("pt_window_header")
    header = np.zeros(1, layout)
    fields = {
        "magic": numbers.PT_WINDOW_MAGIC,
        "version": numbers.PT_WINDOW_VERSION,
        "model_size": len(blob),
        "name": np.frombuffer(b"a \xe4 name".ljust(numbers.PT_WINDOW_NAME, b"\0"), np.uint8),
        "kind": elf.enum("pt_method_kind")[METHOD_KINDS[method.name]],
        "mu": method.mu,
        "threshold": method.theta,
        "permille": method.permille,
        "selection": elf.enum("pt_selection").PT_SELECT_WEIGHT,
        "seed": method.seed,
        "easy": method.easy,
    }
    for field, value in (fields | dict(changes or {})).items():
        (header if field in (layout.names or ()) else header["method"])[field] = value
    header["crc32"] = zlib.crc32(header.tobytes()[:-4])
    return header.tobytes().ljust(numbers.PT_WINDOW_MODEL_AT, b"\xff") + blob


def pixels(image: Image) -> bytes:
    return image.tobytes().hex().encode()


class Twin:
    """Golden behind the same lines."""

    def __init__(self, network: Network, method: Method) -> None:
        self.network = network
        self.trainer = Trainer(network, method)

    def _given(self, image: Image) -> Image:
        given = image.reshape(self.network.input_shape)
        return given ^ np.uint8(0x80) if self.network.affine else given

    def ask(self, image: Image) -> str:
        weights = [
            None if held is None else self.trainer.effective_weights(layer)
            for layer, held in enumerate(self.network.parameters)
        ]
        dynamic = self.trainer.method.name == "niti-dynamic"
        done = forward_pass(self.network, weights, self._given(image)[None], dynamic=dynamic)
        best = int(done.logits[0].argmax())
        share = 128 + int(raw_output_error(self.network, done, best).reshape(-1)[best])
        return f"{best} {share}"

    def learn(self, image: Image, label: int) -> str:
        norm = self.trainer.train_step(self._given(image), label).loss_norm
        return f"{'easy' if norm <= self.trainer.method.easy else 'learned'} {norm}"

    def threshold(self, easy: int) -> None:
        self.trainer.method = replace(self.trainer.method, easy=easy)
