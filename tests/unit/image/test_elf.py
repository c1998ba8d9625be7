"""What `image.elf` reads from DWARF, against what the compiler says in the program itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain.errors import BuildFailure
from picotrain.image.elf import Elf

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="cc is not installed (apt: gcc)")

DECLARATIONS = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum colour { RED = 1, GREEN = 0x10, BLUE = -3, LARGEST = 0x7fffffff };
typedef uint16_t word_t;
typedef const volatile word_t guarded_t;

struct inner { uint8_t first; int32_t second; };
struct outer {
    int8_t signed_byte;
    uint64_t wide;
    uint8_t bytes[5];
    int16_t table[2][3];
    struct inner one;
    struct inner several[3];
    guarded_t guarded;
    volatile uint32_t device;
    void *pointer;
    const struct inner *other;
    uint8_t last;
};
struct open_ended { uint32_t count; uint8_t data[]; };
struct aligned { uint8_t byte; _Alignas(16) uint8_t far; };
struct first_only { enum colour colour; uint8_t small; };
"""

MEMBERS = {
    "inner": ["first", "second"],
    "outer": [
        *("signed_byte", "wide", "bytes", "table", "one", "several", "guarded", "device"),
        *("pointer", "other", "last"),
    ],
    "open_ended": ["count", "data"],
    "aligned": ["byte", "far"],
    "first_only": ["colour", "small"],
}


def compile_program(folder: Path, source: str, *options: str, compiler: str = "cc") -> Path:
    (folder / "program.c").write_text(source)
    command = [compiler, "-std=c11", *options, "-o", str(folder / "program"), "program.c"]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "program"


