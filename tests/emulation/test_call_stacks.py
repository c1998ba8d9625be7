"""The QEMU plugin's call tree, against assembly counted by hand and against the block counters.

The assembly is in `snippets/calls/`, cycles in its comments.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import support
from picotrain.device.backends import open_device
from picotrain.device.cycles import (
    CallNode,
    call_difference,
    read_calls,
    read_counters,
    total,
    unmatched_returns,
)
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.qemu import QemuTarget
from picotrain.errors import LinkFailure
from picotrain.image.elf import open_elf
from picotrain_golden import Method
from support import METHODS, images

SNIPPETS = Path(__file__).parent / "snippets"

pytestmark = [
    pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed (apt: {package})")
    for tool, package in (
        ("qemu-system-arm", "qemu-system-arm"),
        ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
        ("cc", "gcc"),
    )
]

Start = Callable[[str], QemuTarget]


def calls(target: QemuTarget | MailboxDevice) -> list[CallNode]:
    nodes = target.calls()
    assert nodes is not None
    return nodes


def cycles(target: QemuTarget | MailboxDevice) -> int:
    blocks = target.profile() if isinstance(target, QemuTarget) else target.blocks()
    assert blocks is not None
    return total(blocks)


def unmatched(target: QemuTarget) -> int:
    assert target._counters is not None
    return unmatched_returns(target._counters.fileno())


def chains(target: QemuTarget, nodes: list[CallNode]) -> dict[str, tuple[int, int]]:
    """Calls and cycles of the nodes below `snippet`, by the names of the chain's functions."""
    elf = open_elf(target.elf)
    functions = {name for paths in HAND_COUNTED.values() for path in paths for name in path.split()}
    known = {elf.symbol(name) & ~1: name for name in functions & set(elf.symbols())}
    paths: list[str] = []
    for node in nodes:
        name = known.get(node.entry, "unknown")
        paths.append(f"{paths[node.parent]} {name}" if node.parent > 0 else name)
    return {
        path: (node.calls, node.cycles)
        for path, node in zip(paths, nodes, strict=True)
        if path.startswith("snippet")
    }


HAND_COUNTED = {
    "nested": {
        "snippet": (1, 33),
        "snippet outer": (3, 39),
        "snippet outer leaf": (6, 36),
        "snippet leaf": (2, 12),
    },
    "recursion": {
        "snippet": (1, 12),
        "snippet down": (1, 13),
        "snippet down down": (1, 13),
        "snippet down down down": (1, 11),
    },
    "tail_call": {
        "snippet": (1, 14),
        "snippet front": (1, 6),
        "snippet other": (1, 10),
        "snippet other behind": (1, 3),
    },
    "unbalanced": {
        "snippet": (1, 12),
        "snippet skipper": (1, 4),
        "snippet skipper deeper": (1, 8),
    },
}


def test_every_snippet_is_counted() -> None:
    assert {path.stem for path in (SNIPPETS / "calls").glob("*.S")} == set(HAND_COUNTED)


@pytest.mark.parametrize("name", HAND_COUNTED)
def test_nodes_hold_what_the_hand_counted(start: Start, name: str) -> None:
    target = start(f"calls/{name}")
    before = calls(target)
    for runs in range(1, 4):
        target.run(10.0)
        after = calls(target)
        expected = {
            path: (runs * count, runs * spent)
            for path, (count, spent) in HAND_COUNTED[name].items()
        }
        assert chains(target, call_difference(after, before)) == expected
        assert sum(node.cycles for node in after) == cycles(target)
        assert unmatched(target) == (runs if name == "unbalanced" else 0)


def test_the_tree_itself(start: Start) -> None:
    """Its root is the reset, its call sites are calls, and being idle leaves the stack balanced."""
    target = start("calls/nested")
    for _ in range(5):
        target.run(10.0)
    nodes = calls(target)
    elf = open_elf(target.elf)
    reset, idle, snippet = (elf.symbol(name) & ~1 for name in ("reset", "pt_board_idle", "snippet"))
    assert nodes[0] == CallNode(-1, reset, 0, 1, nodes[0].cycles)
    # It waits behind the sixth load, which a watchpoint stops, and which counts once.
    assert nodes[1] == CallNode(0, idle, reset, 6, 6 * 2 + 5 * 2)
    assert (nodes[2].parent, nodes[2].entry, nodes[2].call_site) == (0, snippet, reset + 4)
    assert len(nodes) == 6
    assert all(node.parent < index for index, node in enumerate(nodes))
    leaves = [node for node in nodes if node.entry == elf.symbol("leaf") & ~1]
    assert [node.call_site for node in leaves] == [
        (elf.symbol("outer") & ~1) + 2,
        snippet + 12,
    ]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_all_cycles_of_the_firmware_are_in_the_tree(method: Method) -> None:
    network = support.shipped("tinycnn")
    pixels, labels = images(network, 4)
    device = open_device("qemu")
    try:
        assert isinstance(device, MailboxDevice)
        target = device._target
        assert isinstance(target, QemuTarget)
        device.load_model(network)
        device.set_method(method)
        before, spent = calls(device), cycles(device)
        device.train(pixels, labels)
        assert sum(node.cycles for node in calls(target)) == cycles(target)
        assert sum(node.cycles for node in calls(device)) == cycles(device)
        step = call_difference(calls(device), before)
        assert sum(node.cycles for node in step) == cycles(device) - spent
        assert unmatched(target) == 0
    finally:
        device.close()


def test_no_tree_without_the_plugin(assemble: Callable[[str], Path]) -> None:
    target = QemuTarget(assemble("calls/nested"), None)
    target.connect()
    try:
        assert target.calls() is None
    finally:
        target.close()


def test_overflow_is_refused_but_blocks_still_count(
    assemble: Callable[[str], Path], plugin: Path, tmp_path: Path
) -> None:
    counters = tmp_path / "counters"
    command = ["qemu-system-arm", "-M", "microbit", "-display", "none"]
    command += ["-kernel", str(assemble("calls/nested"))]
    command += ["-plugin", f"file={plugin},out={counters},nodes=2"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if counters.exists() and counters.stat().st_size:
                header = counters.read_bytes()[:64]
                if int.from_bytes(header[44:48], "little"):
                    break
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    with pytest.raises(LinkFailure, match="found no room beside 2 nodes"):
        read_calls(counters)
    assert total(read_counters(counters)) > 0


def test_nodes_argument_is_checked(plugin: Path, tmp_path: Path) -> None:
    command = ["qemu-system-arm", "-M", "microbit", "-display", "none", "-S"]
    command += ["-plugin", f"file={plugin},out={os.devnull},nodes=x"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode != 0
    assert "cycles plugin: nodes must be" in result.stderr


def test_difference_of_trees() -> None:
    before = [CallNode(-1, 0x100, 0, 1, 10), CallNode(0, 0x200, 0x104, 2, 6)]
    after = [
        CallNode(-1, 0x100, 0, 1, 15),
        CallNode(0, 0x200, 0x104, 2, 6),
        CallNode(1, 0x300, 0x208, 1, 4),
    ]
    assert call_difference(after, before) == [
        CallNode(-1, 0x100, 0, 0, 5),
        CallNode(0, 0x200, 0x104, 0, 0),
        CallNode(1, 0x300, 0x208, 1, 4),
    ]
    assert call_difference(after, []) == after
    with pytest.raises(ValueError, match="only 2 after"):
        call_difference(before, after)
    with pytest.raises(ValueError, match="node 0"):
        call_difference(before, after[:2])
