"""Sparse updates (section 16): selections, what they leave of plan and training, and Fisher
information, each by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from oracles import Recorder, samples
from picotrain_golden import (
    Layer,
    Method,
    MethodName,
    Network,
    Parameters,
    Selection,
    Trainer,
    calibrated,
    learning,
    observe,
    operations,
    plan,
    validate,
)
from picotrain_golden.calibration import Histograms
from picotrain_golden.loss import affine_loss_error
from picotrain_golden.plan import copies
from picotrain_golden.sparse.fisher import LARGEST, accumulate, added, error_scales, halvings
from slow_affine import affine
from support import images, shipped
from trainable_affine import trainable_network

UPDATING: tuple[MethodName, ...] = ("niti-dynamic", "niti-static", "priot")


def linears(*widths: int) -> Network:
    """Linear layers in a row, of random weights that keep outputs alive."""
    random = np.random.default_rng(widths)
    layers, parameters, numbers = [], [], []
    for count, outputs in pairwise(widths):
        layer = Layer("linear", (1, 1, count), (1, 1, outputs), (1, 1), (1, 1), (0, 0), False)
        weights = random.integers(-127, 128, (outputs, count), dtype=np.int8)
        layers.append(layer)
        parameters.append(Parameters(weights, 0, error_shift=6, gradient_bits=13, score_bits=18))
        numbers.append(affine(layer, shift=np.full(outputs, -7, np.int32)))
    network = Network(
        "linears",
        (1, 1, widths[0]),
        tuple(layers),
        tuple(parameters),
        tuple(numbers),
        (1 << 15, -4),
    )
    validate(network)
    return network


def of_rows(network: Network, *chosen: tuple[int, int]) -> Selection:
    """These rows of these layers."""
    rows = Selection.whole(network, ()).rows
    for layer, row in chosen:
        array = rows[layer]
        assert array is not None
        array[row] = True
    return Selection(rows)


def prepared(seed: int) -> Network:
    network = trainable_network(seed)
    histograms = Histograms.empty(network)
    for image, label in samples(network, 6):
        histograms.add(observe(network, image, label))
    return calibrated(network, histograms)


# Selections


def test_bits() -> None:
    network = linears(3, 10, 40, 2)
    chosen = of_rows(network, (0, 0), (0, 9), (1, 39), (2, 1))
    packed = chosen.pack()
    assert packed == bytes([1, 2, 0, 0, *(0, 0, 0, 0, 128, 0, 0, 0), 2, 0, 0, 0])
    assert Selection.unpack(network, packed) == chosen
    assert Selection.unpack(network, packed) != of_rows(network, (0, 0))
    assert [chosen.count(index) for index in range(3)] == [2, 1, 1]
    with pytest.raises(ValueError, match="takes 16 bytes, and 15 are given"):
        Selection.unpack(network, packed[1:])


def test_layers_without_weights_have_no_bits() -> None:
    network = next(
        one for one in map(trainable_network, range(9)) if not one.layers[-1].has_weights
    )
    chosen = Selection.whole(network, tuple(range(len(network.layers))))
    chosen.check(network)
    assert [rows is None for rows in chosen.rows] == [
        not layer.has_weights for layer in network.layers
    ]
    assert Selection.unpack(network, chosen.pack()) == chosen


def test_what_is_no_selection() -> None:
    network = linears(3, 4, 2)
    good = of_rows(network, (1, 1))
    good.check(network)
    first, second = good.rows
    assert first is not None and second is not None
    for rows, sentence in (
        ((first,), "a selection of 1 layers is none for linears, which has 2"),
        ((first, None), "layer 1, linear, has selected rows where it must not, or none"),
        ((first, second[:1]), r"the selection of layer 1 is bool of shape \(2,\), not bool of"),
        ((first, second.astype(np.int8)), "not int8 of"),
        ((first, second & False), "a selection has one row at least, and this one has none"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Selection(rows).check(network)  # type: ignore[arg-type]
    wide = linears(1, 4096, 8, 4096, 8)
    with pytest.raises(ValueError, match="takes 1032 bytes, 1024 are the most"):
        of_rows(wide, (0, 0)).check(wide)


def test_what_the_other_form_has_not() -> None:
    network = shipped("tinycnn")
    for name in ("fisher", "prototype"):
        with pytest.raises(ValueError, match=f"method {name} is for affine networks, and tinycnn"):
            Trainer(network, Method(name))


@pytest.mark.parametrize("name", ["niti-dynamic", "niti-static", "priot"])
@pytest.mark.parametrize("layers", [(5,), (2,), (0, 4)])
def test_layers_of_a_chain(name: str, layers: tuple[int, ...]) -> None:
    """A selected layer takes the step that it takes among all layers; the others take none."""
    network = shipped("tinycnn")
    (image, *_), (label, *_) = images(network, 1)
    whole = Trainer(network, Method(name))  # type: ignore[arg-type]
    some = Trainer(network, Method(name), Selection.whole(network, layers))  # type: ignore[arg-type]
    assert some.train_step(image, int(label)).loss_norm == whole.train_step(image, label).loss_norm
    held = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    assert held == [0, 2, 4, 5]
    for index in held:
        before = network.of(index).weights
        if index in layers:
            assert np.array_equal(some.weights(index), whole.weights(index))
            assert not np.array_equal(some.effective_weights(index), before) or name == "priot"
            if name == "priot":
                assert np.array_equal(some.scores(index), whole.scores(index).reshape(-1))
                assert some.scores(index).any()
        else:
            assert np.array_equal(some.effective_weights(index), before)


def test_priot_s_takes_none() -> None:
    network = linears(3, 2)
    with pytest.raises(ValueError, match="priot-s has edges of its own choice, and takes no"):
        Trainer(network, Method("priot-s"), of_rows(network, (0, 0)))


# The plan


def test_operations_and_plan_by_hand() -> None:
    network = linears(8, 12, 6, 4)
    chosen = of_rows(network, (1, 2), (1, 5))
    assert learning(network, chosen) == (False, True, True)
    assert learning(network, None) == (True, True, True)
    for name in UPDATING:
        method = Method(name)
        assert operations(network, method, chosen)[3:] == [
            ("loss", 2),
            ("error", 2),
            ("update", 1),
        ]
        result = plan(network, method, 400, chosen)
        assert {
            b.name: (b.size, b.first, b.last) for b in result.buffers if "scr" not in b.name
        } == {
            "activation[-1]": (8, 0, 0),
            "activation[0]": (12, 0, 5),
            "activation[1]": (8, 1, 4),
            "activation[2]": (4, 2, 3),
            "error[2]": (4, 3, 4),
            "error[1]": (8, 4, 5),
        }
        # Two rows of 12 edges, and 6 rows of 2 bytes that say which.
        assert result.score_bytes == ((0, 24 + 12, 0) if name == "priot" else (0, 0, 0))
        assert result.blob == 400
    # In flash the weights of layer 1 have a copy where they change: 72 bytes.
    assert plan(network, Method("niti-static"), 0, chosen).blob == 72
    assert plan(network, Method("priot"), 0, chosen).blob == 0
    assert copies(network, Method("niti-dynamic"), chosen) == (0, 72, 0)
    # A head of 4 rows of 6 weights and 12 bytes each; 72 + 72 are a multiple of 8.
    assert copies(network, Method("niti-dynamic"), chosen, head=True) == (0, 72, 72)
    assert plan(network, Method("infer"), 0, None, head=True).blob == 72
    both = of_rows(network, (1, 0), (2, 0))
    assert copies(network, Method("niti-static"), both, head=True) == (0, 72, 72)


def test_probes_have_plans_of_their_own() -> None:
    network = linears(8, 12, 6, 4)
    assert operations(network, Method("fisher"))[3:] == [("loss", 2), ("error", 2), ("error", 1)]
    fisher = plan(network, Method("fisher"), 0)
    assert fisher.score_bytes == (96, 48, 32)
    lives = {b.name: (b.first, b.last) for b in fisher.buffers if b.kind == "error"}
    # Nothing is done with the first layer's error but what makes it.
    assert lives == {"error[2]": (3, 4), "error[1]": (4, 5), "error[0]": (5, 5)}
    prototype = plan(network, Method("prototype"), 0)
    assert prototype.score_bytes == (0, 0, 4 * 4 * 6 + 4 * 4)
    assert prototype.buffers == plan(network, Method("infer"), 0).buffers
    alone = plan(linears(3, 2), Method("fisher"), 0)
    assert [(b.name, b.first, b.last) for b in alone.buffers if b.kind == "error"] == [
        ("error[0]", 1, 1)
    ]
    # They ignore a selection.
    chosen = of_rows(network, (2, 0))
    for name in ("fisher", "prototype", "infer"):
        method = Method(name)  # type: ignore[arg-type]
        assert plan(network, method, 0, chosen) == plan(network, method, 0)


@pytest.mark.parametrize("seed", range(12))
def test_a_selection_never_needs_more(seed: int) -> None:
    network = trainable_network(seed)
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    method = Method("niti-static")
    whole = plan(network, method, 0)
    everything = plan(network, method, 0, Selection.whole(network, tuple(weighted)))
    assert everything.buffers == whole.buffers
    for first in range(len(weighted)):
        less = plan(network, method, 0, Selection.whole(network, tuple(weighted[first:])))
        names = {buffer.name for buffer in less.buffers}
        assert names <= {buffer.name for buffer in whole.buffers}
        assert less.transient <= whole.transient
    assert not any(name.startswith("scratch update") and "(0)" in name for name in names) or (
        weighted == [0]
    )


# Training


@pytest.mark.parametrize("name", UPDATING)
def test_one_row_alone_changes(name: MethodName) -> None:
    network = linears(8, 12, 6, 4)
    chosen = of_rows(network, (1, 2))
    method = Method(name, mu=4)
    sparse, dense = Trainer(network, method, chosen), Trainer(network, method)
    image, label = samples(network, 1)[0]
    recorder = Recorder()
    sparse.train_step(image, label, recorder)
    dense.train_step(image, label)
    learned = "scores" if method.scored else "weights"
    assert [event[:2] for event in recorder.events[4:]] == [
        ("error", 2),
        ("error", 1),
        ("update", 1),
        (learned, 1),
    ]
    assert any(recorder.events[6][2])
    assert len(recorder.events[6][2]) == 12
    if name == "priot":
        assert sparse.scored_edges(1).tolist() == list(range(24, 36))
        assert sparse.scores(1).tolist() == dense.scores(1)[2].tolist()
        assert sparse.scores(0).size == sparse.scored_edges(0).size == 0
        return
    for index in (0, 2):
        assert np.array_equal(sparse.weights(index), network.of(index).weights)
    changed = (sparse.weights(1) != network.of(1).weights).any(axis=1)
    assert changed.tolist() == [False, False, True, False, False, False]
    if name == "niti-static":
        assert sparse.weights(1)[2].tolist() == dense.weights(1)[2].tolist()


def test_the_range_is_that_of_the_selected_rows() -> None:
    """One image: G = d * a of each row, so a row whose error is small has a range of its own."""
    network = linears(6, 4)
    image, label = samples(network, 1)[0]
    seen = []
    for row in range(4):
        trainer = Trainer(network, Method("niti-dynamic", mu=1), of_rows(network, (0, row)))
        recorder = Recorder()
        trainer.train_step(image, label, recorder)
        assert recorder.events[2][:2] == ("error", 0)
        assert recorder.events[3][:2] == ("update", 0)
        if recorder.events[2][2][row]:
            # range_bits - mu leaves 1 or 2 of the largest, whatever the error was.
            assert max(map(abs, recorder.events[3][2])) in (1, 2)
            seen.append(row)
    assert len(seen) >= 2


def test_scores_start_by_their_place_among_the_scored() -> None:
    network = linears(8, 12, 6, 4)
    method = Method("priot", start="normal", seed=5)
    one = Trainer(network, method, of_rows(network, (1, 0)))
    other = Trainer(network, method, of_rows(network, (1, 3)))
    assert one.scores(1).tolist() == other.scores(1).tolist()
    assert one.scores(1).any()
    assert one.scored_edges(1).tolist() == list(range(12))
    # Rows without scores keep all edges.
    kept = other.effective_weights(1)
    others = [0, 1, 2, 4, 5]
    assert np.array_equal(kept[others], network.of(1).weights[others])
    mask = other.scores(1) >= method.theta
    assert np.array_equal(kept[3], network.of(1).weights[3] * mask)


def test_the_sums_of_unselected_rows_need_not_hold_other_weights() -> None:
    network = linears(2, 2, 2)
    bias = np.array([0, 2**31 - 128 - 2 * 127 * 255], np.int32)
    numbers = replace(network.affine[1], bias=bias)
    parameters = (network.of(0), replace(network.of(1), weights=np.ones((2, 2), np.int8)))
    network = replace(network, affine=(network.affine[0], numbers), parameters=parameters)
    Trainer(network, Method("niti-static"), of_rows(network, (0, 0)))
    for chosen in (None, of_rows(network, (1, 0))):
        with pytest.raises(ValueError, match="layer 1, row 1: a sum of up to 2147483520"):
            Trainer(network, Method("niti-static"), chosen)


# Fisher information


def test_fisher_of_two_layers_by_hand() -> None:
    network = linears(5, 4, 3)
    trainer = Trainer(network, Method("fisher"))
    expected = [[0] * 4, [0] * 3]
    for image, label in samples(network, 6):
        recorder = Recorder()
        trainer.train_step(image, label, recorder)
        assert [event[:2] for event in recorder.events[3:]] == [("error", 1), ("error", 0)]
        hidden, logits = recorder.events[1][2], recorder.events[2][2]
        zeros = [one.zero_out for one in network.affine]
        v = np.array(logits, np.int32) - np.int32(zeros[1])
        raw = affine_loss_error(v, network.logits_scale, label).tolist()
        for row, d in enumerate(raw):
            expected[1][row] += ((logits[row] - zeros[1]) * d) ** 2
        # All multipliers of a layer are equal, so its weighted error is the error.
        assert recorder.events[3][2] == raw
        weights = network.of(1).weights.tolist()
        low = network.affine[0].low
        for row in range(4):
            acc = sum(weights[o][row] * raw[o] for o in range(3))
            d = min(max((acc + 32) >> 6, -127), 127)
            if hidden[row] == low and (low > -128 or low == zeros[0]):
                d = 0
            assert recorder.events[4][2][row] == d
            expected[0][row] += ((hidden[row] - zeros[0]) * d) ** 2
    assert [one.tolist() for one in trainer.fisher() if one is not None] == expected
    assert all(any(rows) for rows in expected)
    for index in (0, 1):
        assert np.array_equal(trainer.weights(index), network.of(index).weights)


def test_fisher_is_taken_before_rows_are_weighted() -> None:
    network = linears(5, 4, 3)
    shifts = replace(network.affine[1], shift=np.array([-7, -9, -12], np.int32))
    network = replace(network, affine=(network.affine[0], shifts))
    trainer = Trainer(network, Method("fisher"))
    image, label = samples(network, 1)[0]
    logits, _ = trainer.forward(image)
    v = logits.astype(np.int32) - np.int32(shifts.zero_out)
    raw = affine_loss_error(v, network.logits_scale, label)
    trainer.train_step(image, label)
    assert trainer.fisher()[1].tolist() == ((v * raw) ** 2).tolist()  # type: ignore[union-attr]


def test_easy_images_add_nothing() -> None:
    network = linears(5, 4, 3)
    trainer = Trainer(network, Method("fisher", easy=4095))
    for image, label in samples(network, 3):
        assert trainer.train_step(image, label).loss_norm > 0
    assert not any(one.any() for one in trainer.fisher() if one is not None)
    with pytest.raises(ValueError, match="method priot has no Fisher information"):
        Trainer(network, Method("priot")).fisher()


@pytest.mark.parametrize(
    ("positions", "h"), [(1, 0), (1024, 0), (1025, 1), (2048, 1), (2049, 2), (65536, 6)]
)
def test_halvings(positions: int, h: int) -> None:
    layer = Layer("conv2d", (positions, 1, 1), (positions, 1, 1), (1, 1), (1, 1), (0, 0), False)
    assert halvings(layer) == h


def test_rounding_and_the_largest_sum() -> None:
    layer = Layer("conv2d", (2049, 1, 1), (2049, 1, 3), (1, 1), (1, 1), (0, 0), False)
    numbers = replace(affine(layer), zero_out=0)
    output, error = np.zeros((2049, 1, 3), np.int8), np.zeros((2049, 1, 3), np.int8)
    # Sums of 2, -2 and -3, of which 4 are one: halves are rounded up.
    output[0, 0] = (2, -2, -3)
    error[0, 0] = 1
    assert added(layer, numbers, output, error) == [1, 0, 1]
    layer = Layer("conv2d", (256, 256, 1), (256, 256, 2), (1, 1), (1, 1), (0, 0), False)
    numbers = replace(affine(layer), zero_out=-128)
    output = np.full((256, 256, 2), 127, np.int8)
    error = np.full((256, 256, 2), -127, np.int8)
    largest = ((255 * 127 * 65536) >> 6) ** 2
    assert added(layer, numbers, output, error) == [largest, largest]
    assert largest < 1 << 51


def test_it_stops_at_the_largest_number() -> None:
    information = np.array([LARGEST - 5, LARGEST, 1 << 63, 0], np.uint64)
    accumulate(information, [5, 1, 1 << 50, 7])
    assert information.tolist() == [LARGEST, LARGEST, (1 << 63) + (1 << 50), 7]
    accumulate(information, [1, 0, LARGEST, 0])
    assert information.tolist() == [LARGEST, LARGEST, LARGEST, 7]


@pytest.mark.parametrize("seed", range(6))
def test_scales_of_errors_are_those_of_any_image(seed: int) -> None:
    network = prepared(seed)
    scales = error_scales(network)
    assert set(scales) >= {index for index, layer in enumerate(network.layers) if layer.has_weights}
    assert scales[len(network.layers) - 1] == (1 << 15, 0)
    assert all(1 << 15 <= m < 1 << 16 for m, _ in scales.values())
