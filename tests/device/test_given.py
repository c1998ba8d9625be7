"""Wrong arrays, numbers and calls: the same sentence on every device, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from picotrain.device.golden_device import GoldenDevice
from picotrain.device.interface import Device, state_sha256
from picotrain.device.mailbox import MailboxDevice
from picotrain.errors import CommandError, UserError
from picotrain_golden import Method
from support import begin, images, shipped

NETWORK = shipped("tinycnn")
PIXELS, LABELS = images(NETWORK, 4)
TAKES = "network tinycnn takes [N, 28, 28, 1]"

BATCHES = {
    "cut": (
        (PIXELS[:, :14], LABELS),
        f"images have shape [4, 14, 28, 1], {TAKES}; resize or reshape them",
    ),
    "large": (
        (np.zeros((2, 56, 56, 1), np.uint8), LABELS[:2]),
        f"images have shape [2, 56, 56, 1], {TAKES}; resize or reshape them",
    ),
    "flat": (
        (PIXELS.reshape(4, -1), LABELS),
        f"images have shape [4, 784], {TAKES}; resize or reshape them",
    ),
    "one": (
        (PIXELS[0], LABELS[0]),
        f"images have shape [28, 28, 1], {TAKES}; give one image as image[np.newaxis]",
    ),
    "shares": (
        (PIXELS / 255.0, LABELS),
        "images are float64, a device takes uint8 0..255; multiply by 255 and round: "
        "np.rint(images * 255).astype(np.uint8)",
    ),
    "floats": (
        (PIXELS.astype(np.float32) + 7, LABELS),
        "images are float32, a device takes uint8 0..255; bring the pixels to 0..255, round, and "
        "convert with .astype(np.uint8)",
    ),
    "int16": (
        (PIXELS.astype(np.int16), LABELS),
        "images are int16, a device takes uint8 0..255; bring the pixels to 0..255, round, and "
        "convert with .astype(np.uint8)",
    ),
    "list": (
        (PIXELS.tolist(), LABELS),
        "images are of type list; give an array of NumPy of type uint8",
    ),
    "few labels": (
        (PIXELS, LABELS[:3]),
        "there are 4 images, but labels have shape [3]; give one label for each image",
    ),
    "labels of two axes": (
        (PIXELS, LABELS[:, np.newaxis]),
        "there are 4 images, but labels have shape [4, 1]; give one label for each image",
    ),
    "wide labels": (
        (PIXELS, LABELS.astype(np.int64)),
        "labels are int64, a device takes uint8; convert class numbers with "
        "labels.astype(np.uint8)",
    ),
    "one label": (
        (PIXELS[:1], LABELS[0]),
        f"labels are one number, {LABELS[0]}; give an array, labels[:1] for one",
    ),
    "no class": (
        (PIXELS, np.array([9, 9, 10, 9], np.uint8)),
        "label 10 of image 2 is no class: network tinycnn has 10; give labels from 0 to 9",
    ),
}
STEPS = {
    "cut": (
        (PIXELS[0, :14], 1),
        "the image has shape [14, 28, 1], network tinycnn takes [28, 28, 1]; give one image of "
        "that shape",
    ),
    "batch": (
        (PIXELS[:1], 1),
        "the image has shape [1, 28, 28, 1], network tinycnn takes [28, 28, 1]; give one image of "
        "that shape",
    ),
    "shares": (
        (PIXELS[0] / 255.0, 1),
        "the image is float64, a device takes uint8 0..255; multiply by 255 and round: "
        "np.rint(images * 255).astype(np.uint8)",
    ),
    "text": ((PIXELS[0], "1"), "the label is '1'; give a whole number"),
    "fraction": ((PIXELS[0], 1.5), "the label is 1.5; give a whole number"),
    "negative": (
        (PIXELS[0], -1),
        "the label is -1, but network tinycnn has 10 classes; give one from 0 to 9",
    ),
    "no class": (
        (PIXELS[0], 300),
        "the label is 300, but network tinycnn has 10 classes; give one from 0 to 9",
    ),
}


@pytest.fixture
def both(mailbox: MailboxDevice, reference: GoldenDevice) -> tuple[Device, Device]:
    """Ready to train with priot."""
    begin(mailbox, reference, NETWORK, Method("priot"))
    return mailbox, reference


def said(attempt: Callable[[], object], kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as caught:
        attempt()
    return str(caught.value)


@pytest.mark.parametrize("case", BATCHES)
def test_wrong_batches(both: tuple[Device, Device], case: str) -> None:
    given, sentence = BATCHES[case]
    seen: list[int] = []
    for one in both:
        before = state_sha256(one, NETWORK)
        assert said(lambda one=one: one.evaluate(*given, seen.append)) == sentence
        assert said(lambda one=one: one.train(*given, seen.append)) == sentence
        assert (seen, state_sha256(one, NETWORK)) == ([], before)


@pytest.mark.parametrize("case", STEPS)
def test_wrong_steps(both: tuple[Device, Device], case: str) -> None:
    given, sentence = STEPS[case]
    for one in both:
        # At once, not with the first tensor.
        assert said(lambda one=one: one.trace(*given)) == sentence


def test_images_without_the_axis_of_one_channel(both: tuple[Device, Device]) -> None:
    flat = PIXELS[..., 0]
    for one in both:
        expected = one.evaluate(PIXELS, LABELS).predictions
        assert (one.evaluate(flat, LABELS).predictions == expected).all()
        assert len(list(one.trace(flat[0], 1))) == len(list(one.trace(PIXELS[0], 1))) == 21
    device, golden = both
    assert (device.train(flat, LABELS).loss_norms == golden.train(flat, LABELS).loss_norms).all()
    assert state_sha256(device, NETWORK) == state_sha256(golden, NETWORK)


def test_arrays_that_do_not_lie_in_a_row(both: tuple[Device, Device]) -> None:
    turned = np.rot90(PIXELS, axes=(1, 2))
    assert not turned.flags.c_contiguous
    for one in both:
        expected = one.evaluate(np.ascontiguousarray(turned), LABELS).predictions
        assert (one.evaluate(turned, LABELS).predictions == expected).all()


def test_no_images_are_no_mistake(both: tuple[Device, Device]) -> None:
    for one in both:
        assert one.evaluate(PIXELS[:0], LABELS[:0]).predictions.shape == (0,)


REFUSED = {
    "mu": (lambda one: one.set_mu(99), "SET_MU", "PT_ERR_ARGUMENT: mu is 99; use one from -8 to 7"),
    "negative mu": (
        lambda one: one.set_mu(-9),
        "SET_MU",
        "PT_ERR_ARGUMENT: mu is -9; use one from -8 to 7",
    ),
    "weights": (
        lambda one: one.weights(1),
        "READ_TENSOR",
        "PT_ERR_TENSOR: layer 1 has no weights now",
    ),
    "scores": (
        lambda one: one.scores(99),
        "READ_TENSOR",
        "PT_ERR_TENSOR: layer 99 has no scores now",
    ),
    "before the first": (
        lambda one: one.weights(-1),
        "READ_TENSOR",
        "PT_ERR_TENSOR: layer -1 has no weights now",
    ),
    "edges": (
        lambda one: one.scored_edges(1),
        "READ_TENSOR",
        "PT_ERR_TENSOR: layer 1 has no scores now",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_in_words(both: tuple[Device, Device], case: str) -> None:
    attempt, command, sentence = REFUSED[case]
    details = []
    for one in both:
        with pytest.raises(CommandError) as caught:
            attempt(one)
        assert str(caught.value) == f"{command}: the device refused with {sentence}"
        details.append((caught.value.name, caught.value.detail))
    assert details[0] == details[1]


def test_edges_of_a_layer_that_has_none(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    begin(mailbox, reference, NETWORK, Method("priot-s"))
    for one in (mailbox, reference):
        for layer in (1, 99):
            sentence = said(lambda one=one, at=layer: one.scored_edges(at), CommandError)
            assert sentence.endswith(f"PT_ERR_TENSOR: layer {layer} has no scored edges now")


def test_numbers_that_are_none(both: tuple[Device, Device]) -> None:
    wrong: Any = "3"
    for one in both:
        assert said(lambda one=one: one.set_mu(wrong)) == "mu is '3'; give a whole number"
        assert said(lambda one=one: one.weights(wrong)) == "the layer is '3'; give a whole number"


def test_calls_out_of_order(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    calls: dict[str, Callable[[Device], object]] = {
        "EVALUATE": lambda one: one.evaluate(PIXELS, LABELS),
        "TRAIN": lambda one: one.train(PIXELS, LABELS),
        "TRACE_BEGIN": lambda one: one.trace(PIXELS[0], 1),
        "READ_TENSOR": lambda one: one.weights(0),
        "SET_MU": lambda one: one.set_mu(3),
        "CLEAR_SATURATION": lambda one: one.saturation(),
    }
    for fix in ("load a model first", "set a method first"):
        for command, call in calls.items():
            details = set()
            for one in (mailbox, reference):
                with pytest.raises(CommandError) as caught:
                    call(one)
                assert str(caught.value) == (
                    f"{command}: the device refused with PT_ERR_STATE: {fix}"
                )
                details.add(caught.value.detail)
            assert len(details) == 1
        if fix == "load a model first":
            for one in (mailbox, reference):
                assert said(lambda one=one: one.set_method(Method("priot")), CommandError) == (
                    f"SET_METHOD: the device refused with PT_ERR_STATE: {fix}"
                )
                assert said(lambda one=one: one.set_selection(None), CommandError) == (
                    f"SET_SELECTION: the device refused with PT_ERR_STATE: {fix}"
                )
                one.load_model(NETWORK)


def test_inference_trains_nothing(mailbox: MailboxDevice, reference: GoldenDevice) -> None:
    begin(mailbox, reference, NETWORK, Method("infer"))
    for one in (mailbox, reference):
        assert said(lambda one=one: one.train(PIXELS, LABELS), CommandError) == (
            "TRAIN: the device refused with PT_ERR_ARGUMENT: "
            "method infer trains nothing; set another method first"
        )


def test_a_new_model_forgets_the_method(both: tuple[Device, Device]) -> None:
    for one in both:
        one.load_model(NETWORK)
        assert one.scores(0).size == one.scored_edges(0).size == 0
