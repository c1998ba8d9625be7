"""One place holds defaults: a method and an adaptation in Python are those of the command line."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from picotrain import cli, datasets
from picotrain.device.backends import open_device
from picotrain.device.interface import state_sha256
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.learn import methods, models
from picotrain.learn.adapt import AdaptOptions, AdaptResult, adapt, prepare
from picotrain_golden import Method
from support import require

TRAINING = methods.NAMES[1:]
WELL_ADAPTED = 0.95
"""Of the images; a network that collapsed gets a tenth of them right."""


def by_command(tmp_path: Path, *given: str) -> dict:  # type: ignore[type-arg]
    file = tmp_path / "run.json"
    assert cli.main(["adapt", "--target", "host", *given, "--json", str(file)]) == 0
    content: dict = json.loads(file.read_text())  # type: ignore[type-arg]
    return content


def by_python(options: AdaptOptions) -> AdaptResult:
    network, _ = models.load_backbone(models.backbone_path(models.DEFAULT, datasets.DEFAULT))
    device = open_device("host")
    try:
        task = prepare(datasets.load(datasets.DEFAULT), options)
        result = adapt(device, network, task, options)
        assert result.state_sha256 == state_sha256(device, network)
    finally:
        device.close()
    return result


@pytest.fixture(autouse=True)
def _host() -> None:
    require(firmware.HOST)


@pytest.mark.parametrize("name", TRAINING)
def test_a_method_in_python_is_that_of_the_command_line(tmp_path: Path, name: str) -> None:
    """Whole results are the same, but for the time that they took."""
    seen = by_command(tmp_path, "--method", name, "--epochs", "1")
    ours = json.loads(
        json.dumps(by_python(AdaptOptions(method=methods.make(name), epochs=1)).to_json())
    )
    del seen["wall_seconds"], ours["wall_seconds"]
    assert ours == seen
    assert re.fullmatch("[0-9a-f]{64}", ours["state_sha256"])


def test_an_adaptation_in_python_is_that_of_the_command_line(tmp_path: Path) -> None:
    """Everything left out: ten epochs, three step sizes, and PRIOT does not collapse."""
    seen, ours = by_command(tmp_path), by_python(AdaptOptions())
    assert ours.state_sha256 == seen["state_sha256"]
    assert [epoch["accuracy"] for epoch in ours.history] == [
        epoch["accuracy"] for epoch in seen["history"]
    ]
    assert [epoch["mu"] for epoch in ours.history] == [4, 4, 4, 4, 3, 3, 3, 2, 2, 2]
    assert ours.accuracy_final is not None and ours.accuracy_final > WELL_ADAPTED


def test_options_of_the_command_line_change_what_they_name(tmp_path: Path) -> None:
    given = ["--method", "priot-s", "--mu", "4", "--threshold", "3", "--scored", "0.2"]
    given += ["--select", "random", "--start", "normal", "--easy", "7", "--seed", "9"]
    seen = by_command(tmp_path, *given, "--epochs", "2", "--train-samples", "64")
    method = Method("priot-s", 4, 3, 200, "random", "normal", 9, 7)
    options = AdaptOptions(method=method, epochs=2, seed=9, train_samples=64)
    assert by_python(options).state_sha256 == seen["state_sha256"]


@pytest.mark.parametrize("name", methods.NAMES)
def test_a_parser_without_options_makes_the_default(name: str) -> None:
    parser = argparse.ArgumentParser()
    methods.add_options(parser)
    parser.set_defaults(seed=None)
    assert methods.from_options(parser.parse_args([]), name) == methods.make(name)


def test_defaults_of_the_methods() -> None:
    """Those of docs/results.md, whose tables were made with them."""
    made = {name: methods.make(name) for name in methods.NAMES}
    assert {name: (one.schedule, one.theta) for name, one in made.items()} == {
        "infer": ((0,), 0),
        "niti-dynamic": ((1,), 0),
        "niti-static": ((1,), 0),
        "priot": ((4, 3, 2), -16),
        "priot-s": ((5, 4, 3, 2), -16),
    }
    for one in made.values():
        assert (one.permille, one.select, one.start, one.seed, one.easy) == (
            *(100, "weight", "zero", 0, 0),
        )


def test_a_step_size_that_is_given_stays() -> None:
    assert Method("priot", mu=4).schedule == (4,)
    assert Method("priot", mu=5, later_mu=(1,)).schedule == (5, 1)
    assert Method("priot", later_mu=(1,)).schedule == (4, 1)
    assert Method("priot").mu == 4
    changed = replace(Method("priot"), seed=3)
    assert (changed.schedule, changed.theta, changed.seed) == ((4, 3, 2), -16, 3)
    assert Method("priot") == Method("priot", 4, -16, later_mu=(3, 2))
    with pytest.raises(ValueError, match=r"mu is 8, outside -8\.\.7"):
        Method("priot", later_mu=(3, 8))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (AdaptOptions(method=Method("infer")), "method infer trains nothing; use one of niti-dyn"),
        (AdaptOptions(epochs=0), "0 epochs are no adaptation; use 1 or more"),
        (AdaptOptions(plan="slow"), "unknown plan 'slow'; use fast or lean"),
        (AdaptOptions(plan="lean", method=Method("niti-static")), "niti-static trains the weights"),
        (AdaptOptions(train_samples=0), "a sample of 0 images cannot be taken"),
        (AdaptOptions(test_samples=0), "a sample of 0 images cannot be taken"),
        (AdaptOptions(evaluate_on="train"), "unknown split 'train'; use test, validation"),
    ],
    ids=["infer", "epochs", "plan", "frozen", "train", "test", "split"],
)
def test_options_that_make_no_sense_are_one_sentence(options: AdaptOptions, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        prepare(datasets.load(datasets.DEFAULT), options)
