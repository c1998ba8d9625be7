"""The pytest plugin, run by pytest in projects of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from picotrain.device import backends

pytest_plugins = ["pytester"]

TEST_OF_A_USER = """
    import numpy as np
    import pytest
    from picotrain_golden import Method
    from picotrain.learn import models

    def test_my_network(device, target_name):
        assert device.name == target_name
        network = models.initial_network(models.resolve("oddnet"), seed=1)
        device.load_model(network)
        device.set_method(Method("niti-dynamic"))
        images = np.full((2, *network.input_shape), 200, np.uint8)
        assert device.train(images, np.array([1, 6], np.uint8)).loss_norms.all()
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of a user, with nothing of this repository but the installed package.

    Hypothesis's plugin takes a second of each run to load what it then does not need.
    """
    without = ("cacheprovider", "hypothesispytest", "pytest_embedded")
    pytester.makeini(f"[pytest]\naddopts = {' '.join(f'-p no:{name}' for name in without)}\n")
    return pytester


def ids(result: pytest.RunResult) -> list[str]:
    return [line.split(" ")[0].split("::")[-1] for line in result.outlines if "::" in line]


def test_is_registered() -> None:
    found = [point for point in entry_points(group="pytest11") if point.name == "picotrain"]
    assert [point.value for point in found] == ["picotrain.pytest_plugin"]


def test_the_help_says_where_the_names_are(project: pytest.Pytester) -> None:
    result = project.runpytest("--help")
    text = " ".join(" ".join(result.outlines).split())
    assert "--picotrain-target=NAME" in text or "--picotrain-target NAME" in text
    option = text[text.index("--picotrain-target") :][:360]
    assert "`picotrain targets`" in option and "a name that is none is answered with all" in option


def test_default_is_host(project: pytest.Pytester) -> None:
    project.makepyfile(TEST_OF_A_USER)
    result = project.runpytest("-v")
    result.assert_outcomes(passed=1)
    assert ids(result) == ["test_my_network[host]"]


def test_chosen_targets_in_order_and_once(project: pytest.Pytester) -> None:
    project.makepyfile(TEST_OF_A_USER)
    result = project.runpytest(
        "-v",
        "--picotrain-target",
        "golden",
        "--picotrain-target=host",
        "--picotrain-target",
        "golden",
    )
    result.assert_outcomes(passed=2)
    assert ids(result) == ["test_my_network[golden]", "test_my_network[host]"]


@pytest.mark.skipif(bool(backends.problem("qemu")), reason=backends.problem("qemu"))
def test_qemu(project: pytest.Pytester) -> None:
    project.makepyfile(TEST_OF_A_USER)
    result = project.runpytest("-v", "--picotrain-target", "qemu", "--picotrain-target", "host")
    result.assert_outcomes(passed=2)
    assert ids(result) == ["test_my_network[qemu]", "test_my_network[host]"]


def test_every_variant_runs_its_own_firmware(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from picotrain.device.backends import KERNELS, variant_of

        def test_firmware(device, target_name):
            target, kernels = variant_of(target_name)
            assert device.elf.path == KERNELS[target][kernels]
        """
    )
    works = {name: not backends.problem(name) for name in backends.VARIANTS}
    names = [
        name for name in backends.VARIANTS if name not in ("golden", "renode")
    ]  # slow to start
    result = project.runpytest("-v", *(f"--picotrain-target={name}" for name in names))
    result.assert_outcomes(
        passed=sum(works[name] for name in names), errors=sum(not works[name] for name in names)
    )
    assert ids(result) == [f"test_firmware[{name}]" for name in names]


