"""Figures that pages quote are those of the files that hold what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
KERNELS, README = "docs/kernels.md", "README.md"
COSTS: Any = json.loads((ROOT / "experiments" / "results" / "costs.json").read_text())
FIGURES: Any = json.loads((ROOT / "docs" / "figures.json").read_text())
HOST: Any = json.loads((ROOT / "experiments" / "results" / "host-speed.json").read_text())
PERFORMANCE: Any = json.loads((ROOT / "experiments" / "results" / "performance.json").read_text())
CORES: Any = json.loads((ROOT / "experiments" / "results" / "cores.json").read_text())
ONE_FORM: Any = json.loads((ROOT / "experiments" / "results" / "one-form.json").read_text())
EXAMPLE = FIGURES["example"]
METHODS = COSTS["methods"]


def whole(value: float) -> str:
    return f"{value:,.0f}"


def kilobytes(value: float) -> str:
    return f"{value / 1000:.1f}"


def of_step(label: str) -> list[str]:
    held = METHODS[label]
    values = (FIGURES["portable"][label]["step"], held["step"], held["dense_step"])
    return list(map(whole, values))


def of_inference() -> list[str]:
    held = METHODS["inference alone"]
    values = (FIGURES["portable"]["inference alone"]["infer"], held["infer"], held["dense_infer"])
    return list(map(whole, values))


def of_cores(part: str, what: str) -> list[str]:
    held = CORES[part][what]
    cycles = [whole(held[setting]) for setting in ("one", "apart", "two")]
    return [*cycles, f"{held['one'] / held['two']:.2f}"]


def of_host(part: str, method: str, *, rate: bool) -> list[str]:
    """Microseconds, `rate` images a second, and times, of the other and of ours."""
    row = HOST[part]["methods"][method]
    each = [whole(row[key]) for key in ("other_us", "ours_us")]
    return [*each, *([whole(row["images_per_second"])] if rate else []), f"{row['times']:.1f}"]


def both_forms(method: str, zeros: str = "") -> list[str]:
    """Convolution and pool apart, and as one operation."""
    found = PERFORMANCE["ours"][method]
    return [whole(found[zeros or "tuned"]), whole(found[f"{zeros}_fused" if zeros else "fused"])]


def of_one_form(step: str) -> list[str]:
    """RAM on the whole firmware and on the chain's, then cycles."""
    row = ONE_FORM["steps"][step]
    return [whole(row[image][what]) for what in ("ram", "step") for image in ("whole", "chain")]


def in_sram(form: str) -> list[str]:
    """Code and static data of both boards."""
    boards = (ONE_FORM["sram"][board][form] for board in ("microbit", "rp2040"))
    return [whole(one[part]) for one in boards for part in ("code", "data")]


def ram(label: str, plan: str = "ram_bytes", part: str = "total") -> int:
    return int(METHODS[label][plan][part])


def both_plans(label: str) -> list[str]:
    return [whole(ram(label)), whole(ram(label, "lean_ram_bytes"))]


