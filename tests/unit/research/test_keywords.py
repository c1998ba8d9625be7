"""Sounds as the keyword spotter takes them, its new head, and what the page makes of its runs."""

from __future__ import annotations

import numpy as np
import pytest

import slow_affine
from picotrain.datasets.dataset import Split
from picotrain.research.keywords import head, mfcc, summary
from picotrain.research.keywords.sounds import CHANGES, CLEAN, Change, one_second
from picotrain_golden import Layer, Method, Network, Parameters, Trainer
from picotrain_golden.network import linear


def test_silence_is_where_the_int8_input_of_the_network_begins() -> None:
    silent = mfcc.coefficients(np.zeros(mfcc.RATE_HZ))
    assert silent.shape == mfcc.SHAPE
    # 40 bands of log(1e-6), over the square root of 80, twice: the network's least is -123.37.
    assert silent[:, 0, 0] == pytest.approx(2 * 40 * np.log(1e-6) / np.sqrt(80))
    assert silent[:, 1:, 0] == pytest.approx(0.0, abs=1e-9)


def test_coefficients_are_those_of_the_definition() -> None:
    sound = np.random.default_rng(0).normal(size=mfcc.RATE_HZ) / 4
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    frame = sound[7 * 320 : 7 * 320 + 480] * window
    pitch = 1127 * np.log(1 + np.arange(257) * 31.25 / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 4000 / 700), 42)
    magnitudes = np.abs(np.fft.fft(frame, 512))[:257]
    bands = [
        sum(
            magnitude * max(0.0, min((mel - low) / (top - low), (high - mel) / (high - top)))
            for mel, magnitude in zip(pitch, magnitudes, strict=True)
        )
        for low, top, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    wanted = [
        2
        / np.sqrt(80)
        * sum(
            np.log(band + 1e-6) * np.cos(np.pi * k * (n + 0.5) / 40) for n, band in enumerate(bands)
        )
        for k in range(10)
    ]
    assert mfcc.coefficients(sound)[7, :, 0] == pytest.approx(wanted)


def test_a_recording_lies_in_the_middle_with_a_peak_of_1() -> None:
    samples = np.zeros(2000)
    samples[1000] = -3000.0
    sound = one_second(samples)
    assert sound.shape == (16000,)
    assert int(np.abs(sound).argmax()) == 8000
    assert np.abs(sound).max() == pytest.approx(1.0)


def test_of_what_is_too_long_the_middle_of_its_energy_is_kept() -> None:
    samples = np.zeros(12000)
    samples[11000:11010] = 1000.0
    sound = one_second(samples)
    assert np.abs(sound[13000:15000]).max() == pytest.approx(1.0)


def test_changes() -> None:
    samples = np.random.default_rng(1).normal(size=4000)
    clean = one_second(samples, CLEAN)
    assert one_second(samples, Change("", gain=-20.0)) == pytest.approx(clean / 10)
    late = one_second(samples, Change("", late=100.0))
    assert late[:1600] == pytest.approx(0.0)
    assert late[1600:] == pytest.approx(clean[:-1600])
    tilted = one_second(samples, Change("", tilt=0.5))
    assert tilted[1:] == pytest.approx(clean[1:] - 0.5 * clean[:-1])
    assert len({change.name for change in CHANGES}) == len(CHANGES)


def test_a_new_head_learns_what_the_body_tells_apart() -> None:
    pool = Layer("avgpool", (4, 4, 3), (1, 1, 3), (4, 4), (1, 1), (0, 0), False)
    old = linear((1, 1, 3), 2, False)
    parameters = (None, Parameters(np.zeros((2, 3), np.int8), 0))
    numbers = (slow_affine.affine(pool), slow_affine.affine(old))
    network = Network("pool", (4, 4, 3), (pool, old), parameters, numbers)
    random = np.random.default_rng(0)
    labels = np.arange(90, dtype=np.uint8) % 3
    values = random.normal(0, 20, (90, 4, 4, 3))
    values[np.arange(90), :, :, labels] += 30
    images = np.clip(np.rint(values), -128, 127).astype(np.int8).view(np.uint8)
    headed = head.with_head(network, 3, Split(images[:60], labels[:60]))
    assert headed.classes == 3
    assert headed.layers[0] is pool and headed.affine[0] is numbers[0]
    said = Trainer(headed, Method("infer")).predict(images[60:])
    assert (said == labels[60:]).mean() > 0.9
    # The scale of the logits is that of nats, over the range of the known images.
    mantissa, exponent = headed.logits_scale
    assert 0.001 < mantissa * 2.0 ** (exponent - 15) < 1.0


def test_rows_are_means_over_tasks_of_each_seed() -> None:
    runs = [
        {"task": task, "method": "PRIOT", "seed": seed, "before": 0.5, "after": after}
        for task, seed, after in (
            ("a", 0, [0.6, 0.8]),
            ("b", 0, [0.9, 0.6]),
            ("a", 1, [0.7, 0.9]),
            ("b", 1, [0.7, 0.7]),
        )
    ]
    every, one, other = summary.rows({"chosen": {"PRIOT": [3, 2]}, "runs": runs})
    assert (every.task, one.task, other.task) == ("", "a", "b")
    assert every.schedule == "3,2"
    assert (every.last.mean, every.best.mean) == (pytest.approx(0.75), pytest.approx(0.825))
    assert every.last.std == pytest.approx(0.1 / np.sqrt(2))
    assert (one.last.mean, other.last.mean) == (pytest.approx(0.85), pytest.approx(0.65))
