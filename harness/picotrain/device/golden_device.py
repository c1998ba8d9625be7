"""The NumPy twin as a device: the truth for the mathematics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from picotrain.device.blob import METHOD_KINDS, blob_size
from picotrain.device.cycles import BlockCount
from picotrain.device.explain import explain, refuse_blob
from picotrain.device.given import (
    check_form,
    check_gathered,
    check_method,
    check_network,
    check_search,
    check_selection,
    checked_batch,
    checked_image,
    checked_learned,
)
from picotrain.device.interface import (
    BatchResult,
    Int8,
    Memory,
    Progress,
    TraceTensor,
    UInt8,
    split_transient,
)
from picotrain.device.room import shortage
from picotrain.errors import CommandError, whole_number
from picotrain.image.elf import Elf
from picotrain.image.firmware import MODEL_FLASH
from picotrain_golden import (
    LEAST_LOGITS_EXPONENT,
    BudgetError,
    Buffer,
    ClassError,
    Information,
    Method,
    MethodName,
    Network,
    Plan,
    Probe,
    Selected,
    Selection,
    Solver,
    Trainer,
    plan,
    select,
    with_head,
)
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
        self._selection: Selection | None = None
        self._head = False

    @property
    def elf(self) -> Elf:
        """The firmware whose layout it takes."""
        return self._elf

    @property
    def arena_bytes(self) -> int:
        return self._arena_bytes

    def _ready(self, command: str) -> Trainer:
        if self._trainer is None:
            states = self._elf.enum("pt_trainer_state")
            now = states["PT_STATE_EMPTY" if self._network is None else "PT_STATE_MODEL"]
            raise self._refusal(command, "PT_ERR_STATE", int(now), int(states["PT_STATE_READY"]))
        return self._trainer

    def _refusal(self, command: str, name: str, *detail: int) -> CommandError:
        """As the firmware refuses."""
        words = tuple(word & 0xFFFFFFFF for word in (*detail, 0, 0, 0, 0)[:4])
        return CommandError(command, name, words, explain(command, name, words, self._elf))

    def load_model(self, network: Network, frozen: bool = False) -> None:
        check_network(network)
        size = blob_size(network, self._elf)
        room = MODEL_FLASH if frozen else self._arena_bytes
        if size > room:
            raise refuse_blob(network, size, room, self._elf, frozen)
        self._network = network.copy()
        self._frozen = frozen
        self._trainer = None
        self._selection, self._head = None, False

    def _model(self, command: str) -> Network:
        if self._network is None:
            states = self._elf.enum("pt_trainer_state")
            detail = (int(states["PT_STATE_EMPTY"]), int(states["PT_STATE_MODEL"]))
            raise self._refusal(command, "PT_ERR_STATE", *detail)
        return self._network

    def _keep(self) -> Network:
        """End the method, and keep what its training leaves in the model."""
        network = self._model("SET_METHOD")
        if self._trainer is not None:
            trained, self._trainer = self._trainer.network, None
            if not self._frozen:
                network = trained
            elif self._head:
                # Of a model in flash only the head is kept; the other copies begin anew.
                parameters = (*network.parameters[:-1], trained.parameters[-1])
                network = replace(network, parameters=parameters)
            self._network = network
        return network

    def set_method(self, method: Method) -> None:
        check_method(method)
        check_form(self._model("SET_METHOD"), method, self._selection)
        network = self._keep()
        if self._frozen and method.changes_weights and self._selection is None:
            kind = self._elf.enum("pt_method_kind")[METHOD_KINDS[method.name]]
            raise self._refusal("SET_METHOD", "PT_ERR_FROZEN", int(kind))
        exponent = 0 if network.affine else network.logits_exponent
        if not method.dynamic and exponent < LEAST_LOGITS_EXPONENT:
            raise self._refusal("SET_METHOD", "PT_ERR_EXPONENT", exponent, LEAST_LOGITS_EXPONENT)
        in_arena = 0 if self._frozen else blob_size(network, self._elf)
        short = shortage(
            network,
            method,
            self._frozen,
            self._arena_bytes,
            self._elf,
            self.name,
            selection=self._selection,
            head=self._head,
        )
        if short is not None:
            raise short.error()
        self._trainer = Trainer(network, method, self._selection)
        self._plan = plan(network, method, in_arena, self._selection, self._head)

    def set_mu(self, mu: int) -> None:
        mu = whole_number("mu", mu)
        trainer = self._ready("SET_MU")
        if not MIN_MU <= mu <= MAX_MU:
            raise self._refusal("SET_MU", "PT_ERR_ARGUMENT", 1, mu, MIN_MU, MAX_MU)
        trainer.mu = mu

    def train(self, images: UInt8, labels: UInt8, progress: Progress | None = None) -> BatchResult:
        images, labels = checked_batch(self._network, images, labels)
        trainer = self._ready("TRAIN")
        if not trainer.method.trains:
            raise self._refusal("TRAIN", "PT_ERR_ARGUMENT", 0, 0, 1, len(METHOD_KINDS) - 1)
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
        images, labels = checked_batch(self._network, images, labels)
        trainer = self._ready("EVALUATE")
        predictions, saturated = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start in range(0, len(images), _EVALUATION_BATCH):
            batch = images[start : start + _EVALUATION_BATCH]
            said, beyond = trainer.evaluate(batch)
            predictions.append(said)
            saturated.append(beyond)
            if progress is not None:
                progress(len(batch))
        no_loss = np.zeros(len(images), np.int64)
        return BatchResult(np.concatenate(predictions), no_loss, np.concatenate(saturated))

    def trace(self, image: UInt8, label: int) -> Iterator[TraceTensor]:
        image, label = checked_image(self._network, image, label)
        trainer = self._ready("TRACE_BEGIN")
        tensors: list[TraceTensor] = []

        def note(kind: str, layer: int, values: NDArray[np.int8]) -> None:
            tensors.append(TraceTensor(kind, layer, np.array(values).reshape(-1)))

        if trainer.method.trains:
            trainer.train_step(image, label, note)
        else:
            trainer.trace_forward(image, note)
        return iter(tensors)

    def _tensor_of(self, layer: int, kind: str) -> tuple[Trainer, int]:
        """The layer's number, where it has weights; refused as the firmware does where not."""
        layer = whole_number("the layer", layer)
        trainer = self._ready("READ_TENSOR")
        layers = trainer.network.layers
        if not 0 <= layer < len(layers) or not layers[layer].has_weights:
            number = int(self._elf.enum("pt_tensor_kind")[f"PT_TENSOR_{kind}"])
            raise self._refusal("READ_TENSOR", "PT_ERR_TENSOR", number, layer)
        return trainer, layer

    def weights(self, layer: int) -> Int8:
        trainer, layer = self._tensor_of(layer, "WEIGHTS")
        return trainer.weights(layer).reshape(-1)

    def _scored(self) -> bool:
        return self._trainer is not None and self._trainer.method.scored

    def scores(self, layer: int) -> Int8:
        if not self._scored():
            return np.zeros(0, np.int8)
        trainer, layer = self._tensor_of(layer, "SCORES")
        return trainer.scores(layer).reshape(-1)

    def put_weights(self, layer: int, values: Int8) -> None:
        trainer, layer = self._tensor_of(layer, "WEIGHTS")
        had = trainer.weights(layer)
        given = checked_learned(trainer.method, trainer.selection, "weights", values, had.size)
        trainer.set_weights(layer, given.reshape(had.shape))

    def put_scores(self, layer: int, values: Int8) -> None:
        trainer, layer = self._tensor_of(layer, "WEIGHTS")
        had = trainer.scores(layer) if trainer.method.scored else np.zeros(0, np.int8)
        given = checked_learned(trainer.method, trainer.selection, "scores", values, had.size)
        trainer.set_scores(layer, given.reshape(had.shape))

    @property
    def has_made_head(self) -> bool:
        return self._head

    def scored_edges(self, layer: int) -> NDArray[np.int64]:
        if not self._scored():
            return np.zeros(0, np.int64)
        trainer = self._ready("READ_TENSOR")
        every = trainer.method.name == "priot" and trainer.selection is None
        trainer, layer = self._tensor_of(layer, "SCORES" if every else "BITMAP")
        return trainer.scored_edges(layer)

    def set_selection(self, selection: Selection | None) -> None:
        check_selection(self._model("SET_SELECTION"), selection)
        self._selection = selection
        method = None if self._trainer is None else self._trainer.method
        if method is not None and (method.changes_weights or method.scored):
            self._keep()

    def selection(self) -> Selection | None:
        return self._selection

    def _gathered(self, needed: Probe, what: str) -> Trainer:
        check_gathered(None if self._trainer is None else self._trainer.method, needed, what)
        assert self._trainer is not None
        return self._trainer

    def fisher(self) -> Information:
        return self._gathered("fisher", "its information is read").fisher()

    def make_head(self) -> None:
        trainer = self._gathered("prototype", "a head is made")
        assert trainer.prototypes is not None
        try:
            self._network = with_head(trainer.network, trainer.prototypes)
        except ClassError as error:
            detail = (error.label, trainer.network.classes)
            raise self._refusal("MAKE_HEAD", "PT_ERR_CLASS_EMPTY", *detail) from None
        self._trainer, self._head = None, True

    def select(
        self,
        solver: Solver,
        permille: int,
        budget_bytes: int,
        budget_macs: int,
        method: MethodName,
    ) -> Selected:
        trainer = self._gathered("fisher", "rows are selected")
        check_search(solver, permille, budget_bytes, budget_macs, method)
        try:
            found = select(
                trainer.network,
                Method(method),
                trainer.fisher(),
                solver,
                permille,
                budget_bytes,
                budget_macs,
                lean=self._frozen,
                head=self._head,
            )
        except BudgetError as error:
            least = (error.least_bytes, error.least_macs)
            given = (budget_bytes, budget_macs)
            raise self._refusal("SELECT", "PT_ERR_BUDGET", *least, *given) from None
        self._selection = found.selection
        return found

    def saturation(self) -> NDArray[np.int64]:
        return self._ready("CLEAR_SATURATION").saturation

    def clear_saturation(self) -> None:
        self._ready("CLEAR_SATURATION").reset_saturation()

    def plan(self) -> tuple[Buffer, ...]:
        """The transient buffers as planned."""
        assert self._plan is not None
        return self._plan.buffers

    def memory(self) -> Memory:
        trainer, planned = self._ready("INFO"), self._plan
        assert planned is not None
        size = blob_size(trainer.network, self._elf)
        held = sum(layer.weight_count for layer in trainer.network.layers)
        weights = planned.blob if self._frozen else held
        activations, scratch = split_transient(planned.transient, planned.activations)
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

    def check_memory(self) -> None:
        """Its memory is this process's, which nobody sums."""

    def blocks(self) -> list[BlockCount] | None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._trainer = None
