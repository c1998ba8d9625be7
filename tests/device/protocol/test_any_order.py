"""Commands in any order, drawn by Hypothesis, with golden as the model: the same answers, the same
errors and the same state after each.

PICOTRAIN_ORDERS says how many runs of up to 60 commands are drawn, others each time; without it
there are few and short ones, always the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

import support
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult, Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, UserError
from picotrain.image.elf import Elf
from picotrain.learn.verify import Comparison
from picotrain_golden import Method, Network, Selected, Selection, Trainer
from support import INFER, METHODS, images
from trainable_affine import trainable_network

ORDERS = int(os.environ.get("PICOTRAIN_ORDERS", "0"))
ARENA = 48 * 1024
EVERY = {**METHODS, "infer": INFER, "fisher": Method("fisher"), "prototype": Method("prototype")}


def _trainable(seed: int) -> Network:
    numbers = {"error_shift": 4, "gradient_bits": 12, "score_bits": 17}
    return support.with_numbers(trainable_network(seed), **numbers)


NETWORKS: dict[str, Callable[[], Network]] = {
    "chain": lambda: support.random_network(3),
    "graph": lambda: _trainable(3),
    "other graph": lambda: _trainable(6),
}

SEEDS = st.integers(0, 7)
FEW = st.integers(1, 5)
LAYERS = st.integers(0, 8)


@dataclass(frozen=True)
class Kept:
    """A checkpoint: the device's bytes, golden as it was then, and what it is a state of."""

    data: bytes
    trainer: Trainer
    of: tuple[Any, ...]


