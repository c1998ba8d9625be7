"""Who may know whom (docs and README draw the same picture), and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FIRMWARE = ROOT / "firmware"

# C

FREESTANDING = {"stdint.h", "stdbool.h", "stddef.h", "limits.h", "stdalign.h", "stdarg.h"}
INTRINSICS = {"kernels/portable/pt_avx512.h": "immintrin.h"}
"""The one header that names what only some hosts have; where it does, plain C stands beside it."""
MAY_INCLUDE = {
    "kernels": {"kernels"},
    "nn": {"nn", "kernels"},
    "app": {"app", "nn", "kernels"},
    "boards": {"app", "kernels"},  # kernels: a board without a C library implements pt_memory.h
}
NOT_IN_C = {
    *("float", "double", "_Float16", "__fp16"),
    *("malloc", "calloc", "realloc", "free", "alloca"),
    *("printf", "fprintf", "assert", "longjmp", "setjmp"),
}
SOURCES = sorted(
    path
    for path in FIRMWARE.rglob("*.[chS]")
    if path.parent != FIRMWARE and not path.is_relative_to(FIRMWARE / "examples")
)
"""Examples are programs of users, picotrain.h is theirs too."""


def includes(source: str) -> list[tuple[bool, str]]:
    """(in angle brackets, name) of every #include."""
    found = re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', source, re.MULTILINE)
    return [(bracket == "<", name) for bracket, name in found]


def tokens(source: str) -> set[str]:
    """Identifiers of a C source outside comments and strings."""
    bare = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', " ", source, flags=re.DOTALL)
    return set(re.findall(r"[A-Za-z_]\w*", bare))


def part_of(path: Path) -> str:
    return path.relative_to(FIRMWARE).parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FIRMWARE)))
def test_includes(path: Path) -> None:
    allowed = MAY_INCLUDE[part_of(path)]
    for system, name in includes(path.read_text()):
        if system:
            # A board may be a program of an operating system; the rest has none.
            own = INTRINSICS.get(str(path.relative_to(FIRMWARE)))
            assert part_of(path) == "boards" or name in FREESTANDING or name == own, name
            continue
        # A name from the top of firmware/, so that it says where the file is.
        assert (FIRMWARE / name).is_file() or (path.parent / name).is_file(), name
        if (FIRMWARE / name).is_file():
            own_board = part_of(path) == "boards" and name.startswith("boards/")
            assert own_board or name.split("/")[0] in allowed, name


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if part_of(path) != "boards"],
    ids=lambda path: str(path.relative_to(FIRMWARE)),
)
def test_no_float_heap_or_stdio(path: Path) -> None:
    assert tokens(path.read_text()) & NOT_IN_C == set()


def test_the_checks_of_c_see_what_they_should() -> None:
    assert len(SOURCES) > 30
    assert {part_of(path) for path in SOURCES} == set(MAY_INCLUDE)
    assert includes('#include <stdio.h>\n  # include "nn/pt_plan.h"\n// x') == [
        (True, "stdio.h"),
        (False, "nn/pt_plan.h"),
    ]
    code = 'int x; /* float\n */ // double\nconst char *s = "malloc"; float y = 1;'
    assert tokens(code) & NOT_IN_C == {"float"}


def test_every_folder_of_the_firmware_has_a_rule() -> None:
    folders = {path.name for path in FIRMWARE.iterdir() if path.is_dir()}
    assert folders - {"examples"} == set(MAY_INCLUDE)


# Python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "pyelftools": "elftools",
    "pyserial": "serial",
    "tflite-micro": "tflite_micro",
}


def packages(entries: list[str]) -> set[str]:
    """Names to import of requirements, as pyproject.toml lists them."""
    names = (re.split(r"[<>=\[ ]", entry)[0] for entry in entries)
    return {DISTRIBUTIONS.get(name, name) for name in names}


DEPENDENCIES = packages(PROJECT["dependencies"])
EXTRAS = {
    name
    for extra in ("convert", "dask", "parquet", "train")
    for name in packages(PROJECT["optional-dependencies"][extra])
}
"""Imported only where they are used, so that all else works without them."""
STDLIB = set(sys.stdlib_module_names)
PACKAGES = {
    "picotrain_golden": ROOT / "golden" / "picotrain_golden",
    "picotrain": ROOT / "harness" / "picotrain",
}
MAY_IMPORT = {
    "picotrain_golden": STDLIB | {"numpy", "picotrain_golden"},
    "picotrain": STDLIB | DEPENDENCIES | EXTRAS | {"picotrain_golden", "picotrain"},
}
GROUND = PACKAGES["picotrain"]
PLUGIN = GROUND / "pytest_plugin.py"
ENTRANCES = ("__init__", "__main__", "pytest_plugin")
"""Modules of the ground floor that stand above the rooms: a user comes in by them."""
MODULES = sorted(path for package in PACKAGES.values() for path in package.rglob("*.py"))

