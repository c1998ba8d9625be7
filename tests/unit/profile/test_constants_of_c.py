"""The cost model counts what the tuned kernels do: numbers that it repeats are those of the C."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from picotrain.profile.fit import observe
from picotrain.profile.fit.terms import activity, affine, affine_backward, chain, operations, shapes

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
HEADER = "kernels/pt_affine.h"
TUNED = "kernels/cortex_m0plus"
MODULES = (observe, activity, affine, affine_backward, chain, operations, shapes)


def source(name: str) -> str:
    """A file of the firmware without its comments."""
    return re.sub(r"/\*.*?\*/", "", (FIRMWARE / name).read_text(), flags=re.DOTALL)


def value(expression: str, known: dict[str, int]) -> int:
    """Of a constant expression of C: whole numbers, names that are known, and operators."""
    text = re.sub(r"\b(\d\w*?)[uU]\b", r"\1", expression).replace("/", "//")
    return int(eval(f"({text})", {"__builtins__": {}}, known))


def constants(text: str) -> dict[str, int]:
    """Of all enumerations, a member's value by its name."""
    found: dict[str, int] = {}
    for body in re.findall(r"\benum(?: \w+)? \{(.*?)\}", text, re.DOTALL):
        count = 0
        for member in filter(None, map(str.strip, body.split(","))):
            name, _, expression = map(str.strip, member.partition("="))
            found[name] = value(expression, found) if expression else count
            count = found[name] + 1
    return found


HELD = [
    (affine, "_TILE_WORDS", HEADER, "PT_TILE_WORDS"),
    (affine, "_BAND_WORDS", HEADER, "PT_BAND_WORDS"),
    (affine, "_HEADROOM", HEADER, "PT_ADD_HEADROOM"),
    (affine, "_PACKED", f"{TUNED}/pt_affine_rows_inner.h", "PT_PACK_MOST"),
    (affine, "_MOST_SHIFT", f"{TUNED}/pt_affine_rows_inner.h", "PT_SCALE_MOST_SHIFT"),
    (affine, "_NEAR_SHIFT", f"{TUNED}/pt_affine_rows_inner.h", "PT_NEAR_MOST_SHIFT"),
    (affine, "_ADD_SHIFT", f"{TUNED}/pt_affine_add.c", "LEAST_SHIFT"),
    (affine, "_MOST_WEIGHT", f"{TUNED}/pt_affine_add.c", "MOST_WEIGHT"),
    (chain, "_LANES", "kernels/pt_conv2d.h", "PT_LANES"),
    (observe, "BUDGET", "kernels/pt_conv2d.h", "PT_ERROR_BUDGET"),
    (operations, "_MOST_POSITIONS", "nn/pt_trainer.c", "MOST_POSITIONS"),
    (operations, "_MOST_AFFINE_POSITIONS", "nn/pt_affine_step.c", "MOST_POSITIONS"),
]
APART = {"_DOUBT", "_PAIRED", "LIMIT"}
"""The first two have no name in the C, and tests of their own; the last is golden's."""


def test_constants_are_read_from_c() -> None:
    text = "enum kind { A, B = 1 << 10, C, D = 12u /\n    5u };\nenum { E = 0x20, F = E * B };"
    assert constants(text) == {"A": 0, "B": 1024, "C": 1025, "D": 2, "E": 32, "F": 32768}


@pytest.mark.parametrize("held", HELD, ids=lambda one: one[1].strip("_").lower())
def test_the_cost_model_repeats_the_c(held: tuple[object, str, str, str]) -> None:
    module, name, file, named = held
    assert getattr(module, name) == constants(source(file))[named]


def test_sums_that_are_in_doubt_are_a_zone_of_a_unit() -> None:
    zone = constants(source(f"{TUNED}/pt_affine_add_inner.h"))["PT_ADD_ZONE"]
    unit = 1 << constants(source(f"{TUNED}/pt_affine_add.c"))["FRACTION"]
    assert zone / unit == affine._DOUBT


def test_inputs_of_a_linear_layer_are_paired_from_the_same_share_on() -> None:
    found = re.findall(r"return length / (\d+)u \* (\d+)u;", source(f"{TUNED}/pt_slices.h"))
    assert [int(times) / int(parts) for parts, times in found] == [chain._PAIRED]


def test_no_number_of_the_cost_model_is_left_out() -> None:
    named = {
        (module, name)
        for module in MODULES
        for name, held in vars(module).items()
        if isinstance(held, int | float) and name.isupper()
    }
    held = {(module, name) for module, name, _, _ in HELD}
    assert {name for _, name in named - held} == APART