class AnyOrder(RuleBasedStateMachine):
    """One run. `device` and `golden` are of the class, because Hypothesis makes the instances."""

    device: MailboxDevice
    golden: GoldenDevice

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Kept] = []
        self.network = NETWORKS["chain"]()

    def both(self, ask: Callable[[Any], Any]) -> Any:
        """The answer of both, or the refusal."""
        expected, actual = (self._answer(ask, one) for one in (self.golden, self.device))
        assert _plain(expected) == _plain(actual), (expected, actual)
        return expected

    @staticmethod
    def _answer(ask: Callable[[Any], Any], one: Device) -> Any:
        try:
            return ask(one)
        except CommandError as refusal:
            return refusal.name, refusal.detail
        except UserError as refusal:
            return str(refusal)

    @property
    def trainer(self) -> Trainer | None:
        return self.golden._trainer

    def ready(self) -> bool:
        return self.trainer is not None

    # Models and methods

    @initialize(name=st.sampled_from(sorted(NETWORKS)), method=st.sampled_from(sorted(EVERY)))
    def begin(self, name: str, method: str) -> None:
        self.load(name, frozen=False)
        self.set_method(method, 3)

    @rule(name=st.sampled_from(sorted(NETWORKS)), frozen=st.booleans())
    def load(self, name: str, frozen: bool) -> None:
        self.network = NETWORKS[name]()
        self.both(lambda one: one.load_model(self.network, frozen))

    @rule(name=st.sampled_from(sorted(EVERY)), mu=st.integers(0, 5))
    def set_method(self, name: str, mu: int) -> None:
        self.both(lambda one: one.set_method(replace(EVERY[name], mu=mu)))
        if self.ready():
            expected, actual = self.golden.memory(), self.device.memory()
            assert expected == replace(actual, code=None, statics=None, stack=None)

    @rule(mu=st.integers(-9, 8))
    def set_mu(self, mu: int) -> None:
        self.both(lambda one: one.set_mu(mu))

    # Images

    @rule(count=FEW, seed=SEEDS)
    def train(self, count: int, seed: int) -> None:
        batch = images(self.network, count, seed)
        self.both(lambda one: one.train(*batch))

    @rule(count=FEW, seed=SEEDS)
    def evaluate(self, count: int, seed: int) -> None:
        batch = images(self.network, count, seed)
        self.both(lambda one: one.evaluate(*batch).predictions)

    @rule(seed=SEEDS)
    def trace(self, seed: int) -> None:
        pixels, labels = images(self.network, 1, seed)
        self.both(lambda one: list(one.trace(pixels[0], int(labels[0]))))

    # Tensors and counts

    @rule(layer=LAYERS, seed=SEEDS, what=st.sampled_from(["weights", "scores"]))
    @precondition(ready)
    def put(self, layer: int, seed: int, what: str) -> None:
        """Where there are none, both say that there is no such tensor."""
        assert self.trainer is not None
        size = 7
        if layer < len(self.network.layers) and self.network.layers[layer].has_weights:
            scored = what == "scores" and self.trainer.method.scored
            size = (self.trainer.scores if scored else self.trainer.weights)(layer).size
        values = np.random.default_rng(seed).integers(-127, 128, size).astype(np.int8)
        self.both(lambda one: getattr(one, f"put_{what}")(layer, values))

    @rule()
    def clear_saturation(self) -> None:
        self.both(lambda one: one.clear_saturation())

    # Sparse updates

    @rule(seed=SEEDS, share=st.sampled_from([0.0, 0.2, 0.6]))
    @precondition(ready)
    def set_selection(self, seed: int, share: float) -> None:
        """A share of 0: all rows again."""
        random = np.random.default_rng(seed)
        rows = [
            random.random(layer.rows) < share if layer.has_weights else None
            for layer in self.network.layers
        ]
        selection = Selection(tuple(rows)) if share else None
        self.both(lambda one: one.set_selection(selection))

    @rule(
        solver=st.sampled_from(["greedy", "true-cost"]),
        permille=st.sampled_from([100, 500, 1000]),
        budget=st.sampled_from([10, 2_000, 100_000]),
        method=st.sampled_from(["niti-static", "priot"]),
    )
    def select(self, solver: Any, permille: int, budget: int, method: Any) -> None:
        self.both(lambda one: one.select(solver, permille, budget, 20 * budget, method))

    @rule()
    def fisher(self) -> None:
        self.both(lambda one: one.fisher())

    @rule()
    def make_head(self) -> None:
        self.both(lambda one: one.make_head())

    # Checkpoints, which golden has not: it is put back as it was

    def state_of(self) -> tuple[Any, ...]:
        """What a state belongs to: model, method, selection, and weights that are no state."""
        assert self.trainer is not None
        method, selection = self.trainer.method, self.golden.selection()
        network = self.trainer.network
        fixed = []
        for index, layer in enumerate(network.layers):
            learns = selection is None or not method.selects or selection.count(index) > 0
            state = method.name == "infer" or (method.changes_weights and learns)
            if layer.has_weights and not state:
                fixed.append(self.trainer.weights(index).tobytes())
        rows = selection.pack() if selection is not None and method.selects else b""
        head = _plain(network.affine[-1]) if network.affine else ()
        return network.name, head, replace(method, mu=0), rows, tuple(fixed)

    @rule()
    @precondition(ready)
    def keep(self) -> None:
        assert self.trainer is not None
        try:
            data = self.device.checkpoint()
        except CommandError as refusal:
            assert refusal.name == "PT_ERR_RANGE"
            return
        self.kept.append(Kept(data, deepcopy(self.trainer), self.state_of()))

    @rule(number=st.integers(0, 5))
    @precondition(lambda self: self.ready() and self.kept)
    def restore(self, number: int) -> None:
        assert self.trainer is not None
        kept = self.kept[number % len(self.kept)]
        method, mu = self.trainer.method, self.trainer.mu
        fits = kept.of == self.state_of() and len(kept.data) <= self.device.window("IO")[1]
        unwritable = method.name == "infer" and (self.network.affine or self.golden._frozen)
        if len(kept.data) > self.device.window("IO")[1]:
            return  # the harness has no place to write it to
        try:
            self.device.restore(kept.data)
        except CommandError as refusal:
            names = {"PT_ERR_RANGE", "PT_ERR_CHECKPOINT", "PT_ERR_AFFINE", "PT_ERR_FROZEN"}
            assert refusal.name in names
            assert not fits or unwritable
            return
        assert fits and not unwritable
        if method.name not in ("fisher", "prototype"):  # whose sums are no state
            self.golden._trainer = deepcopy(kept.trainer)
            self.golden._trainer.mu = mu
        self.clear_saturation()

    @invariant()
    def the_same(self) -> None:
        if not self.ready():
            return
        Comparison(self.golden, self.device, self.network).state(0)
        assert (self.golden.saturation() == self.device.saturation()).all()
        assert _plain(self.golden.selection()) == _plain(self.device.selection())


def _plain(answer: Any) -> Any:
    """As something that == compares."""
    if isinstance(answer, np.ndarray):
        return answer.tolist()
    if isinstance(answer, BatchResult):
        return [_plain(part) for part in (answer.predictions, answer.loss_norms, answer.saturated)]
    if isinstance(answer, Selected):
        return _plain(answer.selection), answer.bytes, answer.macs
    if isinstance(answer, Selection):
        return answer.pack()
    if isinstance(answer, list | tuple):
        return [_plain(part) for part in answer]
    return answer if not hasattr(answer, "__dict__") else _plain(list(vars(answer).values()))


def test_any_order(host_device: Callable[..., MailboxDevice], host_elf: Elf) -> None:
    """One process for all runs, so that what one leaves behind shows in the next."""
    AnyOrder.device = host_device(ARENA)
    AnyOrder.golden = GoldenDevice(host_elf, ARENA)
    run_machine(
        AnyOrder,
        settings=settings(
            max_examples=ORDERS or 12,
            stateful_step_count=60 if ORDERS else 25,
            deadline=None,
            derandomize=not ORDERS,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
