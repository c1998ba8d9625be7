"""What a program gives to a device: one check for every `Device`, before anything is sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from picotrain.device.interface import Int8, UInt8
from picotrain.errors import UserError, must_be, whole_number
from picotrain_golden import Method, Network, Probe, Selection, validate_training
from picotrain_golden.sparse import solvers


def check_network(network: Any) -> None:
    must_be("the network", network, Network, 'give what load_network("tinycnn") returns')


def check_method(method: Any) -> None:
    must_be("the method", method, Method, 'give a Method, such as Method("priot")')


def check_trains(network: Network) -> None:
    """Raise UserError for an affine network that no method can train (docs/numerics.md, 15)."""
    try:
        # Of all methods those that keep the weights ask for the least.
        validate_training(network, Method("priot"))
    except ValueError as error:
        raise UserError(f"{error}; use another network") from None


def images_for(network: Network, images: UInt8) -> UInt8:
    """Pixels 0..255 as a device takes them: for an affine network the bytes of int8, pixel - 128"""
    return images ^ np.uint8(0x80) if network.affine else images


def check_selection(network: Network, selection: Any) -> None:
    """Of a network that a device holds; None, all rows, is always one."""
    if selection is None:
        return
    must_be("the selection", selection, Selection, "give a Selection, or None for all rows")
    try:
        selection.check(network)
    except ValueError as error:
        raise UserError(f"{error}; give None for all rows") from None


def checked_learned(
    method: Method | None, selection: Selection | None, what: str, values: Any, size: int
) -> Int8:
    """What learned before, as int8 [size]: "weights" or "scores" of a layer. UserError for what
    the method in force does not train, and for other values than it could have."""
    learns = method is not None and (method.scored if what == "scores" else method.changes_weights)
    if not learns:
        now = "no method is set" if method is None else f"the method is {method.name}"
        raise UserError(f"{now}, which has no {what} that learn; set the one that they are of")
    if selection is not None:
        raise UserError(f"{what} are put back under all rows; select all (None) first")
    if not isinstance(values, np.ndarray) or values.dtype != np.int8 or values.size != size:
        raise UserError(f"the layer has {size} {what}, int8; give as many")
    if (values < -127).any():
        raise UserError(f"{what} are -127 to 127, and these have -128; give what a device gave")
    return np.ascontiguousarray(values.reshape(-1))


def check_gathered(method: Method | None, needed: Probe, what: str) -> None:
    """Before what a probe has gathered is asked for."""
    if method is None or method.name != needed:
        now = "no method is set" if method is None else f"the method is {method.name}"
        raise UserError(f"{now}; set method {needed} and train it with images before {what}")


def check_search(
    solver: Any, permille: Any, budget_bytes: Any, budget_macs: Any, method: Any
) -> None:
    """What a device is asked to select by."""
    try:
        numbers = [
            whole_number(what, value)
            for what, value in (
                ("permille", permille),
                ("the budget of bytes", budget_bytes),
                ("the budget of MACs", budget_macs),
            )
        ]
        solvers.check(Method(method), solver, *numbers)
    except ValueError as error:
        raise UserError(str(error)) from None


def check_form(network: Network, method: Method, selection: Selection | None = None) -> None:
    """Not every affine network can train, and not every method takes a selection (docs/numerics.md,
    sections 15 and 16)."""
    if not method.trains:
        return
    if selection is not None and method.name == "priot-s":
        raise UserError(
            "priot-s has edges of its own choice, and takes no selection of rows; use priot, or "
            "select all rows (None)"
        )
    try:
        validate_training(network, method, selection)
    except ValueError as error:
        raise UserError(
            f"{error}; use method infer, or another network for {method.name}"
        ) from None


def checked_batch(network: Network | None, images: Any, labels: Any) -> tuple[UInt8, UInt8]:
    """Images uint8 [N, H, W, C] and labels uint8 [N] of the network; UserError for others.

    Of one channel, [N, H, W] will do. Without a network nothing is checked: the device refuses. An
    affine network takes int8 images too: the same bytes.
    """
    if network is None:
        return images, labels
    wanted = network.input_shape
    images = _pixels("images", images, network)
    if images.ndim == 3 and wanted[2] == 1 and images.shape[1:] == wanted[:2]:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[1:] != wanted:
        one = images.shape in (wanted, wanted[: 2 + (wanted[2] > 1)])
        instead = "give one image as image[np.newaxis]" if one else "resize or reshape them"
        raise UserError(
            f"images have shape {list(images.shape)}, network {network.name} takes "
            f"[N, {', '.join(map(str, wanted))}]; {instead}"
        )
    if isinstance(labels, int | np.integer):
        raise UserError(f"labels are one number, {labels!s}; give an array, labels[:1] for one")
    _check_type("labels", labels)
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"there are {len(images)} images, but labels have shape {list(labels.shape)}; "
            "give one label for each image"
        )
    if len(labels) and (largest := labels.max()) >= network.classes:
        raise UserError(
            f"label {largest} of image {labels.argmax()} is no class: network {network.name} has "
            f"{network.classes}; give labels from 0 to {network.classes - 1}"
        )
    return images, labels


def checked_image(network: Network | None, image: Any, label: Any) -> tuple[UInt8, int]:
    """One image uint8 [H, W, C], of an affine network int8 too, and its label; UserError for
    others."""
    number = whole_number("the label", label)
    if network is None:
        return image, number
    if not 0 <= number < network.classes:
        raise UserError(
            f"the label is {number}, but network {network.name} has {network.classes} classes; "
            f"give one from 0 to {network.classes - 1}"
        )
    image = _pixels("the image", image, network)
    wanted = network.input_shape
    if image.shape != wanted and not (wanted[2] == 1 and image.shape == wanted[:2]):
        raise UserError(
            f"the image has shape {list(image.shape)}, network {network.name} takes "
            f"{list(wanted)}; give one image of that shape"
        )
    return image.reshape(wanted), number


def _pixels(what: str, array: Any, network: Network) -> UInt8:
    """The bytes of the pixels, as a device takes them."""
    if not network.affine or not isinstance(array, np.ndarray) or array.dtype == np.uint8:
        _check_type(what, array)
        return array  # type: ignore[no-any-return]
    if array.dtype != np.int8:
        be = "is" if what.startswith("the ") else "are"
        raise UserError(
            f"{what} {be} {array.dtype}, affine network {network.name} takes int8; quantise with "
            "the scale and zero point of its input, which `picotrain info` shows"
        )
    return np.ascontiguousarray(array).view(np.uint8)


def _check_type(what: str, array: Any) -> None:
    be = "is" if what.startswith("the ") else "are"
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        raise UserError(f"{what} {be} of type {kind}; give an array of NumPy of type uint8")
    if array.dtype == np.uint8:
        return
    if what == "labels":
        fix = "convert class numbers with labels.astype(np.uint8)"
    elif array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        fix = "multiply by 255 and round: np.rint(images * 255).astype(np.uint8)"
    else:
        fix = "bring the pixels to 0..255, round, and convert with .astype(np.uint8)"
    wanted = "uint8" if what == "labels" else "uint8 0..255"
    raise UserError(f"{what} {be} {array.dtype}, a device takes {wanted}; {fix}")
