"""A bit flips while a device works: two runs of a batch differ, and what comes of it is as if it
had not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import support
from flips.memory import Memory
from picotrain.cli import main
from picotrain.datasets import Split
from picotrain.device import backends
from picotrain.device.interface import BatchResult, UInt8, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.retrying import RetryingDevice
from picotrain.device.repeating.twice import Disagreement, TwiceDevice
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import QemuTarget
from picotrain.errors import DamageFailure, UserError
from picotrain.learn.adapt import AdaptOptions, AdaptResult, Task, adapt
from picotrain.profile.report.run_file import read_run
from picotrain_golden import Method, Network, Selection
from support import METHODS, images
from trainable_affine import trainable_network

Disturb = Callable[["Disturbed", BatchResult], BatchResult]


def learned(layer: int, bit: int = 0) -> Disturb:
    """One bit of what a layer has learned is another after the step, and the device's sum is that
    of the result."""

    def disturb(device: Disturbed, result: BatchResult) -> BatchResult:
        scored = device._method is not None and device._method.scored
        values = (device.scores if scored else device.weights)(layer).copy()
        values[0] ^= 1 << bit
        (device.put_scores if scored else device.put_weights)(layer, values)
        return result

    return disturb


def predicted(_: Disturbed, result: BatchResult) -> BatchResult:
    """One prediction is another."""
    return replace(
        result, predictions=result.predictions ^ (np.arange(len(result.predictions)) < 1)
    )


def chosen(device: Disturbed, result: BatchResult) -> BatchResult:
    """A layer has lost a scored edge, when it is looked at."""
    edges = device.scored_edges

    def fewer(layer: int) -> NDArray[np.int64]:
        del device.scored_edges  # what was set below
        return edges(layer)[1:]

    device.scored_edges = fewer  # type: ignore[method-assign]
    return result


def frozen(device: Disturbed, result: BatchResult) -> BatchResult:
    """A bit of a weight that nothing trains is another, and stays it."""
    memory = Memory(device)
    memory.flip(memory.weights()[0].address, 0)
    return result


def killed(device: Disturbed, result: BatchResult) -> BatchResult:
    assert isinstance(device._target, HostTarget | QemuTarget)
    os.kill(device._target.pid, signal.SIGKILL)
    return result


class Disturbed(TwiceDevice):
    """One whose runs of these numbers, counted over all devices of a test from 1, are disturbed."""

    disturbances: Mapping[int, Disturb] = {}
    runs = 0

    def _once(self, command: str, images: UInt8, labels: UInt8) -> BatchResult:
        result = super()._once(command, images, labels)
        Disturbed.runs += 1
        disturb = self.disturbances.get(Disturbed.runs)
        return result if disturb is None else disturb(self, result)


@pytest.fixture
def opened(target_name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TwiceDevice]:
    if target_name not in ("host", "qemu"):
        pytest.skip("these two show it; kernels make no difference")
    monkeypatch.setattr(backends, "TwiceDevice", Disturbed)

    def opened_(
        disturbances: Mapping[int, Disturb], notice: Callable[[Disagreement], None] = lambda _: None
    ) -> TwiceDevice:
        monkeypatch.setattr(Disturbed, "runs", 0)
        monkeypatch.setattr(Disturbed, "disturbances", disturbances)
        device = backends.open_device(target_name, twice=notice)
        assert isinstance(device, TwiceDevice)
        return device

    return opened_


def outcome(result: AdaptResult) -> dict[str, Any]:
    """All but what tells that batches were shown twice."""
    told = ("deaths", "twice", "disagreements", "wall_seconds")
    return {
        name: value
        for name, value in asdict(result).items()
        if name not in told and not name.startswith(("cycles_per", "ms_per"))
    }


def task_of(network: Network) -> Task:
    pixels, labels = images(network, 100)
    return Task(Split(pixels[:70], labels[:70]), Split(pixels[70:], labels[70:]))


@pytest.mark.parametrize(
    ("name", "method_name", "plan"),
    [
        ("oddnet", "niti-dynamic", "fast"),
        ("affine", "niti-static", "fast"),
        ("affine", "priot", "lean"),
        ("oddnet", "priot-s-random-normal", "fast"),
    ],
)
def test_what_a_flip_leaves_does_not_count(
    opened: Callable[..., TwiceDevice], target_name: str, name: str, method_name: str, plan: str
) -> None:
    """Nor do the other runs: all is as on a device that shows each batch once."""
    network = trainable_network(3) if name == "affine" else support.shipped(name)
    network = support.with_numbers(network, gradient_bits=14, score_bits=20)
    options = AdaptOptions(method=METHODS[method_name], epochs=2, plan=plan)
    task = task_of(network)
    with backends.open_device(target_name) as plain:
        wanted = adapt(plain, network, task, options)
    with opened({}) as device:
        undisturbed = adapt(device, network, task, options)
    assert outcome(undisturbed) == outcome(wanted)
    assert (undisturbed.twice, undisturbed.disagreements) == (True, [])
    assert (wanted.twice, wanted.disagreements) == (False, [])
    if wanted.cycles_per_train_image is not None:
        assert undisturbed.cycles_per_train_image is not None
        assert undisturbed.cycles_per_train_image > 1.9 * wanted.cycles_per_train_image

    # Three runs each of the evaluation before, both commands of an epoch, and the one after it.
    last = len(network.layers) - 1
    disturbances = {2: predicted, 4: learned(0), 8: learned(last, 6), 10: predicted, 13: predicted}
    told: list[Disagreement] = []
    with opened(disturbances, told.append) as device:
        result = adapt(device, network, task, options)
        assert device.disagreements == told
    assert outcome(result) == outcome(wanted)
    kind = "scores" if options.method.scored else "weights"
    assert [(one.during, one.images, one.differs, one.right) for one in told] == [
        ("evaluate", 30, "predictions", "first"),
        ("train", 64, f"{kind} of layer 0", "second"),
        ("train", 6, f"{kind} of layer {last}", "first"),
        ("evaluate", 30, "predictions", "second"),
        ("train", 64, "predictions", "second"),
    ]
    assert [one["epoch"] for one in result.disagreements] == [0, 1, 1, 1, 2]


def ready(device: MailboxDevice | RetryingDevice, network: Network, method: Method) -> None:
    device.load_model(network)
    device.set_method(method)


@pytest.mark.parametrize("method_name", ["niti-static", "priot", "priot-s-random"])
def test_three_runs_that_all_differ(opened: Callable[..., TwiceDevice], method_name: str) -> None:
    """A named failure; the device has what it had before, and goes on."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 70)
    kind = "scores" if METHODS[method_name].scored else "weights"
    told: list[Disagreement] = []
    with opened({3: learned(0), 4: learned(0, 1)}, told.append) as device:
        ready(device, network, METHODS[method_name])
        device.set_mu(5)
        device.train(pixels[:6], labels[:6])
        before, counts = state_sha256(device, network), device.saturation()
        with pytest.raises(DamageFailure, match=f"same 64 images differ in {kind} of") as caught:
            device.train(pixels, labels)
        assert caught.value.told.startswith("DAMAGED: ")
        assert caught.value.told.endswith("; a third agrees with none of them")
        assert caught.value.region == "STEP"
        assert [one.right for one in told] == [""]
        assert state_sha256(device, network) == before
        np.testing.assert_array_equal(device.saturation(), counts)
        device.train(pixels, labels)
        after, counts = state_sha256(device, network), device.saturation()
    with opened({}) as device:
        ready(device, network, METHODS[method_name])
        device.set_mu(5)
        device.train(pixels[:6], labels[:6])
        device.train(pixels, labels)
        assert state_sha256(device, network) == after
        np.testing.assert_array_equal(device.saturation(), counts)


