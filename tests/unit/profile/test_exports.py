"""Profiles in the formats of other tools, against what those tools read in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from picotrain.device.cycles import CallNode
from picotrain.profile.costs import CallCosts, CallEdge, attribute, call_costs
from picotrain.profile.exports import callgrind, collapsed, speedscope
from test_costs import BLOCKS, SMALL, TREE, F, G, H

CALLS = CallCosts(0, [], [CallEdge("f", F + 4, "g", 2, 42), CallEdge("g", G, "h", 4, 8)])
"""The calls of BLOCKS: f spends 24 cycles itself, g 34 and h 8."""


def test_callgrind_text() -> None:
    assert callgrind(SMALL, attribute(BLOCKS, SMALL), CALLS, "3 images,\npriot") == (
        """# callgrind format
version: 1
creator: picotrain
desc: Unit: Cortex-M0+ cycles, zero wait states
desc: Run: 3 images, priot
positions: line
events: Cycles
summary: 66

fl=a.c
fn=f
3 6
4 8
5 10
cfi=a.c
cfn=g
calls=2 8
4 42

fl=a.c
fn=g
9 20
10 4
fi=in.h
77 10
cfi=?
cfn=h
calls=4 0
77 8

fl=?
fn=h
0 8

totals: 66
"""
    )


def annotated(folder: Path, text: str, *options: str) -> tuple[int, dict[str, int]]:
    """The program's total and the cycles per file:function that callgrind_annotate prints."""
    if shutil.which("callgrind_annotate") is None:
        pytest.skip("callgrind_annotate is not installed (apt: valgrind)")
    file = folder / "callgrind.out"
    file.write_text(text)
    command = ["callgrind_annotate", "--auto=no", "--threshold=100", *options, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Cortex-M0+ cycles" in done.stdout
    rows = re.findall(r"^ *([\d,]+) \([ \d.]+%\)  (\S.*?)(?: \[\])?$", done.stdout, re.MULTILINE)
    counts = {name: int(number.replace(",", "")) for number, name in rows}
    return counts.pop("PROGRAM TOTALS"), counts


def test_callgrind_annotate_reads_exclusive_cycles(tmp_path: Path) -> None:
    text = callgrind(SMALL, attribute(BLOCKS, SMALL), CALLS)
    # The tool takes the code of g in in.h for another function.
    own = {"a.c:f": 24, "a.c:g": 24, "in.h:g": 10, "?:h": 8}
    assert annotated(tmp_path, text) == (66, own)


def test_callgrind_annotate_reads_inclusive_cycles(tmp_path: Path) -> None:
    text = callgrind(SMALL, attribute(BLOCKS, SMALL), CALLS)
    inclusive = {"a.c:f": 24 + 42, "a.c:g": 42, "in.h:g": 10 + 8, "?:h": 8}
    assert annotated(tmp_path, text, "--inclusive=yes") == (66, inclusive)


def test_callgrind_without_calls() -> None:
    text = callgrind(SMALL, attribute(BLOCKS, SMALL))
    assert "calls=" not in text
    costs = re.findall(r"^\d+ (\d+)$", text, re.MULTILINE)
    assert sum(map(int, costs)) == 66


def test_callgrind_of_a_root_that_is_no_function() -> None:
    text = callgrind(SMALL, attribute([], SMALL), call_costs(TREE, SMALL))
    assert "fl=?\nfn=[root]\ncfi=a.c\ncfn=f\ncalls=2 2\n0 331\n" in text
    assert text.endswith("\n\ntotals: 0\n")


def check_speedscope(file: dict[str, Any]) -> None:
    """The rules of the schema, for a file with sampled profiles."""
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file) <= {"$schema", "exporter", "name", "activeProfileIndex", "shared", "profiles"}
    assert isinstance(file["exporter"], str)
    assert isinstance(file["name"], str)
    assert set(file["shared"]) == {"frames"}
    for frame in file["shared"]["frames"]:
        assert set(frame) <= {"name", "file", "line", "col"}
        assert isinstance(frame["name"], str)
        assert isinstance(frame.get("file", ""), str)
        assert isinstance(frame.get("line", 0), int)
    assert 0 <= file["activeProfileIndex"] < len(file["profiles"])
    for profile in file["profiles"]:
        assert set(profile) == {
            *("type", "name", "unit", "startValue", "endValue", "samples", "weights")
        }
        assert profile["type"] == "sampled"
        units = ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes")
        assert profile["unit"] in units
        assert isinstance(profile["name"], str)
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(isinstance(weight, int) and weight > 0 for weight in profile["weights"])
        assert profile["endValue"] - profile["startValue"] == sum(profile["weights"])
        for sample in profile["samples"]:
            assert sample
            assert all(0 <= frame < len(file["shared"]["frames"]) for frame in sample)


def test_speedscope() -> None:
    file = speedscope(SMALL, TREE, "priot")
    check_speedscope(json.loads(json.dumps(file)))
    assert file["name"] == "priot (Cortex-M0+ cycles)"
    assert file["shared"]["frames"] == [
        {"name": "[root]"},
        {"name": "f", "file": "a.c", "line": 2},
        {"name": "g", "file": "a.c", "line": 8},
        {"name": "h"},
    ]
    [profile] = file["profiles"]
    assert profile["unit"] == "none"
    assert profile["name"] == "priot (Cortex-M0+ cycles)"
    assert profile["endValue"] == sum(node.cycles for node in TREE) == 343
    assert profile["samples"] == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 1],
        [0, 1, 2, 1, 2],
        [0, 1, 3],
        [0, 3],
    ]
    assert profile["weights"] == [5, 10, 20, 100, 200, 1, 7]


def test_speedscope_of_nothing() -> None:
    file = speedscope(SMALL, [])
    check_speedscope(file)
    assert file["name"] == "Cortex-M0+ cycles"


def test_functions_without_cycles_of_their_own_are_in_stacks_only() -> None:
    nodes = [CallNode(-1, F, 0, 1, 0), CallNode(0, G, F + 4, 1, 9)]
    assert speedscope(SMALL, nodes)["profiles"][0]["samples"] == [[0, 1]]
    assert collapsed(SMALL, nodes) == "Cortex-M0+ cycles;f;g 9\n"


def test_collapsed() -> None:
    # A second place from which f calls h: the same stack.
    nodes = [*TREE, CallNode(1, H, F + 2, 1, 30)]
    assert collapsed(SMALL, nodes) == (
        "Cortex-M0+ cycles;[root] 5\n"
        "Cortex-M0+ cycles;[root];f 10\n"
        "Cortex-M0+ cycles;[root];f;g 20\n"
        "Cortex-M0+ cycles;[root];f;g;f 100\n"
        "Cortex-M0+ cycles;[root];f;g;f;g 200\n"
        "Cortex-M0+ cycles;[root];f;h 31\n"
        "Cortex-M0+ cycles;[root];h 7\n"
    )


def test_flamegraph_would_read_every_line() -> None:
    """By the pattern with which flamegraph.pl splits a line."""
    split = [
        re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", line)
        for line in collapsed(SMALL, TREE).splitlines()
    ]
    assert sum(int(one[2]) for one in split if one) == 343
    assert all(split)
    assert collapsed(SMALL, []) == ""
