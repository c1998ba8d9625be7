"""docs/python.md: its programs print what it shows, and its names are those there are."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import picotrain
from picotrain.device import backends
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [
    (text, shown)
    for (kind, text), (next_kind, shown) in pairwise(BLOCKS)
    if (kind, next_kind) == ("python", "")
]
SOURCE = ast.parse(Path(picotrain.__file__).read_text(encoding="utf-8"))


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a folder without anything of this repository."""
    file = folder / "program.py"
    file.write_text(program)
    command = [sys.executable, str(file)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def test_there_are_three_programs() -> None:
    assert [re.findall(r'open_device\(("?\w+"?)\)', text) for text, _ in PROGRAMS] == [
        ['"host"'],
        ["target"],
        ['"host"'],
    ]
    assert '("golden", "qemu")' in PROGRAMS[1][0]
    assert all(text.count("\n") <= 26 for text, _ in PROGRAMS)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(
            number,
            marks=pytest.mark.skipif(
                bool(backends.problem(target)), reason=f"{target}: {backends.problem(target)}"
            ),
            id=f"{number}-{target}",
        )
        for number, target in enumerate(("host", "qemu", "host"))
    ],
)
def test_programs_print_what_the_page_shows(number: int, tmp_path: Path) -> None:
    program, shown = PROGRAMS[number]
    done = run(program, tmp_path)
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


def test_a_mistake_is_one_sentence_at_the_end_of_its_traceback(tmp_path: Path) -> None:
    program = PROGRAMS[0][0].replace('"digits")\noptions', '"mnits")\noptions')
    done = run(program, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "picotrain.errors.UserError: no backbone is shipped for mnits; make one with "
        "`picotrain pretrain` and name its file instead"
    )


def test_a_network_that_does_not_fit_is_refused() -> None:
    dataset = picotrain.load_dataset("digits")
    network = picotrain.load_network("oddnet", seed=1)
    with (
        picotrain.open_device("golden") as device,
        pytest.raises(picotrain.UserError, match="network oddnet takes images of 21x19x3, data"),
    ):
        picotrain.adapt(device, network, dataset, picotrain.AdaptOptions(epochs=1))


def test_every_name_is_there_and_typed() -> None:
    for_checkers = {
        alias.asname or alias.name
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("picotrain")
        for alias in node.names
    }
    assert for_checkers == set(picotrain.__all__) == set(picotrain._PLACES)
    assert sorted(picotrain.__all__) == picotrain.__all__
    assert set(picotrain.__all__) <= set(dir(picotrain))
    for name in picotrain.__all__:
        value = getattr(picotrain, name)
        assert value.__name__ == ("load" if name == "load_dataset" else name)
        assert value.__doc__
    with pytest.raises(AttributeError, match="module 'picotrain' has no attribute 'adopt'"):
        picotrain.adopt  # noqa: B018


def test_no_name_hides_a_room_or_a_module() -> None:
    folder = Path(picotrain.__file__).parent
    assert {path.stem for path in folder.iterdir()} & set(picotrain.__all__) == set()


def test_the_page_names_all_and_no_other() -> None:
    table = PAGE[PAGE.index("## The names") : PAGE.index("A `Device` has")]
    rows = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    elsewhere = {"BatchResult", "TraceTensor", "Dataset", "Network", "AdaptResult"}
    assert {*rows, *elsewhere} == set(picotrain.__all__)
    assert all(f"`{name}" in PAGE for name in elsewhere)


@pytest.mark.parametrize("device", [Device, MailboxDevice, GoldenDevice])
def test_a_device_has_what_the_page_says(device: type) -> None:
    table = PAGE[PAGE.index("A `Device` has") : PAGE.index("## In your tests")]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    methods = {name for cell in cells for name in re.findall(r"`(\w+)\(", cell)}
    assert methods >= {"load_model", "set_method", "train", "trace", "memory", "close"}
    missing = {name for name in methods if not inspect.isfunction(getattr(device, name, None))}
    assert missing == set()


def test_the_test_on_the_page_runs(pytester: pytest.Pytester) -> None:
    """With the settings that it shows, on a network that is there."""
    kinds = [kind for kind, _ in BLOCKS]
    at = kinds.index("toml")
    assert kinds[at - 1] == "python"
    pytester.makepyfile(BLOCKS[at - 1][1].replace("my-network.toml", "tinycnn"))
    without = ("cacheprovider", "hypothesispytest", "pytest_embedded")
    addopts = " ".join(f"-p no:{name}" for name in without)
    pytester.makepyprojecttoml(f'{BLOCKS[at][1]}addopts = "{addopts}"\n')
    named = ["--picotrain-target", "host", "--picotrain-target", "golden"]
    assert f"`pytest {' '.join(named[:3])} qemu`" in PAGE
    pytester.runpytest(*named).assert_outcomes(passed=2)


def test_options_that_the_page_names_are_all() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `AdaptOptions("))
    named = set(re.findall(r"`(\w+)`", row.split("|")[2]))
    options = set(inspect.signature(picotrain.AdaptOptions).parameters)
    assert named == options - {"calibration_samples"}


def test_importing_it_imports_nothing_heavy() -> None:
    program = """
import sys
import picotrain
heavy = {"numpy", "scipy", "elftools", "picotrain_golden", "picotrain.errors"} & set(sys.modules)
assert not heavy, heavy
picotrain.UserError
assert "numpy" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
