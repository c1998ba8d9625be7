"""A pytest plugin: tests that run on a picotrain device, in this repository and in yours.

It comes with the package (entry point `picotrain`) and adds

- the option `--target NAME`, repeatable: `host` (the default), `qemu`, `rp2040js`, `renode`,
  `golden`, a Pico at `serial:PORT`, and those with other kernels: `host-tuned`, `qemu-portable`,
  `qemu-dense`, `qemu-large`;
- the fixture `device`, a connected `picotrain.device.interface.Device` without a model, once per
  chosen target;
- the fixture `target_name`, the name of that target, for tests that open their own device.

A test that takes `device` runs once on each target, with the target in its id:

    import numpy as np
    from picotrain_golden import Method
    from picotrain.learn import models

    def test_my_network_fits(device):
        network = models.initial_network(models.resolve("my-network.toml"), seed=1)
        device.load_model(network)
        device.set_method(Method("niti-dynamic"))
        result = device.train(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.uint8))
        assert result.predictions.shape == (1,)

    $ pytest --target host --target qemu

Connections are kept between tests. A refused command (`CommandError`) does no harm; a device that a
test crashed, hung, closed or overwrote is connected anew for the next test.
"""

# What the fixtures need is imported in them: every run of pytest imports this module.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from picotrain.device.interface import Device

_DEFAULT = ["host"]
_PROBE_SECONDS = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--target`."""
    parser.getgroup("picotrain").addoption(
        "--target",
        action="append",
        dest="picotrain_targets",
        metavar="NAME",
        help="run tests that take `device` on this picotrain target: golden, host, qemu, rp2040js, "
        "renode or serial:PORT, or with other kernels host-tuned, qemu-portable, qemu-dense "
        "or qemu-large; repeat for several "
        f"(default: {', '.join(_DEFAULT)})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse unknown targets before any test runs."""
    if config.getoption("picotrain_targets"):
        from picotrain.device.backends import variant_of
        from picotrain.errors import UserError

        for name in _targets(config):
            try:
                variant_of(name)
            except UserError as error:
                raise pytest.UsageError(f"--target: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test that takes `target_name` or `device` on every chosen target."""
    if "target_name" in metafunc.fixturenames:
        # Of session scope: pytest then runs all tests of one target before those of the next.
        metafunc.parametrize(
            "target_name", _targets(metafunc.config), indirect=True, scope="session"
        )


def _targets(config: pytest.Config) -> list[str]:
    chosen: list[str] = config.getoption("picotrain_targets") or _DEFAULT
    return list(dict.fromkeys(chosen))


class _Devices:
    """The connections of a test session, by target."""

    def __init__(self) -> None:
        self._open: dict[str, Device] = {}

    def get(self, name: str) -> Device:
        """The connected device, as after a reset."""
        from picotrain.device.backends import open_device, variant_of

        device = self._open.pop(name, None)
        if device is None or not _reset(device):
            if device is not None:
                device.close()
            target, kernels = variant_of(name)
            device = open_device(target, kernels=kernels)
        self._open[name] = device
        return device

    def close(self) -> None:
        for device in self._open.values():
            device.close()
        self._open.clear()


def _reset(device: Device) -> bool:
    """Make the device forget its model. False: it cannot, and must be connected anew."""
    from picotrain.device.mailbox import MailboxDevice
    from picotrain.errors import DeviceFailure

    if not isinstance(device, MailboxDevice):
        return False  # golden: making a new one is as good
    try:
        device.command("RESET", timeout=_PROBE_SECONDS)
        device.check()
    except DeviceFailure:
        return False
    return True


@pytest.fixture(scope="session")
def _picotrain_devices() -> Iterator[_Devices]:
    devices = _Devices()
    yield devices
    devices.close()


@pytest.fixture(scope="session")
def target_name(request: pytest.FixtureRequest) -> str:
    """The name of the target of this run of the test; skips where it does not work here."""
    from picotrain.device.backends import problem

    name: str = request.param
    remedy = problem(name)
    if remedy:
        pytest.skip(f"target {name} does not work here: {remedy}")
    return name


@pytest.fixture
def device(target_name: str, _picotrain_devices: _Devices) -> Device:
    """A connected device without a model, on the target of this run of the test."""
    return _picotrain_devices.get(target_name)
