"""The memory plan of device and golden over many networks: equal, and never two tenants at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import support
from picotrain.device.blob import blob_size
from picotrain.device.mailbox import MailboxDevice
from picotrain.device.targets.host import HostTarget
from picotrain.image.elf import Elf
from picotrain_golden import Method, Network, Plan, fused, operations, plan
from support import INFER, METHODS

SEEDS = range(150)
ALL_METHODS = {**METHODS, "infer": INFER}


@pytest.fixture(scope="module")
def device(host_elf: Elf) -> Iterator[MailboxDevice]:
    target = HostTarget(host_elf.path, 4 << 20)
    target.connect()
    device = MailboxDevice(target)
    yield device
    device.close()


def cases(seed: int) -> tuple[Network, Method]:
    network = support.random_network(seed)
    method = list(ALL_METHODS.values())[seed % len(ALL_METHODS)]
    return network, replace(method, permille=1 + seed * 37 % 1000)


def fields(planned: Plan) -> list[tuple[int, ...]]:
    kinds = {"activation": 2, "error": 3, "scratch": 4, "places": 5}
    return [
        (kinds[b.kind], b.layer & 0xFF, b.size, b.first, b.last, b.offset) for b in planned.buffers
    ]


def record_fields(device: MailboxDevice) -> list[tuple[int, ...]]:
    record = device.plan()
    names = ("kind", "layer", "size", "first", "last", "offset")
    buffers = record["buffer"][: int(record["buffers"])]
    return [tuple(int(buffer[name]) for name in names) for buffer in buffers]


def test_device_plans_what_golden_plans(device: MailboxDevice, host_elf: Elf) -> None:
    for seed in SEEDS:
        network, method = cases(seed)
        device.load_model(network)
        device.set_method(method)
        planned = plan(network, method, blob_size(network, host_elf))
        record = device.plan()
        assert record_fields(device) == fields(planned), seed
        sizes = [int(record[name]) for name in ("blob_size", "scores_size", "transient_size")]
        assert sizes == [planned.blob, planned.scores, planned.transient], seed
        assert record["io_minimum"] == planned.io_minimum, seed


def test_buffers_that_live_together_are_apart(host_elf: Elf) -> None:
    """What the placement is for, checked pair by pair, and that it does share memory."""
    shared = 0
    for seed in SEEDS:
        network, method = cases(seed)
        planned = plan(network, method, blob_size(network, host_elf))
        for number, one in enumerate(planned.buffers):
            assert one.offset % 4 == 0 and one.size % 4 == 0 and one.size > 0
            assert one.end <= planned.transient
            for other in planned.buffers[:number]:
                apart = one.end <= other.offset or other.end <= one.offset
                together = one.first <= other.last and other.first <= one.last
                assert apart or not together, (seed, one.name, other.name)
                shared += not apart
    assert shared > len(SEEDS)


def test_every_buffer_lives_while_it_is_used(host_elf: Elf) -> None:
    """From the operation that makes it to the last that reads it, on the device's own record."""
    for seed in SEEDS:
        network, method = cases(seed)
        planned = plan(network, method, blob_size(network, host_elf))
        lives = {(b.kind, b.layer): range(b.first, b.last + 1) for b in planned.buffers}
        pairs = fused(network, method)
        for number, (kind, index) in enumerate(operations(network, method)):
            # What a pair makes is the output of its pool.
            made = index + pairs[index]
            if kind == "loss":
                assert number in lives["activation", made]
            else:
                assert number in lives["activation", index - 1]
                assert kind != "forward" or number in lives["activation", made]
                assert not pairs[index] or number in lives["places", index]
            if method.trains and kind != "forward":
                assert number in lives["error", made]
            if kind == "error":
                assert number in lives["error", index - 1]
        if not method.trains:
            assert all(kind != "error" for kind, _ in lives)
        for index, pair in enumerate(pairs):
            assert not pair or {("activation", index), ("error", index)}.isdisjoint(lives)


def test_largest_first_each_as_low_as_it_can(host_elf: Elf) -> None:
    """Section 11 of docs/numerics.md, by trying every multiple of 4."""
    for seed in list(SEEDS)[:20]:
        network, method = cases(seed)
        planned = plan(network, method, blob_size(network, host_elf))
        order = sorted(range(len(planned.buffers)), key=lambda n: (-planned.buffers[n].size, n))
        placed: list[int] = []
        for number in order:
            buffer = planned.buffers[number]
            rivals = [
                planned.buffers[other]
                for other in placed
                if planned.buffers[other].first <= buffer.last
                and buffer.first <= planned.buffers[other].last
            ]
            lowest = next(
                offset
                for offset in range(0, 1 << 22, 4)
                if all(offset + buffer.size <= r.offset or r.end <= offset for r in rivals)
            )
            assert buffer.offset == lowest, (seed, buffer.name)
            placed.append(number)