ROOMS = {
    "image": set(),
    "datasets": set(),
    "quantise": set(),
    "device": {"image"},
    "learn": {"device", "image", "datasets", "quantise"},
    "convert": {"learn", "device", "image", "datasets", "quantise"},
    "profile": {"learn", "device", "image", "datasets"},
    "shrink": {"profile", "learn", "device", "image", "datasets", "quantise"},
    "research": {
        *("shrink", "profile", "convert", "learn", "device", "image", "datasets", "quantise"),
    },
    "hardware": {"profile", "learn", "device", "image", "datasets"},
    "cli": {
        *("hardware", "research", "shrink", "profile", "convert", "learn", "device", "image"),
        *("datasets", "quantise"),
    },
}
"""Which room may know which; all know the ground floor, and that knows none."""
MOST_MODULES = 12
"""On the ground floor of a room: more is a room that wants another."""


def package_of(path: Path) -> str:
    return next(name for name, folder in PACKAGES.items() if folder in path.parents)


def imports(source: str) -> set[str]:
    """Names of all imported modules, those in functions too; a relative import begins with `.`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path.read_text())}
    allowed = MAY_IMPORT[package_of(path)]
    assert names <= allowed | ({"pytest"} if path == PLUGIN else set())


def test_extras_are_imported_in_functions_only() -> None:
    seen = set()
    for path in MODULES:
        tree = ast.parse(path.read_text())
        top = {name.split(".")[0] for name in imports(ast.unparse(_without_functions(tree)))}
        assert top & EXTRAS == set(), path.name
        seen |= {name.split(".")[0] for name in imports(path.read_text())} & EXTRAS
    assert {"distributed", "flatbuffers", "onnx", "tflite", "tflite_micro", "torch"} <= seen


def _without_functions(tree: ast.Module) -> ast.Module:
    statements = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    return ast.Module([node for node in statements if not isinstance(node, ast.ClassDef)], [])


def room_of(path: Path) -> str:
    """The room of a module of picotrain; empty on the ground floor."""
    parts = path.relative_to(GROUND).parts
    return parts[0] if len(parts) > 1 else ""


def rooms_known(source: str) -> set[str]:
    """The rooms that a source imports from."""
    ours = [name.split(".") for name in imports(source) if name.startswith("picotrain.")]
    return {parts[1] for parts in ours} & set(ROOMS)


OF_PICOTRAIN = [path for path in MODULES if package_of(path) == "picotrain"]


@pytest.mark.parametrize("path", OF_PICOTRAIN, ids=lambda path: str(path.relative_to(GROUND)))
def test_rooms(path: Path) -> None:
    room = room_of(path)
    if not room and path.stem in ENTRANCES:
        return
    known = rooms_known(path.read_text()) - {room}
    assert known <= ROOMS.get(room, set()), sorted(known)


def test_every_room_has_a_rule_and_says_what_it_is_for() -> None:
    folders = {path.parent for path in GROUND.rglob("__init__.py")}
    assert {folder.name for folder in folders if folder.parent == GROUND} == set(ROOMS)
    for folder in folders:
        assert (ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "") != ""


def test_arrows_run_one_way() -> None:
    for room, known in ROOMS.items():
        for other in known:
            assert room not in ROOMS[other]


def test_no_floor_is_crowded() -> None:
    floors: dict[Path, list[str]] = {}
    for path in MODULES:
        if path.stem != "__init__":
            floors.setdefault(path.parent, []).append(path.stem)
    crowded = {
        str(folder.relative_to(ROOT)): len(names)
        for folder, names in floors.items()
        if len(names) > MOST_MODULES
    }
    assert crowded == {}


def test_harness_knows_golden_and_golden_not_harness() -> None:
    known = {
        package: {
            name.split(".")[0]
            for path in folder.rglob("*.py")
            for name in imports(path.read_text())
        }
        for package, folder in PACKAGES.items()
    }
    assert "picotrain_golden" in known["picotrain"]
    assert "picotrain" not in known["picotrain_golden"]


def test_targets_move_bytes_only() -> None:
    """They know nothing of commands, networks or the mathematics (device/targets/base.py)."""
    known = {
        *("picotrain.device.cycles", "picotrain.device.link", "picotrain.device.targets"),
        *("picotrain.errors", "picotrain.image", "picotrain.places", "picotrain.versions"),
    }
    for path in (GROUND / "device" / "targets").glob("*.py"):
        for name in imports(path.read_text()):
            if name.split(".")[0] == "picotrain" and name.count(".") > 1:
                assert any(name == one or name.startswith(f"{one}.") for one in known), path.name
            assert name.split(".")[0] != "picotrain_golden", path.name


def test_the_checks_of_python_see_what_they_should() -> None:
    assert len(MODULES) > 25
    source = "import os.path\ndef f():\n    from picotrain import cli\n    from . import x\n"
    assert imports(source) == {"os.path", "picotrain", "picotrain.cli", ".", "..x"}
    assert {"numpy", "scipy", "sklearn", "elftools", "tqdm"} <= DEPENDENCIES
    assert {
        "dask",
        "distributed",
        "flatbuffers",
        "onnx",
        "pyarrow",
        "tflite",
        "tflite_micro",
        "torch",
    } == EXTRAS


# All files


def tracked() -> list[Path]:
    """The files of the repository, those not yet committed too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, or git is not installed")
    paths = [ROOT / name.decode() for name in names.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


MOST_LINES = 600
SOURCE_SUFFIXES = {".py", ".c", ".h", ".S", ".mjs", ".cs"}
LONG = {
    "emulation/renode/CycleCounter.cs",
    "emulation/renode/Rp2040.cs",
    "emulation/rp2040js/usb.mjs",
    "firmware/boards/rp2040/usb.c",
}
"""Longer, because each is one thing: a chip, a bus, a kernel. None of Python, and none is added."""


def test_no_file_is_long() -> None:
    """Sources and tests; a name leaves the list when its file has become short."""
    long = {
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.suffix in SOURCE_SUFFIXES and len(path.read_text().splitlines()) > MOST_LINES
    }
    assert long == LONG
    assert not {name for name in LONG if name.endswith(".py")}


def test_lines_of_the_firmware_fit_100_columns() -> None:
    """Python's are held by ruff."""
    wide = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path.suffix in {".c", ".h", ".S", ".inc"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []


MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:work|root|home|Users)/\w")


def machine_paths(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_no_path_of_a_machine() -> None:
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            lines = machine_paths(data.decode(errors="replace"))
            if lines:
                found[str(path.relative_to(ROOT))] = lines
    assert found == {}


def test_the_check_of_paths_sees_them() -> None:
    slash = "/"
    for folder in ("work", "root", "home"):
        assert machine_paths(f"cd {slash}{folder}{slash}main") != []
        assert machine_paths(f'"{slash}{folder}{slash}x"') != []
    assert machine_paths(f"https://example.org{slash}home{slash}page") == []
    assert machine_paths(f"docs{slash}work{slash}x") == []


def test_nothing_built_is_tracked() -> None:
    names = [str(path.relative_to(ROOT)) for path in tracked()]
    built = re.compile(r"(^|/)(build|__pycache__|\.venv|node_modules)/|\.(o|elf|so|pyc|uf2|su|d)$")
    assert [name for name in names if built.search(name)] == []
    assert len(names) > 80


def test_modules_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by file name alone, so of two that are alike it runs one."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    shared = {name for name, count in names.items() if count > 1}
    assert shared <= {"conftest.py", "__init__.py"}


def test_makefiles_below_do_not_read_what_the_first_one_takes() -> None:
    """`make TARGETS=...` hands the variable on to each make that a recipe, or a test, runs."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    taken = set(re.findall(r"\b([A-Z][A-Z_]+)=", text)) - {"BUILD", "CC"}
    assert {"TARGETS", "MINUTES", "SHORT"} <= taken
    for path in ("firmware", "tests/fuzz", "emulation/qemu", "emulation/rom", "emulation/renode"):
        below = (ROOT / path / "Makefile").read_text(encoding="utf-8")
        assigned = set(re.findall(r"^([A-Z][A-Z_]+) *[:?+]?=", below, re.MULTILINE))
        assert assigned & taken == set(), path
