"""A project of one's own whose names are ours of old, with pytest-embedded beside picotrain."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from picotrain.device import backends

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.skipif(
    bool(backends.problem("qemu")), reason=f"target qemu: {backends.problem('qemu')}"
)

FILES = {
    "golden/__init__.py": "ANSWER = 42\n",
    "golden/trainer.py": "class Trainer: pass\n",
    "harness/board.py": "NAME = 'ours'\n",
    "tests/golden.py": "EXPECTED = [1, 2]\n",
    "tests/test_board.py": """
import sys
from pathlib import Path

import numpy as np

import golden
from harness.board import NAME
from picotrain.learn import models
from picotrain_golden import Method


def test_names():
    assert NAME == "ours"
    assert golden.__file__ == str(Path(__file__).parent / "golden.py")
    assert golden.EXPECTED == [1, 2]


def test_step(device, target_name, pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("pytest_embedded")
    assert pytestconfig.getoption("target") == "esp32"
    assert device.name == target_name == "qemu"
    network = models.initial_network(models.resolve("oddnet"), seed=1)
    device.load_model(network)
    device.set_method(Method("niti-dynamic"))
    images = np.full((2, *network.input_shape), 200, np.uint8)
    assert device.train(images, np.array([1, 6], np.uint8)).loss_norms.all()
""",
    "test_top.py": """
import golden
from golden.trainer import Trainer


def test_names(device):
    assert golden.ANSWER == 42 and Trainer.__module__ == "golden.trainer"
    assert device.name == "qemu"
""",
    "pyproject.toml": """
[tool.pytest.ini_options]
addopts = "-p no:cacheprovider -p no:hypothesispytest"
picotrain_targets = ["qemu"]
pythonpath = ["."]
""",
}


@pytest.mark.parametrize(
    ("chosen", "passed"), [("tests", 2), ("test_top.py", 1)], ids=["tests", "top"]
)
def test_tests_run_on_qemu(pytester: pytest.Pytester, chosen: str, passed: int) -> None:
    """In a process of its own: `golden` is one module in it, theirs."""
    assert "pytest_embedded" in {point.name for point in entry_points(group="pytest11")}
    for name, text in FILES.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    result = pytester.runpytest_subprocess("-v", "--target", "esp32", chosen)
    result.assert_outcomes(passed=passed)
    assert "[qemu]" in str(result.stdout)


def test_targets_of_the_two_plugins_are_apart(pytester: pytest.Pytester) -> None:
    """`--target` is pytest-embedded's alone, and `--picotrain-target` is not taken for it."""
    pytester.makepyfile(
        """
        def test_one(pytestconfig, target_name):
            assert pytestconfig.getoption("target") is None
            assert target_name == "host"
        """
    )
    result = pytester.runpytest_subprocess("--picotrain-target=host", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
