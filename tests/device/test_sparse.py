"""Sparse updates (section 16) on the device and in golden: what is gathered, selected, made and
trained is the same, to the bit and the byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import trainable_affine
from picotrain.device.blob import blob_size
from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, UserError
from picotrain.learn.verify import Comparison, Search, searches, verify, verify_selected
from picotrain_golden import Method, Network, Selection, plan
from support import METHODS, images, random_network, shipped
from test_affine_training import NETWORKS, convolved, finished, pixels, sampled, with_scales
from test_memory import same_plan

RANDOM_NETWORKS, EMULATED_NETWORKS = 60, 6
STEPS, EMULATED_STEPS = 10, 2
SELECTING = {name: METHODS[name] for name in ("niti-dynamic", "niti-static", "priot")}
PLENTY = (1 << 32) - 1


def compared(
    device: Device, reference: GoldenDevice, network: Network, lean: bool = False
) -> Comparison:
    for one in (reference, device):
        one.load_model(network, frozen=lean)
    return Comparison(reference, device, network)


def check(
    device: Device,
    reference: GoldenDevice,
    network: Network,
    method: Method,
    seed: int,
    permille: int,
    lean: bool,
) -> None:
    steps = EMULATED_STEPS if sampled(device) else STEPS
    comparison = compared(device, reference, network, lean)
    images, labels = pixels(network, 8, seed)
    verify_selected(comparison, method, images, labels, steps, permille, lean)


@pytest.mark.parametrize("lean", [False, True], ids=["fast", "lean"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", SELECTING)
def test_named_networks(
    device: Device, reference: GoldenDevice, method: str, name: str, lean: bool
) -> None:
    network = with_scales(NETWORKS[name](0), 0)
    check(device, reference, network, SELECTING[method], 0, 300, lean)


@pytest.mark.parametrize("name", NETWORKS)
def test_something_is_selected_and_learns(device: Device, name: str) -> None:
    """What the comparisons compare is no network of zeros, and the solvers do not always agree."""
    network = with_scales(NETWORKS[name](0), 0)
    images, labels = pixels(network, 8, 0)
    device.load_model(network)
    device.set_method(Method("fisher"))
    device.train(images, labels)
    gathered = device.fisher()
    for layer, information in zip(network.layers, gathered, strict=True):
        assert (information is not None) == layer.has_weights
        assert information is None or information.any()
    found = []
    for search in searches(network, Method("niti-static"), 300, False, PLENTY):
        try:
            found.append(device.select(*search))
            assert 0 < found[-1].bytes <= search.budget_bytes
            assert 0 < found[-1].macs <= search.budget_macs
        except CommandError as refusal:
            assert refusal.name == "PT_ERR_BUDGET"
    assert len({one.macs for one in found}) > 1
    most = max(found, key=lambda one: one.macs).selection
    device.set_selection(most)
    device.set_method(Method("niti-static", mu=4))
    device.train(images, labels)
    for index, rows in enumerate(most.rows):
        if rows is not None:
            before = network.of(index).weights
            after = device.weights(index).reshape(before.shape)
            assert np.array_equal(after[~rows], before[~rows])
    assert any(
        not np.array_equal(device.weights(index), network.of(index).weights.reshape(-1))
        for index, rows in enumerate(most.rows)
        if rows is not None
    )


@pytest.mark.parametrize("seed", range(RANDOM_NETWORKS))
def test_random_graphs(device: Device, reference: GoldenDevice, seed: int) -> None:
    if sampled(device) and seed >= EMULATED_NETWORKS:
        pytest.skip(f"{EMULATED_NETWORKS} of them where a step takes a second")
    network = with_scales(trainable_affine.trainable_network(seed), seed)
    method = list(SELECTING.values())[seed % 3]
    method = replace(method, easy=(0, 0, 60)[seed // 3 % 3])
    check(device, reference, network, method, seed, (1, 100, 500, 1000)[seed % 4], seed % 5 > 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_plans(mailbox: MailboxDevice, name: str) -> None:
    """Of random rows, in the arena and in flash."""
    network = NETWORKS[name](0)
    random = np.random.default_rng(4)
    for lean in (False, True):
        mailbox.load_model(network, frozen=lean)
        size = 0 if lean else blob_size(network, mailbox.elf)
        for method in (Method("fisher"), Method("infer"), *SELECTING.values()):
            chosen = drawn(network, random) if method.selects else None
            mailbox.set_method(Method("infer"))
            mailbox.set_selection(chosen)
            mailbox.set_method(method)
            same_plan(mailbox.plan(), plan(network, method, size, chosen), mailbox.elf)
            assert mailbox.selection() == chosen
        if network.layers[-1].kind == "linear":
            method = Method("prototype")
            mailbox.set_method(method)
            same_plan(mailbox.plan(), plan(network, method, size), mailbox.elf)


def test_the_plan_of_an_error_that_is_only_looked_at(mailbox: MailboxDevice) -> None:
    """Of a convolution of the image, which an add reads second: it is whole after the add's."""
    drawing = trainable_affine.Drawing(0)
    drawing.input = (3, 3, 2)
    drawing.add(-1, convolved(drawing, -1, 2))
    drawing.linear(drawing.here, 3)
    network, method = finished(drawing, "looked-at"), Method("fisher")
    mailbox.load_model(network)
    mailbox.set_method(method)
    planned = plan(network, method, blob_size(network, mailbox.elf))
    same_plan(mailbox.plan(), planned, mailbox.elf)


