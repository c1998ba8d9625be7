"""Cycles by function, line and instruction: by hand on small code, and on the firmware's own."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from picotrain.device.backends import availability, open_device
from picotrain.device.cycles import BlockCount, CallNode, total
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import BuildFailure
from picotrain.image.elf import Elf
from picotrain.profile import views
from picotrain.profile.costs import (
    CallCosts,
    CallEdge,
    CallTotals,
    Costs,
    FunctionCost,
    InstructionCost,
    LineCost,
    attribute,
    block_instructions,
    call_costs,
    decode,
)
from picotrain.profile.profile import Samples
from support import METHODS, images, shipped

ROOT = Path(__file__).resolve().parents[3]
BASE = 0x20000000
F, G, H = BASE, BASE + 10, BASE + 16
CODE = bytes.fromhex(
    "10b5"  # f: push {r4, lr}     3
    "0120"  #    movs r0, #1       1
    "00f001f8"  # bl g             3
    "10bd"  #    pop {r4, pc}      5
    "0138"  # g: subs r0, #1       1
    "fdd1"  #    bne g             1, 2 when taken
    "7047"  #    bx lr             2
    "7047"  # h: bx lr             2
)


SYMBOLS = {"f": (F, 10), "g": (G, 6), "h": (H, 2)}
LINES = {0: 3, 2: 4, 4: 4, 8: 5, 12: 9, 14: 10}


class SmallImage:
    """Stands for an Elf with f, g and h in it; the subs of g is inlined from a header."""

    path = Path("small.elf")

    def loaded(self, address: int, size: int) -> bytes:
        return CODE[address - BASE : address - BASE + size]

    def function_at(self, pc: int) -> str:
        return next((n for n, (a, s) in SYMBOLS.items() if a <= pc < a + s), "?")

    def symbol(self, name: str) -> int:
        return SYMBOLS[name][0]

    def symbolise(self, pc: int) -> str:
        return f"0x{pc:08x}"

    def source_of(self, name: str) -> tuple[str, int] | None:
        return {"f": ("a.c", 2), "g": ("a.c", 8)}.get(name)

    def line_at(self, pc: int) -> tuple[str, int] | None:
        if pc == G:
            return "in.h", 77
        line = LINES.get(pc - BASE)
        return ("a.c", line) if line else None


SMALL: Elf = SmallImage()  # type: ignore[assignment]

BLOCKS = [
    BlockCount(F, 3, 7, 2, 0),
    BlockCount(G, 2, 2, 10, 8),
    BlockCount(BASE + 12, 1, 1, 1, 1),  # entered in its middle
    BlockCount(BASE + 14, 1, 2, 2, 0),
    BlockCount(BASE + 8, 1, 5, 2, 0),
    BlockCount(H, 1, 2, 4, 0),
]


@pytest.mark.parametrize(
    ("halfwords", "width", "cycles"),
    [
        ((0x0000,), 2, 1),  # movs r0, r0
        ((0x2A05,), 2, 1),  # cmp r2, #5
        ((0x4348,), 2, 1),  # muls r0, r1
        ((0x4488,), 2, 1),  # add r8, r1
        ((0x448F,), 2, 2),  # add pc, r1
        ((0x45F7,), 2, 1),  # cmp pc, lr: no jump
        ((0x46F7,), 2, 2),  # mov pc, lr
        ((0x4677,), 2, 1),  # mov r7, lr
        ((0x4770,), 2, 2),  # bx lr
        ((0x4798,), 2, 2),  # blx r3
        ((0x4801,), 2, 2),  # ldr r0, [pc, #4]
        ((0x56C8,), 2, 2),  # ldrsb r0, [r1, r3]
        ((0x7008,), 2, 2),  # strb r0, [r1]
        ((0x9901,), 2, 2),  # ldr r1, [sp, #4]
        ((0xA001,), 2, 1),  # adr r0, label
        ((0xB082,), 2, 1),  # sub sp, #8
        ((0xB2C0,), 2, 1),  # uxtb r0, r0
        ((0xB500,), 2, 2),  # push {lr}
        ((0xB5F0,), 2, 6),  # push {r4-r7, lr}
        ((0xB672,), 2, 1),  # cpsid i
        ((0xBA00,), 2, 1),  # rev r0, r0
        ((0xBCF0,), 2, 5),  # pop {r4-r7}
        ((0xBDF0,), 2, 8),  # pop {r4-r7, pc}
        ((0xBE00,), 2, None),  # bkpt
        ((0xBF00,), 2, 1),  # nop
        ((0xBF30,), 2, 2),  # wfi
        ((0xC107,), 2, 4),  # stmia r1!, {r0-r2}
        ((0xC9FF,), 2, 9),  # ldmia r1, {r0-r7}
        ((0xDE00,), 2, None),  # udf
        ((0xDF01,), 2, 15),  # svc 1
        ((0xE7FE,), 2, 2),  # b .
        ((0xF7FF, 0xFFFE), 4, 3),  # bl
        ((0xF3EF, 0x8010), 4, 3),  # mrs r0, primask
        ((0xF380, 0x8810), 4, 3),  # msr primask, r0
        ((0xF3BF, 0x8F6F), 4, 3),  # isb
        ((0xF7F0, 0xA000), 4, None),  # udf.w
        ((0xE800, 0x0000), 4, None),
    ],
)
def test_cycles_by_the_manual(halfwords: tuple[int, ...], width: int, cycles: int | None) -> None:
    instruction = decode(*halfwords)
    assert (instruction.width, instruction.cycles) == (width, cycles)
    assert not instruction.conditional


def test_only_the_14_conditions_branch_conditionally() -> None:
    conditional = [first for first in range(0x10000) if decode(first, 0xF800).conditional]
    assert conditional == list(range(0xD000, 0xDE00))
    assert {decode(first).cycles for first in conditional} == {1}


def test_table_of_the_plugin_agrees_with_the_manual(tmp_path: Path) -> None:
    """On every encoding that exists; on others the plugin may answer anything."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed (apt: gcc)")
    library = tmp_path / "table.so"
    source = ROOT / "emulation" / "qemu" / "cortex_m0plus.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    table = ctypes.CDLL(str(library))
    table.m0plus_is_conditional.restype = ctypes.c_bool
    compared = 0
    for first in range(0x10000):
        # One second halfword of each wide instruction: BL, MSR and MRS, DSB.
        seconds = (0xF800, 0x8000, 0x8F4F) if first >= 0xE800 else (0,)
        for instruction in (decode(first, second) for second in seconds):
            assert table.m0plus_width(first) == instruction.width
            assert table.m0plus_is_conditional(first) == instruction.conditional
            if instruction.cycles is not None:
                assert table.m0plus_cycles(first) == instruction.cycles, hex(first)
                compared += 1
    assert compared > 55000


