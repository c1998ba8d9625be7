"""`golden` stands alone: the standard library and NumPy."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import picotrain_golden

MODULES = sorted(Path(picotrain_golden.__file__).parent.rglob("*.py"))
ALLOWED = sys.stdlib_module_names | {"numpy", "picotrain_golden"}


def imported(source: str) -> set[str]:
    """Top-level names of the modules that a source imports; a relative import is `.`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else (node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports(path: Path) -> None:
    assert imported(path.read_text()) <= ALLOWED


def test_the_check_sees_imports() -> None:
    assert len(MODULES) >= 10
    assert imported("import os.path\ndef f():\n    from torch.nn import x\n") == {"os", "torch"}


def test_public_names_exist() -> None:
    assert all(hasattr(picotrain_golden, name) for name in picotrain_golden.__all__)
