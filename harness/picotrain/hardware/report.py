"""What a test of the hardware leaves: JSON, one HTML page, JUnit XML for CI, and text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from picotrain.hardware.cycle_steps import signed_percent
from picotrain.hardware.suite import Outcome, Result, passed
from picotrain.output import write_json, write_text
from picotrain.text import templates

JSON_FILE, HTML_FILE, JUNIT_FILE = "report.json", "report.html", "junit.xml"
_SUITE = "picotrain.hw-test"
# What XML 1.0 cannot hold: a device's bytes may come into a sentence.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Header:
    """What was tested, when, and with what."""

    started: str
    """ISO 8601, UTC."""
    port: str
    firmware: str
    firmware_sha256: str
    command: str
    versions: dict[str, str]
    emulator: bool = False
    """No board took part, or none that is known."""


def title(header: Header, results: Sequence[Result]) -> str:
    """What came of it, and of what."""
    return f"Hardware test {_outcome(results)}{_where(header)}"


def _outcome(results: Sequence[Result]) -> str:
    return "passed" if passed(results) else "failed"


def _where(header: Header) -> str:
    return f" on an emulator at {header.port}, no board took part" if header.emulator else ""


def content(header: Header, results: Sequence[Result]) -> dict[str, Any]:
    """The report as JSON has it."""
    counts = Counter(str(result.outcome) for result in results)
    return {
        "tool": "picotrain hw-test",
        **asdict(header),
        "passed": passed(results),
        "counts": {str(outcome): counts[str(outcome)] for outcome in Outcome},
        "seconds": round(sum(result.seconds for result in results), 3),
        "steps": [
            {**asdict(result), "outcome": str(result.outcome), "seconds": round(result.seconds, 3)}
            for result in results
        ],
    }


def write_report(folder: Path, header: Header, results: Sequence[Result]) -> None:
    """Write all three files. Raises UserError where the folder cannot be written."""
    write_json(folder / JSON_FILE, content(header, results))
    write_text(folder / HTML_FILE, html(header, results))
    write_text(folder / JUNIT_FILE, junit(header, results))


def html(header: Header, results: Sequence[Result]) -> str:
    """One page with nothing to load; the same results give the same bytes."""
    environment = templates("picotrain.hardware", "picotrain.profile.report", html=True)
    environment.filters |= {
        "signed": lambda value: f"{value:+,}",
        "percent": signed_percent,
    }
    document = content(header, results)
    details = {result.name: result.details for result in results if result.details}
    page: str = environment.get_template("hw_report.html.j2").render(
        report=document,
        title=title(header, results),
        device=details.get("identity"),
        throughput=details.get("link.throughput"),
        cycles=details.get("cycles"),
        registers=details.get("crash", {}).get("registers"),
    )
    return page


def junit(header: Header, results: Sequence[Result]) -> str:
    """JUnit XML: a step that did not run is an error, so that CI cannot take it for a pass."""
    counts = Counter(result.outcome for result in results)
    numbers = {
        "tests": str(len(results)),
        "failures": str(counts[Outcome.FAILED]),
        "errors": str(counts[Outcome.NOT_RUN]),
        "skipped": str(counts[Outcome.SKIPPED]),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ElementTree.Element("testsuites", numbers)
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": _SUITE, "timestamp": header.started, **numbers}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("port", header.port), ("emulator", str(header.emulator).lower())):
        ElementTree.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for result in results:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _SUITE, "name": result.name, "time": f"{result.seconds:.3f}"},
        )
        text = _clean(result.text)
        if result.outcome is Outcome.FAILED:
            failure = {"message": text, "type": result.failure}
            ElementTree.SubElement(case, "failure", failure).text = text
        elif result.outcome is Outcome.NOT_RUN:
            ElementTree.SubElement(case, "error", {"message": text, "type": "NOT RUN"}).text = text
        elif result.outcome is Outcome.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": text})
        else:
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def line(result: Result) -> str:
    """One result as one line of text."""
    failure = f"{result.failure}: " if result.failure else ""
    return f"{result.outcome:8}  {result.name:24} {result.seconds:7.1f} s  {failure}{result.text}"


def summary(header: Header, results: Sequence[Result]) -> str:
    """The last line: whether it is a pass, of what, and how many steps."""
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    counted = ", ".join(parts) or "no step ran"
    return f"{_outcome(results).upper()}{_where(header)}: {counted}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
