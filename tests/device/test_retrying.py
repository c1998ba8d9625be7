"""A device that dies in the middle of an adaptation: what comes of it is as if it had not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import support
from picotrain.cli import main
from picotrain.datasets import Split
from picotrain.device import backends
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.repeating.retrying import Death, DiedTooOften, RetryingDevice
from picotrain.device.targets.host import HostTarget
from picotrain.device.targets.qemu import QemuTarget
from picotrain.errors import CommandError, UserError
from picotrain.learn.adapt import AdaptOptions, AdaptResult, Task, adapt
from picotrain.profile.report.run_file import read_run
from picotrain_golden import Method, Network, Selection
from support import METHODS, images
from trainable_affine import trainable_network

Started = Callable[..., Callable[[], Device]]


@pytest.fixture
def mortal(target_name: str) -> Started:
    """What starts devices that are killed when they serve commands of these numbers, counted over
    all lives."""
    target_type, kernels = backends.variant_of(target_name)
    if target_type not in ("host", "qemu"):
        pytest.skip("no process that can be killed")

    def mortal_(deaths: Collection[int]) -> Callable[[], Device]:
        served = 0

        def start() -> Device:
            target = backends.open_target(target_type, kernels=kernels)
            assert isinstance(target, HostTarget | QemuTarget)
            run = target.run

            def run_or_die(timeout: float) -> None:
                nonlocal served
                served += 1
                if served in deaths:
                    os.kill(target.pid, signal.SIGKILL)
                run(timeout)

            target.connect()
            target.run = run_or_die  # type: ignore[method-assign]
            return MailboxDevice(target, kernels)

        return start

    return mortal_


def task_of(network: Network) -> Task:
    pixels, labels = images(network, 100)
    return Task(Split(pixels[:70], labels[:70]), Split(pixels[70:], labels[70:]))


def outcome(result: AdaptResult) -> dict[str, Any]:
    """All but the deaths and the time that it took."""
    return asdict(replace(result, deaths=[], wall_seconds=0.0))


def network_of(name: str) -> Network:
    network = trainable_network(3) if name == "affine" else support.shipped(name)
    return support.with_numbers(network, gradient_bits=14, score_bits=20)


@pytest.mark.parametrize(
    ("name", "method_name", "plan"),
    [
        ("oddnet", "niti-dynamic", "fast"),
        ("affine", "niti-static", "fast"),
        ("affine", "priot", "lean"),
        ("oddnet", "priot-s-random-normal", "fast"),
    ],
)
def test_deaths_change_nothing(mortal: Started, name: str, method_name: str, plan: str) -> None:
    network, method = network_of(name), METHODS[method_name]
    options = AdaptOptions(method=method, epochs=2, plan=plan)
    task = task_of(network)
    undisturbed = mortal(())()
    with undisturbed:
        wanted = adapt(undisturbed, network, task, options)
    told: list[Death] = []
    # Of all: the load, both evaluations, the training, what reads; twice in a row, too.
    deaths = (2, 5, 9, 20, 21, 40, 61, 66)
    with RetryingDevice(mortal(deaths), len(deaths), told.append) as device:
        result = adapt(device, network, task, options)
        assert device.deaths == told
    assert outcome(result) == outcome(wanted)
    assert wanted.deaths == []
    assert len(result.deaths) == len(told) == len(deaths)
    assert {death.failure_class for death in told} <= {"CRASH", "LINK"}
    assert any(death.images for death in told)
    assert [death["epoch"] for death in result.deaths] == sorted(
        death["epoch"] for death in result.deaths
    )


def test_one_death_too_many(mortal: Started) -> None:
    network = support.shipped("oddnet")
    with RetryingDevice(mortal((4, 10, 20)), 2) as device:
        device.load_model(network)
        device.set_method(METHODS["priot"])
        with pytest.raises(DiedTooOften, match=r"\(death 3 of the device, and 2 may be") as caught:
            for _ in range(20):
                device.set_mu(3)
        assert len(device.deaths) == 2
    assert caught.value.failure_class in ("CRASH", "LINK")
    assert caught.value.told.startswith(f"{caught.value.failure_class}: ")


def test_a_batch_is_shown_again_once(mortal: Started) -> None:
    """Its images are counted, and its progress is not."""
    network = support.shipped("oddnet")
    pixels, labels = images(network, 130)
    deaths = range(0)
    shown: list[int] = []
    told: list[Death] = []
    with RetryingDevice(mortal(deaths), 1) as device:
        device.load_model(network)
        device.set_method(METHODS["niti-dynamic"])
        wanted = device.train(pixels, labels)
        counted = device.saturation()
    with RetryingDevice(mortal((5,)), 1, told.append) as device:
        device.load_model(network)
        device.set_method(METHODS["niti-dynamic"])
        result = device.train(pixels, labels, shown.append)
        assert shown == [64, 64, 2]
        np.testing.assert_array_equal(device.saturation(), counted)
    for name in ("predictions", "loss_norms", "saturated"):
        np.testing.assert_array_equal(getattr(result, name), getattr(wanted, name))
    assert [(death.during, death.images) for death in told] == [("train", 64)]


def test_what_is_put_is_put_again(mortal: Started) -> None:
    network, method = support.shipped("oddnet"), METHODS["niti-static"]
    with RetryingDevice(mortal(()), 2) as device:
        device.load_model(network)
        device.set_method(method)
        values = -device.weights(0)
        device.put_weights(0, values)
        assert isinstance(device._device, MailboxDevice)
        device._device.close()
        np.testing.assert_array_equal(device.weights(0), values)
        # They stay as trained under another method.
        device.set_method(Method("infer"))
        device._device.close()
        np.testing.assert_array_equal(device.weights(0), values)
        assert len(device.deaths) == 2


def test_a_refusal_is_no_death(mortal: Started) -> None:
    with RetryingDevice(mortal(()), 1) as device:
        with pytest.raises(CommandError):
            device.set_mu(3)
        assert device.deaths == []


def test_what_cannot_be_put_back(mortal: Started) -> None:
    network = trainable_network(3)
    pixels, labels = images(network, 4)
    with RetryingDevice(mortal(()), 9) as device:
        device.load_model(network)
        device.set_method(Method("fisher"))
        device.train(pixels, labels)
        device._device.close()  # type: ignore[union-attr]
        with pytest.raises(DiedTooOften, match="what method fisher gathered cannot be put back"):
            device.fisher()
    with RetryingDevice(mortal(()), 9) as device:
        device.load_model(network)
        device.set_selection(Selection.unpack(network, b"\x01" + bytes(7)))
        device._device.close()  # type: ignore[union-attr]
        with pytest.raises(DiedTooOften, match="its selection of rows cannot be put back"):
            device.set_method(METHODS["niti-static"])


def test_golden_cannot_die() -> None:
    with pytest.raises(UserError, match="target golden cannot die"):
        RetryingDevice(lambda: backends.open_device("golden"), 1)
    with pytest.raises(UserError, match="most is 0; give 1 or more"):
        RetryingDevice(lambda: backends.open_device("golden"), 0)


def test_the_command_line_tells_each_death(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And counts them in the summary, in JSON and in the report; never silently."""
    run, runs = HostTarget.run, 0

    def run_or_die(self: HostTarget, timeout: float) -> None:
        nonlocal runs
        runs += 1
        if runs in (8, 40):
            os.kill(self.pid, signal.SIGKILL)
        run(self, timeout)

    small = ["--target", "host", "--dataset", "digits", "--epochs", "1", "--train-samples", "80"]
    small += ["--test-samples", "20"]
    found = []
    for more in ([], ["--retry-device", "2"]):
        out = tmp_path / f"run{len(more)}.json"
        assert main(["adapt", *small, *more, "--json", str(out)]) == 0
        found.append(json.loads(out.read_text()))
        monkeypatch.setattr(HostTarget, "run", run_or_die)
    plain, retried = found
    said = capsys.readouterr().out
    assert said.count("CRASH: the host process ended (SIGKILL); this was in ") == 2
    assert said.count("; the device is started anew\n") == 2
    assert "death 1 of at most 2, in " in said
    assert "\ndeaths     2 (2 killed), " in said
    assert plain["deaths"] == [] and len(retried["deaths"]) == 2
    assert read_run(out).deaths.startswith("2 (2 killed), ")
    for one in found:
        del one["deaths"], one["wall_seconds"]
    assert plain == retried

    runs = 0
    assert main(["adapt", *small, "--retry-device", "1", "--json", str(out)]) == 1
    failed = capsys.readouterr()
    assert "death 1 of at most 1" in failed.out
    assert "CRASH: the host process ended (SIGKILL) (death 2 of the device, and 1 may" in failed.err
