"""What messages tell the user to type can be typed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from picotrain.errors import UserError
from picotrain.learn import float_pretrain
from picotrain.versions import to_install

ROOT = Path(__file__).resolve().parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def typed(command: str) -> list[str]:
    """The words that a shell makes of it."""
    shown = subprocess.run(
        ["bash", "-c", f'printf "%s\\n" {command}'], capture_output=True, text=True, check=True
    )
    return shown.stdout.splitlines()


@pytest.mark.parametrize("extra", ["convert", "train", "probe", "dask", "parquet"])
def test_the_command_names_the_packages_of_the_extra(extra: str, tmp_path: Path) -> None:
    program, *rest = typed(to_install(extra))
    assert (program, rest[:3]) == (sys.executable, ["-m", "pip", "install"])
    assert [sorted(re.split("[,]|(?=[<>])", one)) for one in rest[3:]] == [
        sorted(re.split("[,]|(?=[<>])", one.partition(";")[0])) for one in EXTRAS[extra]
    ]


def test_a_message_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError) as caught:
        float_pretrain._torch()
    assert str(caught.value).endswith(f"needs PyTorch: `{to_install('train')}`")
