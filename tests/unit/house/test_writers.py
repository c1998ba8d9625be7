"""Nobody but `picotrain.output` writes files of results; nobody reads text in the locale's way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HARNESS = ROOT / "harness" / "picotrain"

WRITERS = {
    "output.py": "the writer",
    "image/making.py": "what make reads and builds, in the cache",
    "datasets/files.py": "downloads, into the cache",
    "datasets/kept/decoded.py": "data sets that were read before, in the cache",
    "device/targets/host.py": "the memory of a running device",
    "device/targets/node_package.py": "what npm reads, in the folder that it installs into",
    "device/targets/qemu.py": "the log of a running emulator",
    "device/targets/renode.py": "what Renode reads, in a folder that goes with it",
    "device/targets/renode_release.py": "a download",
    "device/targets/rp2040js.py": "what the emulator reads, in a folder that goes with it",
    "hardware/flash.py": "the drive of a Pico, and what picotool reads",
}
"""Modules that write something, and what; results are not among it."""

_ALWAYS = {
    *("write_text", "write_bytes", "savez", "savez_compressed", "tofile", "to_parquet"),
    *("mkstemp", "NamedTemporaryFile", "TemporaryFile", "copyfile", "copy2", "copytree", "move"),
    *("touch", "mkfifo", "symlink_to", "hardlink_to"),
}
_TO_MEMORY = {"savefig", "to_csv", "to_parquet", "savez_compressed"}
"""Their first argument may be a buffer."""
_OPENERS = {"open", "fdopen", "ZipFile"}


def writes(source: str) -> list[str]:
    """Calls that write a file: "line: call"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
        ours = name in ("write_text", "write_bytes") and not method
        buffered = name in _TO_MEMORY and node.args and _is_memory(node.args[0])
        opened = name in _OPENERS and any(_is_mode(one) for one in _modes(node))
        if (name in _ALWAYS | _TO_MEMORY and not ours and not buffered) or opened:
            found.append(f"{node.lineno}: {name}")
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_memory(node: ast.expr) -> bool:
    """`None`, or a variable that by its name here is a buffer."""
    return (isinstance(node, ast.Constant) and node.value is None) or _name(node) in (
        "out",
        "whole",
        "stream",
    )


def _modes(node: ast.Call) -> list[ast.expr]:
    if _name(node.func) == "ZipFile" or getattr(node.func, "attr", "") == "ZipFile":
        # Into a buffer, as savez_compressed.
        return [] if node.args and _is_memory(node.args[0]) else list(node.args)
    return [*node.args, *(one.value for one in node.keywords if one.arg == "mode")]


def _is_mode(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and set(node.value) <= set("rwaxbt+")
        and bool(set(node.value) & set("wax+"))
    )


def unspoken(source: str) -> list[str]:
    """Calls that decode text by the locale."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
        given = {one.arg for one in node.keywords}
        if name == "read_text" and isinstance(node.func, ast.Attribute):
            module = isinstance(node.func.value, ast.Name) and node.func.value.id == "inputs"
            if "encoding" not in given and not module:
                found.append(f"{node.lineno}: {name}")
        if given & {"text", "universal_newlines"} and "encoding" not in given:
            found.append(f"{node.lineno}: {name}")
    return found


SOURCES = sorted(HARNESS.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_only_the_writer_writes(path: Path) -> None:
    found = writes(path.read_text(encoding="utf-8"))
    assert bool(found) == (str(path.relative_to(HARNESS)) in WRITERS), found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HARNESS)))
def test_text_is_read_in_an_encoding_that_is_named(path: Path) -> None:
    assert unspoken(path.read_text(encoding="utf-8")) == []


def test_the_checks_see_what_they_should() -> None:
    for line in (
        "path.write_text('')",
        "file.write_bytes(b'')",
        "open('x', 'w')",
        "path.open('r+b')",
        "path.open(mode='ab')",
        "np.savez(path, x=x)",
        "np.savez_compressed(path, x=x)",
        "figure.savefig(path)",
        "frame.to_csv(path)",
        "tempfile.NamedTemporaryFile()",
        "zipfile.ZipFile(path, 'w')",
    ):
        assert len(writes(line)) == 1, line
    for line in ("path.open('rb')", "write_text(path, '')", "frame.to_csv(None)", "open(path)"):
        assert writes(line) == [], line
    assert unspoken("path.read_text()") == ["1: read_text"]
    assert unspoken("subprocess.run(x, text=True)") == ["1: run"]
    assert unspoken("path.read_text(encoding='utf-8')") == []
    assert len(SOURCES) > 90
