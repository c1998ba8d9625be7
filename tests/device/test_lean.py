"""Frozen weights in flash: the same bytes as from the arena, no RAM for the model, no write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import support
from flips.memory import Memory
from picotrain.device.blob import METHOD_KINDS, blob_size, encode
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import BatchResult, Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, CrashFailure
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain.learn.verify import Comparison, verify
from picotrain_golden import Method, Network, plan
from support import INFER, METHODS, images, refusal, require

FROZEN = {name: method for name, method in METHODS.items() if method.scored}
TRAINS_WEIGHTS = {name: method for name, method in METHODS.items() if not method.scored}
WEIGHTS = 2
PLACES = {"arena": 0, "flash": 1}


@pytest.fixture(params=["tinycnn", "oddnet"])
def network(request: pytest.FixtureRequest) -> Network:
    return support.shipped(request.param)


def begin(device: Device, network: Network, method: Method, frozen: bool = True) -> None:
    device.load_model(network, frozen)
    device.set_method(method)


def learn(device: Device, network: Network, count: int = 6) -> tuple[list[BatchResult], str]:
    """What comes of training on images and predicting them, and the digest of the state."""
    pixels, labels = images(network, count)
    results = [device.train(pixels, labels), device.evaluate(pixels, labels)]
    return results, state_sha256(device, network)


def flash_of(device: MailboxDevice, address: int) -> bytes:
    """All the flash for models."""
    return device._target.read(address, firmware.MODEL_FLASH)


def test_the_hosts_flash_is_far(mailbox: MailboxDevice, target_name: str) -> None:
    """So that a kernel that keeps the distance from weights to scores in 32 bits is found."""
    if not target_name.startswith("host"):
        pytest.skip("addresses have 32 bits there")
    (arena, _), (flash, _) = mailbox.window("MODEL"), mailbox.window("FLASH")
    assert abs(arena - flash) > 1 << 32


@pytest.mark.parametrize("method", FROZEN.values(), ids=FROZEN)
def test_lean_learns_what_fast_learns(device: Device, network: Network, method: Method) -> None:
    outcomes = []
    for frozen in (False, True):
        begin(device, network, method, frozen)
        outcomes.append(learn(device, network))
    (fast, fast_state), (lean, lean_state) = outcomes
    assert fast_state == lean_state
    for one, other in zip(fast, lean, strict=True):
        assert (one.predictions == other.predictions).all()
        assert (one.loss_norms == other.loss_norms).all()
        assert (one.saturated == other.saturated).all()


@pytest.mark.parametrize("method", [*FROZEN.values(), INFER], ids=[*FROZEN, "infer"])
def test_every_tensor_is_goldens(
    mailbox: MailboxDevice, reference: GoldenDevice, network: Network, method: Method
) -> None:
    for one in (reference, mailbox):
        begin(one, network, method)
    comparison = Comparison(reference, mailbox, network)
    comparison.state(0)
    pixels, labels = images(network, 4)
    assert verify(comparison, pixels, labels, 3, train=method.trains).steps == 3


@pytest.mark.parametrize("method", [*FROZEN.values(), INFER], ids=[*FROZEN, "infer"])
def test_the_plan_is_goldens_and_smaller_by_the_blob(
    mailbox: MailboxDevice, network: Network, method: Method
) -> None:
    size = blob_size(network, mailbox.elf)
    windows, plans = [], []
    for frozen in (False, True):
        begin(mailbox, network, method, frozen)
        windows.append(mailbox.window("IO")[1])
        plans.append(mailbox.plan())
    fast, lean = plans
    planned = plan(network, method, 0)
    sizes = [int(lean[f"{part}_size"]) for part in ("blob", "scores", "transient")]
    assert sizes == [0, planned.scores, planned.transient]
    assert int(fast["blob_size"]) == -(-size // 8) * 8
    assert windows[1] - windows[0] == int(fast["blob_size"])
    assert plan(network, method, size).total - planned.total == int(fast["blob_size"])
    for field in fast.dtype.names:
        if field != "blob_size":
            assert (fast[field] == lean[field]).all(), field


@pytest.mark.parametrize("method", [*FROZEN.values(), INFER], ids=[*FROZEN, "infer"])
def test_memory_report(
    device: Device, reference: GoldenDevice, network: Network, method: Method
) -> None:
    """A model in flash is no RAM, and is told apart."""
    on_chip = ("code", "statics", "stack")
    size = blob_size(network, reference._elf)
    for one in (reference, device):
        begin(one, network, method)
        memory = one.memory()
        parts = memory.by_part()
        assert memory.model_in_flash == size
        assert (memory.weights, memory.model_table) == (0, 0)
        assert "model_in_flash" not in parts
        assert parts["network"] == plan(network, method, 0).total
        if parts["code"] is None:
            assert parts["total"] is None
        else:
            assert parts["total"] == parts["network"] + sum(parts[part] for part in on_chip)
        begin(one, network, method, frozen=False)
        assert one.memory().model_in_flash == 0
        assert one.memory().weights + one.memory().model_table == -(-size // 8) * 8


@pytest.mark.parametrize("name", ["priot", "priot-s-random-normal"])
def test_flash_stays_as_it_was_written(mailbox: MailboxDevice, network: Network, name: str) -> None:
    mailbox.command("RESET")
    address, size = mailbox.window("FLASH")
    assert size == firmware.MODEL_FLASH and address % 8 == 0
    mailbox.write_window("FLASH", b"\xff" * (200 * 1024))
    blob = encode(network, mailbox.elf)
    begin(mailbox, network, METHODS[name])
    before = flash_of(mailbox, address)
    assert before[: len(blob)] == blob
    learn(mailbox, network)
    mailbox.restore(mailbox.checkpoint())
    assert flash_of(mailbox, address) == before
    # It does not take part any more once a model lies in the arena.
    begin(mailbox, network, METHODS["niti-static"], frozen=False)
    learn(mailbox, network)
    assert flash_of(mailbox, address) == before


@pytest.mark.parametrize("method", TRAINS_WEIGHTS.values(), ids=TRAINS_WEIGHTS)
def test_methods_that_train_weights_are_refused(
    device: Device, reference: GoldenDevice, network: Network, method: Method
) -> None:
    kind = int(reference._elf.enum("pt_method_kind")[METHOD_KINDS[method.name]])
    for one in (reference, device):
        one.load_model(network, frozen=True)
        with pytest.raises(CommandError) as caught:
            one.set_method(method)
        assert (caught.value.command, caught.value.name) == ("SET_METHOD", "PT_ERR_FROZEN")
        assert caught.value.detail == (kind, 0, 0, 0)
        assert "--plan fast" in caught.value.hint
        # The model is still there for a method that may.
        one.set_method(METHODS["priot"])
    assert learn(reference, network)[1] == learn(device, network)[1]


def test_frozen_weights_are_read_and_not_written(mailbox: MailboxDevice, network: Network) -> None:
    kinds = mailbox.elf.enum("pt_method_kind")
    for method in (METHODS["priot"], METHODS["priot-s-weight"], INFER):
        begin(mailbox, network, method)
        kind = int(kinds[METHOD_KINDS[method.name]])
        weights = network.of(0).weights.reshape(-1)
        assert (mailbox.weights(0) == weights).all()
        mailbox.write_window("IO", bytes(16))
        assert refusal(mailbox, "WRITE_TENSOR", [WEIGHTS, 0, 0, 16]) == (
            "PT_ERR_FROZEN",
            (kind, 0, 0, 0),
        )
        assert (mailbox.weights(0) == weights).all()
        if method.scored:
            mailbox.write_tensor("SCORES", 0, 0, mailbox.scores(0)[:4])


def test_a_checkpoint_of_weights_is_not_restored(mailbox: MailboxDevice, network: Network) -> None:
    """By `infer` a checkpoint holds the weights: it can be taken, but there is no place for it."""
    begin(mailbox, network, INFER)
    saved = mailbox.checkpoint()
    with pytest.raises(CommandError) as caught:
        mailbox.restore(saved)
    assert (caught.value.name, caught.value.detail) == ("PT_ERR_FROZEN", (0, 0, 0, 0))
    begin(mailbox, network, INFER, frozen=False)
    mailbox.restore(saved)


@pytest.mark.parametrize("name", ["priot", "priot-s-weight"])
def test_checkpoints_go_from_one_plan_to_the_other(
    mailbox: MailboxDevice, network: Network, name: str
) -> None:
    for first in (False, True):
        begin(mailbox, network, METHODS[name], first)
        _, state = learn(mailbox, network)
        saved = mailbox.checkpoint()
        begin(mailbox, network, METHODS[name], not first)
        mailbox.restore(saved)
        assert state_sha256(mailbox, network) == state
        assert mailbox.checkpoint() == saved


@pytest.mark.parametrize("place", [2, 3, 0x80000000, 0xFFFFFFFF])
def test_a_place_that_is_none(mailbox: MailboxDevice, network: Network, place: int) -> None:
    assert refusal(mailbox, "LOAD_MODEL", [24, place]) == ("PT_ERR_ARGUMENT", (1, place, 0, 1))
    begin(mailbox, network, METHODS["priot"])
    learn(mailbox, network)


def test_places_are_those_of_the_firmware(mailbox: MailboxDevice) -> None:
    places = mailbox.elf.enum("pt_place")
    assert {name: int(places[f"PT_PLACE_{name.upper()}"]) for name in PLACES} == PLACES


def test_the_place_decides_which_blob_is_read(mailbox: MailboxDevice, network: Network) -> None:
    """A good blob in one window, none in the other."""
    blob = encode(network, mailbox.elf)
    for good, bad in (("MODEL", "FLASH"), ("FLASH", "MODEL")):
        mailbox.command("RESET")
        mailbox.write_window(good, blob)
        mailbox.write_window(bad, bytes(len(blob)))
        places = {"MODEL": PLACES["arena"], "FLASH": PLACES["flash"]}
        name, _ = refusal(mailbox, "LOAD_MODEL", [len(blob), places[bad]])
        assert name == "PT_ERR_BLOB_MAGIC"
        mailbox.command("LOAD_MODEL", [len(blob), places[good]])


def test_more_than_the_flash(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    flash = firmware.MODEL_FLASH
    for size in (flash + 1, 0xFFFFFFFF):
        assert refusal(mailbox, "LOAD_MODEL", [size, PLACES["flash"]]) == (
            "PT_ERR_MEMORY",
            (size, flash, size, 0),
        )
    large = models.initial_network(models.resolve("vgg11"), seed=1)
    refusals = []
    for one in (reference, mailbox):
        with pytest.raises(CommandError) as caught:
            one.load_model(large, frozen=True)
        refusals.append((caught.value.command, caught.value.name, caught.value.detail))
        assert f"the flash has {flash:,} for one" in caught.value.hint
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("method", FROZEN.values(), ids=FROZEN)
def test_smallest_arena(
    host_device: Callable[..., MailboxDevice],
    host_elf: Elf,
    reference: GoldenDevice,
    network: Network,
    method: Method,
) -> None:
    """It holds scores, transient buffers and one image; with a byte fewer both say so alike."""
    needed = plan(network, method, 0).total
    details = []
    for one in (host_device(needed - 1), GoldenDevice(host_elf, needed - 1)):
        one.load_model(network, frozen=True)
        with pytest.raises(CommandError) as caught:
            one.set_method(method)
        assert caught.value.name == "PT_ERR_MEMORY"
        details.append(caught.value.detail)
    assert details[0] == details[1] and details[0][:2] == (needed, needed - 1)
    assert details[0][3] >> 8 != 0, "weights are not in the arena"
    sanitized = host_device(needed, support.sanitized(firmware.HOST_SANITIZED))
    for other in (reference, sanitized):
        begin(other, network, method)
    pixels, labels = images(network, 3)
    verify(Comparison(reference, sanitized, network), pixels, labels, 2, train=True)


@pytest.mark.parametrize("program", [firmware.HOST, firmware.HOST_SANITIZED])
def test_on_the_host_flash_is_read_only(
    host_device: Callable[..., MailboxDevice], program: Path
) -> None:
    """A firmware that believed its frozen weights to be its own would crash."""
    network = support.shipped("oddnet")
    device = host_device(program=require(program))
    begin(device, network, METHODS["priot"])
    memory, target = Memory(device), device._target
    (frozen,) = memory.trainer_fields(["frozen"])
    assert target.read(frozen.address, 1) == b"\x01"
    target.write(frozen.address, b"\x00")
    memory.reseal()
    with pytest.raises(CrashFailure, match="SEGV"):
        device.write_tensor("WEIGHTS", 0, 0, device.weights(0)[:4])
