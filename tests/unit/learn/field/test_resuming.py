"""A run that goes on from a state ends where one that never stopped does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import load_state, save_state
from picotrain.datasets import load
from picotrain.device.given import images_for
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.adapt import AdaptOptions, AdaptResult, adapt, prepare
from picotrain.learn.field.state import State
from picotrain.learn.field.state_file import write_state
from picotrain_golden import Method

OPTIONS = AdaptOptions(
    method=Method("priot"), epochs=5, seed=3, train_samples=60, test_samples=40, retention=True
)
ALL = [
    Method("priot", seed=3),
    Method("priot-s", seed=3, select="random", start="normal"),
    Method("niti-static", seed=3, mu=2, later_mu=(1,)),
    Method("niti-dynamic", seed=3),
]


def run(
    device: Device, options: AdaptOptions, resume: State | None = None, stop: int = 99
) -> tuple[AdaptResult | None, list[State]]:
    """What came of it, and the state after each epoch; stopped before epoch `stop` ends."""
    states: list[State] = []

    def keep(state: State) -> None:
        if len(states) + 1 == stop:
            raise KeyboardInterrupt
        states.append(state)

    network = models.load_network("tinycnn", "digits")
    try:
        result = adapt(device, network, load("digits"), options, resume=resume, keep=keep)
    except KeyboardInterrupt:
        return None, states
    return result, states


def without_costs(result: AdaptResult) -> dict[str, Any]:
    own = ("wall_seconds", "resumed_at", "begun_from", "begins", "cycles", "ms_", "target")
    own += ("kernels",)
    found = result.to_json()
    return {name: value for name, value in found.items() if not name.startswith(own)}


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_stopped_and_resumed_is_not_stopped(
    tmp_path: Path,
    reference: GoldenDevice,
    host_device: Callable[..., MailboxDevice],
    method: Method,
) -> None:
    """The rest on another target, and from the file."""
    options, host = replace(OPTIONS, method=method), host_device()
    straight, states = run(host, options)
    assert straight is not None and len(states) == 5
    _, first = run(host, options, stop=4)
    assert len(first) == 3
    write_state(tmp_path / "state.npz", first[-1])
    state = load_state(tmp_path / "state.npz")
    assert (state.epochs, state.images, state.run["seed"], state.run["angle"]) == (3, 0, 3, 30.0)
    for device in (host, reference):
        resumed, rest = run(device, options, state)
        assert resumed is not None
        assert (resumed.resumed_at, resumed.begun_from) == (
            3,
            first[-1].sha256(models.load_network("tinycnn", "digits")),
        )
        assert resumed.complete and len(rest) == 2
        ours, theirs = without_costs(resumed), without_costs(straight)
        for one in (ours, theirs):
            del one["ram_bytes"], one["code_bytes"], one["versions"]
        assert ours == theirs
        write_state(tmp_path / "a.npz", rest[-1])
        write_state(tmp_path / "b.npz", states[-1])
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_state_of_a_program_begins_a_run(tmp_path: Path, reference: GoldenDevice) -> None:
    """It says nothing of what was shown, so no epoch is taken as done."""
    network = models.load_network("tinycnn", "digits")
    reference.load_model(network)
    reference.set_method(OPTIONS.method)
    train = prepare(load("digits"), OPTIONS).train
    reference.train(images_for(network, train.images[:25]), train.labels[:25])
    save_state(tmp_path / "s.npz", reference, network, OPTIONS.method, epochs=2, images=25)
    state = load_state(tmp_path / "s.npz")
    assert (state.epochs, state.images) == (2, 25)
    begun, states = run(reference, replace(OPTIONS, epochs=1), state)
    assert begun is not None and len(states) == 1
    assert (begun.resumed_at, len(begun.history), states[0].epochs) == (0, 1, 1)
    assert begun.begun_from == state.sha256(network)
    assert begun.begins.startswith(f"begins with what {tmp_path / 's.npz'} has learned; the images")


def test_more_epochs_go_on_where_one_step_size_rules(reference: GoldenDevice) -> None:
    options = replace(OPTIONS, method=Method("priot", mu=3, seed=3))
    straight, _ = run(reference, options)
    _, first = run(reference, replace(options, epochs=2))
    resumed, _ = run(reference, options, first[-1])
    assert straight is not None and resumed is not None
    assert resumed.state_sha256 == straight.state_sha256
    with pytest.raises(UserError, match="the state has 2 epochs done, and 2 are asked for; give "):
        run(reference, replace(options, epochs=2), first[-1])


def test_other_images_begin_a_run_of_their_own(reference: GoldenDevice) -> None:
    done, states = run(reference, replace(OPTIONS, epochs=2))
    assert done is not None
    for change in ({"seed": 4}, {"angle": 10.0}, {"train_samples": 61}):
        again, more = run(reference, replace(OPTIONS, epochs=1, **change), states[-1])  # type: ignore[arg-type]
        assert again is not None
        assert (again.resumed_at, len(again.history), more[-1].epochs) == (0, 1, 1)
        assert again.begun_from == done.state_sha256
    # What it begins with is what was learned, and not the backbone.
    again, _ = run(reference, replace(OPTIONS, epochs=1, train_samples=61), states[-1])
    assert again is not None and again.accuracy_before == done.accuracy_final
    assert again.upright_before == done.history[-1]["upright_accuracy"]


def test_other_evaluation_keeps_the_place(reference: GoldenDevice) -> None:
    straight, _ = run(reference, OPTIONS)
    _, first = run(reference, OPTIONS, stop=3)
    resumed, _ = run(reference, replace(OPTIONS, test_samples=50), first[-1])
    assert straight is not None and resumed is not None
    assert resumed.state_sha256 == straight.state_sha256
    assert [one["epoch"] for one in resumed.history] == [3, 4, 5]


def test_numbers_come_from_the_state(reference: GoldenDevice) -> None:
    """A calibration is not made again, and another one is refused."""
    fair = replace(OPTIONS, calibration="fair", calibration_samples=32, logits_exponent=-4)
    straight, states = run(reference, fair)
    _, first = run(reference, fair, stop=3)
    assert straight is not None
    for options in (OPTIONS, fair):
        resumed, _ = run(reference, options, first[-1])
        assert resumed is not None
        assert resumed.state_sha256 == straight.state_sha256
        assert resumed.options["calibration"] == "fair"
    with pytest.raises(UserError, match="was learned with other static numbers than these options"):
        run(reference, replace(fair, logits_exponent=-3), first[-1])
    assert np.array_equal(states[-1].numbers, first[-1].numbers)


def test_scores_are_of_their_weights_and_threshold(reference: GoldenDevice) -> None:
    _, states = run(reference, replace(OPTIONS, epochs=1))
    with pytest.raises(UserError, match="--threshold was -16 there, and is 0 here"):
        run(reference, replace(OPTIONS, method=Method("priot", theta=0)), states[-1])
    other = models.load_network("tinycnn", "mnist")
    with pytest.raises(UserError, match="the state is of another network: of tinycnn with digest"):
        adapt(reference, other, load("digits"), OPTIONS, resume=states[-1])
    state_sha256(reference, other)
