"""Names of files in a locale that cannot spell them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_name_is_shown_as_it_was_typed(tmp_path: Path, utf8: str) -> None:
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8}
    done = subprocess.run(
        [sys.executable, "-m", "picotrain", "uf2", "--elf", "jä.elf", "--out", "x.uf2"],
        cwd=tmp_path,
        env={**os.environ, **locale},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("picotrain: jä.elf: No such file or directory".encode())
