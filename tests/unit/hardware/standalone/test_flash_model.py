"""`picotrain flash-model`: what goes into flash, and what is refused."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import support
from picotrain.cli import main
from picotrain.cli.hardware import flash, flash_model
from picotrain.datasets import Split, load
from picotrain.device.blob import encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.link.ports import Port
from picotrain.errors import UserError
from picotrain.hardware.standalone.record import Ring, record
from picotrain.hardware.standalone.window import fill
from picotrain.image import firmware, uf2
from picotrain.image.elf import Elf, open_elf
from picotrain.learn import models
from picotrain.learn.calibration import calibrated_by, of_images
from picotrain.learn.field.state import State, state_of
from picotrain.learn.field.state_file import write_state
from picotrain_golden import Method, Network, linear
from support import require
from trainable_affine import trainable_network

WINDOW, RING = 0x10100000, 0x101C0000
RING_BYTES = 64 * 4096
PRIOT = Method("priot", mu=3, easy=9, later_mu=())


@pytest.fixture(scope="module")
def elf() -> Elf:
    return open_elf(require(firmware.STANDALONE))


def digits() -> Network:
    return models.load_network("tinycnn", "digits")


def learned(network: Network, method: Method, reference: GoldenDevice) -> State:
    reference.load_model(network)
    reference.set_method(method)
    reference.train(*support.images(network, 3))
    return state_of(reference, network, method)


def linear_network(inputs: int, hidden: int) -> Network:
    first = linear((1, inputs, 1), hidden, True)
    network = support.build("wide", (1, inputs, 1), [first, linear(first.out_shape, 4, False)])
    return support.with_numbers(
        network, forward_shift=8, error_shift=4, gradient_bits=9, score_bits=14
    )


def test_the_header_and_the_model(elf: Elf) -> None:
    network = digits()
    window = fill(network, PRIOT, elf, save_every=100)
    [(address, data)] = window.parts
    blob = encode(network, elf)
    assert (address, data[256:]) == (WINDOW, blob)
    assert (window.model, window.model + window.room) == (len(blob), 786_432 - 256)
    layout = elf.dtype("pt_window_header")
    header: Any = np.frombuffer(data, layout, 1)[0]
    assert data[:4] == b"PTSA" and header["version"] == 1
    assert (header["model_size"], header["save_every"]) == (len(blob), 100)
    assert bytes(header["name"]) == b"tinycnn".ljust(40, b"\0")
    assert header["method"].tolist() == (
        *(int(elf.enum("pt_method_kind")["PT_PRIOT"]), 3, -16, 100),
        *(int(elf.enum("pt_selection")["PT_SELECT_WEIGHT"]), 0, 0, 9),
    )
    assert header["crc32"] == zlib.crc32(data[: layout.itemsize - 4])
    assert data[layout.itemsize : 256] == b"\xff" * (256 - layout.itemsize)


@pytest.mark.parametrize(
    ("name", "held"), [("x" * 60, b"x" * 39 + b"\0"), ("été", b"?t?\0"), ("a b", b"a b\0")]
)
def test_a_name_that_the_header_has_no_room_or_letters_for(
    elf: Elf, name: str, held: bytes
) -> None:
    [(_, data)] = fill(replace(digits(), name=name), PRIOT, elf).parts
    layout = elf.dtype("pt_window_header")
    header = np.frombuffer(data, layout, 1)[0]
    assert header["name"].tobytes().startswith(held)
    assert header["crc32"] == zlib.crc32(data[: layout.fields["crc32"][1]])


def test_a_state_and_a_ring_that_is_blank_behind_it(elf: Elf, reference: GoldenDevice) -> None:
    network = digits()
    state = learned(network, PRIOT, reference)
    window = fill(network, PRIOT, elf, state)
    assert [one.address for one in window.parts] == [WINDOW, RING]
    ring = window.parts[1].data
    ours = record(network, PRIOT, state, Ring(4096, 256, 64), elf)
    assert len(ours) == 13 * 4096 == window.sectors * 4096
    assert ring == ours + b"\xff" * (RING_BYTES - len(ours))
    assert window.learns == state.size == 52_040
    # The boot ROM erases by the number of a block: each sector of the ring has all of its 16.
    written = {
        int.from_bytes(block[12:16], "little"): int.from_bytes(block[20:24], "little")
        for block in np.frombuffer(uf2.encode(window.parts), np.uint8).reshape(-1, 512)[:, :32]
        for block in [block.tobytes()]
    }
    for address in range(RING, RING + RING_BYTES, 256):
        assert written[address] % 16 == address // 256 % 16
    assert uf2.decode(uf2.encode(window.parts))[1] == window.parts[1]


@pytest.mark.parametrize("name", ["priot-s", "niti-static", "niti-dynamic", "infer"])
def test_every_method(elf: Elf, reference: GoldenDevice, name: str) -> None:
    network, method = digits(), replace(Method(name), later_mu=())  # type: ignore[arg-type]
    if name == "infer":
        window = fill(network, method, elf)
        assert (window.learns, window.sectors) == (0, 0)
        return
    state = learned(network, method, reference)
    window = fill(network, method, elf, state)
    assert window.learns == state.size and len(window.parts) == 2
    # What NITI trains is in SRAM.
    weights = 52_040 if method.changes_weights else 0
    assert window.ram > weights and (window.ram < 52_040) == (weights == 0)


def test_a_state_brings_the_static_scales(elf: Elf, reference: GoldenDevice) -> None:
    network = trainable_network(1)
    calibrated = of_images(network, Split(*support.images(network, 5)))
    assert calibrated.calibrated and not network.calibrated
    with pytest.raises(UserError) as caught:
        fill(network, PRIOT, elf)
    assert str(caught.value) == (
        f"{network.name} has no static scales for priot; give --calibration with the --dataset to "
        "make them from, or the --state of an adaptation, which has them"
    )
    fill(network, Method("infer"), elf)
    state = replace(
        learned(calibrated, PRIOT, reference),
        backbone_sha256=models.network_sha256(network),
    )
    window = fill(network, PRIOT, elf, state)
    assert window.parts[0].data[256:] == encode(state.network_of(network), elf)


def test_too_large_for_its_flash_says_by_how_much(elf: Elf) -> None:
    network = models.initial_network(models.resolve("vgg11"), 0)
    size = len(encode(network, elf))
    with pytest.raises(UserError) as caught:
        fill(network, PRIOT, elf)
    assert str(caught.value) == (
        f"vgg11 is a model of {size:,} bytes, and a device that stands alone has 786,176 bytes of "
        f"flash for it, so it is {size - 786_176:,} bytes too large; use a smaller network"
    )


def test_too_large_for_its_sram_or_its_saves(elf: Elf) -> None:
    wide = linear_network(600, 500)
    arena = firmware.arena_bytes(elf.path)
    with pytest.raises(UserError) as caught:
        fill(wide, PRIOT, elf)
    said = str(caught.value)
    assert said.startswith("wide with priot needs 30") and f"stands alone has {arena:,}, so" in said
    assert said.endswith(" bytes), or a smaller network") and "use priot-s (" in said
    with pytest.raises(UserError, match=r"wide with niti-static needs 30.*; use priot-s \("):
        fill(wide, Method("niti-static"), elf)
    with pytest.raises(UserError) as caught:
        fill(linear_network(600, 240), PRIOT, elf)
    assert str(caught.value) == (
        "what wide learns by priot takes 36 sectors of flash, and twice that is more than the 64 "
        "there are, so that no save could follow another; use priot-s, or a smaller network"
    )
    assert fill(linear_network(600, 240), Method("priot-s"), elf).sectors == 4


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: GoldenDevice) -> Path:
    """A folder with the state of tinycnn."""
    monkeypatch.chdir(tmp_path)
    require(firmware.STANDALONE)
    state = learned(digits(), PRIOT, reference)
    write_state(Path("state.npz"), replace(state, run={"step_sizes": [3, 2, 1]}))
    return tmp_path


def test_the_verb(here: Path, elf: Elf, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--state", "state.npz", "--save-every", "50", "--json", "r.json"]
    assert main(["flash-model", "tinycnn", *arguments]) == 0
    window = fill(digits(), replace(PRIOT, mu=1), elf, learned_again(here, elf), save_every=50)
    assert Path("model.uf2").read_bytes() == uf2.encode(window.parts)
    assert capsys.readouterr().out.splitlines() == [
        "tinycnn, priot, mu 1, easy 9, threshold -16",
        "model      52,352 bytes of flash, 733,824 are left",
        f"SRAM       82,420 of {window.arena:,} bytes",
        "learns     52,040 bytes, 13 sectors of flash a save",
        "saves      after each 50 images that taught something",
        "state      state.npz, epochs done: 0",
        "wrote: model.uf2",
    ]
    result = json.loads(Path("r.json").read_text())
    assert result["segments"] == [
        {"address": WINDOW, "size": 256 + 52_352},
        {"address": RING, "size": RING_BYTES},
    ]
    assert (result["mu"], result["easy"], result["save_every"]) == (1, 9, 50)
    assert result["bytes"] == {
        "model": 52_352,
        "room": 733_824,
        "learned": 52_040,
        "sram": 82_420,
        "sram_there": window.arena,
    }


def learned_again(here: Path, elf: Elf) -> State:
    return learned(digits(), PRIOT, GoldenDevice(elf, 1 << 30))


def test_options_beside_a_state(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = str(models.BACKBONES / "tinycnn-digits.npz")
    assert main(["flash-model", backbone, "--state", "state.npz", "--mu", "5", "--easy", "0"]) == 0
    assert "tinycnn, priot, mu 5, easy 0, threshold -16\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.npz"], "there is no backbone at nowhere.npz; make it with"),
        (["nonet"], "unknown network 'nonet'"),
        ([str(models.MODELS / "motion.toml")], "motion.toml describes a network, and has no weigh"),
        (["tinycnn", "--state", "nowhere.npz"], "there is no state at nowhere.npz; give a file of"),
        (["state.npz"], "state.npz is a saved state, of what a backbone learned; give it as"),
        (["oddnet", "--dataset", "mnist"], "there is no backbone"),
        (["tinycnn", "--dataset", "mnist", "--state", "state.npz"], "is of another network: of"),
        (
            ["tinycnn", "--state", "state.npz", "--method", "priot-s"],
            "state.npz is of another method: --method was priot there, and is priot-s here",
        ),
        (
            ["tinycnn", "--state", "state.npz", "--threshold", "0"],
            "state.npz is of another method: --threshold was -16 there, and is 0 here",
        ),
        (
            ["tinycnn", "--state", "state.npz", "--calibration", "fair"],
            "--calibration fair: the state has the static scales that it was learned with; leave",
        ),
        (["tinycnn", "--calibration", "foul"], "foul"),
        (["tinycnn", "--mu", "3,2"], "--mu 3,2 is a schedule, and a device that stands alone has"),
        (["tinycnn", "--mu", "9"], "mu is 9, outside -8..7"),
        (["tinycnn", "--easy", "-1"], "easy is -1, outside 0..4095"),
        (["tinycnn", "--method", "magic"], "unknown method 'magic'; use one of infer, niti-dyn"),
        (["tinycnn", "--port", "socket://127.0.0.1:1"], "is no board; only a Pico can be flashed"),
        (["tinycnn", "--drive"], "no board is named; give --port auto too, or leave --drive out"),
        (["tinycnn", "--port", " "], "--port is empty: name a port, or auto"),
        (["tinycnn", "--out", "state.npz", "--state", "state.npz"], "overwrite the input"),
    ],
)
def test_mistakes(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["flash-model", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1 and said.out == ""
    assert [path.name for path in here.iterdir()] == ["state.npz"]


def test_a_calibration_is_made_of_a_data_set(here: Path, elf: Elf) -> None:
    assert main(["flash-model", "tinycnn", "--calibration", "naive", "--json", "r.json"]) == 0
    made = calibrated_by(digits(), load("digits"), "naive")
    assert models.network_sha256(made) != models.network_sha256(digits())
    method = replace(Method("priot"), later_mu=())
    assert Path("model.uf2").read_bytes() == uf2.encode(fill(made, method, elf).parts)


class Flashed:
    """Stands for a Flasher, and keeps what the last one was given."""

    given: tuple[Any, ...] = ()

    def __init__(self, *given: Any, link: Path | None = None) -> None:
        Flashed.given = (*given, link) if link else given

    def flash(self, how: str) -> Port:
        Flashed.given += (how,)
        return Port("/dev/ttyACM3", "picotrain")


def test_it_goes_onto_a_board(
    here: Path, elf: Elf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flash_model, "Flasher", Flashed)
    arguments = ["--port", "auto", "--drive", "--json", "r.json"]
    assert main(["flash-model", "tinycnn", *arguments]) == 0
    program, wanted, baud, _, _, parts, link, how = Flashed.given
    assert (program, wanted, baud) == (firmware.STANDALONE, "auto", 921600)
    assert (link, how) == (firmware.RP2040, "drive")
    assert uf2.encode(parts) == Path("model.uf2").read_bytes()
    assert json.loads(Path("r.json").read_text())["port"] == "/dev/ttyACM3"
    assert capsys.readouterr().out.endswith(
        "wrote: model.uf2\nmodel.uf2 is on the device at /dev/ttyACM3\n"
    )


def test_the_program_itself_goes_onto_a_board(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flash, "Flasher", Flashed)
    assert main(["flash", "--standalone"]) == 0
    assert Flashed.given[:2] == (firmware.STANDALONE, "auto")
    assert Flashed.given[-2:] == (firmware.RP2040, "auto")
    capsys.readouterr()
    assert main(["flash", "--standalone", "--elf", "x.elf"]) == 2
    assert capsys.readouterr().err == (
        "picotrain: --elf and --standalone are two programs; give one of them\n"
    )


@pytest.mark.parametrize("number", ["-1", "4294967296", "x"])
def test_a_number_of_images_that_is_none(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["flash-model", "tinycnn", "--save-every", number])
    assert "--save-every" in capsys.readouterr().err