PRIOT, SPARSE = "PRIOT", "PRIOT-S 10 %"
N = r"([\d,.]+)"
W = r"(\d[\d,]{4,})"
"""A whole number of cycles or bytes; a factor is none."""
QUOTED: list[tuple[str, str, list[str]]] = [
    (KERNELS, rf"\| inference \| {W} \| {W} \| {W} \|", of_inference()),
    (
        KERNELS,
        rf"\| PRIOT, training step with a loss error \| {W} \| {W} \| {W} \|",
        of_step(PRIOT),
    ),
    (KERNELS, rf"\| NITI static, the same \| {N} \| {N} \| {N} \|", of_step("NITI static")),
    (KERNELS, rf"\| PRIOT-S 10 %, the same \| {N} \| {N} \| {N} \|", of_step(SPARSE)),
    (KERNELS, rf"\| NITI dynamic, the same \| {N} \| {N} \| {N} \|", of_step("NITI dynamic")),
    (KERNELS, rf"\| PRIOT \| {W} \| {W} \|", both_plans(PRIOT)),
    (KERNELS, rf"\| PRIOT-S 10 % \| {W} \| {W} \|", both_plans(SPARSE)),
    *(
        (KERNELS, rf"\| {label} \| {N} \| {N} \| {N} \| {N} \|", of_cores(part, what))
        for label, part, what in (
            ("tinycnn, inference", "steps", "infer"),
            ("PRIOT, step with a loss error", "steps", "priot"),
            ("NITI static", "steps", "niti-static"),
            ("PRIOT-S 10 %, a step", "steps", "priot-s"),
            ("NITI dynamic", "steps", "niti-dynamic"),
            (
                "conv 3x3, 14x14x8 to 16, forward",
                "kernels",
                "conv2d_forward_s8 2 conv 3x3 14x14x8 to 16",
            ),
            ("visual wake words, inference", "vww", "vww_96_int8"),
            ("keyword spotting, inference", "kws", "kws_ref_model"),
        )
    ),
    *(
        (KERNELS, rf"\| {label} \| {W} \| {W} \| {W} \| {W} \|", of_one_form(step))
        for label, step in (
            ("PRIOT, fast", "priot, fast"),
            ("PRIOT, lean", "priot, lean"),
            ("PRIOT-S 10 %, fast", "priot-s, fast"),
            ("PRIOT-S 10 %, lean", "priot-s, lean"),
            ("NITI static, fast", "niti-static, fast"),
        )
    ),
    *(
        (KERNELS, rf"\| {form} \| {N} \+ {N} \| {N} \+ {N} \|", in_sram(form))
        for form in ("whole", "chain", "affine")
    ),
    (
        KERNELS,
        rf"Without `--fused` PRIOT takes {N} bytes, fast, and {N}, lean",
        [whole(ONE_FORM["priot_apart"][plan]) for plan in ("fast", "lean")],
    ),
    (KERNELS, rf"\| inference, cycles \| {W} \| {W} \|", both_forms("infer")),
    (KERNELS, rf"\| PRIOT step, cycles \| {W} \| {W} \|", both_forms("priot")),
    (
        KERNELS,
        rf"\| no zero left out \(`dense`\): inference \| {W} \| {W} \|",
        both_forms("infer", "dense"),
    ),
    (
        KERNELS,
        rf"\| no zero left out: PRIOT step \| {W} \| {W} \|",
        both_forms("priot", "dense"),
    ),
    *(
        (
            KERNELS,
            rf"\| {label} \| {N} \| {N} \| {N} \| {N} \|",
            of_cores("steps", what),
        )
        for label, what in (
            ("tinycnn, inference, `--fused`", "infer, fused"),
            ("PRIOT, the same step, `--fused`", "priot, fused"),
        )
    ),
    (
        KERNELS,
        rf"weights and scores alone are {N} bytes",
        [whole(ram(PRIOT, part="weights") + ram(PRIOT, part="scores"))],
    ),
    (
        KERNELS,
        rf"flash {N} bytes of scores, {N} KB of code and {N} KB of activations",
        [
            whole(ram(PRIOT, part="scores")),
            kilobytes(ram(PRIOT, part="code")),
            kilobytes(ram(PRIOT, part="activations") + ram(PRIOT, part="scratch")),
        ],
    ),
    (KERNELS, rf"PRIOT-S, lean, needs {N} bytes of SRAM", both_plans(SPARSE)[1:]),
    (
        README,
        rf"training   {N} cycles, {N} ms an image",
        [whole(EXAMPLE["train"]), f"{EXAMPLE['train'] / 125000:.1f}"],
    ),
    (
        README,
        rf"inference  {N} cycles, {N} ms an image",
        [whole(EXAMPLE["infer"]), f"{EXAMPLE['infer'] / 125000:.1f}"],
    ),
    (
        README,
        rf"accuracy   before {N}  best {N}  final {N}",
        [f"{share:.4f}" for share in EXAMPLE["accuracy"]],
    ),
    (
        README,
        rf"RAM bytes  total {N}  code {N}  statics {N}  stack {N}",
        [whole(EXAMPLE["ram_bytes"][part]) for part in ("total", "code", "statics", "stack")],
    ),
    (README, r"state      sha256 ([0-9a-f]+)", [EXAMPLE["state_sha256"]]),
    (README, rf"stay in flash: {N} KB of SRAM less", [f"{ram(PRIOT, part='weights') / 1000:.0f}"]),
    *(
        (
            README,
            rf"epoch   {one['epoch']}  accuracy {N}  train {N}  loss norm +{N}  mu {N} ",
            [
                f"{one['accuracy']:.4f}",
                f"{one['train_accuracy']:.4f}",
                f"{one['loss_norm']:.1f}",
                str(one["mu"]),
            ],
        )
        for one in EXAMPLE["history"]
    ),
]


@pytest.mark.parametrize(("page", "pattern", "values"), QUOTED, ids=lambda given: str(given)[:50])
def test_a_quoted_figure_is_the_measured_one(page: str, pattern: str, values: list[str]) -> None:
    found = re.findall(pattern, (ROOT / page).read_text(encoding="utf-8"))
    assert found, f"{page} does not quote it any more; change QUOTED"
    for groups in found:
        assert list(groups if isinstance(groups, tuple) else (groups,)) == values


def test_the_table_of_kernels_is_of_the_same_images() -> None:
    assert COSTS["images"] == FIGURES["images"]
    page = (ROOT / KERNELS).read_text(encoding="utf-8")
    assert f"`picotrain profile --dataset {COSTS['dataset']} --method METHOD" in page
    assert f"--images {COSTS['images']}`, {COSTS['model']}" in page


def test_what_the_readme_repeats_of_its_run_is_what_the_run_shows() -> None:
    page = (ROOT / README).read_text(encoding="utf-8")
    [shown] = re.findall(r"^training +[\d,]+ cycles, ([\d.]+) ms an image", page, re.MULTILINE)
    [again] = re.findall(r"the ([\d.]+) ms above are the mean of all epochs", page)
    pictured = re.findall(r"([\d.]+) ms a training image", page)
    assert again == shown and len(pictured) == 2 and len(set(pictured)) == 1


LABELS = {
    "infer": "inference",
    "niti-static": "NITI static, training",
    "priot": "PRIOT, training",
    "priot-s": "PRIOT-S 10 %, training",
    "niti-dynamic": "NITI dynamic, training",
}


@pytest.mark.parametrize(("part", "header"), [("naive", "tinycnn | naive C"), ("vgg11", "VGG11")])
def test_the_host_is_as_fast_as_the_page_says(part: str, header: str) -> None:
    page = (ROOT / KERNELS).read_text(encoding="utf-8")
    table = page.split(f"\n| {header} |")[1].split("\n\n")[0].splitlines()[2:]
    assert [[cell.strip() for cell in row.strip("|").split("|")] for row in table] == [
        [LABELS[name], *of_host(part, name, rate=part == "vgg11")] for name in HOST[part]["methods"]
    ]
