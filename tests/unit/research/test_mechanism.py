"""Figure 2's traces: the sums behind the logits, how far they can go, and what is said of them."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pytest

from picotrain import datasets
from picotrain.device.backends import open_device, problem
from picotrain.device.interface import Device, state_sha256
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, configured, epoch_order, prepare
from picotrain.research.reproduce import collapse, figures, mechanism, page, steps
from picotrain_golden import Method, Network
from picotrain_golden.loss import loss_error
from picotrain_golden.network import Parameters, linear
from picotrain_golden.numerics import Int8, requantise

PLACE = steps.full()


def int8(*rows: list[int]) -> Int8:
    return np.array(rows, np.int8)


def tiny() -> Network:
    """Two inputs, two hidden units, three classes; the last layer shifts by 2."""
    hidden, last = linear((1, 1, 2), 2, relu=True), linear((1, 1, 2), 3, relu=False)
    return Network(
        "tiny",
        (1, 1, 2),
        (hidden, last),
        (
            Parameters(int8([1, 2], [3, -1]), -6, forward_shift=1),
            Parameters(int8([100, -50], [-20, 7], [0, 127]), -5, forward_shift=2),
        ),
    )


class Fake:
    """A device with two scored layers, or with a bitmap of scored edges."""

    def __init__(self, scores: list[int], edges: list[int]) -> None:
        self._scores, self._edges = np.array(scores, np.int8), np.array(edges)

    def weights(self, _: int) -> Int8:
        return np.array([100, -50, -20, 7, 0, 127], np.int8)

    def scores(self, _: int) -> Int8:
        return self._scores

    def scored_edges(self, _: int) -> np.ndarray:
        return self._edges


# Sums and bounds


def test_the_clamp_lets_through_what_rounds_to_127() -> None:
    assert [collapse.clamp_limit(shift) for shift in (0, 1, 2, 8)] == [127, 255, 510, 32640]
    for shift in (1, 2, 8):
        edge = collapse.clamp_limit(shift)
        sums = np.array([edge - 1, edge], np.int32)
        assert requantise(sums, shift, relu=False)[1] == 1  # only the one that is not below


def test_how_far_sums_can_go_by_hand() -> None:
    weights = int8([100, -50], [-20, 7], [0, 127])
    assert collapse.reach(weights) == 127 * 127  # the third row's
    assert collapse.reach(weights[:2]) == 127 * 100
    assert collapse.reach(weights[1:2]) == 127 * 20  # the negative ones alone
    assert collapse.magnitude(weights) == 127 * 150


def test_no_mask_goes_further_than_the_weights_and_inputs_reach_it() -> None:
    generator = np.random.default_rng(3)
    weights = generator.integers(-127, 128, (10, 64)).astype(np.int8)
    most = collapse.reach(weights)
    for _ in range(50):
        mask = generator.integers(0, 2, weights.shape).astype(np.int8)
        assert collapse.reach(weights * mask) <= most
        inputs = generator.integers(0, 128, 64)
        assert np.abs((weights * mask).astype(np.int64) @ inputs).max() <= most
    wide = weights.astype(np.int64)
    reached = [abs(row @ (127 * (sign * row > 0))) for row in wide for sign in (1, -1)]
    assert max(reached) == most


def test_pruned_edges_are_0_and_edges_without_a_score_stay() -> None:
    network, method = tiny(), Method("priot", theta=-16)
    device = cast(Device, Fake([0, -17, -16, 5, 0, -127], [0, 1, 2, 3, 4, 5]))
    kept = collapse.effective_weights(device, network, method, 1)
    assert kept.tolist() == [[100, 0], [-20, 7], [0, 0]]
    few = cast(Device, Fake([-17, 3], [0, 5]))
    kept = collapse.effective_weights(few, network, Method("priot-s", theta=-16), 1)
    assert kept.tolist() == [[0, -50], [-20, 7], [0, 127]]
    kept = collapse.effective_weights(few, network, Method("niti-static"), 1)
    assert kept.tolist() == [[100, -50], [-20, 7], [0, 127]]


def test_sums_and_exponents_by_hand() -> None:
    network = tiny()
    held = {index: network.of(index).weights for index in (0, 1)}
    # [10, 100] gives 210 and -70 in the hidden layer; shifted by 1 and after the ReLU 105 and 0.
    inputs = {0: int8([10, 100]), 1: int8([105, 0])}
    found = collapse.last_sums(network, {1: held[1]}, inputs, dynamic=False)
    assert found.accumulators.tolist() == [10500, -2100, 0]
    assert found.shifts == (1, 2)
    assert found.exponent == network.logits_exponent == -7 - 6 + 1 - 5 + 2
    # 210 needs 8 bits, one more than int8 has; 10500 needs 14.
    found = collapse.last_sums(network, held, inputs, dynamic=True)
    assert found.accumulators.tolist() == [10500, -2100, 0]
    assert found.shifts == (1, 7)
    assert found.exponent == -7 - 6 + 1 - 5 + 7


@pytest.mark.parametrize(("exponent", "gap"), [(-1, 14), (-2, 28), (-5, 216), (-6, None)])
def test_the_gap_that_leaves_no_error(exponent: int, gap: int | None) -> None:
    assert collapse.gap_without_error(10, exponent) == gap
    for ahead in (254,) if gap is None else (gap - 1, gap):
        logits = np.array([127, *[127 - ahead] * 9], np.int8)
        assert loss_error(logits, exponent, 0).any() == (ahead != gap)


@pytest.mark.parametrize("name", ["niti-static", "niti-dynamic", "priot", "priot-s"])
def test_the_sums_of_a_trace_make_its_logits(name: str) -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    data = datasets.load("digits")
    network, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    method = Method(name, mu=5, theta=-16)
    last = len(network.layers) - 1
    weighted = [index for index, layer in enumerate(network.layers) if layer.has_weights]
    device = open_device("host")
    try:
        device.load_model(network)
        device.set_method(method)
        for image, label in zip(data.train.images[:12], data.train.labels[:12], strict=True):
            weights = {
                index: collapse.effective_weights(device, network, method, index)
                for index in weighted
            }
            made = {
                tensor.layer + 1: tensor.values
                for tensor in device.trace(image, int(label))
                if tensor.kind == "activation"
            }
            sums = collapse.last_sums(network, weights, made, method.dynamic)
            logits, _ = requantise(sums.accumulators, sums.shifts[-1], relu=False)
            assert logits.tolist() == made[last + 1].tolist()
            assert np.abs(sums.accumulators).max() <= collapse.reach(weights[last])
    finally:
        device.close()


# Runs


def test_windows_and_traced_images_cover_a_run() -> None:
    assert collapse._window_ends(40) == [8, 16, 32, 40]
    assert collapse._window_ends(600) == [8, 16, 32, 64, 128, 256, 320, 384, 448, 512, 600]
    assert collapse._traced(8, 16) == [*range(8, 16)]
    traced = collapse._traced(1024, 2048)
    assert (len(traced), traced[0], traced[-1]) == (collapse.TRACED, 1055, 2047)


def test_a_run_of_more_than_an_epoch_is_what_adapt_trains() -> None:
    if problem("host"):
        pytest.skip(problem("host"))
    run = collapse.Run("x", "x", "niti-static", 1, -3, 1100, headroom=1)
    found = collapse.measure(run, "digits")
    count = found["epoch_images"]
    assert (count, found["images"], found["logits_exponent"]) == (1024, 1100, -2)
    data = datasets.load("digits")
    method = Method("niti-static", mu=1)
    options = AdaptOptions(30.0, method, 2, 0, None, None, "validation", logits_exponent=-3)
    task = prepare(data, options)
    shipped, _ = models.load_backbone(models.backbone_path("tinycnn", "digits"))
    network = configured(shipped, task, options)
    last = network.of(len(network.layers) - 1)
    assert found["clamp"] == collapse.clamp_limit(last.forward_shift)
    last.forward_shift += 1
    device = open_device("host")
    try:
        device.load_model(network)
        device.set_method(method)
        right = []
        for order in (epoch_order(count, 0, 1), epoch_order(count, 0, 2)[:76]):
            images = task.train.take(order)
            done = device.train(images.images, images.labels)
            right += [*(done.predictions == images.labels)]
        assert found["state_sha256"] == state_sha256(device, network)
        assert found["windows"][-1]["images"] == 1100
        assert found["windows"][-1]["train_accuracy"] == pytest.approx(
            np.mean(right[1024:]), abs=1e-4
        )
        accuracy = device.evaluate(task.test.images, task.test.labels).correct(task.test.labels)
        assert found["accuracy_after"] == pytest.approx(accuracy / len(task.test), abs=1e-4)
    finally:
        device.close()
    assert json.loads(json.dumps(found)) == found


# What is said of them


def window(images: int, accuracy: float, accumulator: int, **other: Any) -> dict[str, Any]:
    made = {
        "images": images,
        "accuracy": accuracy,
        "most_predicted": 0.2,
        "train_accuracy": accuracy,
        "logits": [-100, -50, -20, 0, 20, 50, 100] if accumulator else [0] * 7,
        "logits_at_limit": 0.1,
        "ties": 0.25,
        "zero_errors": 0.5,
        "loss_norm": 20.0,
        "loss_of_right": 0.4,
        "accumulator": accumulator,
        "hidden": 8.0,
        "dead": 0.0,
        "moved": [0.1, 0.3],
        "saturated": {"forward": [0.0, 0.2], "error": [0.0, 0.0], "update": [0.0, 0.0]},
        "at_limit": [0.0, 0.1],
        "reach": 700,
    }
    return made | other


def trace(windows: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    made = {
        "name": "x",
        "label": "NITI static, mu 3, -4",
        "gap_without_error": 105,
        "accuracy_before": 0.8,
        "accuracy_after": windows[-1]["accuracy"],
        "clamp": 100,
        "headroom": 0,
        "logits_exponent": -4,
        "static_numbers": {"forward_shift": [9, 8]},
        "reach_before": 600,
        "magnitude_before": 1100,
        "reach_in_principle": 3000,
        "windows": windows,
    }
    return made | other


def test_a_story_is_in_units_of_the_clamp() -> None:
    found = mechanism.story(
        trace(
            [
                window(8, 0.85, 110),
                window(16, 0.9, 250, reach=900, hidden=24.0),
                window(32, 0.7, 500, ties=1.0, saturated={"forward": [0.0, 0.5]}),
                window(64, 0.75, 200, reach=500),
            ]
        )
    )
    assert (found.sum_first, found.sum_most, found.sum_most_at) == (1.1, 5.0, 32)
    assert (found.bound, found.reach_most, found.reach_least, found.principle) == (6, 9, 5, 30)
    assert found.magnitude == 11
    assert (found.best, found.best_at, found.least, found.least_at) == (0.9, 16, 0.7, 32)
    assert (found.hidden_growth, found.reach_growth) == (3.0, 1.5)
    assert (found.fell_at, found.dead_from, found.ties_most) == (32, None, 1.0)
    # 0.2 but for the images 17 to 32.
    assert found.clamped_early == pytest.approx(0.2 + 0.3 * 16 / 64)
    assert found.clamped_most == 0.5
    assert found.clamped_late == pytest.approx((0.2 * 3 + 0.5) / 4)
    assert found.accuracy_late_spread == pytest.approx(0.2)
    assert found.moved_late == pytest.approx(0.3)
    assert (found.exponent_first, found.exponent_late) == (-4, -4.0)
    assert not found.scored


def test_a_fall_that_is_made_good_is_none() -> None:
    dip = trace([window(8, 0.6, 1), window(16, 0.9, 1), window(32, 0.81, 1)])
    assert mechanism.fell_at(dip) is None
    assert mechanism.fell_at(trace([window(8, 0.6, 1), window(16, 0.69, 1)])) == 8


def test_a_dead_network_has_equal_logits_that_are_no_ties() -> None:
    found = mechanism.story(trace([window(8, 0.8, 90), window(16, 0.1, 0, ties=1.0)]))
    assert (found.dead_from, found.ties_most, found.sum_most) == (9, 0.25, 0.9)
    gone = mechanism.story(trace([window(8, 0.1, 0, ties=1.0)]))
    assert (gone.ties_most, gone.dead_from) == (0.0, 1)


def test_dynamic_scales_have_an_exponent_of_their_own() -> None:
    windows = [
        window(8, 0.8, 90, exponent=-4.5, shifts=[9.0, 8.0]),
        window(16, 0.9, 200, exponent=-2.5, shifts=[9.5, 9.0]),
    ]
    found = mechanism.story(trace(windows))
    assert (found.exponent_first, found.exponent_late) == (-4.5, -3.5)


def test_the_figure_has_a_column_per_run_and_the_lines_of_each_kind() -> None:
    made = [
        trace([window(8, 0.8, 90), window(16, 0.1, 0)]),
        trace([window(8, 0.8, 90, shifts=[9.0, 8.0]), window(16, 0.9, 90, shifts=[9.0, 9.0])]),
        trace([window(8, 0.8, 90, pruned=[0.1]), window(16, 0.9, 95, pruned=[0.1])]),
    ]
    svg = figures.collapse(made)
    assert svg.count("mu 3, -4") == 3
    assert "any mask's limit" in svg and "images without an error" in svg
    assert figures.collapse(made) == svg
    assert "any mask's limit" not in figures.collapse(made[:2])


# What is committed


def committed() -> dict[str, dict[str, Any]]:
    found = page._Found(PLACE).collapse()
    assert found is not None
    return {one["name"]: one for one in found}


def test_the_committed_traces_are_those_of_the_runs() -> None:
    traces = committed()
    for run in collapse.RUNS:
        one = traces[run.name]
        assert (one["label"], one["method"], one["mu"]) == (run.label, run.method, run.mu)
        assert one["logits_exponent"] == run.exponent + run.headroom
        assert (one["images"], one["split"], one["dataset"]) == (run.images, "validation", "mnist")
        assert one["windows"][-1]["images"] == run.images


def test_no_committed_sum_goes_further_than_it_can() -> None:
    for one in committed().values():
        for seen in one["windows"]:
            assert seen["accumulator"] <= one["reach_in_principle"]
            if "pruned" in seen:
                assert seen["accumulator"] <= one["reach_before"] <= one["magnitude_before"]
                assert seen["reach"] <= one["reach_before"]
            # A logit is clamped exactly where a sum went too far.
            if "shifts" not in seen and seen["accumulator"] < one["clamp"] << one["headroom"]:
                assert seen["logits_at_limit"] < 0.02


def test_static_niti_collapses_where_logits_clamp_and_not_where_there_is_room() -> None:
    found = mechanism.stories(list(committed().values()))
    assert (found["niti-4"].fell_at, found["niti-5"].fell_at) == (4096, 320)
    for name in ("quiet", "niti-room", "dynamic-5", "priot-4", "priot-5", "priot-room"):
        assert found[name].fell_at is None, name
    assert found["niti-5"].sum_most > found["priot-5"].bound
    assert found["niti-room"].clamped_most == 0.0
    assert found["priot-5"].sum_most < found["priot-5"].bound
