"""The library in Arduino's layout, compiled as Arduino's core for the RP2040 does it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from building import FIRMWARE, STRICT
from picotrain.convert.export import arduino
from test_library import FIRST, expected, need, page_code, ran, told

STAND_IN = Path(__file__).with_name("stand_in")
CHIP = ["-mcpu=cortex-m0plus", "-mthumb"]
COMMON = ["-Os", "-ffunction-sections", "-fdata-sections", "-fno-exceptions", "-ffreestanding"]


def test_the_sketch_learns_on_an_emulated_chip(tmp_path: Path) -> None:
    """All objects in one folder; the assembler gets no option, as there."""
    need("arm-none-eabi-gcc", "arm-none-eabi-g++", "arm-none-eabi-nm", "qemu-system-arm")
    with zipfile.ZipFile(io.BytesIO(arduino.archive(arduino.library()))) as made:
        made.extractall(tmp_path)
    root = tmp_path / "picotrain"
    source = root / "src"
    objects = tmp_path / "objects"
    objects.mkdir()
    files = [path for path in source.rglob("*") if path.suffix in (".c", ".S")]
    assert len({path.stem for path in files}) == len(files) > 40
    include = f"-I{source}"
    c_files = [path for path in files if path.suffix == ".c"]
    ran(
        "arm-none-eabi-gcc",
        "-c",
        "-std=gnu17",
        *CHIP,
        *COMMON,
        *STRICT,
        include,
        *c_files,
        cwd=objects,
    )
    assembly = [path for path in files if path.suffix == ".S"]
    ran("arm-none-eabi-gcc", "-c", "-x", "assembler-with-cpp", include, *assembly, cwd=objects)
    sketch = root / "examples" / "first" / "first.ino"
    pico, chip = STAND_IN, STAND_IN / "chip"
    includes = [include, f"-I{chip}", f"-I{STAND_IN / 'arduino'}", f"-I{pico}"]
    ran(
        *("arm-none-eabi-g++", "-c", "-std=gnu++17", "-fno-rtti", *CHIP, *COMMON, *STRICT),
        *(*includes, "-include", "Arduino.h", "-x", "c++", sketch, "-o", "sketch.o"),
        cwd=objects,
    )
    board = FIRMWARE / "boards" / "cortex_m0"
    others = [
        chip / "stdio.c",
        FIRST / "cortex-m0" / "start.c",
        board / "memcpy.S",
        board / "memset.S",
    ]
    ran(
        "arm-none-eabi-gcc",
        "-c",
        *CHIP,
        "-Os",
        "-ffreestanding",
        *includes,
        f"-I{FIRMWARE}",
        *others,
        cwd=objects,
    )
    assert len(list(objects.glob("*.o"))) == len(files) + 1 + len(others)
    link = ["-nostdlib", "-Wl,--gc-sections", "-T", FIRST / "cortex-m0" / "link.ld"]
    ran(
        "arm-none-eabi-gcc",
        *CHIP,
        *link,
        *sorted(objects.glob("*.o")),
        "-lgcc",
        "-o",
        "first",
        cwd=objects,
    )
    (tmp_path / "samples.h").write_text((sketch.parent / "samples.h").read_text())
    before, after = expected(tmp_path)
    said = told(objects / "first")
    assert said == f"right: {before} of 64 before, {after} after\nit returned 0\n"
    symbols = ran("arm-none-eabi-nm", "first", cwd=objects).splitlines()
    inner = next(line for line in symbols if line.endswith(" pt_lanes_row_s32"))
    assert int(inner.split()[0], 16) >= 0x20000000


def test_the_samples_are_those_of_the_page(tmp_path: Path) -> None:
    program = next(code for code in page_code("python") if "samples.h" in code)
    program = program.replace('Path("samples.h")', f"Path({str(tmp_path / 'samples.h')!r})")
    exec(compile(program, "docs/library.md", "exec"), {})
    assert arduino.library()["examples/first/samples.h"] == (tmp_path / "samples.h").read_text()


def test_the_archive_is_the_same_each_time_and_for_one_architecture() -> None:
    files = arduino.library()
    assert arduino.archive(files) == arduino.archive(dict(reversed(files.items())))
    properties = dict(line.split("=", 1) for line in files["library.properties"].splitlines())
    assert properties["architectures"] == "rp2040"
    assert properties["includes"] == "picotrain.h"
    assert not any(
        name.startswith(("src/kernels/portable", "src/kernels/vector")) for name in files
    )
