"""The NumPy twin as a device: the truth for the mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from picotrain.device.blob import blob_size
from picotrain.device.cycles import BlockCount
from picotrain.device.explain import explain, refuse_blob
from picotrain.device.interface import (
    BatchResult,
    Int8,
    Memory,
    Progress,
    TraceTensor,
    UInt8,
    split_transient,
)
from picotrain.device.mailbox import METHOD_KINDS
from picotrain.errors import CommandError
from picotrain.image.elf import Elf
from picotrain.image.firmware import MODEL_FLASH
from picotrain_golden import Buffer, Method, Network, Plan, Trainer, plan
from picotrain_golden.method import MAX_MU, MIN_MU

_EVALUATION_BATCH = 64


class GoldenDevice:
    """The `Device` in NumPy, with the blob layout of `elf` and the memory limit `arena_bytes`."""

    name = "golden"
    kernels: str | None = None

    def __init__(self, elf: Elf, arena_bytes: int) -> None:
        self._elf = elf
        self._arena_bytes = arena_bytes
        self._network: Network | None = None
        self._trainer: Trainer | None = None
        self._plan: Plan | None = None
        self._frozen = False

    def _ready(self) -> Trainer:
        if self._trainer is None:
            raise CommandError("TRAIN", "PT_ERR_STATE", (0, 0, 0, 0), "set a method first")
        return self._trainer

    def load_model(self, network: Network, frozen: bool = False) -> None:
        size = blob_size(network, self._elf)
        room = MODEL_FLASH if frozen else self._arena_bytes
        if size > room:
            raise refuse_blob(network, size, room, self._elf, frozen)
        self._network = network.copy()
        self._frozen = frozen
        self._trainer = None

    def set_method(self, method: Method) -> None:
        if self._network is None:
            raise CommandError("SET_METHOD", "PT_ERR_STATE", (0, 1, 0, 0), "load a model first")
        if self._trainer is not None:
            self._network, self._trainer = self._trainer.network, None
        if self._frozen and method.trains and not method.scored:
            kind = self._elf.enum("pt_method_kind")[METHOD_KINDS[method.name]]
            detail = (int(kind), 0, 0, 0)
            hint = explain("PT_ERR_FROZEN", detail, self._elf)
            raise CommandError("SET_METHOD", "PT_ERR_FROZEN", detail, hint)
        if not method.dynamic and self._network.logits_exponent <= -7:
            detail = (self._network.logits_exponent & 0xFFFFFFFF, 0, 0, 0)
            hint = explain("PT_ERR_EXPONENT", detail, self._elf)
            raise CommandError("SET_METHOD", "PT_ERR_EXPONENT", detail, hint)
        in_arena = 0 if self._frozen else blob_size(self._network, self._elf)
        planned = plan(self._network, method, in_arena)
        if planned.total > self._arena_bytes:
            self._refuse(planned)
        self._trainer = Trainer(self._network, method)
        self._plan = planned

    def _refuse(self, planned: Plan) -> None:
        assert self._network is not None
        kinds = self._elf.enum("pt_memory_kind")
        candidates = [
            (buffer.size, kinds[f"PT_MEMORY_{buffer.kind.upper()}"], buffer.layer & 0xFF)
            for buffer in planned.buffers
        ]
        for index, layer in enumerate(self._network.layers):
            in_arena = 0 if self._frozen else layer.weight_count
            candidates.append((in_arena, kinds["PT_MEMORY_WEIGHTS"], index))
            candidates.append((planned.score_bytes[index], kinds["PT_MEMORY_SCORES"], index))
        size, kind, layer_index = max(candidates, key=lambda candidate: candidate[0])
        detail = (planned.total, self._arena_bytes, size, int(kind) << 8 | layer_index)
        hint = explain("PT_ERR_MEMORY", detail, self._elf)
        raise CommandError("SET_METHOD", "PT_ERR_MEMORY", detail, hint)

    def set_mu(self, mu: int) -> None:
        trainer = self._ready()
        if not MIN_MU <= mu <= MAX_MU:
            detail = (1, mu & 0xFFFFFFFF, MIN_MU & 0xFFFFFFFF, MAX_MU)
            raise CommandError("SET_MU", "PT_ERR_ARGUMENT", detail)
        trainer.mu = mu

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        trainer = self._ready()
        if not trainer.method.trains:
            raise CommandError("TRAIN", "PT_ERR_ARGUMENT", (0, 0, 1, 4), "infer learns nothing")
        results = []
        for image, label in zip(images, labels, strict=True):
            results.append(trainer.train_step(image, int(label)))
            if progress is not None:
                progress(1)
        return BatchResult(
            np.array([result.prediction for result in results], np.int64),
            np.array([result.loss_norm for result in results], np.int64),
            np.array([result.saturated for result in results], np.int64),
        )

    def evaluate(
        self, images: UInt8, labels: UInt8, progress: Progress | None = None
    ) -> BatchResult:
        trainer = self._ready()
        predictions = []
        for start in range(0, len(images), _EVALUATION_BATCH):
            batch = images[start : start + _EVALUATION_BATCH]
            predictions.append(trainer.predict(batch))
            if progress is not None:
                progress(len(batch))
        nothing = np.zeros(len(images), np.int64)
        joined = np.concatenate(predictions) if predictions else nothing
        return BatchResult(joined, nothing, nothing)

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        trainer = self._ready()
        tensors: list[TraceTensor] = []

        def note(kind: str, layer: int, values: NDArray[np.int8]) -> None:
            tensors.append(TraceTensor(kind, layer, np.array(values).reshape(-1)))

        if trainer.method.trains:
            trainer.train_step(image, label, note)
        else:
            trainer.trace_forward(image, note)
        return iter(tensors)

    def weights(self, layer: int) -> Int8:
        return self._ready().weights(layer).reshape(-1)

    def scores(self, layer: int) -> Int8:
        trainer = self._ready()
        if not trainer.method.scored:
            return np.zeros(0, np.int8)
        return trainer.scores(layer).reshape(-1)

    def scored_edges(self, layer: int) -> NDArray[np.int64]:
        trainer = self._ready()
        if not trainer.method.scored:
            return np.zeros(0, np.int64)
        return trainer.scored_edges(layer)

    def saturation(self) -> NDArray[np.int64]:
        return self._ready().saturation

    def clear_saturation(self) -> None:
        self._ready().reset_saturation()

    def plan(self) -> tuple[Buffer, ...]:
        """The transient buffers as planned."""
        assert self._plan is not None
        return self._plan.buffers

    def memory(self) -> Memory:
        trainer, planned = self._ready(), self._plan
        assert planned is not None
        size = blob_size(trainer.network, self._elf)
        held = sum(layer.weight_count for layer in trainer.network.layers)
        weights = 0 if self._frozen else held
        activations, scratch = split_transient(
            planned.transient, sum(b.size for b in planned.buffers if b.kind == "activation")
        )
        return Memory(
            code=None,
            statics=None,
            stack=None,
            weights=weights,
            model_table=planned.blob - weights,
            scores=planned.scores,
            activations=activations,
            scratch=scratch,
            batch=planned.io_minimum,
            model_in_flash=size if self._frozen else 0,
        )

    def blocks(self) -> list[BlockCount] | None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._trainer = None
