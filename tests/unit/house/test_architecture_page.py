"""docs/architecture.md: its tables are the rules that are tested, and what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from test_dependencies import GROUND, MAY_INCLUDE, MOST_LINES, MOST_MODULES, ROOMS

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "architecture.md"
TEXT = PAGE.read_text()
TOP = {"docs", "emulation", "experiments", "firmware", "golden", "harness", "models", "tests"}
CODE = r"`([^`]+)`"


def part(title: str) -> str:
    """The page from one heading to the next."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(text: str) -> dict[str, set[str]]:
    """Name in the first column of a table: names in its last one."""
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {re.findall(CODE, cells[0])[0]: set(re.findall(CODE, cells[-1])) for cells in rows}


def paths(text: str) -> list[str]:
    """Paths in code marks; a bare file name lies in the folder of the path before it."""
    found: list[str] = []
    for name in re.findall(CODE, text):
        if re.fullmatch(r"\w+\.(py|c|h)", name) and found:
            found.append(str(Path(found[-1]).parent / name))
        elif name.split("/")[0] in TOP and "/" in name and name != "tests/unit/ROOM":
            found.append(name)
    return found


def test_the_rooms_are_those_of_the_dependency_test() -> None:
    assert table(part("Rooms of the harness")) == ROOMS
    firmware = {room: known - {room} for room, known in MAY_INCLUDE.items()}
    assert table(part("Rooms of the firmware")) == firmware
    assert f"more than {MOST_MODULES} modules" in TEXT
    assert f"more than\n{MOST_LINES} lines" in TEXT


def test_who_knows_golden_is_who_imports_it() -> None:
    knows = {
        room
        for room in ROOMS
        if any("picotrain_golden" in path.read_text() for path in (GROUND / room).rglob("*.py"))
    }
    assert knows == set(ROOMS) - {"image"}
    assert "every room but `image` knows golden" in TEXT


@pytest.mark.parametrize("title", ["The way of one image", "To add"])
def test_paths_are_there(title: str) -> None:
    named = paths(part(title))
    assert len(named) >= 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_test_sees_paths() -> None:
    text = "`docs/numerics.md` (6), `golden/picotrain_golden/plan.py`, `trainer.py`, `run`, `a/b`"
    assert paths(text) == [
        "docs/numerics.md",
        "golden/picotrain_golden/plan.py",
        "golden/picotrain_golden/trainer.py",
    ]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("harness/picotrain/cli/__init__.py", {"VERBS"}),
        ("harness/picotrain/cli/learn/targets.py", {"add_parser", "run"}),
        ("harness/picotrain/datasets/mnist.py", {"FILES", "load"}),
        ("harness/picotrain/device/blob.py", {"METHOD_KINDS"}),
        ("harness/picotrain/learn/adapt.py", {"prepare", "adapt"}),
        ("harness/picotrain/learn/methods.py", {"add_options", "from_options"}),
        ("tests/support.py", {"METHODS"}),
    ],
)
def test_what_is_told_to_be_in_a_file_is_in_it(path: str, names: set[str]) -> None:
    defined = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert names <= defined
    assert path in TEXT


def test_the_picture_has_every_room_and_ten_stations() -> None:
    picture = ElementTree.parse(PAGE.parent / "figures" / "architecture.svg")
    texts = {(element.text or "").strip() for element in picture.iter()}
    assert set(ROOMS) | set(MAY_INCLUDE) <= texts
    stations = re.findall(r"^\| (\d+) \|", part("The way of one image"), re.MULTILINE)
    assert stations == [str(number) for number in range(1, 11)]
    assert {text for text in texts if text.isdigit()} == set(stations)