def test_information_of_a_large_plane_is_halved_and_rounded(
    device: Device, reference: GoldenDevice
) -> None:
    """1600 positions, and two rows whose sums are odd now and then."""
    drawing = trainable_affine.Drawing(6)
    drawing.input = (40, 40, 1)
    drawing.linear(drawing.mean(convolved(drawing, -1, 2)), 3)
    network = with_scales(finished(drawing, "plane"), 0)
    compared(device, reference, network).information(*pixels(network, 6, 0))


def test_of_layers_that_are_worth_the_same_the_first_is_taken(
    device: Device, reference: GoldenDevice
) -> None:
    """Two that are alike, read by an add that takes both alike."""
    drawing = trainable_affine.Drawing(5)
    drawing.input = (4, 4, 2)
    drawing.linear(drawing.add(convolved(drawing, -1, 3), convolved(drawing, -1, 3)), 4)
    network = finished(drawing, "twins")
    add = network.affine[2]
    alike = replace(
        add,
        zero_in=(add.zero_in[0],) * 2,
        multiplier=add.multiplier[[0, 0, 2]],
        shift=add.shift[[0, 0, 2]],
    )
    network.parameters = (network.of(0), network.of(0), *network.parameters[2:])
    network = replace(network, affine=(*network.affine[:1] * 2, alike, *network.affine[3:]))
    network = with_scales(network.copy(), 0)
    comparison = compared(device, reference, network)
    comparison.information(*pixels(network, 8, 0))
    worth = [one for one in device.fisher()[:2] if one is not None]
    assert (worth[0] == worth[1]).all() and worth[0].any()
    taken = set()
    for macs in range(100, 8000, 100):
        found = comparison.selected(Search("greedy", 1000, 1 << 18, macs, "niti-static"))
        if found is not None:
            taken.add(tuple(rows is not None and rows.any() for rows in found.selection.rows[:2]))
    assert (True, False) in taken and (False, True) not in taken


def drawn(network: Network, random: np.random.Generator) -> Selection:
    """Rows at random, of half of the layers."""
    while True:
        chosen = Selection(
            tuple(
                (random.random(layer.rows) < 0.4) & (random.random() < 0.5)
                if layer.has_weights
                else None
                for layer in network.layers
            )
        )
        if any(chosen.count(index) for index in range(len(network.layers))):
            return chosen


