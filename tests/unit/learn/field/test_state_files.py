"""State files: what they hold, and the sentence for what is none or of something else."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from picotrain import load_state, save_state
from picotrain.device.golden_device import GoldenDevice
from picotrain.errors import UserError
from picotrain.learn import models
from picotrain.learn.field.state import State, state_of
from picotrain.learn.field.state_file import _sha256, write_state
from picotrain_golden import Method, Network
from support import images, shipped
from trainable_affine import trainable_network

PRIOT_S = Method("priot-s", permille=200, select="random", seed=9, theta=-3, later_mu=(2, 1))


@pytest.fixture
def network() -> Network:
    return shipped("oddnet")


@pytest.fixture
def state(reference: GoldenDevice, network: Network) -> State:
    return learned(reference, network, PRIOT_S)


def learned(device: GoldenDevice, network: Network, method: Method) -> State:
    device.load_model(network)
    device.set_method(method)
    pixels, labels = images(network, 4)
    device.train(pixels, labels)
    return state_of(device, network, method, epochs=3, images=4, run={"dataset": "digits"})


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def said(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_state(path)
    return str(caught.value)


def test_a_file_gives_back_what_was_written(tmp_path: Path, state: State, network: Network) -> None:
    write_state(tmp_path / "a.npz", state)
    found = load_state(tmp_path / "a.npz")
    assert found.source == str(tmp_path / "a.npz")
    for name in ("network", "backbone_sha256", "network_sha256", "method", "logits", "epochs"):
        assert getattr(found, name) == getattr(state, name)
    assert (found.images, found.run) == (4, {"dataset": "digits"})
    assert found.network_sha256 == models.network_sha256(network)
    assert (found.numbers == state.numbers).all()
    for one, other in zip(
        (*found.learned, *found.scored), (*state.learned, *state.scored), strict=True
    ):
        assert (one is None) == (other is None) and np.array_equal(one, other)  # type: ignore[arg-type]
    assert found.size == sum(edges.size for edges in state.scored if edges is not None)
    write_state(tmp_path / "b.npz", found)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_damaged_byte_is_found(tmp_path: Path, state: State) -> None:
    """Sealed anew as a zip file, so that its own checks say nothing."""
    write_state(tmp_path / "a.npz", state)
    arrays = arrays_of(tmp_path / "a.npz")
    assert len(arrays) == 12
    for name, array in arrays.items():
        damaged = array.copy()
        if array.dtype.kind == "U":
            damaged = np.array(str(array)[:-2] + "0" + str(array)[-1])
        else:
            damaged.reshape(-1)[-1] ^= 1
        np.savez(tmp_path / "b.npz", **{**arrays, name: damaged})
        told = said(tmp_path / "b.npz")
        if name == "state_version":
            assert told.endswith(
                "version 0, but this program reads version 1; use the picotrain that saved it"
            )
        else:
            assert told.endswith(
                "b.npz is damaged (its digest is not that of what it holds); restore it from a copy"
            ), name
    rest = {name: array for name, array in arrays.items() if name != "learned_0"}
    np.savez(tmp_path / "b.npz", **rest)
    assert "is damaged (its digest is not that" in said(tmp_path / "b.npz")


def test_cut_off_and_flipped_files_are_damaged(tmp_path: Path, state: State) -> None:
    write_state(tmp_path / "a.npz", state)
    content = (tmp_path / "a.npz").read_bytes()
    for end in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "b.npz").write_bytes(content[:end])
        assert "b.npz is damaged" in said(tmp_path / "b.npz")
    random = np.random.default_rng(1)
    for at in random.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(random.integers(8))
        (tmp_path / "b.npz").write_bytes(flipped)
        try:
            found = load_state(tmp_path / "b.npz")
        except UserError as error:
            assert "\n" not in str(error)
        else:
            # A date or a flag of the archive: what it holds is as it was.
            assert found.run == state.run and np.array_equal(found.of(0), state.of(0))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"about": np.array("[]")}, "is damaged"),
        ({"numbers": np.zeros((5, 4), np.int64)}, "its numbers or its run are none"),
        ({"scored_0": np.zeros(3, np.uint8)}, "layer 0 has 0 edges for"),
        ({"learned_0": np.zeros(3, np.int16)}, "its array 'learned_0' is int16"),
    ],
)
def test_sealed_nonsense_is_damaged(
    tmp_path: Path, state: State, change: dict[str, Any], why: str
) -> None:
    write_state(tmp_path / "a.npz", state)
    arrays = arrays_of(tmp_path / "a.npz") | change
    arrays["sha256"] = np.array(_sha256(arrays))
    np.savez(tmp_path / "b.npz", **arrays)
    told = said(tmp_path / "b.npz")
    assert why in told and "\n" not in told


def test_other_files_are_told_apart(tmp_path: Path, state: State) -> None:
    assert said(tmp_path / "none.npz").startswith(f"there is no state at {tmp_path}/none.npz; give")
    backbone = models.BACKBONES / "tinycnn-digits.npz"
    assert said(backbone) == (
        f"{backbone} is no state but a backbone; give a file of `picotrain adapt --save`"
    )
    np.savez(tmp_path / "x.npz", x=np.zeros(1))
    assert "is no state but something else" in said(tmp_path / "x.npz")
    write_state(tmp_path / "a.npz", state)
    with pytest.raises(UserError, match="is a saved state, of what a backbone learned"):
        models.load_backbone(tmp_path / "a.npz")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("state_version.npy", b"\x93NUMPY")
    (tmp_path / "z.npz").write_bytes(whole.getvalue())
    assert "z.npz is damaged" in said(tmp_path / "z.npz")


def test_a_state_of_another_network_is_refused(
    tmp_path: Path, reference: GoldenDevice, state: State, network: Network
) -> None:
    other = network.copy()
    other.of(4).weights[0, 0] ^= 1
    write_state(tmp_path / "a.npz", state)
    with pytest.raises(UserError) as caught:
        load_state(tmp_path / "a.npz").restore(reference, other)
    assert str(caught.value) == (
        f"{tmp_path / 'a.npz'} is of another network: of oddnet with digest "
        f"{state.backbone_sha256[:12]}, and this oddnet has {models.network_sha256(other)[:12]}; "
        "give the backbone that it was learned on"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"theta": 0}, "--threshold was -3 there, and is 0 here; give --threshold -3"),
        ({"permille": 100}, "--scored was 0.2 there, and is 0.1 here; give --scored 0.2"),
        ({"select": "weight"}, "--select was random there, and is weight here"),
        ({"seed": 8}, "--seed was 9 there, and is 8 here"),
        ({"name": "priot"}, "--method was priot-s there, and is priot here; give --method priot-s"),
    ],
)
def test_a_state_of_another_method_is_refused(
    state: State, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as caught:
        state.check_method(replace(PRIOT_S, **change))
    assert str(caught.value).startswith(f"the state is of another method: {told}")
    state.check_method(replace(PRIOT_S, mu=-2, easy=7, start="normal", later_mu=()))


def test_what_a_method_ignores_is_no_other_method(
    reference: GoldenDevice, network: Network
) -> None:
    niti = learned(reference, network, Method("niti-static", theta=3, seed=4))
    niti.check_method(Method("niti-static", theta=5, permille=7, seed=6))
    priot = learned(reference, network, Method("priot", seed=4, start="normal"))
    priot.check_method(Method("priot", seed=5, permille=7))


@pytest.mark.parametrize("kind", ["oddnet", "affine"])
def test_a_state_brings_the_static_numbers(reference: GoldenDevice, kind: str) -> None:
    backbone = trainable_network(4) if kind == "affine" else shipped("oddnet")
    network = backbone.copy()
    for held in network.parameters:
        if held is not None:
            held.error_shift, held.score_bits = held.error_shift + 1, held.score_bits ^ 1
    if network.affine:
        network.logits_scale = (40_001, -4)
    state = replace(
        learned(reference, network, Method("priot")),
        backbone_sha256=models.network_sha256(backbone),
    )
    found = state.network_of(backbone)
    assert models.network_sha256(found) == models.network_sha256(network) == state.network_sha256
    assert models.network_sha256(state.network_of(network)) == state.network_sha256
    assert models.network_sha256(backbone) == state.backbone_sha256


def test_values_that_no_training_gives_are_damage(state: State, network: Network) -> None:
    def of(index: int, values: np.ndarray) -> State:
        return replace(state, learned=(*state.learned[:index], values, *state.learned[index + 1 :]))

    bad = state.of(2).copy()
    bad[1] = -128
    with pytest.raises(UserError, match="the state is damaged: layer 2 holds -128"):
        of(2, bad).network_of(network)
    with pytest.raises(UserError, match="the state is damaged: layer 2 is not its network's"):
        of(2, bad[1:]).network_of(network)


def test_the_state_of_a_program_has_no_other_name(
    tmp_path: Path, reference: GoldenDevice, network: Network
) -> None:
    learned(reference, network, PRIOT_S)
    for name in ("-", "state.json", "state"):
        with pytest.raises(UserError, match=f"the state {name} is no file for a state; name one"):
            save_state(name, reference, network, PRIOT_S)
    assert save_state(tmp_path / "s.npz", reference, network, PRIOT_S, epochs=2).epochs == 2