def test_every_cycle_has_its_instruction() -> None:
    costs = attribute(BLOCKS, SMALL)
    assert costs == Costs(
        66,
        [
            InstructionCost(BASE, "f", "a.c", 3, 6, 2),
            InstructionCost(BASE + 2, "f", "a.c", 4, 2, 2),
            InstructionCost(BASE + 4, "f", "a.c", 4, 6, 2),
            InstructionCost(BASE + 8, "f", "a.c", 5, 10, 2),
            InstructionCost(BASE + 10, "g", "in.h", 77, 10, 10),
            # 10 + 1 passes, 8 + 1 of them taken.
            InstructionCost(BASE + 12, "g", "a.c", 9, 20, 11),
            InstructionCost(BASE + 14, "g", "a.c", 10, 4, 2),
            InstructionCost(BASE + 16, "h", "?", 0, 8, 4),
        ],
    )
    assert costs.total == total(BLOCKS)


def test_sums_by_line() -> None:
    assert attribute(BLOCKS, SMALL).lines() == [
        LineCost("a.c", 9, ("g",), 20, 11, 11),
        LineCost("a.c", 5, ("f",), 10, 2, 2),
        LineCost("in.h", 77, ("g",), 10, 10, 10),
        LineCost("?", 0, ("h",), 8, 4, 4),
        LineCost("a.c", 4, ("f",), 8, 2, 4),
        LineCost("a.c", 3, ("f",), 6, 2, 2),
        LineCost("a.c", 10, ("g",), 4, 2, 2),
    ]


def test_sums_by_function() -> None:
    assert attribute(BLOCKS, SMALL).functions(SMALL) == [
        FunctionCost("g", 34, 10, 23),
        FunctionCost("f", 24, 2, 8),
        FunctionCost("h", 8, 4, 4),
    ]


def test_nothing_ran() -> None:
    assert attribute([], SMALL) == Costs(0, [])


@pytest.mark.parametrize(
    "block",
    [
        BlockCount(F, 3, 8, 1, 0),  # a cycle too many
        BlockCount(F, 3, 7, 2, 1),  # taken, but it ends in BL
        BlockCount(H, 2, 2, 1, 0),  # longer than the code
    ],
)
def test_other_code_is_refused(block: BlockCount) -> None:
    with pytest.raises(BuildFailure, match=r"another image, or code that changed.*make firmware"):
        attribute([block], SMALL)