@pytest.mark.parametrize("lean", [False, True], ids=["fast", "lean"])
@pytest.mark.parametrize("method", SELECTING)
def test_any_rows(device: Device, reference: GoldenDevice, method: str, lean: bool) -> None:
    """Of rows that no solver would take, one selection after the other, without a new model."""
    random = np.random.default_rng(5)
    network = with_scales(NETWORKS["inverted-residuals"](1), 1)
    comparison = compared(device, reference, network, lean)
    images, labels = pixels(network, 4, 1)
    for _ in range(2 if sampled(device) else 6):
        comparison.start(SELECTING[method], drawn(network, random))
        verify(comparison, images, labels, 2, train=True)
        memory = replace(device.memory(), code=None, statics=None, stack=None)
        assert memory == reference.memory()
    # All rows again; in flash NITI has none to train then.
    for one in (reference, device):
        one.set_selection(None)
        assert one.selection() is None
    if lean and method != "priot":
        for one in (reference, device):
            with pytest.raises(CommandError, match="PT_ERR_FROZEN"):
                one.set_method(SELECTING[method])
    else:
        comparison.start(SELECTING[method])
        verify(comparison, images, labels, 2, train=True)


@pytest.mark.parametrize("lean", [False, True], ids=["fast", "lean"])
@pytest.mark.parametrize("method", SELECTING)
def test_any_rows_of_chains(
    device: Device, reference: GoldenDevice, method: str, lean: bool
) -> None:
    """Of the power-of-two form, where errors end at any layer."""
    random = np.random.default_rng(6)
    few = sampled(device)
    networks = [shipped("tinycnn"), shipped("oddnet"), *map(random_network, range(0 if few else 8))]
    for network in networks:
        comparison = compared(device, reference, network, lean)
        pictures, labels = images(network, 4)
        for _ in range(1 if few else 3):
            comparison.start(SELECTING[method], drawn(network, random))
            verify(comparison, pictures, labels, 2, train=True)
            assert device.memory().by_part()["network"] == reference.memory().by_part()["network"]


@pytest.mark.parametrize("name", ["tinycnn", "oddnet"])
def test_plans_of_chains(mailbox: MailboxDevice, name: str) -> None:
    network, random = shipped(name), np.random.default_rng(7)
    for lean in (False, True):
        mailbox.load_model(network, frozen=lean)
        size = 0 if lean else blob_size(network, mailbox.elf)
        for method in SELECTING.values():
            chosen = drawn(network, random)
            mailbox.set_selection(chosen)
            mailbox.set_method(method)
            same_plan(mailbox.plan(), plan(network, method, size, chosen), mailbox.elf)
            assert mailbox.selection() == chosen


@pytest.mark.parametrize("lean", [False, True], ids=["fast", "lean"])
def test_a_head_stays_until_a_model_is_loaded(
    device: Device, reference: GoldenDevice, lean: bool
) -> None:
    network = with_scales(NETWORKS["resnet"](0), 0)
    comparison = compared(device, reference, network, lean)
    images, _ = pixels(network, 20, 2)
    labels = np.arange(20).astype(np.uint8) % np.uint8(network.classes)
    last = len(network.layers) - 1
    comparison.head(images, labels)
    made = device.weights(last)
    assert not np.array_equal(made, network.of(last).weights.reshape(-1))
    # Training moves it, and what it has become stays too.
    comparison.start(Method("niti-static", mu=6), Selection.whole(network, (last,)))
    verify(comparison, images, labels, 3, train=True)
    moved = device.weights(last)
    assert not np.array_equal(moved, made)
    comparison.start(Method("infer"))
    assert np.array_equal(device.weights(last), moved)
    # Once more, from features that are the same.
    comparison.head(images, labels)
    assert np.array_equal(device.weights(last), made)
    for one in (reference, device):
        one.load_model(network, frozen=lean)
        one.set_method(Method("infer"))
    assert np.array_equal(device.weights(last), network.of(last).weights.reshape(-1))


def test_many_classes(device: Device, reference: GoldenDevice) -> None:
    drawing = trainable_affine.Drawing(3)
    drawing.input = (2, 2, 3)
    drawing.linear(-1, 50)
    numbers, held = drawing.numbers(0)
    network = Network("wide", drawing.input, tuple(drawing.layers), (held,), (numbers,))
    comparison = compared(device, reference, network)
    images, _ = pixels(network, 60, 0)
    comparison.head(images, (np.arange(60) % 50).astype(np.uint8))


