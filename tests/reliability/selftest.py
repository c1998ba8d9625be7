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
from picotrain.inputs import read_json
from reliability import page

_PLACE = re.compile(r"/\S*/")
"""Of a file of this machine; only its name is kept."""


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
            outcome["said"] = _PLACE.sub("", outcome["said"])
    page.keep("selftest", {"targets": found})
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
