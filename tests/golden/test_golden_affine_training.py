"""Training affine networks (section 15): random graphs against slow loops, tensor by tensor."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import slow_affine_training as slow
from oracles import Recorder, named, samples, starts
from picotrain_golden import (
    Histograms,
    Layer,
    Method,
    Network,
    Parameters,
    Trainer,
    calibrated,
    observe,
    validate,
)
from slow_affine import affine
from trainable_affine import trainable_network

METHODS = [
    Method("niti-dynamic", mu=4),
    Method("niti-static", mu=3),
    Method("niti-static", mu=7),
    Method("priot", mu=5, theta=0, start="normal", seed=3),
    Method("priot", mu=7, theta=-16, easy=80),
    Method("priot-s", mu=5, permille=300, seed=4, start="normal"),
    Method("priot-s", mu=7, permille=500, select="random", theta=1, seed=9),
]


def prepared(seed: int, tighter: int = 0) -> Network:
    """A random network, calibrated; `tighter` by some bits, so that much saturates."""
    network = trainable_network(seed)
    validate(network)
    histograms = Histograms.empty(network)
    for image, label in samples(network, 6):
        histograms.add(observe(network, image, label))
    network = calibrated(network, histograms)
    for held in network.parameters:
        if held is not None:
            assert (held.exponent, held.forward_shift) == (0, 0)
            held.error_shift = max(held.error_shift - tighter, 0)
            held.gradient_bits = max(held.gradient_bits - tighter, 0)
    return network


def slow_twin(network: Network, method: Method) -> slow.SlowTrainer:
    return slow.SlowTrainer(network, method, starts(network, method))


def check(network: Network, method: Method, steps: int) -> tuple[Counter[str], Trainer]:
    """Trainer and oracle side by side. Returns how often something other than 0 was seen."""
    trainer, twin, quiet = (
        Trainer(network, method),
        slow_twin(network, method),
        Trainer(network, method),
    )
    seen: Counter[str] = Counter()
    for image, label in samples(network, steps, seed=11):
        recorder = Recorder()
        before = int(trainer.saturation.sum())
        result = trainer.train_step(image, label, recorder)
        expected = twin.step(image, label)
        assert [event[:2] for event in recorder.events] == [event[:2] for event in expected]
        for event, wanted in zip(recorder.events, expected, strict=True):
            assert event == wanted
            seen[event[0]] += any(event[2])
        assert trainer.saturation.tolist() == twin.saturation
        assert result.saturated == int(trainer.saturation.sum()) - before
        assert result.loss_norm == twin.loss_norm
        logits = expected[len(network.layers)][2]
        assert result.prediction == logits.index(max(logits))
        assert quiet.train_step(image, label) == result
        assert np.array_equal(quiet.saturation, trainer.saturation)
        for index, layer in enumerate(network.layers):
            if layer.has_weights:
                assert trainer.effective_weights(index).tolist() == twin.effective(index)
                assert trainer.weights(index).tolist() == twin.weights[index]
                assert np.array_equal(
                    quiet.effective_weights(index), trainer.effective_weights(index)
                )
    return seen, trainer


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_those_of_the_loops(seed: int) -> None:
    """Two methods of each, so that all are seen with many graphs."""
    for offset in (0, 3):
        method = METHODS[(seed + offset) % len(METHODS)]
        check(prepared(seed, tighter=seed % 3), method, 4)


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_every_method_on_some_graphs(method: Method) -> None:
    saturated = np.zeros(3, np.int64)
    seen: Counter[str] = Counter()
    for seed in (100, 101, 102, 103):
        noted, trainer = check(prepared(seed, tighter=2), method, 5)
        seen += noted
        saturated += trainer.saturation.sum(axis=0)
    # The comparison would prove little if nothing ever moved.
    assert seen["error"] > 20
    assert seen["update"] > 5
    assert saturated[0] == 0
    if method.name != "niti-dynamic":
        assert saturated[1] > 0


def test_random_graphs_have_everything() -> None:
    """All kinds, and the forks that are rare: two reads of one tensor, and three readers."""
    found: Counter[str] = Counter()
    for seed in range(40):
        network = trainable_network(seed)
        readers: Counter[int] = Counter()
        for index, layer in enumerate(network.layers):
            numbers = network.affine[index]
            reads = network.reads(index)
            readers.update(reads)
            found[layer.kind] += 1
            found["twice"] += len(set(reads)) < len(reads)
            found["zero row"] += layer.has_weights and not numbers.multiplier.all()
            found["mean"] += layer.kind == "avgpool" and numbers.multiplier.size > 0
            found["relu"] += numbers.low == numbers.zero_out
            found["bounded"] += numbers.high < 127
            found["depthwise stride 2"] += layer.kind == "depthwise" and 2 in layer.stride
            found["pools overlap"] += "pool" in layer.kind and slow.overlap(layer) > 0
            found["unlearning"] += not network.learning[index]
        found["three readers"] += max(readers.values()) >= 3
        found["ends without weights"] += not network.layers[-1].has_weights
        found["powers"] += network.logits_scale[1] >= -7
        found["second order"] += network.logits_scale[1] < -7
    assert len(found) == 18
    assert min(found.values()) >= 2, found


@pytest.mark.parametrize("seed", range(12))
def test_observe_is_that_of_the_loops(seed: int) -> None:
    network = trainable_network(seed)
    for image, label in samples(network, 3):
        twin = slow_twin(network, Method("niti-dynamic"))
        twin.step(image, label)
        noted = [
            {name: bits for name, bits in vars(seen).items() if bits is not None}
            for seen in observe(network, image, label)
        ]
        assert noted == twin.bits


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_what_trains_infers_with_what_it_learnt(method: Method) -> None:
    network = prepared(7)
    trainer, twin = Trainer(network, method), slow_twin(network, method)
    for image, label in samples(network, 3):
        trainer.train_step(image, label)
        twin.step(image, label)
    for image, _ in samples(network, 3, seed=5):
        logits, exponent = trainer.forward(image)
        assert logits.tolist() == twin.forward(image)[-1].reshape(-1).tolist()
        assert exponent == 0
        assert trainer.predict(image[np.newaxis])[0] == logits.argmax()


def test_many_positions() -> None:
    """More than 518 output positions make G smaller for the scores, and not for the weights."""
    conv = Layer("conv2d", (24, 23, 1), (24, 23, 2), (2, 1), (1, 1), (1, 0), False)
    pool = Layer("avgpool", (24, 23, 2), (1, 1, 2), (24, 23), (1, 1), (0, 0), False)
    random = np.random.default_rng(2)
    drawn = random.integers(-127, 128, (2, 2), dtype=np.int8)
    network = Network(
        "wide",
        (24, 23, 1),
        (conv, pool),
        (Parameters(drawn, 0, 0, 5, 18, 24), None),
        (
            affine(conv, shift=np.array([-7, -8], np.int32)),
            affine(pool, multiplier=np.array([1 << 29], np.int32), shift=np.array([-3], np.int32)),
        ),
        (1 << 15, -4),
    )
    validate(network)
    assert 518 < conv.positions <= 1048
    for method in (METHODS[0], METHODS[3], replace(METHODS[5], mu=7)):
        seen, _ = check(network, method, 2)
        assert seen["update"] == 2
