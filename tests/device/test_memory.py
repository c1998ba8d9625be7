"""The device plans memory as golden does, and says what is missing where it does not suffice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import support
from picotrain.device.blob import blob_size
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError
from picotrain.image import firmware
from picotrain.image.elf import Elf
from picotrain.learn import models
from picotrain.learn.verify import verify
from picotrain_golden import Layer, Method, Network, Plan, conv2d, linear, maxpool2, plan
from support import INFER, METHODS, begin, images

ALL_METHODS = {**METHODS, "infer": INFER, "infer-fused": replace(INFER, fused=True)}
KINDS = {"weights": 0, "scores": 1, "activation": 2, "error": 3, "scratch": 4, "places": 5}


def pool_first() -> Network:
    """No backward pass reaches the input, and one layer is a row of weights that PRIOT-S rounds."""
    shape = (9, 7, 3)
    layers: list[Layer] = [maxpool2(shape)]
    layers += [conv2d(layers[0].out_shape, 3, (4, 1), 1, (2, 0), True)]
    layers += [linear(layers[1].out_shape, 2, False)]
    return support.calibrate(support.build("pool-first", shape, layers))


NETWORKS: dict[str, Callable[[], Network]] = {
    "tinycnn": lambda: support.shipped("tinycnn"),
    "oddnet": lambda: support.shipped("oddnet"),
    "pool-first": pool_first,
    **{f"random-{seed}": lambda seed=seed: support.random_network(seed) for seed in range(3, 11)},
}


def same_plan(record: Any, planned: Plan, elf: Elf) -> None:
    """struct pt_plan against golden's plan, number by number."""
    sizes = [int(record[name]) for name in ("blob_size", "scores_size", "transient_size")]
    assert sizes == [planned.blob, planned.scores, planned.transient]
    assert int(record["io_minimum"]) == planned.io_minimum
    kept = ("activation", "places")
    activations = [buffer.size for buffer in planned.buffers if buffer.kind in kept]
    assert int(record["activations_size"]) == sum(activations)
    kinds = elf.enum("pt_memory_kind")
    names = ("kind", "layer", "size", "first", "last", "offset")
    device = [
        tuple(int(buffer[name]) for name in names)
        for buffer in record["buffer"][: int(record["buffers"])]
    ]
    golden = [
        (
            int(kinds[f"PT_MEMORY_{buffer.kind.upper()}"]),
            buffer.layer & 0xFF,
            buffer.size,
            buffer.first,
            buffer.last,
            buffer.offset,
        )
        for buffer in planned.buffers
    ]
    assert device == golden


@pytest.mark.parametrize("name", NETWORKS)
def test_plan(mailbox: MailboxDevice, name: str) -> None:
    network = NETWORKS[name]()
    for method in ALL_METHODS.values():
        mailbox.load_model(network)
        mailbox.set_method(method)
        planned = plan(network, method, blob_size(network, mailbox.elf))
        same_plan(mailbox.plan(), planned, mailbox.elf)


def test_plan_of_a_network_larger_than_the_chip(
    host_device: Callable[..., MailboxDevice], host_elf: Elf
) -> None:
    network = support.with_numbers(
        models.initial_network(models.resolve("vgg11"), seed=1), forward_shift=11
    )
    device = host_device()
    device.load_model(network)
    for method in (METHODS["priot-s-random"], METHODS["niti-dynamic"], INFER):
        device.set_method(method)
        planned = plan(network, method, blob_size(network, host_elf))
        assert planned.total > 8 << 20
        same_plan(device.plan(), planned, host_elf)


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_report(device: Device, reference: GoldenDevice, name: str) -> None:
    """The parts add up, and are those that golden expects."""
    network = NETWORKS[name]()
    for method in ALL_METHODS.values():
        for one in (reference, device):
            one.load_model(network)
            one.set_method(method)
        expected, actual = reference.memory().by_part(), device.memory().by_part()
        on_chip = ("code", "statics", "stack")
        for part, value in expected.items():
            if part not in ("total", *on_chip):
                assert actual[part] == value, (method.name, part)
        planned = plan(network, method, blob_size(network, reference._elf))
        assert expected["network"] == actual["network"] == planned.total
        assert expected["total"] is None
        if actual["code"] is None:
            assert actual["total"] is None
        else:
            assert actual["total"] == planned.total + sum(actual[part] for part in on_chip)
        assert all(value is None or value >= 0 for value in actual.values())
        assert actual["weights"] == sum(layer.weight_count for layer in network.layers)


def test_priot_s_at_a_tenth_needs_less_than_a_quarter_of_the_scores(device: Device) -> None:
    """Counted by hand for tinycnn: scores rounded up to 4, and a bitmap of whole bytes a row."""
    network = support.shipped("tinycnn")
    scores = {}
    for method in (Method("priot"), Method("priot-s", permille=100)):
        device.load_model(network)
        device.set_method(method)
        scores[method.name] = device.memory().scores
    conv_1, conv_2 = 72 + 8 * 2, 1152 + 16 * 9
    linear_1, linear_2 = 3312 + 64 * 98, 640 + 10 * 8
    assert scores == {"priot": 52040, "priot-s": conv_1 + conv_2 + linear_1 + linear_2}
    assert 4 * scores["priot-s"] <= scores["priot"]
    # A trained model without them needs none.
    device.load_model(network)
    device.set_method(Method("niti-static"))
    assert device.memory().scores == 0


