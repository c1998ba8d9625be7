"""Which targets the pytest plugin takes, from where, and what becomes of one that cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from picotrain import pytest_plugin
from picotrain.device import backends

pytest_plugins = ["pytester"]

TESTS = """
    def test_one(device, target_name):
        assert device.name == target_name

    def test_without(): pass
"""
NO_HOST_NO_QEMU = """
    import pytest
    from picotrain.device import backends

    @pytest.fixture(scope="session", autouse=True)
    def no_devices():
        real = backends.problem
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                backends,
                "problem",
                lambda name: "buy a cable" if name in ("qemu", "host") else real(name),
            )
            yield
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of a user; `ini` and `pyproject` write its settings."""
    pytester.makepyfile(TESTS)
    return pytester


def ini(project: pytest.Pytester, *lines: str) -> None:
    without = ("cacheprovider", "hypothesispytest", "pytest_embedded")
    addopts = "addopts = " + " ".join(f"-p no:{name}" for name in without)
    project.makeini("\n".join(("[pytest]", addopts, *lines)))


def on(result: pytest.RunResult) -> list[str]:
    """The targets in the ids of `test_one`, in order."""
    lines = [line for line in result.outlines if "::test_one[" in line and "%" in line]
    return [line.partition("[")[2].partition("]")[0] for line in lines]


@pytest.mark.parametrize(
    "lines",
    [
        ["picotrain_targets = host golden"],
        ["picotrain_targets = host golden host"],
        ["picotrain_targets =", "    host", "    golden"],
    ],
    ids=["words", "twice", "lines"],
)
def test_targets_of_the_ini(project: pytest.Pytester, lines: list[str]) -> None:
    ini(project, *lines)
    result = project.runpytest("-v")
    result.assert_outcomes(passed=3)
    assert on(result) == ["host", "golden"]


def test_targets_of_pyproject(project: pytest.Pytester) -> None:
    project.makepyprojecttoml(
        '[tool.pytest.ini_options]\npicotrain_targets = ["golden", "host"]\n'
        'addopts = "-p no:cacheprovider -p no:hypothesispytest -p no:pytest_embedded"\n'
    )
    result = project.runpytest("-v")
    result.assert_outcomes(passed=3)
    assert on(result) == ["golden", "host"]


def test_the_option_goes_before_the_ini(project: pytest.Pytester) -> None:
    ini(project, "picotrain_targets = host")
    result = project.runpytest("-v", "--picotrain-target", "golden")
    result.assert_outcomes(passed=2)
    assert on(result) == ["golden"]


def test_what_is_given_as_an_example_is_a_target() -> None:
    """The help has no list of its own: an unknown name is answered with what there is."""
    text = Path(pytest_plugin.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:golden|host|qemu|rp2040js|renode)-[a-z]+", text))
    assert named == {"qemu-portable"} and named < set(backends.VARIANTS)


def test_unknown_target_of_the_ini(project: pytest.Pytester) -> None:
    ini(project, "picotrain_targets = host pico")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: picotrain_targets: unknown target 'pico'; use one of golden, host, host-*"]
    )


def test_a_quote_that_is_not_closed_names_the_key(project: pytest.Pytester) -> None:
    ini(project, 'picotrain_targets = "unclosed')
    result = project.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: picotrain_targets cannot be read: No closing quotation; mend the quotes there"]
    )


def test_a_number_is_no_target(project: pytest.Pytester) -> None:
    project.makepyprojecttoml("[tool.pytest.ini_options]\npicotrain_targets = [1]\n")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: picotrain_targets: unknown target '1'; use one of *"])


@pytest.mark.parametrize("place", ["--picotrain-target", "picotrain_targets"])
@pytest.mark.parametrize("name", ["qemu", "host"])
def test_a_named_target_that_cannot_be_had_is_an_error(
    project: pytest.Pytester, place: str, name: str
) -> None:
    """`host` too: that it is the default does not make it less named."""
    project.makeconftest(NO_HOST_NO_QEMU)
    option = place.startswith("-")
    ini(project, "" if option else f"picotrain_targets = golden {name}")
    result = project.runpytest(*(f"{place}=golden", f"{place}={name}") if option else ())
    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    sentence = f"target {name}, named by {place}, does not work here: buy a cable"
    assert sentence in result.outlines
    assert "def _picotrain_target" not in str(result.stdout)


def test_a_default_that_cannot_be_had_is_a_skip(project: pytest.Pytester) -> None:
    project.makeconftest(NO_HOST_NO_QEMU)
    ini(project)
    result = project.runpytest("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*target host does not work here: buy a cable"])


def test_a_target_that_does_not_connect_is_one_sentence(project: pytest.Pytester) -> None:
    ini(project)
    result = project.runpytest("--picotrain-target", "serial:no/such/port")
    result.assert_outcomes(passed=1, errors=1)
    said = result.outlines.index(
        "target serial:no/such/port: there is no serial port no/such/port: "
        "plug the device in, and see which port appears (`picotrain ports`)"
    )
    assert "ERROR at setup" in result.outlines[said - 1]
    assert result.outlines[said + 1].startswith("====")


def test_fixtures_of_the_project_go_before_ours(project: pytest.Pytester) -> None:
    """Neither are they repeated for each target."""
    project.makeconftest(
        """
        import pytest

        @pytest.fixture
        def target_name(): return "their target"

        @pytest.fixture
        def device(): return "their device"
        """
    )
    project.makepyfile(
        """
        def test_theirs(device, target_name):
            assert (device, target_name) == ("their device", "their target")
        """
    )
    ini(project)
    result = project.runpytest("--picotrain-target=golden", "--picotrain-target=host")
    result.assert_outcomes(passed=1)