TREE = [
    CallNode(-1, 0, 0, 0, 5),
    CallNode(0, F, 0x10, 2, 10),
    CallNode(1, G, BASE + 4, 2, 20),
    CallNode(2, F, G + 4, 1, 100),  # f calls g calls f
    CallNode(3, G, BASE + 4, 1, 200),
    CallNode(0, H, 0x14, 3, 7),
    CallNode(1, H, BASE + 6, 1, 1),
]


def test_call_tree() -> None:
    assert call_costs(TREE, SMALL) == CallCosts(
        343,
        [
            CallTotals("[root]", 0, 5, 343),
            CallTotals("f", 3, 110, 331),
            CallTotals("g", 3, 220, 320),
            CallTotals("h", 4, 8, 8),
        ],
        [
            CallEdge("[root]", 0x10, "f", 2, 331),
            CallEdge("[root]", 0x14, "h", 3, 7),
            CallEdge("f", BASE + 4, "g", 3, 320),
            CallEdge("f", BASE + 6, "h", 1, 1),
            CallEdge("g", G + 4, "f", 1, 300),
        ],
    )


def test_with_callees_is_left_out_where_others_jump_to_a_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = [FunctionCost(name, cycles, 1, 1) for name, cycles in (("m", 18), ("f", 12), ("u", 5))]
    called = [CallTotals("f", 1, 12, 26), CallTotals("m", 1, 9, 9)]
    costs = SimpleNamespace(total=35, functions=lambda _: own)
    monkeypatch.setattr(views, "attribute", lambda *_: costs)
    monkeypatch.setattr(views, "call_costs", lambda *_: CallCosts(35, called, []))
    rows = views.by_function(Samples([], []), SMALL, 1).splitlines()[-4:]
    assert [row.split() for row in rows] == [
        ["m", "18", "51.4%"],
        ["f", "12", "34.3%", "26"],
        ["u", "5", "14.3%"],
        ["total", "35", "100.0%"],
    ]


def test_order_of_nodes_does_not_matter() -> None:
    order = list(range(len(TREE)))
    random.Random(4).shuffle(order)
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    shuffled = [
        CallNode(place[node.parent], node.entry, node.call_site, node.calls, node.cycles)
        for node in (TREE[old] for old in order)
    ]
    assert shuffled != TREE
    assert call_costs(shuffled, SMALL) == call_costs(TREE, SMALL)


def test_deep_chains_do_not_exhaust_the_stack() -> None:
    chain = [CallNode(index - 1, F, BASE + 4, 1, 1) for index in range(3000)]
    costs = call_costs(chain, SMALL)
    assert costs.functions == [CallTotals("f", 3000, 3000, 3000)]
    assert costs.edges == [CallEdge("f", BASE + 4, "f", 2999, 2999)]


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="2 nodes of the call tree hang from no root"):
        call_costs([TREE[0], CallNode(2, F, 0, 1, 1), CallNode(1, F, 0, 1, 1)], SMALL)


WORKS = {entry.name: entry for entry in availability()}["qemu"]


@pytest.mark.skipif(not WORKS.works, reason=f"qemu: {WORKS.remedy}")
def test_firmware_block_by_block(microbit_elf: Elf) -> None:
    """The plugin's total of every block is the sum of its instructions, as decoded here."""
    device = open_device("qemu")
    try:
        assert isinstance(device, MailboxDevice)
        network = shipped("tinycnn")
        device.load_model(network)
        for method in ("priot", "niti-dynamic", "priot-s-weight"):
            device.set_method(METHODS[method])
            device.train(*images(network, 2))
        blocks = device.blocks()
    finally:
        device.close()
    assert blocks is not None
    assert len(blocks) > 500
    for block in blocks:
        instructions = [one for _, one in block_instructions(microbit_elf, block)]
        assert all(one.cycles is not None for one in instructions)
        assert not any(one.conditional for one in instructions[:-1])
        assert sum(one.cycles or 0 for one in instructions) == block.cycles

    costs = attribute(blocks, microbit_elf)
    functions, lines = costs.functions(microbit_elf), costs.lines()
    assert costs.total == total(blocks) > 10_000_000
    assert sum(one.cycles for one in costs.instructions) == costs.total
    assert sum(one.cycles for one in functions) == costs.total
    assert sum(one.cycles for one in lines) == costs.total
    assert sum(one.retired for one in lines) == sum(b.executions * b.instructions for b in blocks)
    assert "?" not in {one.name for one in functions}
    # The linker's veneers between flash and SRAM have no source.
    veneers = sum(one.cycles for one in functions if one.name.endswith("_veneer"))
    assert sum(one.cycles for one in lines if one.file == "?") == veneers
    assert not any(one.file.startswith(("/", ".")) for one in lines)
