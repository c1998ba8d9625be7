"""Links of the pages: what they lead to in the repository is there, headings too."""

from __future__ import annotations

import re
from pathlib import Path

from test_dependencies import ROOT, tracked

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def anchors(text: str) -> set[str]:
    """The headings of a page as GitHub writes them behind `#`."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    found = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        to = page.parent / name if name else page
        if not to.exists() or (anchor and anchor not in anchors(to.read_text(encoding="utf-8"))):
            found.append(link)
    return found


def test_every_link_leads_somewhere() -> None:
    checked = pages()
    assert ROOT / "README.md" in checked and len(checked) > 10
    wrong = {str(page.relative_to(ROOT)): broken(page) for page in checked}
    assert {page: links for page, links in wrong.items() if links} == {}


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n[1](page.md#a-b-c) [2](#a-b) [3](no.png) [4](https://x.org/no)\n")
    assert broken(page) == ["#a-b", "no.png"]


def reached(start: Path) -> set[Path]:
    """The pages that links lead to from a page, itself too."""
    found: set[Path] = set()
    open_ends = [start.resolve()]
    while open_ends:
        page = open_ends.pop()
        if page in found:
            continue
        found.add(page)
        for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            to = (page.parent / link.partition("#")[0]).resolve()
            if to.suffix == ".md" and to.is_file():
                open_ends.append(to)
    return found


def test_the_readme_leads_to_every_page() -> None:
    docs = {path.resolve() for path in pages() if path.parent == ROOT / "docs"}
    assert ROOT / "docs" / "profile.md" in docs
    assert docs - reached(ROOT / "README.md") == set()


def test_a_page_that_nothing_leads_to_is_seen(tmp_path: Path) -> None:
    for name, text in (("a", "[b](b.md#x)"), ("b", "[a](a.md)"), ("c", "[a](a.md)")):
        (tmp_path / f"{name}.md").write_text(text)
    assert reached(tmp_path / "a.md") == {tmp_path / "a.md", tmp_path / "b.md"}