def test_all_tests_of_a_target_run_together(project: pytest.Pytester) -> None:
    """With other parameters, and tests without a device, in between."""
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_first(device, number): pass

        def test_without(): pass

        def test_second(target_name): pass
        """
    )
    result = project.runpytest("-v", "--picotrain-target", "host", "--picotrain-target", "golden")
    result.assert_outcomes(passed=7)
    with_device = [name for name in ids(result) if "[" in name]
    assert [name for name in with_device if "host" in name] == with_device[:3]
    assert sum("golden" in name for name in with_device) == 3
    assert "test_without" in ids(result)


def test_unknown_target(project: pytest.Pytester) -> None:
    project.makepyfile(TEST_OF_A_USER)
    result = project.runpytest("--picotrain-target", "pico")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --picotrain-target: unknown target 'pico'; use one of "
            f"{', '.join(backends.VARIANTS)}, serial:PORT"
        ]
    )


def test_nothing_heavy_is_imported_where_it_is_not_used(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_modules(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("picotrain")
            for name in ("numpy", "elftools", "picotrain_golden", "picotrain.device.mailbox"):
                assert name not in sys.modules, name
            assert "picotrain.pytest_plugin" in sys.modules
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(passed=1)


def test_a_device_is_kept_between_tests_and_begins_without_a_model(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import pytest
        from picotrain_golden import Method
        from picotrain.learn import models
        from picotrain.errors import CommandError

        seen = []

        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_one(device, number):
            seen.append((device, device._target.pid))
            assert len(set(seen)) == 1
            with pytest.raises(CommandError, match="PT_ERR_STATE") as caught:
                device.set_method(Method("priot"))
            assert caught.value.detail == (0, 1, 0, 0)
            device.load_model(models.initial_network(models.resolve("oddnet"), seed=1))
            device.set_method(Method("niti-dynamic"))
            device.command("INFO")
        """
    )
    project.runpytest().assert_outcomes(passed=3)


def test_golden_begins_without_a_model(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from picotrain_golden import Method
        from picotrain.learn import models
        from picotrain.errors import CommandError

        @pytest.mark.parametrize("number", [1, 2])
        def test_one(device, number):
            with pytest.raises(CommandError, match="PT_ERR_STATE"):
                device.set_method(Method("priot"))
            device.load_model(models.initial_network(models.resolve("oddnet"), seed=1))
            device.set_method(Method("niti-dynamic"))
        """
    )
    project.runpytest("--picotrain-target", "golden").assert_outcomes(passed=2)


BREAKAGES = {
    "refused": "with pytest.raises(CommandError): device.command('TRAIN', [1])",
    "closed": "device.close()",
    "killed": "os.kill(device._target.pid, signal.SIGKILL)",
    "stopped": "os.kill(device._target.pid, signal.SIGSTOP)",
    "overwritten": "device._target.write(device._address, bytes(8))",
    "timed out": "os.kill(device._target.pid, signal.SIGSTOP)\n"
    "            with pytest.raises(TimeoutFailure): device.command('INFO', timeout=0.1)",
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_device_is_connected_anew(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, breakage: str
) -> None:
    """The test that broke it may pass; the next one gets a device that works."""
    monkeypatch.setattr("picotrain.pytest_plugin._PROBE_SECONDS", 0.5)
    project.makepyfile(
        f"""
        import os, signal
        import pytest
        from picotrain.errors import CommandError, TimeoutFailure

        pids = []

        def test_breaks(device):
            device.command("INFO")
            pids.append(device._target.pid)
            {BREAKAGES[breakage]}

        def test_next(device):
            assert device.command("INFO")["magic"] == 0x424D5450
            pids.append(device._target.pid)
            assert (pids[0] == pids[1]) == ({breakage!r} == "refused")
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_a_failing_test_does_not_harm_the_next(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import os, signal

        def test_crashes(device):
            os.kill(device._target.pid, signal.SIGSEGV)
            device.command("INFO")

        def test_next(device):
            device.command("INFO")
        """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*CrashFailure: *SIGSEGV*"])


def test_no_process_is_left(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from pathlib import Path

        def test_one(device):
            Path("pid").write_text(str(device._target.pid))
        """
    )
    project.runpytest().assert_outcomes(passed=1)
    pid = int((project.path / "pid").read_text())
    assert not Path(f"/proc/{pid}/exe").exists()


def test_example_of_the_documentation_runs(project: pytest.Pytester) -> None:
    """The one in the plugin's own docstring, on a network that is there."""
    import picotrain.pytest_plugin as plugin

    assert plugin.__doc__ is not None
    lines = plugin.__doc__.splitlines()
    first = lines.index("    import numpy as np")
    last = next(at for at, line in enumerate(lines) if line.startswith("    $ pytest"))
    source = "\n".join(line[4:] for line in lines[first:last])
    project.makepyfile(source.replace("my-network.toml", "tinycnn"))
    command = lines[last].split()[1:]
    assert command[0] == "pytest"
    project.runpytest("--picotrain-target", "host").assert_outcomes(passed=1)


def test_list_of_fixtures_explains_them() -> None:
    command = [sys.executable, "-m", "pytest", "--fixtures", "-q", "--collect-only"]
    done = subprocess.run(
        [*command, str(Path(__file__).parent / "test_pytest_plugin.py"), "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "A connected device without a model" in done.stdout
    assert "The name of the target of this run of the test" in done.stdout
