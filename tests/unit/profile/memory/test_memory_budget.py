"""The budget of the memory, and what `picotrain memory` prints."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import support
from memory_boards import FIVE, board_of, golden_timeline, rp2040_only
from picotrain import places
from picotrain.cli import main
from picotrain.cli.profile.memory import BOARDS
from picotrain.device import backends
from picotrain.errors import UserError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.profile.memory.arena import arena_uses
from picotrain.profile.memory.budget import BUDGET, Budget, check_budget, present, read_budget
from picotrain.profile.memory.image import Image, Sections
from picotrain.profile.memory.stack import StackReport
from picotrain.profile.memory.text import (
    render_arenas,
    render_sections,
    render_stack,
    render_symbols,
    render_timeline,
)

BUDGETS = {
    "microbit": BUDGET,
    "rp2040": BUDGET.with_name("memory-rp2040.json"),
}


@pytest.fixture(scope="module")
def now(image: Image) -> Budget:
    return present(image)


# The budget


def test_the_firmware_is_within_its_budget(image: Image, now: Budget) -> None:
    assert check_budget(read_budget(BUDGETS[board_of(image)]), now) == []


@pytest.mark.parametrize(
    "name", ["microbit-chain", "microbit-affine", "rp2040-chain", "rp2040-affine"]
)
def test_firmware_of_one_form_is_within_its_budget(name: str) -> None:
    """That of microbit-chain is what holds PRIOT's RAM, all in: docs/kernels.md, Memory."""
    now = present(Image(support.require(BOARDS[name].elf)))
    assert check_budget(read_budget(BUDGET.with_name(f"memory-{name}.json")), now) == []


def test_what_each_method_leaves_of_the_arena(image: Image, now: Budget) -> None:
    """With plan lean the blob, 52,352 bytes, is not in the arena; NITI trains it, so it must be."""
    network = support.shipped("tinycnn")
    uses = {(one.method, one.plan): one for one in arena_uses(image.symbols, network)}
    assert len(uses) == 8 and {name for name, _ in uses} == set(FIVE)
    arena = next(span.bytes for span in image.sections().ram if span.name == "arena")
    for (name, chosen), use in uses.items():
        assert use.least == now.methods[name].total - (52352 if chosen == "lean" else 0)
        assert use.left == arena - use.least > 0
    assert {name for name, chosen in uses if chosen == "lean"} == {"infer", "priot", "priot-s"}
    shown = render_arenas(list(uses.values())).splitlines()
    assert shown[-1].split() == [
        *("priot-s", "lean"),
        *(f"{size:,}" for size in (uses["priot-s", "lean"].least, uses["priot-s", "lean"].left)),
    ]


def test_a_lowered_ceiling_is_reported(now: Budget) -> None:
    assert check_budget(now, now) == []
    lowered = replace(now, code=now.code - 4, stack=now.stack - 8)
    priot = replace(now.methods["priot"], total=now.methods["priot"].total - 1)
    lowered = replace(lowered, methods={**now.methods, "priot": priot})
    sentences = check_budget(lowered, now)
    assert sentences == [
        f"code: {now.code:,} bytes, 4 more than the {now.code - 4:,} allowed",
        f"stack: {now.stack:,} bytes, 8 more than the {now.stack - 8:,} allowed",
        f"priot total: {priot.total + 1:,} bytes, 1 more than the {priot.total:,} allowed",
    ]
    without = {name: one for name, one in now.methods.items() if name != "infer"}
    assert check_budget(replace(now, methods=without), now) == [
        "infer: no ceiling; add one to the budget"
    ]


def test_the_budget_is_about_tinycnn(now: Budget) -> None:
    """The sizes of section 11 that need no search."""
    assert set(now.methods) == set(FIVE)
    assert {name: one.scores for name, one in now.methods.items()} == {
        "infer": 0,
        "niti-dynamic": 0,
        "niti-static": 0,
        "priot": 52040,
        # A tenth of the edges, and a bit for each: 72, 1,152, 3,311 and 640 of the layers' scores.
        "priot-s": (72 + 8 * 2) + (1152 + 16 * 9) + (3312 + 64 * 98) + (640 + 10 * 8),
    }