def test_other_scored_edges_differ(opened: Callable[..., TwiceDevice]) -> None:
    """They are kept in a state, though no digest is of them."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 4)
    with opened({2: chosen}) as device:
        ready(device, network, METHODS["priot-s-random"])
        device.train(pixels, labels)
        found = [(one.differs, one.right) for one in device.disagreements]
        assert found == [("scored edges of layer 0", "first")]


@pytest.mark.parametrize("disturbances", [{1: frozen}, {1: learned(0), 3: frozen}])
def test_what_is_damaged_for_every_run_is_not_settled(
    opened: Callable[..., TwiceDevice], disturbances: Mapping[int, Disturb]
) -> None:
    network = support.shipped("oddnet")
    pixels, labels = images(network, 4)
    with opened(disturbances) as device:
        ready(device, network, METHODS["priot"])
        with pytest.raises(DamageFailure) as caught:
            device.train(pixels, labels)
        assert caught.value.region == "MODEL"
        assert device.disagreements == []


@pytest.mark.parametrize(
    ("disturbances", "right", "classes"),
    [
        (
            {1: learned(0), 4: learned(0), 5: learned(0, 1), 7: learned(0)},
            ["second", "", "second"],
            {"DAMAGED"},
        ),
        ({1: learned(0), 4: killed, 6: learned(0)}, ["second", "first"], {"CRASH", "LINK"}),
    ],
)
def test_another_life(
    opened: Callable[..., TwiceDevice],
    disturbances: Mapping[int, Disturb],
    right: list[str],
    classes: set[str],
) -> None:
    """Where no two agree it is a death for `--retry-device`, as what ends a run; what differed in
    earlier lives is kept."""
    network, method = support.shipped("oddnet"), METHODS["priot"]
    pixels, labels = images(network, 70)
    with opened({}) as device:
        ready(device, network, method)
        wanted = device.train(pixels, labels)
        digest, counts = state_sha256(device, network), device.saturation()
    first = opened(disturbances)
    lives = iter([first, backends.open_device(first.name, twice=print)])
    with RetryingDevice(lambda: next(lives), 1) as retried:
        assert retried.twice
        ready(retried, network, method)
        result = retried.train(pixels, labels)
        assert state_sha256(retried, network) == digest
        np.testing.assert_array_equal(retried.saturation(), counts)
        assert [one.right for one in retried.disagreements] == right
    assert {death.failure_class for death in retried.deaths} <= classes
    assert [death.images for death in retried.deaths] == [6]
    np.testing.assert_array_equal(result.predictions, wanted.predictions)


def test_the_same_flip_twice_is_not_seen(opened: Callable[..., TwiceDevice]) -> None:
    """As the page says of it."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 4)
    with opened({1: learned(0), 2: learned(0)}) as device:
        ready(device, network, METHODS["priot"])
        device.train(pixels, labels)
        assert device.disagreements == []


