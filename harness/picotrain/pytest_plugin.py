"""A pytest plugin: tests that run on a picotrain device, in this repository and in yours.

It comes with the package (entry point `picotrain`) and adds

- the option `--picotrain-target NAME`, repeatable, and the ini key `picotrain_targets`, a list, for
  where the option is not given: a target of `picotrain targets` (the default is `host`), or one
  with other kernels, as `--kernels` names them: `qemu-portable`. A name that is none of them is
  answered with all;
- the fixture `device`, a connected `picotrain.device.interface.Device` without a model, once per
  chosen target;
- the fixture `target_name`, the name of that target, for tests that open their own device.

A test that takes `device` runs once on each target, with the target in its id:

    import numpy as np
    import picotrain

    def test_my_network_fits(device):
        network = picotrain.load_network("my-network.toml", seed=1)
        device.load_model(network)
        device.set_method(picotrain.Method("niti-dynamic"))
        result = device.train(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.uint8))
        assert result.predictions.shape == (1,)

    $ pytest --picotrain-target host --picotrain-target qemu

and in pyproject.toml, for every run:

    [tool.pytest.ini_options]
    picotrain_targets = ["host", "qemu"]

A target that was named and does not work here is an error of each test that takes it. Where none
was named and `host` does not work, the tests are skipped: name the targets where that must not be.

Connections are kept between tests. A refused command (`CommandError`) does no harm; a device that a
test crashed, hung, closed or overwrote is connected anew for the next test. Processes of
pytest-xdist have devices of their own; a serial port has one holder, so use `-n 0` with it.
"""

# What the fixtures need is imported in them: every run of pytest imports this module.

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from picotrain.device.interface import Device

_OPTION = "--picotrain-target"
_INI = "picotrain_targets"
_DEFAULT = "host"
_PROBE_SECONDS = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the ini key, with a prefix: `--target` is pytest-embedded's."""
    parser.getgroup("picotrain").addoption(
        _OPTION,
        action="append",
        dest="picotrain_targets",
        metavar="NAME",
        help="run tests that take `device` on this target: one of `picotrain targets`, or "
        "with other kernels as its --kernels names them (qemu-portable); a name that is none is "
        f"answered with all; repeat for several (default: the ini key {_INI}, else {_DEFAULT})",
    )
    parser.addini(
        _INI, f"the picotrain targets where {_OPTION} is not given", type="args", default=[]
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse unknown targets before any test runs."""
    place, names = _named(config)
    if names:
        from picotrain.device.backends import variant_of
        from picotrain.errors import UserError

        for name in names:
            try:
                variant_of(name)
            except UserError as error:
                raise pytest.UsageError(f"{place}: {error}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test that takes `target_name` or `device` on every chosen target."""
    if "_picotrain_target" in metafunc.fixturenames:
        names = _named(metafunc.config)[1] or [_DEFAULT]
        # Of session scope: pytest then runs all tests of one target before those of the next.
        metafunc.parametrize("_picotrain_target", names, indirect=True, scope="session")


def _named(config: pytest.Config) -> tuple[str, list[str]]:
    """The targets that the user named, each once, and where; none where it is left to us."""
    given = config.getoption("picotrain_targets")
    try:
        place, names = (_OPTION, given) if given else (_INI, config.getini(_INI))
    except (ValueError, pytest.UsageError) as error:  # of the quotes in an ini file, by version
        raise pytest.UsageError(f"{_INI} cannot be read: {error}; mend the quotes there") from None
    return place, list(dict.fromkeys(map(str, names)))


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
def _picotrain_target(request: pytest.FixtureRequest) -> str:
    """What is parametrized: a project may have a `target_name` or a `device` of its own."""
    from picotrain.device.backends import problem

    name: str = request.param
    remedy = problem(name)
    if remedy:
        place, named = _named(request.config)
        if named:
            pytest.fail(f"target {name}, named by {place}, does not work here: {remedy}", False)
        pytest.skip(f"target {name} does not work here: {remedy}")
    return name


@pytest.fixture(scope="session")
def target_name(_picotrain_target: str) -> str:
    """The name of the target of this run of the test."""
    return _picotrain_target


@pytest.fixture
def device(_picotrain_target: str, _picotrain_devices: _Devices) -> Device:
    """A connected device without a model, on the target of this run of the test."""
    from picotrain.errors import DeviceFailure, UserError

    try:
        return _picotrain_devices.get(_picotrain_target)
    except UserError as error:
        reason = str(error)
    except DeviceFailure as failure:
        reason = f"{failure.failure_class}: {failure}"
    # Outside of the handler, so that the report is this one sentence.
    pytest.fail(f"target {_picotrain_target}: {reason}", False)