def test_a_broken_budget_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    for text, sentence in (
        ("", "is no JSON"),
        ("[]", "is JSON, but no object"),
        ('{"code": 1}', "no memory budget"),
        ('{"code":1,"static":1,"stack":1,"methods":{"a":{}}}', "no memory budget"),
        ('{"code":"1","static":1,"stack":1,"methods":{}}', "its code '1' is no whole number"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=sentence):
            read_budget(file)
    with pytest.raises(UserError, match="cannot read "):
        read_budget(tmp_path / "absent.json")


# Text and JSON


def shown_memory(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    status = main(["memory", "--board", "rp2040", *options])
    out, err = capsys.readouterr()
    return status, out, err


@rp2040_only
def test_the_verb_needs_no_device(
    image: Image,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("picotrain.cli.profile.memory.problem", lambda target: f"no {target}")
    file = tmp_path / "memory.json"
    budget = ["--budget", str(BUDGETS["rp2040"])]
    status, out, err = shown_memory(capsys, "--plan", "lean", "--json", str(file), *budget)
    assert (status, err) == (0, "") and "within" in out
    missing = "not taken, for want of target rp2040js: no rp2040js"
    assert f"painted high-water mark: {missing}" in out
    content = json.loads(file.read_text())
    assert (content["board"], content["plan"], content["model_in_flash"]) == (
        "rp2040",
        "lean",
        52352,
    )
    assert content["arena"]["blob"] == 0 and content["arena"]["scores"] == 52040
    assert content["stack"]["painted"] is None and "qemu" not in content["versions"]
    assert sum(span["bytes"] for span in content["sections"]["ram"]) == firmware.PICO_RAM
    assert len(content["arena_by_method"]) == 8


@rp2040_only
def test_the_verb_reads_the_device(
    image: Image,
    stack: StackReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its plan is the one that is shown where there is no device."""
    if missing := backends.problem("rp2040js"):
        pytest.skip(f"target rp2040js: {missing}")
    file = tmp_path / "memory.json"
    status, out, _ = shown_memory(capsys, "--json", str(file))
    content = json.loads(file.read_text())
    painted = content["stack"]["painted"]
    assert status == 0 and 256 <= painted <= stack.worst + stack.interrupt
    assert f"painted high-water mark {painted:,}" in out
    planned = asdict(golden_timeline(FIVE["priot"], image.symbols))
    assert content["arena"] == json.loads(json.dumps(planned))


@rp2040_only
def test_the_verb_fails_over_budget(
    image: Image, now: Budget, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "low.json"
    file.write_text(json.dumps(asdict(replace(now, static=now.static - 1))))
    status, _, err = shown_memory(capsys, "--budget", str(file))
    sizes = f"{now.static:,} bytes, 1 more than the {now.static - 1:,} allowed"
    assert (status, err) == (1, f"picotrain: static: {sizes}\n")


def test_everything_is_json(
    sections: Sections, stack: StackReport, now: Budget, host_elf: Elf
) -> None:
    for one in (sections, stack, now, golden_timeline(FIVE["priot"], host_elf)):
        assert json.loads(json.dumps(asdict(one)))
    assert str(places.SHIPPED) not in json.dumps([asdict(sections), asdict(stack)])


def test_text(sections: Sections, stack: StackReport, host_elf: Elf) -> None:
    for total in (firmware.PICO_RAM, 2 << 20):
        assert re.search(rf"^sum +{total:,}$", render_sections(sections), re.M)
    shown = render_symbols(sections, 3)
    assert f"{len(sections.symbols()) - 3} others" in shown
    assert len(shown.splitlines()) == 7
    timeline = golden_timeline(FIVE["priot"], host_elf)
    lines = render_timeline(timeline).splitlines()
    assert f"= {timeline.total:,} bytes; peak {timeline.peak:,} in use" in lines[0]
    bars = [line.count("#") for line in lines if "#" in line]
    assert len(bars) == len(timeline.operations) and max(bars) <= 40
    assert sum(line.endswith("peak") for line in lines) == 1
    shown = render_stack(stack, 1234)
    assert f"static worst case {stack.worst:,}, with an " in shown
    assert f"with an exception {stack.total:,} of 4,096 bytes" in shown
    assert shown.endswith("painted high-water mark 1,234")
    # The last line of the table is as deep as all of it.
    assert shown.split("\n\n")[0].splitlines()[-1].endswith(f"{stack.total:,}")