def test_what_cannot_be_put_back(opened: Callable[..., TwiceDevice]) -> None:
    network = trainable_network(3)
    pixels, labels = images(network, 4)
    with opened({}) as device:
        ready(device, network, Method("fisher"))
        with pytest.raises(UserError, match="what method fisher gathered cannot be put back, so"):
            device.train(pixels, labels)
        device.set_selection(Selection.unpack(network, b"\x01" + bytes(7)))
        device.set_method(METHODS["niti-static"])
        with pytest.raises(UserError, match="its selection of rows cannot be put back"):
            device.train(pixels, labels)
        assert device.disagreements == []


def test_golden_is_not_run_twice() -> None:
    with pytest.raises(UserError, match="target golden has no memory of its own in which a bit"):
        backends.open_device("golden", twice=print)


def test_the_command_line_tells_each_disagreement(
    opened: Callable[..., TwiceDevice],
    target_name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And counts them in the summary, in JSON and in the report; never silently."""
    if target_name != "host":
        pytest.skip("one target shows it")
    opened({}).close()
    small = ["adapt", "--target", "host", "--dataset", "digits", "--epochs", "1"]
    small += ["--train-samples", "80", "--test-samples", "20", "--json"]
    plain, out, state = tmp_path / "plain.json", tmp_path / "twice.json", tmp_path / "state.npz"
    assert main([*small, str(plain)]) == 0
    assert "differed" not in capsys.readouterr().out
    monkeypatch.setattr(Disturbed, "disturbances", {4: learned(0)})
    assert main([*small, str(out), "--twice"]) == 0
    said = capsys.readouterr().out
    sentence = (
        "train: two runs of the same 64 images differ in scores of layer 0; a third agrees with "
        "the first\n"
    )
    assert said.count(sentence) == 1
    words = "1 of the batches that were shown twice, 64 images shown a third time"
    assert f"\ndiffered   {words}; cycles are of all runs\n" in said
    found = json.loads(out.read_text())
    assert [(one["epoch"], one["right"]) for one in found["disagreements"]] == [(1, "first")]
    assert found["state_sha256"] == json.loads(plain.read_text())["state_sha256"]
    assert read_run(out).disagreements == words
    assert read_run(plain).disagreements == ""

    monkeypatch.setattr(Disturbed, "runs", 0)
    monkeypatch.setattr(Disturbed, "disturbances", {9: learned(0), 10: learned(0, 1)})
    small[small.index("--epochs") + 1] = "2"
    assert main([*small, str(out), "--twice", "--save", str(state)]) == 1
    failed = capsys.readouterr().err
    assert "DAMAGED: host: train: two runs of the same 64 images differ in scores of" in failed
    assert f"the result so far is in {out}" in failed
    assert f"what was learned in 1 epochs is in {state}" in failed