@pytest.mark.parametrize("lean", [False, True], ids=["fast", "lean"])
@pytest.mark.parametrize("name", ["infer", "fisher", *SELECTING])
def test_a_selection_ends_what_it_changes(
    device: Device, reference: GoldenDevice, name: str, lean: bool
) -> None:
    """And what the method had trained stays, but for copies of a model in flash."""
    network = with_scales(NETWORKS["resnet"](0), 0)
    comparison = compared(device, reference, network, lean)
    images, labels = pixels(network, 4, 0)
    last = (len(network.layers) - 1,)
    comparison.start(SELECTING.get(name) or Method(name), Selection.whole(network, last))  # type: ignore[arg-type]
    comparison.batch(0, images, labels, train=name != "infer")
    for one in (reference, device):
        one.set_selection(Selection.whole(network, (0,)))
        if name in SELECTING:
            with pytest.raises(CommandError, match="PT_ERR_STATE"):
                one.train(images, labels)
    if name not in SELECTING:
        comparison.batch(1, images, labels, train=name != "infer")
    comparison.start(Method("infer"))
    comparison.batch(2, images, labels, train=False)


def test_bad_input(device: Device, reference: GoldenDevice) -> None:
    """The same sentence of both."""
    network = with_scales(NETWORKS["resnet"](0), 0)
    images, labels = pixels(network, 4, 0)
    labels[:] = 1

    def refused(act: Callable[[Device], object]) -> str:
        told = set()
        for one in (reference, device):
            with pytest.raises((UserError, CommandError)) as caught:
                act(one)
            assert "\n" not in str(caught.value)
            told.add(str(caught.value))
        assert len(told) == 1
        return told.pop()

    compared(device, reference, network)
    empty = Selection.whole(network, ())
    assert "this one has none; give None" in refused(lambda one: one.set_selection(empty))
    other = Selection.whole(NETWORKS["pools"](0), (0,))
    assert "is none for resnet-0" in refused(lambda one: one.set_selection(other))
    for one in (reference, device):
        one.set_method(Method("infer"))
    assert "the method is infer; set method fisher and train" in refused(lambda one: one.fisher())
    assert "set method prototype and train" in refused(lambda one: one.make_head())
    search = Search("greedy", 100, PLENTY, PLENTY, "priot")
    assert "set method fisher and train" in refused(lambda one: one.select(*search))
    for one in (reference, device):
        one.set_method(Method("fisher"))
        one.train(images, labels)
    for wrong, sentence in (
        (search._replace(permille=0), "permille is 0, outside 1..1000"),
        (search._replace(budget_bytes=0), "the budget of bytes is 0"),
        (search._replace(budget_macs=1 << 32), "the budget of MACs is 4294967296"),
        (search._replace(solver="best"), "solver is 'best'"),
        (search._replace(method="priot-s"), "method priot-s takes no selection"),
        (search._replace(budget_macs=1), "no layer is worth its place within 4,294,967,295 bytes"),
    ):
        assert sentence in refused(lambda one, wrong=wrong: one.select(*wrong))  # type: ignore[misc]
        assert device.selection() is None
    for one in (reference, device):
        one.select(*search)
    assert "takes no selection of rows" in refused(
        lambda one: one.set_method(METHODS["priot-s-weight"])
    )
    for one in (reference, device):
        one.set_selection(None)
        one.set_method(Method("prototype"))
        one.train(images, labels)
    assert "class 0 of 10 has no image" in refused(lambda one: one.make_head())


def test_what_the_other_form_has_not(device: Device, reference: GoldenDevice) -> None:
    for one in (reference, device):
        one.load_model(shipped("oddnet"))
        for name in ("fisher", "prototype"):
            with pytest.raises(UserError, match=f"method {name} is for affine networks"):
                one.set_method(Method(name))  # type: ignore[arg-type]
