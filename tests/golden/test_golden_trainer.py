"""Training steps against the slow oracle, tensor by tensor, and what the trainer promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import golden_slow as slow
from oracles import Recorder, named, samples, starts
from picotrain_golden import (
    Histograms,
    Method,
    Network,
    Reading,
    Trainer,
    calibrated,
    observe,
    scored_counts,
)
from picotrain_golden.calibration import _mean_bits

Make = Callable[[np.random.Generator], Network]

METHODS = [
    Method("niti-dynamic", mu=4),
    Method("niti-static", mu=3),
    Method("niti-static", mu=7),
    Method("priot", mu=5, theta=0, start="normal", seed=3),
    Method("priot", mu=7, theta=-16),
    Method("priot-s", mu=5, permille=300, seed=4, start="normal"),
    Method("priot-s", mu=7, permille=300, select="random", theta=1, seed=9),
    Method("priot-s", mu=7, permille=1000, start="normal"),
    Method("niti-dynamic", mu=4, easy=80),
    Method("niti-static", mu=6, easy=80),
    Method("priot", mu=7, theta=-16, easy=80),
    Method("priot-s", mu=7, permille=500, easy=80),
]


def learned(trainer: Trainer, index: int) -> NDArray[np.int8]:
    return trainer.scores(index) if trainer.method.scored else trainer.weights(index)


def prepared(make: Make, images: int = 20) -> Network:
    """A random network, calibrated."""
    network = make(np.random.default_rng(5))
    histograms = Histograms.empty(network)
    for image, label in samples(network, images):
        histograms.add(observe(network, image, label))
    return calibrated(network, histograms)


def tightened(network: Network, by: int) -> Network:
    """Scales too fine by some bits, so that much saturates; the exponents stay what they were."""
    result = network.copy()
    for index, layer in enumerate(result.layers):
        if layer.has_weights:
            held = result.of(index)
            held.forward_shift -= by
            held.exponent += by
            held.error_shift = max(held.error_shift - by, 0)
            held.gradient_bits -= by
    return result


def slow_twin(network: Network, method: Method) -> slow.SlowTrainer:
    return slow.SlowTrainer(network, method, starts(network, method))


@pytest.mark.parametrize("method", METHODS, ids=named)
@pytest.mark.parametrize("make", [slow.odd_network, slow.pool_first_network])
@pytest.mark.parametrize("tighter", [0, 2])
def test_steps_against_oracle(make: Make, method: Method, tighter: int) -> None:
    network = tightened(prepared(make), tighter)
    trainer, twin = Trainer(network, method), slow_twin(network, method)
    quiet = Trainer(network, method)
    state_changed = False
    for image, label in samples(network, 12):
        recorder = Recorder()
        events, shapes = recorder.events, recorder.shapes
        before = int(trainer.saturation.sum())
        result = trainer.train_step(image, label, recorder)
        expected = twin.step(image, label)
        assert [event[:2] for event in events] == [event[:2] for event in expected]
        for event, wanted in zip(events, expected, strict=True):
            assert event == wanted
        assert trainer.saturation.tolist() == twin.saturation
        assert result.saturated == int(trainer.saturation.sum()) - before
        logits = next(e[2] for e in events if e[:2] == ("activation", len(network.layers) - 1))
        error = next(e[2] for e in events if e[0] == "error")
        assert result.prediction == logits.index(max(logits))
        easy = result.loss_norm <= method.easy
        assert result.loss_norm == (twin.loss_norm if easy else sum(abs(d) for d in error))
        assert not easy or not any(any(e[2]) for e in events if e[0] in ("error", "update"))
        # Without a trace parts may be skipped; nothing else may differ.
        assert quiet.train_step(image, label) == result
        assert np.array_equal(quiet.saturation, trainer.saturation)
        state_changed |= any(any(e[2]) for e in events if e[0] == "update")
        for index, layer in enumerate(network.layers):
            assert shapes["activation", index] == layer.out_shape
            if not layer.has_weights:
                continue
            assert trainer.effective_weights(index).tolist() == twin.effective(index)
            assert trainer.weights(index).tolist() == twin.weights[index]
            assert np.array_equal(quiet.effective_weights(index), trainer.effective_weights(index))
            if method.scored:
                assert trainer.scored_edges(index).tolist() == sorted(twin.scores[index])
                assert trainer.scores(index).shape == shapes["scores", index]
    assert state_changed


@pytest.mark.parametrize("method", [METHODS[0], METHODS[3]], ids=named)
def test_many_positions_against_oracle(method: Method) -> None:
    network = prepared(slow.wide_network, images=4)
    assert network.layers[0].positions > 1048
    trainer, twin = Trainer(network, method), slow_twin(network, method)
    for image, label in samples(network, 2):
        recorder = Recorder()
        trainer.train_step(image, label, recorder)
        assert recorder.events == twin.step(image, label)


def test_saturation_is_seen_at_all() -> None:
    """The comparison above would prove little if nothing ever saturated."""
    totals = np.zeros(3, np.int64)
    network = tightened(prepared(slow.odd_network), 2)
    for method in METHODS:
        trainer = Trainer(network, method)
        for image, label in samples(network, 12):
            trainer.train_step(image, label)
        totals += trainer.saturation.sum(axis=0)
        trainer.reset_saturation()
        assert not trainer.saturation.any()
    assert (totals > 0).all()


@pytest.mark.parametrize("make", [slow.odd_network, slow.pool_first_network])
def test_observe_against_oracle(make: Make) -> None:
    network = make(np.random.default_rng(5))
    for image, label in samples(network, 10):
        twin = slow_twin(network, Method("niti-dynamic"))
        twin.step(image, label)
        ranges = observe(network, image, label)
        noted = [
            {name: bits for name, bits in vars(seen).items() if bits is not None} for seen in ranges
        ]
        assert noted == twin.bits


@pytest.mark.parametrize(
    ("values", "bits"),
    [([0, 0], None), ([1, 0], 3), ([0, -1, 0, 0], 2), ([3, -4], 6), ([1] + 15 * [0], 0)],
)
def test_the_mean_of_a_score_in_sixteenths(values: list[int], bits: int | None) -> None:
    """Sixteen times the sum is divided, not sixteen times a mean without its fraction."""
    assert _mean_bits(np.array(values, np.int32)) == bits


def test_histograms_and_modes() -> None:
    network = prepared(slow.pool_first_network)
    histograms = Histograms.empty(network)
    assert histograms.mode(1, "forward") == 0
    for bits in (9, 12, 9, 12, 3):
        ranges = observe(network, *samples(network, 1)[0])
        ranges[1].forward, ranges[2].error, ranges[2].gradient = bits, bits - 3, None
        ranges[1].score = 31
        histograms.add(ranges)
    assert histograms.layers[1]["forward"][[3, 9, 12]].tolist() == [1, 2, 2]
    assert histograms.mode(1, "forward") == 12
    assert histograms.mode(2, "error") == 9
    assert histograms.mode(2, "gradient") == 0
    result = calibrated(network, histograms)
    assert result.parameters[0] is None
    assert (result.of(1).forward_shift, result.of(1).score_bits) == (5, 31)
    assert (result.of(2).error_shift, result.of(2).gradient_bits) == (2, 0)
    # Nine in ten images within 8 are enough, eight are not.
    for ones, expected in ((1, 8), (2, 12)):
        counts = Histograms.empty(network)
        counts.layers[2]["error"][[8, 12]] = 10 - ones, ones
        assert counts.most(2, "error") == expected
        assert calibrated(network, counts).of(2).error_shift == expected - 7
    assert histograms.most(0, "error") == 0
    # F makes no error, so its shift has nothing to go by.
    assert result.of(1).error_shift == 0
    assert result.of(1).weights is not network.of(1).weights


def test_readings_differ_in_what_they_say() -> None:
    network = prepared(slow.pool_first_network)
    histograms = Histograms.empty(network)
    assert histograms.images == 0
    histograms.images = 20
    layer = histograms.layers[2]
    layer["forward"][[14, 15]] = 8, 12
    layer["error"][[10, 12]] = 5, 4
    layer["gradient"][[11, 13]] = 4, 4
    layer["score"][[17, 18]] = 5, 3
    layer["score_peak"][[20, 22]] = 3, 5

    def numbers(how: Reading) -> tuple[int, int, int, int]:
        held = calibrated(network, histograms, how).of(2)
        return held.forward_shift, held.error_shift, held.gradient_bits, held.score_bits

    # Eleven or twelve of the twenty made no error at all: those are the most.
    plain = Reading(zeros="all", errors="mode", scores="score_peak")
    assert numbers(plain) == (8, 0, 0, 0)
    assert numbers(replace(plain, zeros="errors")) == (8, 0, 13, 22)
    assert numbers(replace(plain, zeros="none")) == (8, 3, 13, 22)
    assert numbers(replace(plain, zeros="none", errors="most")) == (8, 5, 13, 22)
    assert numbers(Reading()) == (8, 5, 13, 17)
    # Nine in ten of all twenty: four are more than two.
    assert numbers(Reading(zeros="all")) == (8, 5, 0, 0)
    assert histograms.counts(2, "error", zeros=True)[[0, 10, 12]].tolist() == [11, 5, 4]
    assert layer["error"][0] == 0
    # What a backbone file does not keep cannot be asked for.
    histograms.images = None
    with pytest.raises(ValueError, match="how many images"):
        calibrated(network, histograms, plain)
    del layer["score_peak"]
    with pytest.raises(ValueError, match="no score_peak"):
        histograms.mode(2, "score_peak")
    assert numbers(Reading()) == (8, 5, 13, 17)


@pytest.mark.parametrize("method", [Method("infer"), *METHODS], ids=named)
def test_predict_is_forward_image_by_image(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    network = prepared(slow.odd_network)
    trainer, single = Trainer(network, method), Trainer(network, method)
    images = np.stack([image for image, _ in samples(network, 23)])
    expected, seen = [], set()
    for image in images:
        logits, exponent = single.forward(image)
        assert logits.shape == (network.classes,)
        assert method.dynamic or exponent == network.logits_exponent
        expected.append(int(np.argmax(logits)))
        seen.add(tuple(logits.tolist()))
    assert len(seen) > 1
    assert trainer.predict(images).tolist() == expected
    assert np.array_equal(trainer.saturation, single.saturation)
    # In batches of five, with a short last one.
    monkeypatch.setattr("picotrain_golden.trainer.BATCH_FLOATS", 5 * 20 * 18)
    assert trainer.predict(images).tolist() == expected
    assert trainer.predict(images[:0]).tolist() == []


def test_forward_saturation_is_counted_per_layer() -> None:
    network = prepared(slow.odd_network)
    for index in (0, 2, 4, 5):
        network.of(index).forward_shift = 0
        network.of(index).exponent = 1
    trainer = Trainer(network, Method("infer"))
    images = np.stack([image for image, _ in samples(network, 3)])
    trainer.predict(images)
    counts = trainer.saturation
    assert (counts[[0, 2, 5], 0] > 0).all() and not counts[[1, 3], 0].any()
    assert not counts[:, 1:].any()


def test_saturation_is_counted_image_by_image() -> None:
    network = prepared(slow.odd_network)
    for index in (0, 2, 4, 5):
        network.of(index).forward_shift = 0
        network.of(index).exponent = 1
    images = np.stack([image >> 7 * (n % 2) for n, (image, _) in enumerate(samples(network, 4))])
    each = []
    for image in images:
        alone = Trainer(network, Method("infer"))
        alone.forward(image)
        each.append(int(alone.saturation.sum()))
    assert len(set(each)) > 2
    assert Trainer(network, Method("infer")).evaluate(images)[1].tolist() == each


def test_the_first_maximum_is_predicted() -> None:
    network = prepared(slow.pool_first_network)
    network.of(2).weights[:] = 0
    trainer = Trainer(network, Method("infer"))
    assert trainer.predict(np.full((2, 5, 5, 2), 200, np.uint8)).tolist() == [0, 0]


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_training_changes_state_and_repeats_itself(method: Method) -> None:
    network = prepared(slow.odd_network)
    weights = [network.of(index).weights.copy() for index in (0, 2, 4, 5)]
    runs = []
    for _ in range(2):
        trainer = Trainer(network, method)
        start = [trainer.effective_weights(index) for index in (0, 2, 4, 5)]
        results = [trainer.train_step(*sample) for sample in samples(network, 40)]
        end = [trainer.effective_weights(index) for index in (0, 2, 4, 5)]
        assert any(not np.array_equal(a, b) for a, b in zip(start, end, strict=True))
        assert min(int(array.min()) for array in end) >= -127
        runs.append((results, [array.tolist() for array in end], trainer.saturation.tolist()))
        # The network given belongs to the caller.
        for index, before in zip((0, 2, 4, 5), weights, strict=True):
            assert np.array_equal(network.of(index).weights, before)
            assert not method.scored or np.array_equal(trainer.weights(index), before)
    assert runs[0] == runs[1]


def test_training_learns() -> None:
    """Two classes told apart by which half of the image is bright."""
    network = prepared(slow.odd_network)
    rng = np.random.default_rng(9)
    images = rng.integers(0, 60, (120, 9, 8, 3)).astype(np.uint8)
    labels = rng.integers(0, 2, 120)
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 150
    histograms = Histograms.empty(network)
    for image, label in zip(images[:40], labels[:40], strict=True):
        histograms.add(observe(network, image, int(label)))
    network = calibrated(network, histograms)
    trainer = Trainer(network, Method("niti-dynamic", mu=2))
    for _ in range(4):
        for image, label in zip(images[:80], labels[:80], strict=True):
            trainer.train_step(image, int(label))
    assert (trainer.predict(images[80:]) == labels[80:]).mean() > 0.9


def test_pruned_edges_keep_learning() -> None:
    network = prepared(slow.pool_first_network)
    trainer = Trainer(network, Method("priot", theta=1, start="normal", mu=7, seed=2))
    pruned = trainer.scores(2) < 1
    before = trainer.scores(2)
    assert (trainer.effective_weights(2)[pruned] == 0).all() and pruned.any()
    for image, label in samples(network, 10):
        trainer.train_step(image, label)
    assert (trainer.scores(2) != before)[pruned].any()


def test_unscored_edges_are_always_kept() -> None:
    network = prepared(slow.pool_first_network)
    trainer = Trainer(network, Method("priot-s", theta=100, permille=250))
    counts = scored_counts([layer.weight_count for layer in network.layers], 250)
    for index in (1, 2):
        weights = network.of(index).weights.reshape(-1).copy()
        edges = trainer.scored_edges(index)
        assert edges.size == counts[index] == trainer.scores(index).size
        weights[edges] = 0
        assert trainer.effective_weights(index).reshape(-1).tolist() == weights.tolist()


def test_a_zero_error_is_skipped_but_traced() -> None:
    network = prepared(slow.pool_first_network)
    weights = np.zeros((4, 6), np.int8)
    weights[1] = 127
    network.of(2).weights = weights
    network.of(2).exponent = 0
    network.of(1).weights[:] = 127
    image = np.full((5, 5, 2), 255, np.uint8)
    trainer = Trainer(network, Method("niti-static"))
    seen: list[tuple[str, int]] = []
    result = trainer.train_step(image, 1, lambda kind, layer, tensor: seen.append((kind, layer)))
    assert (result.prediction, result.loss_norm) == (1, 0)
    assert seen == [
        ("activation", -1),
        ("activation", 0),
        ("activation", 1),
        ("activation", 2),
        ("error", 2),
        ("error", 1),
        ("update", 2),
        ("weights", 2),
        ("update", 1),
        ("weights", 1),
    ]
    assert np.array_equal(trainer.weights(2), weights)


@pytest.mark.parametrize("method", METHODS[:5], ids=named)
def test_easy_images_teach_nothing(method: Method) -> None:
    """An image teaches where its loss norm is more than `easy`, and nowhere else."""
    network = prepared(slow.odd_network)
    start = Trainer(network, method)
    norms = [
        Trainer(network, method).train_step(*sample).loss_norm for sample in samples(network, 8)
    ]
    easy = sorted(set(norms))[-2]
    taught = 0
    for norm, sample in zip(norms, samples(network, 8), strict=True):
        trainer = Trainer(network, replace(method, easy=easy))
        result = trainer.train_step(*sample)
        assert result.loss_norm == norm
        changed = any(
            not np.array_equal(learned(trainer, index), learned(start, index))
            for index in (0, 2, 4, 5)
        )
        assert changed == (norm > easy)
        assert norm > easy or not trainer.saturation[:, 1:].any()
        taught += changed
    assert 0 < taught < 8


def test_mu_can_be_changed() -> None:
    network = prepared(slow.pool_first_network)
    trainer = Trainer(network, Method("niti-static", mu=-8))
    trainer.mu = 7
    other = Trainer(network, Method("niti-static", mu=7))
    slower = Trainer(network, Method("niti-static", mu=-8))
    for image, label in samples(network, 10):
        for each in (trainer, other, slower):
            each.train_step(image, label)
    assert np.array_equal(trainer.weights(2), other.weights(2))
    assert not np.array_equal(trainer.weights(2), slower.weights(2))
    for wrong in (8, -9):
        with pytest.raises(ValueError, match="mu"):
            trainer.mu = wrong
    assert trainer.mu == 7


def test_refusals() -> None:
    network = prepared(slow.pool_first_network)
    image, label = samples(network, 1)[0]
    with pytest.raises(ValueError, match="does not train"):
        Trainer(network, Method("infer")).train_step(image, label)
    trainer = Trainer(network, Method("niti-static"))
    with pytest.raises(ValueError, match="label"):
        trainer.train_step(image, 4)
    with pytest.raises(ValueError, match="uint8"):
        trainer.train_step(image[1:], label)
    with pytest.raises(ValueError, match="uint8"):
        trainer.predict(image[np.newaxis].astype(np.int16))
    with pytest.raises(ValueError, match="no scores"):
        trainer.scores(1)
    with pytest.raises(ValueError, match="no weights"):
        trainer.weights(0)
    network.of(1).exponent = -24
    with pytest.raises(ValueError, match="exponent"):
        Trainer(network, Method("priot"))
    Trainer(network, Method("niti-dynamic"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sgd"}, "method"),
        ({"mu": 8}, "mu"),
        ({"mu": -9}, "mu"),
        ({"theta": 128}, "theta"),
        ({"theta": -128}, "theta"),
        ({"permille": 0}, "permille"),
        ({"permille": 1001}, "permille"),
        ({"select": "best"}, "select"),
        ({"start": "one"}, "start"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"easy": -1}, "easy"),
        ({"easy": 4096}, "easy"),
    ],
)
def test_method_ranges(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Method(**{"name": "priot", **changes})


def test_handed_out_arrays_are_copies() -> None:
    trainer = Trainer(prepared(slow.pool_first_network), Method("priot"))
    for get in (trainer.weights, trainer.scores, trainer.effective_weights, trainer.scored_edges):
        before = get(1)
        get(1)[:] = 1
        assert np.array_equal(get(1), before)
