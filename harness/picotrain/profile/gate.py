"""A comparison with a baseline for CI: JUnit XML, and Markdown for the summary of a job."""

from __future__ import annotations

from xml.etree import ElementTree

from picotrain.profile.baseline import Comparison, Regression


def junit(comparison: Comparison, title: str) -> str:
    """A test case for every number, such as training, inference, each phase of each layer."""
    worse = {one.name: one for one in comparison.regressions}
    counts = {
        "tests": str(len(comparison.names)),
        "failures": str(len(worse)),
        "errors": "0",
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "cycles", **counts})
    properties = ElementTree.SubElement(suite, "properties")
    shown = {
        "profile": title,
        "max_regress": f"{comparison.limit:%}",
        **{f"baseline.{key}": text for key, text in comparison.firmware_before.items()},
        **comparison.firmware_after,
    }
    for name, text in shown.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": text})
    for name in comparison.names:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "cycles", "name": name})
        found = worse.get(name)
        if found is not None:
            failure = {"message": str(found), "type": found.kind}
            ElementTree.SubElement(case, "failure", failure).text = str(found)
        else:
            text = f"{comparison.before[name]:,.1f} -> {comparison.after[name]:,.1f} cycles"
            ElementTree.SubElement(case, "system-out").text = text
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ElementTree.tostring(root, 'unicode')}\n"


def markdown(comparison: Comparison, title: str) -> str:
    """A heading, the verdict, and a table of all numbers; what is worse is in bold."""
    worse = {one.name: one for one in comparison.regressions}
    verdict = (
        f"**{len(worse)} of {len(comparison.names)} numbers are worse** than the baseline by more "
        f"than {comparison.limit:.2%}."
        if worse
        else f"All {len(comparison.names)} numbers are within {comparison.limit:.2%} of the "
        "baseline."
    )
    lines = [
        f"### Cycles: {_cell(title)}",
        "",
        verdict,
        "",
        f"| {comparison.unit} | baseline | now | change | |",
        "|---|--:|--:|--:|---|",
        *(_row(comparison, name, worse.get(name)) for name in comparison.names),
        "",
        f"Firmware: {_firmware(comparison.firmware_before)} -> "
        f"{_firmware(comparison.firmware_after)}.",
        "",
    ]
    return "\n".join(lines)


def _row(comparison: Comparison, name: str, found: Regression | None) -> str:
    before, after = comparison.before.get(name), comparison.after.get(name)
    change = "" if not before or after is None else f"{after / before - 1:+.2%}"
    cells = [
        name if found is None else f"**{name}**",
        "" if before is None else f"{before:,.1f}",
        "" if after is None else f"{after:,.1f}",
        "0" if before == after else change,
        "" if found is None else found.kind,
    ]
    return f"| {' | '.join(cells)} |"


def _firmware(known: dict[str, str]) -> str:
    digest, compiler = known.get("sha256", "?")[:12], known.get("compiler", "")
    return f"`{digest}`" + (f" ({_cell(compiler)})" if compiler else "")


def _cell(text: str) -> str:
    """Text that Markdown takes as it is, on one line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
