"""`picotrain selftest` on some targets, for docs/reliability.md.

cd tests && python3 -m reliability.selftest host qemu rp2040js
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from picotrain import cli
from picotrain.errors import told
from picotrain.inputs import read_json
from reliability import page

_PLACE = re.compile(r"/\S*/")
"""Of a file of this machine; only its name is kept."""
_ANYWHERE = re.compile(r"0x[0-9a-f]{12}\b")
"""Of a process, which is elsewhere every time."""


def run(targets: Sequence[str]) -> int:
    """The exit status of the first target where a fault was missed, else 0; then nothing is kept"""
    found = {}
    with TemporaryDirectory() as folder:
        for target in targets:
            file = Path(folder) / "selftest.json"
            code = cli.main(["selftest", "--target", target, "--json", str(file)])
            if code:
                return code
            found[target] = read_json(file, "run it again")
    for result in found.values():
        for outcome in result["outcomes"]:
            outcome["said"] = _ANYWHERE.sub("0x...", _PLACE.sub("", outcome["said"]))
    file = page.file_of("selftest")
    before = read_json(file, "make selftest")["targets"] if file.is_file() else {}
    page.keep("selftest", {"targets": before | found})
    return 0


if __name__ == "__main__":
    sys.exit(told("selftest", run))
