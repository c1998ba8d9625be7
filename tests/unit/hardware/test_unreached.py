"""A run that met no board says nothing of one: an earlier report stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from picotrain import cli
from picotrain.image import firmware
from support import require


@pytest.mark.parametrize("port", ["ttyNOPE", "x" * 300])
def test_an_earlier_report_outlives_a_board_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    elf, folder, result = require(firmware.RP2040), tmp_path / "report", tmp_path / "r.json"
    command = ["hw-test", "--no-flash", "--elf", str(elf), "--port", f"{tmp_path}/{port}"]
    command += ["--report", str(folder), "--json", str(result), "--steps", "1"]
    names = ["junit.xml", "report.html", "report.json"]
    # Where there is none, what happened is written: CI wants to know.
    assert cli.main(command) == 2
    assert sorted(path.name for path in folder.iterdir()) == names
    assert result.is_file()
    for path in (*folder.iterdir(), result):
        path.write_text("good")
    capsys.readouterr()
    assert cli.main(command) == 2
    assert [path.read_text() for path in (*folder.iterdir(), result)] == ["good"] * 4
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"nothing was connected: the report in {folder} is of an earlier run"
