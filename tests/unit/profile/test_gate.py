"""A comparison as CI shows it: JUnit XML and Markdown, and the action that makes them."""

from __future__ import annotations

from xml.etree import ElementTree

from picotrain.profile.baseline import Comparison, Regression
from picotrain.profile.gate import junit, markdown

BEFORE = {"train": 1000.0, "infer": 400.0, "layer 0 conv2d forward": 300.0, "old": 1.0, "idle": 0.0}
AFTER = {"train": 990.0, "infer": 400.0, "layer 0 conv2d forward": 330.0, "idle": 0.0, "new": 2.0}
COMPARISON = Comparison(
    BEFORE,
    AFTER,
    0.005,
    [
        Regression("layer 0 conv2d forward", "slower", 300.0, 330.0),
        Regression("old", "vanished", 1.0, None),
        Regression("new", "new", None, 2.0),
    ],
    {},
    {"file": "microbit/picotrain.elf", "sha256": 8 * "0123abcd", "compiler": "GNU <C11>|12"},
)
FINE = Comparison({"infer": 400.0}, {"infer": 399.0}, 0.0, [], {"sha256": "ab"}, {"sha256": "cd"})


def test_every_number_is_a_test_case() -> None:
    root = ElementTree.fromstring(junit(COMPARISON, 'a "title" & <more>').encode())
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("6", "3")
    cases = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert list(cases) == ["train", "infer", "layer 0 conv2d forward", "old", "idle", "new"]
    failed = {name: found.get("type") for name, found in cases.items() if found is not None}
    assert failed == {"layer 0 conv2d forward": "slower", "old": "vanished", "new": "new"}
    slower = cases["layer 0 conv2d forward"]
    assert slower is not None
    assert "300.0 -> 330.0 cycles per image (+10.00%)" in str(slower.get("message"))
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties["profile"] == 'a "title" & <more>'
    assert properties["max_regress"] == "0.500000%"
    assert properties["compiler"] == "GNU <C11>|12"


def test_without_a_regression_nothing_fails() -> None:
    root = ElementTree.fromstring(junit(FINE, "x").encode())
    assert root.get("failures") == "0"
    assert not list(root.iter("failure"))
    assert "All 1 numbers are within 0.00% of the baseline." in markdown(FINE, "x")


def test_the_table() -> None:
    lines = markdown(COMPARISON, "tinycnn,\npriot").splitlines()
    assert lines[0] == "### Cycles: tinycnn, priot"
    assert "**3 of 6 numbers are worse**" in lines[2]
    assert lines[4:12] == [
        "| cycles per image | baseline | now | change | |",
        "|---|--:|--:|--:|---|",
        "| train | 1,000.0 | 990.0 | -1.00% |  |",
        "| infer | 400.0 | 400.0 | 0 |  |",
        "| **layer 0 conv2d forward** | 300.0 | 330.0 | +10.00% | slower |",
        "| **old** | 1.0 |  |  | vanished |",
        "| idle | 0.0 | 0.0 | 0 |  |",
        "| **new** |  | 2.0 |  | new |",
    ]
    assert lines[-1] == "Firmware: `?` -> `0123abcd0123` (GNU &lt;C11>\\|12)."
