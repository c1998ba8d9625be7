"""The record that `picotrain flash-model --state` writes is the one that pt_store_save writes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import support
from building import SANITIZED, build
from picotrain.device.blob import encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.hardware.standalone.record import ERASED, Ring, method_bytes, record
from picotrain.image.elf import Elf
from picotrain.learn.field.state import State, state_of
from picotrain_golden import Method, Network
from trainable_affine import trainable_network

RING = Ring(4096, 256, 32)

METHODS = {
    "priot": Method("priot", mu=3, theta=-20, start="normal", seed=5, easy=7),
    "priot-s": Method("priot-s", permille=200, select="random", seed=9),
    "niti-static": Method("niti-static", mu=2),
    "niti-dynamic": Method("niti-dynamic"),
}
NETWORKS = {
    "oddnet": lambda: support.shipped("oddnet"),
    "tinycnn": lambda: support.shipped("tinycnn"),
    "affine": lambda: trainable_network(1),
}


@pytest.fixture(scope="module")
def ring_twin(tmp_path_factory: pytest.TempPathFactory, sanitized_library: Path) -> Path:
    sources = ["ring_twin.c", "flash_model.c"]
    return build(tmp_path_factory.mktemp("twin"), sources, SANITIZED, sanitized_library)


def trained(network: Network, method: Method, reference: GoldenDevice) -> State:
    """What golden learns from a few images."""
    reference.load_model(network)
    reference.set_method(method)
    reference.train(*support.images(network, 6))
    return state_of(reference, network, method)


def booted(
    program: Path, folder: Path, network: Network, method: Method, ring: bytes, elf: Elf
) -> tuple[str, bytes]:
    """What the store says, and what it writes."""
    for name, content in (
        ("blob", encode(network, elf)),
        ("method", method_bytes(method, elf)),
        ("ring", ring),
    ):
        (folder / name).write_bytes(content)
    out = folder / "out"
    command = [program, *(folder / name for name in ("blob", "method", "ring")), out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, out.read_bytes() if out.exists() else b""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_store_restores_it_and_writes_the_same_bytes(
    ring_twin: Path,
    tmp_path: Path,
    host_elf: Elf,
    reference: GoldenDevice,
    name: str,
    method: str,
) -> None:
    network, how = NETWORKS[name](), METHODS[method]
    if network.affine and how.dynamic:
        pytest.skip("affine networks have static scales")
    state = trained(network, how, reference)
    # The step size in use may be another than the state began with.
    how = replace(how, mu=-3, later_mu=())
    ours = record(network, how, state, RING, host_elf)
    ring = ours.ljust(RING.size, ERASED)
    said, out = booted(ring_twin, tmp_path, network, how, ring, host_elf)
    taken = len(ours) // RING.sector
    assert said == f"sequence 1 place 0 sectors {taken} mu -3 epoch 0 image 0\n"
    learned = np.concatenate([one for one in state.learned if one is not None])
    assert learned.any() and out[: learned.size] == learned.tobytes()
    assert out[learned.size :] == ring


@pytest.mark.parametrize(
    ("change", "field"),
    [({"theta": -21}, 2), ({"easy": 8}, 2), ({"start": "zero"}, 2)],
)
def test_a_record_of_another_method_is_refused(
    ring_twin: Path,
    tmp_path: Path,
    host_elf: Elf,
    reference: GoldenDevice,
    change: dict[str, object],
    field: int,
) -> None:
    network, how = support.shipped("oddnet"), METHODS["priot"]
    ours = record(network, how, trained(network, how, reference), RING, host_elf)
    other = replace(how, **change)  # type: ignore[arg-type]
    ring = ours.ljust(RING.size, ERASED)
    said, _ = booted(ring_twin, tmp_path, network, other, ring, host_elf)
    refused = int(host_elf.enum("pt_error")["PT_ERR_CHECKPOINT"])
    assert said == f"refused {refused} {field}\n"


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (Method("priot", seed=1), Method("priot", seed=2, permille=7, select="random")),
        (Method("priot-s", seed=1), Method("priot-s", seed=2)),
        (Method("niti-static", seed=1), Method("niti-static", seed=2, theta=3, start="normal")),
    ],
)
def test_what_a_method_does_not_use_is_nothing_to_a_record(
    ring_twin: Path,
    tmp_path: Path,
    host_elf: Elf,
    reference: GoldenDevice,
    made: Method,
    asked: Method,
) -> None:
    network = support.shipped("oddnet")
    ours = record(network, made, trained(network, made, reference), RING, host_elf)
    ring = ours.ljust(RING.size, ERASED)
    said, out = booted(ring_twin, tmp_path, network, asked, ring, host_elf)
    assert said.startswith("sequence 1 place 0 ") and out.endswith(ring)


def test_a_record_of_another_network_is_refused(
    ring_twin: Path, tmp_path: Path, host_elf: Elf, reference: GoldenDevice
) -> None:
    network, how = support.shipped("oddnet"), METHODS["priot"]
    ring = record(network, how, trained(network, how, reference), RING, host_elf)
    other = network.copy()
    other.of(0).weights[0, 0] ^= 1
    said, _ = booted(ring_twin, tmp_path, other, how, ring.ljust(RING.size, ERASED), host_elf)
    assert said == f"refused {int(host_elf.enum('pt_error')['PT_ERR_CHECKPOINT'])} 1\n"


@pytest.mark.parametrize(("size", "sectors"), [(0, 1), (3328, 1), (3329, 2), (52_040, 13)])
def test_sectors_of_a_record(host_elf: Elf, size: int, sectors: int) -> None:
    assert RING.sectors_of(size, host_elf) == sectors
