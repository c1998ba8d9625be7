"""firmware/nn as others use it: called directly, with nothing checked before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import support
from building import SANITIZED, build
from picotrain.device.blob import encode
from picotrain.image.elf import Elf
from picotrain_golden import Network
from trainable_affine import trainable_network


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    return build(folder, ["library_alone.c"], SANITIZED, sanitized_library)


@pytest.mark.parametrize("name", ["oddnet", "affine-1", "affine-2", "affine-5"])
def test_headers_keep_their_word(program: Path, tmp_path: Path, host_elf: Elf, name: str) -> None:
    """Null details, labels that are no class, unused fields, states in pieces, sealed blobs."""
    form, _, seed = name.partition("-")
    network: Network = trainable_network(int(seed)) if form == "affine" else support.shipped(name)
    blob = tmp_path / "net.blob"
    blob.write_bytes(encode(network, host_elf))
    done = subprocess.run([program, blob], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "as promised\n", "")