def largest_buffer(network: Network, method: Method, planned: Plan) -> tuple[int, int]:
    """Size and name of the largest of all buffers, the first of equals."""
    candidates = [(b.size, KINDS[b.kind] << 8 | b.layer & 0xFF) for b in planned.buffers]
    for index, layer in enumerate(network.layers):
        candidates.append((layer.weight_count, KINDS["weights"] << 8 | index))
        candidates.append((planned.score_bytes[index], KINDS["scores"] << 8 | index))
    best = max(size for size, _ in candidates)
    return next(candidate for candidate in candidates if candidate[0] == best)


@pytest.mark.parametrize("method", ALL_METHODS.values(), ids=ALL_METHODS)
@pytest.mark.parametrize("name", ["tinycnn", "pool-first"])
def test_smallest_arena(
    host_device: Callable[..., MailboxDevice],
    host_elf: Elf,
    reference: GoldenDevice,
    name: str,
    method: Method,
) -> None:
    """The planned bytes suffice to train exactly; with one fewer it says what is missing."""
    network = NETWORKS[name]()
    planned = plan(network, method, blob_size(network, host_elf))
    size, buffer = largest_buffer(network, method, planned)
    arena = planned.total - 1
    for one in (host_device(arena), GoldenDevice(host_elf, arena)):
        one.load_model(network)
        with pytest.raises(CommandError) as caught:
            one.set_method(method)
        assert caught.value.name == "PT_ERR_MEMORY"
        assert caught.value.detail == (planned.total, arena, size, buffer), one.name
        for number in (planned.total, arena, size):
            assert f"{number:,}" in caught.value.hint
        assert "so 1 are missing" in caught.value.hint
    comparison = begin(host_device(planned.total), reference, network, method)
    pixels, labels = images(network, 3)
    verify(comparison, pixels, labels, 2, train=method.trains)


def shallow() -> Network:
    shape = (28, 28, 1)
    layers: list[Layer] = [conv2d(shape, 8, (3, 3), 1, (1, 1), True)]
    layers += [maxpool2(layers[0].out_shape)]
    layers += [linear(layers[1].out_shape, 2, False)]
    return support.build("shallow", shape, layers)


@pytest.mark.parametrize(
    ("network", "method", "needed_of_largest", "kind", "layer", "words"),
    [
        # The scores of PRIOT are as many, but come after the weights.
        (
            lambda: support.shipped("tinycnn"),
            METHODS["priot"],
            64 * 784,
            "weights",
            4,
            "the weights of layer 4",
        ),
        # int32 accumulators of a whole output; three rows of 28 + 28 + 2 + 2 words, 9 weights of
        # 8 channels, 28 sums of 8 channels, and one row of nine bytes, rounded up.
        (
            shallow,
            METHODS["niti-dynamic"],
            4 * 28 * 28 * 8 + 1056 + 144 + 896 + 12,
            "scratch",
            0,
            "the scratch memory of layer 0",
        ),
    ],
    ids=["weights", "scratch"],
)
def test_the_largest_buffer_is_named(
    host_device: Callable[..., MailboxDevice],
    host_elf: Elf,
    network: Callable[[], Network],
    method: Method,
    needed_of_largest: int,
    kind: str,
    layer: int,
    words: str,
) -> None:
    """Counted by hand, and in words."""
    device = host_device(blob_size(network(), host_elf) + 20_000)
    device.load_model(network())
    with pytest.raises(CommandError) as caught:
        device.set_method(method)
    assert caught.value.name == "PT_ERR_MEMORY"
    assert caught.value.detail[2:] == (needed_of_largest, KINDS[kind] << 8 | layer)
    assert f"the largest buffer is {words} with {needed_of_largest:,} bytes" in caught.value.hint


def test_a_network_larger_than_the_chip_is_refused_at_load(
    device: Device, reference: GoldenDevice, host_elf: Elf
) -> None:
    network = models.initial_network(models.resolve("vgg11"), seed=1)
    size, arena = blob_size(network, host_elf), firmware.pico_arena_bytes()
    if isinstance(device, MailboxDevice):  # other kernels leave another arena
        _, arena = device.window("MODEL")
    assert 200 * 1024 < arena < 264 * 1024 < size
    with pytest.raises(CommandError) as caught:
        device.load_model(network)
    assert (caught.value.command, caught.value.name) == ("LOAD_MODEL", "PT_ERR_MEMORY")
    # The first of the layers with 512 x 3 x 3 x 512 weights.
    assert caught.value.detail == (size, arena, 2_359_296, KINDS["weights"] << 8 | 8)
    assert f"{size - arena:,} are missing" in caught.value.hint
    # The device goes on with a network that fits.
    small = support.shipped("oddnet")
    comparison = begin(device, reference, small, METHODS["priot"])
    pixels, labels = images(small, 2)
    comparison.batch(0, pixels, labels, train=True)


def test_set_method_refused_for_memory_leaves_the_model(
    host_device: Callable[..., MailboxDevice], host_elf: Elf, reference: GoldenDevice
) -> None:
    """A method with less state still fits, on the weights that were trained before."""
    network = support.shipped("tinycnn")
    lean, fat = METHODS["niti-static"], METHODS["priot"]
    device = host_device(plan(network, lean, blob_size(network, host_elf)).total)
    comparison = begin(device, reference, network, lean)
    pixels, labels = images(network, 4)
    comparison.batch(0, pixels, labels, train=True)
    with pytest.raises(CommandError, match="PT_ERR_MEMORY"):
        device.set_method(fat)
    for one in (reference, device):
        one.set_method(lean)
    comparison.state(1)
    comparison.batch(1, pixels, labels, train=True)