@pytest.fixture(
    scope="module",
    params=[("cc", "-gdwarf-4"), ("cc", "-gdwarf-5"), ("clang", "-gdwarf-4")],
    ids=" ".join,
)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prints the layouts as the compiler made them, as JSON."""
    lines = []
    for name, members in MEMBERS.items():
        lines.append(f'printf("\\"{name}\\": {{\\"\\": %zu", sizeof(struct {name}));')
        lines += [
            f'printf(", \\"{member}\\": %zu", offsetof(struct {name}, {member}));'
            for member in members
        ]
        lines.append('puts("},");')
    body = "\n    ".join(lines)
    source = (
        f"{DECLARATIONS}\n"
        "int a_number = 7;\n"
        "__attribute__((noinline)) int twice(int x) { return 2 * x; }\n"
        f'int main(void)\n{{\n    puts("{{");\n    {body}\n'
        '    printf("\\"\\": %d}\\n", twice(a_number) - 14);\n    return 0;\n}\n'
    )
    compiler, dwarf = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    options = ("-g", dwarf, "-O1", "-fno-eliminate-unused-debug-types")
    return compile_program(tmp_path_factory.mktemp("elf"), source, *options, compiler=compiler)


@pytest.fixture(scope="module")
def layouts(program: Path) -> dict[str, Any]:
    output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    layouts: dict[str, Any] = json.loads(output)
    assert layouts.pop("") == 0
    return layouts


@pytest.mark.parametrize("name", MEMBERS)
def test_offsets_and_sizes(program: Path, layouts: dict[str, Any], name: str) -> None:
    dtype = Elf(program).dtype(name)
    assert dtype.names == tuple(MEMBERS[name])
    expected = dict(layouts[name])
    assert dtype.itemsize == expected.pop("")
    assert {member: dtype.fields[member][1] for member in dtype.names} == expected


def test_types(program: Path) -> None:
    fields = Elf(program).dtype("outer").fields
    assert fields is not None
    types = {name: field[0] for name, field in fields.items()}
    assert types["signed_byte"] == np.int8
    assert types["wide"] == np.uint64
    assert types["guarded"] == np.uint16
    assert types["device"] == np.uint32
    assert types["pointer"] == types["other"] == np.uint64
    assert types["bytes"] == np.dtype((np.uint8, 5))
    assert types["table"] == np.dtype((np.int16, (2, 3)))
    assert types["several"].shape == (3,)
    assert types["several"].base == types["one"]
    assert types["one"].names == ("first", "second")
    assert types["one"]["second"] == np.int32


def test_values_of_every_kind(program: Path) -> None:
    """Bytes laid out by hand are read as C would."""
    dtype = Elf(program).dtype("outer")
    record = np.zeros(1, dtype)[0]
    record["signed_byte"] = -5
    record["table"][1, 2] = -300
    record["several"][2]["second"] = -70_000
    data = record.tobytes()
    assert len(data) == dtype.itemsize
    at = dtype.fields["table"][1] + 2 * 5  # type: ignore[index]
    assert data[at : at + 2] == (-300).to_bytes(2, "little", signed=True)
    at = dtype.fields["several"][1] + 2 * 8 + 4  # type: ignore[index]
    assert data[at : at + 4] == (-70_000).to_bytes(4, "little", signed=True)
    assert data[0] == 0xFB
    assert np.frombuffer(data, dtype)[0]["several"][2]["second"] == -70_000


def test_a_flexible_array_has_no_size(program: Path) -> None:
    dtype = Elf(program).dtype("open_ended")
    assert dtype["data"].shape == (0,)
    assert dtype.itemsize == 4


def test_enumerators(program: Path) -> None:
    colour = Elf(program).enum("colour")
    assert {name: int(value) for name, value in colour.__members__.items()} == {
        "RED": 1,
        "GREEN": 16,
        "BLUE": -3,
        "LARGEST": 0x7FFFFFFF,
    }
    assert colour(-3).name == "BLUE"
    assert Elf(program).dtype("first_only")["colour"].itemsize == 4


def test_symbols(program: Path) -> None:
    elf = Elf(program)
    nm = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    addresses = {line.split()[-1]: line.split()[0] for line in nm.splitlines()}
    for name in ("twice", "main", "a_number"):
        assert elf.symbol(name) == int(addresses[name], 16)
        assert name in elf.symbols()


def test_places_in_code(program: Path) -> None:
    elf = Elf(program)
    twice = elf.symbol("twice")
    assert elf.function_at(twice) == "twice"
    assert elf.symbolise(twice) == "twice+0x0"
    assert elf.symbolise(twice + 2) == "twice+0x2"
    assert elf.function_at(elf.symbol("main") + 4) == "main"
    # Data is no function, nor is what lies before or behind all.
    assert elf.function_at(elf.symbol("a_number")) == "?"
    assert elf.symbolise(elf.symbol("a_number")) == f"0x{elf.symbol('a_number'):08x}"
    assert elf.symbolise(0) == "0x00000000"
    assert elf.symbolise(0x7FFF0000) == "0x7fff0000"


def test_the_thumb_bit_is_left_out(microbit_elf: Elf) -> None:
    address = microbit_elf.symbol("pt_app_serve")
    assert address % 2 == 0
    assert microbit_elf.symbolise(address | 1) == "pt_app_serve+0x0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no firmware image"),
        (lambda path: path.write_bytes(b""), "no firmware image"),
        (lambda path: path.write_text("#!/bin/sh\n"), "no firmware image"),
    ],
    ids=["missing", "empty", "script"],
)
def test_not_an_elf_file(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "firmware.elf"
    make(path)
    with pytest.raises(BuildFailure, match=message) as caught:
        Elf(path)
    assert str(path) in str(caught.value) and "make firmware" in str(caught.value)


def test_without_debug_information(tmp_path: Path) -> None:
    elf = Elf(compile_program(tmp_path, "int main(void) { return 0; }\n"))
    elf.symbol("main")
    with pytest.raises(BuildFailure, match="no debug information"):
        elf.dtype("pt_mailbox")


def test_names_that_are_not_there(program: Path) -> None:
    elf = Elf(program)
    with pytest.raises(BuildFailure, match="no symbol pt_mailbox"):
        elf.symbol("pt_mailbox")
    with pytest.raises(BuildFailure, match="no pt_mailbox"):
        elf.dtype("pt_mailbox")
    with pytest.raises(BuildFailure, match="no pt_command"):
        elf.enum("pt_command")
    with pytest.raises(BuildFailure, match="older than this picotrain, it has no GREY; run"):
        elf.enum("colour")["GREY"]
    # A struct is not an enum of that name.
    with pytest.raises(BuildFailure, match="no outer"):
        elf.enum("outer")


SAME_EVERYWHERE = [
    *("pt_model_header", "pt_model_layer", "pt_shape", "pt_method", "pt_result", "pt_event"),
    *("pt_plan", "pt_buffer", "pt_operation", "pt_saturation", "pt_checkpoint", "pt_memory"),
]


@pytest.mark.parametrize("name", SAME_EVERYWHERE)
def test_formats_are_the_same_on_host_and_chip(host_elf: Elf, microbit_elf: Elf, name: str) -> None:
    assert host_elf.dtype(name) == microbit_elf.dtype(name)


@pytest.mark.parametrize(
    "name", ["pt_command", "pt_error", "pt_status", "pt_method_kind", "pt_limit", "pt_layer_kind"]
)
def test_numbers_are_the_same_on_host_and_chip(host_elf: Elf, microbit_elf: Elf, name: str) -> None:
    host, chip = host_elf.enum(name), microbit_elf.enum(name)
    assert {n: int(v) for n, v in host.__members__.items()} == {
        n: int(v) for n, v in chip.__members__.items()
    }


def test_the_mailbox_differs_only_in_pointers(host_elf: Elf, microbit_elf: Elf) -> None:
    host, chip = host_elf.dtype("pt_mailbox"), microbit_elf.dtype("pt_mailbox")
    assert host.names == chip.names
    assert host["window"].base["address"].itemsize == 8
    assert chip["window"].base["address"].itemsize == 4
    for name in host.names:
        if name != "window":
            assert host.fields[name] == chip.fields[name]  # type: ignore[index]


def test_two_functions_of_one_name_keep_their_places(tmp_path: Path) -> None:
    """As static ones of two files, or the linker's veneers of two sections."""
    for number in (1, 2):
        (tmp_path / f"{number}.c").write_text(
            f"static int __attribute__((noinline)) same(int a) {{ return a * {number + 2}; }}\n"
            f"int call{number}(int a) {{ return same(a); }}\n"
        )
    (tmp_path / "main.c").write_text(
        "int call1(int a);\nint call2(int a);\nint main(void) { return call1(1) + call2(2); }\n"
    )
    command = ["cc", "-g", "-O0", "-o", "same", "main.c", "1.c", "2.c"]
    subprocess.run(command, check=True, cwd=tmp_path)
    nm = subprocess.run(["nm", tmp_path / "same"], capture_output=True, text=True, check=True)
    found = [line.split() for line in nm.stdout.splitlines() if line.endswith(" same")]
    elf = Elf(tmp_path / "same")
    assert len(found) == 2
    assert [elf.symbolise(int(at, 16) + 1) for at, *_ in found] == ["same+0x1"] * 2
