"""docs/library.md says what the last layer alone takes, as its program measures it."""

from __future__ import annotations

import re

import pytest

from picotrain.device import backends
from picotrain.places import SHIPPED


def test_the_table_is_what_the_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    if missing := backends.problem("qemu"):
        pytest.skip(missing)
    page = (SHIPPED / "docs" / "library.md").read_text(encoding="utf-8")
    part = page.split("## The last layer alone")[1].split("\n## ")[0]
    program = part.split("```python\n")[1].split("```")[0]
    exec(compile(program, "docs/library.md", "exec"), {})
    table = re.findall(r"[\d,]+ bytes, [\d,]+ cycles", part)
    assert table == capsys.readouterr().out.splitlines()
    assert len(table) == 6
