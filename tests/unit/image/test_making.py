"""What is compiled at first use: once, whole, and with a sentence where it cannot be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from picotrain import places
from picotrain.errors import BuildFailure, UserError
from picotrain.image import firmware, making
from picotrain.image.making import RECIPES, Recipe

MAKEFILE = """
part: $(BUILD)/one/part
$(BUILD)/one/part: source.c
\tmkdir -p $(@D)
\techo built >>$(BUILD)/count
\tcp source.c $@
\ttouch $(@:part=beside) $@.o
broken:
\tmkdir -p $(BUILD)/one
\techo half >$(BUILD)/one/part
\techo 'source.c:1: error: no such thing' >&2; exit 1
"""
GOOD = Recipe("a part", "small", ("part",), ("one/part",))
BROKEN = Recipe("a part", "small", ("broken",), ("one/part",))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with an odd name, and sources as a wheel has them."""
    shipped = tmp_path / "site & (packages)"
    (shipped / "small").mkdir(parents=True)
    (shipped / "small" / "Makefile").write_text(MAKEFILE)
    (shipped / "small" / "source.c").write_text("int x;\n")
    for path in shipped.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(making, "SHIPPED", shipped)
    monkeypatch.setattr(making, "BUILD", tmp_path / "it's a cache")
    monkeypatch.setenv("BUILD", "/nowhere")
    monkeypatch.setenv("MAKEFLAGS", "n")
    return tmp_path / "it's a cache"


def test_made_once_and_whole(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert making.make(home / "one" / "part", GOOD).read_text() == "int x;\n"
    assert (home / "count").read_text() == "built\n"
    assert (home / "one" / "beside").is_file()
    left = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert left == {".lock", "count", "one/part", "one/beside"}
    assert capsys.readouterr().err == f"picotrain: compiling a part, once, into {home}\n"


def test_what_fails_leaves_nothing(home: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        making.make(home / "one" / "part", BROKEN)
    assert str(caught.value) == ("a part does not compile here: source.c:1: error: no such thing")
    assert [path.name for path in home.iterdir()] == [".lock"]


def test_processes_that_start_together_build_once(home: Path, tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from picotrain.image import making
making.SHIPPED = Path({str(making.SHIPPED)!r})
making.BUILD = Path({str(home)!r})
recipe = making.Recipe("a part", "small", ("part",), ("one/part",))
print(making.make(making.BUILD / "one" / "part", recipe).read_text(), end="")
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate()[0] for process in started] == ["int x;\n"] * 4
    assert (home / "count").read_text() == "built\n"


def test_missing_tools_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CROSS", raising=False)
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    with pytest.raises(BuildFailure) as caught:
        making.make(home / "one" / "part", GOOD)
    assert str(caught.value) == (
        "a part is compiled at first use: install the Debian packages make gcc libc6-dev"
    )
    cross = Recipe("b", "small", (), ("b",), cross=True)
    assert making.lacking(cross) == ["make", "gcc-arm-none-eabi"]
    monkeypatch.setattr(
        shutil, "which", lambda tool: None if tool == "make" else f"/usr/bin/{tool}"
    )
    assert making.lacking(cross) == ["make"]
    assert making.lacking(GOOD) == ["make", "libc6-dev"]
    monkeypatch.setenv("CC", "/opt/bin/clang -m64")
    assert making.lacking(GOOD) == ["make"]


def test_a_cache_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(making, "BUILD", tmp_path / "file")
    with pytest.raises(UserError, match="file: File exists; set PICOTRAIN_CACHE to a folder"):
        making.make(tmp_path / "file" / "part", GOOD)


def test_every_built_part_has_a_recipe() -> None:
    parts = [part for recipe in RECIPES for part in recipe.parts]
    assert len(parts) == len(set(parts))
    for path in (
        *(firmware.HOST, firmware.HOST_TUNED, firmware.HOST_CORES, firmware.HOST_SANITIZED),
        *(firmware.HOST_CORES_THREADS, firmware.RP2040_CORES),
        *(firmware.HOST_TUNED_SANITIZED, firmware.MICROBIT, firmware.MICROBIT_PORTABLE),
        *(firmware.MICROBIT_DENSE, firmware.MICROBIT_LARGE, firmware.RP2040),
        *(firmware.MICROBIT_CHAIN, firmware.MICROBIT_AFFINE),
        *(firmware.RP2040_CHAIN, firmware.RP2040_AFFINE),
        *(firmware.RP2040_ROM, firmware.CYCLE_PLUGIN),
    ):
        recipe = making.recipe_of(path)
        assert recipe is not None, path
        assert (places.SHIPPED / recipe.folder / "Makefile").is_file()
    assert making.recipe_of(places.BUILD / "else") is None
    assert making.recipe_of(Path("/elsewhere")) is None


def test_installed_missing_says_what_would_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = tmp_path / "host" / "picotrain-host"
    monkeypatch.setattr(making, "BUILD", tmp_path)
    monkeypatch.setattr(firmware, "IN_CHECKOUT", False)
    monkeypatch.setattr(making, "lacking", lambda recipe: [])
    assert firmware.missing(absent) == ""
    assert not absent.exists()
    monkeypatch.setattr(making, "lacking", lambda recipe: ["gcc"])
    assert firmware.missing(absent, tmp_path / "qemu" / "cycles.so") == (
        "install the Debian package gcc"
    )
    assert firmware.missing(tmp_path / "what") == "install picotrain again"
