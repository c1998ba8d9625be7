"""The report of the hardware test, and the page that quotes what the tool prints."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from picotrain.device.link.ports import is_emulator
from picotrain.hardware.cycle_steps import Row, _judge
from picotrain.hardware.report import Header, content, html, junit, line, summary
from picotrain.hardware.suite import Outcome, Result

PAGE = Path(__file__).resolve().parents[3] / "docs" / "hardware.md"


# The report


HEADER = Header(
    "2026-01-01T00:00:00+00:00",
    "/dev/ttyACM0",
    "picotrain.elf",
    "00ff",
    "picotrain hw-test",
    {"python": "3"},
)
RESULTS = [
    Result("find", "find", Outcome.PASSED, 0.1, "found"),
    Result(
        "identity",
        "who",
        Outcome.PASSED,
        0.1,
        "chip",
        "",
        {
            "chip": "e6",
            "build": "ab",
            "clock_hz": 125000000,
            "boot_cycles": 250000,
            "reset": "power",
        },
    ),
    Result("flash", "flash", Outcome.SKIPPED, 0, "--no-flash"),
    Result("crash", "crash", Outcome.NOT_RUN, 0, "no <record> & \x00\x1b"),
    Result("verify.priot", "v", Outcome.FAILED, 2.5, "step 0 'differs' <b>", "MISMATCH"),
]


def cycles_result() -> Result:
    details = _judge([Row("CONV2D", "small", 1000, (1001,))], exact=False).details
    return Result("cycles", "cycles", Outcome.PASSED, 1, "1 run", "", details)


def test_the_report_s_json_is_complete() -> None:
    document = content(HEADER, RESULTS)
    assert json.loads(json.dumps(document)) == document
    assert document["passed"] is False
    assert document["counts"] == {"passed": 2, "failed": 1, "not run": 1, "skipped": 1}
    assert document["steps"][4]["failure"] == "MISMATCH"
    assert document["emulator"] is False
    assert summary(HEADER, RESULTS) == "FAILED: 2 passed, 1 failed, 1 not run, 1 skipped"
    assert summary(HEADER, RESULTS[:3]) == "PASSED: 2 passed, 1 skipped"
    assert summary(HEADER, []) == "FAILED: no step ran"
    assert "MISMATCH: step 0" in line(RESULTS[4])


def test_the_page_shows_every_step_and_loads_nothing() -> None:
    page = html(HEADER, [*RESULTS, cycles_result()])
    for result in RESULTS:
        assert f"<code>{result.name}</code>" in page
    assert "step 0 &#39;differs&#39; &lt;b&gt;" in page
    assert "125<small>MHz</small>" in page
    assert "<h1>Hardware test failed</h1>" in page
    assert '<p class="value bad">1<small>failed</small></p>' in page
    assert '<p class="note"><code>verify.priot</code></p>' in page
    assert '<p class="note">3 passed, 1 not run, 1 skipped</p>' in page
    assert page.count("+0.100 %") == 1
    assert '<p class="value">+0.100<small>%</small></p>' in page
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r"<script|<link rel=\"stylesheet|@import", page)
    assert page == html(HEADER, [*RESULTS, cycles_result()])


def test_a_pass_and_a_gap_lead_with_themselves() -> None:
    assert '<p class="value">2<small>passed</small></p>' in html(HEADER, RESULTS[:3])
    page = html(HEADER, RESULTS[:4])
    assert '<p class="value bad">1<small>not run</small></p>' in page
    assert '<p class="note"><code>crash</code></p>' in page


def test_an_emulator_is_not_called_a_board() -> None:
    url = "socket://127.0.0.1:4000"
    header = replace(HEADER, port=url, emulator=True)
    where = f"on an emulator at {url}, no board took part"
    assert f"<h1>Hardware test passed {where}</h1>" in html(header, RESULTS[:3])
    assert f"<title>Hardware test failed {where}" in html(header, RESULTS)
    assert summary(header, RESULTS[:2]) == f"PASSED {where}: 2 passed"
    assert content(header, RESULTS)["emulator"] is True
    kept = {one.get("name"): one.get("value") for one in properties(junit(header, RESULTS))}
    assert kept == {"port": url, "emulator": "true"}
    assert {one.get("value") for one in properties(junit(HEADER, RESULTS))} == {
        "/dev/ttyACM0",
        "false",
    }


def properties(text: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter("property"))


@pytest.mark.parametrize(
    ("url", "emulator"),
    [
        ("socket://127.0.0.1:4000", True),
        ("rfc2217://host:4000", True),
        ("loop://", True),
        ("/dev/ttyACM0", False),
        ("COM3", False),
        ("auto", False),
        ("spy:///dev/ttyACM0", False),
        ("hwgrep://2e8a:000a", False),
    ],
)
def test_what_is_no_board(url: str, emulator: bool) -> None:
    assert is_emulator(url) is emulator


def test_a_percentage_is_rounded_once() -> None:
    """194 of 224,245 is 0.08651 %: rounded to four places first, it would end as 0.086 or 0.087."""
    finding = _judge([Row("K", "x", 224_245, (224_439,))], exact=False)
    assert "+194 cycles (+0.087 %, K)" in finding.text
    page = html(HEADER, [Result("cycles", "", Outcome.PASSED, 1, "", "", finding.details)])
    assert "+0.087<small>%</small>" in page
    assert page.count("+0.087 %") == 1
    assert "0.086" not in page


def test_a_page_of_nothing_is_a_page() -> None:
    page = html(HEADER, [Result("find", "", Outcome.FAILED, 0, "no port", "SETUP")])
    assert "<h1>Hardware test failed</h1>" in page
    assert "It did not answer." in page


def test_ci_sees_failures_and_gaps() -> None:
    root = ElementTree.fromstring(junit(HEADER, RESULTS))
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == (
        "5",
        "1",
        "1",
        "1",
    )
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases["find"].findall("system-out")) == 1
    gap = cases["crash"].find("error")
    assert gap is not None and gap.get("message") == "no <record> & ??"
    failure = cases["verify.priot"].find("failure")
    assert failure is not None and failure.get("type") == "MISMATCH"
    assert cases["flash"].find("skipped") is not None


# The page


def test_the_page_quotes_what_the_tool_prints() -> None:
    """What docs/hardware.md puts into code marks in its table of troubles is in the source."""
    source = "".join(path.read_text() for path in (PAGE.parents[1] / "harness").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    source = re.sub(r"\{[^{}]*\}", "…", source)
    page = PAGE.read_text().split("## Troubleshooting")[1]
    quoted = [
        piece.strip(" '()")
        for row in page.splitlines()
        if row.startswith("| `")
        for piece in re.split("…|RPI-RP2", row.split("`")[1])
    ]
    quoted = [piece for piece in quoted if len(piece) > 3]
    assert len(quoted) > 25
    assert [piece for piece in quoted if piece not in source] == []
