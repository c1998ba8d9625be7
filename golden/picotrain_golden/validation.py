"""What a network may be: the limits of docs/numerics.md sections 3, 4 and 12 to 15."""

from __future__ import annotations

from math import prod

import numpy as np

from picotrain_golden.loss import LEAST_LOGITS_EXPONENT
from picotrain_golden.method import Method
from picotrain_golden.network import (
    AFFINE,
    MAX_AFFINE_LAYERS,
    MAX_AFFINE_OUTPUTS,
    MAX_AFFINE_SHIFT,
    MAX_BITS,
    MAX_CLASSES,
    MAX_DIMENSION,
    MAX_ELEMENTS,
    MAX_EXPONENT,
    MAX_KERNEL,
    MAX_LAYERS,
    MAX_LOGITS_E,
    MAX_SCALE_SHIFT,
    MAX_TERMS,
    MAX_TRAINED_LAYERS,
    MAX_TRAINED_OUTPUTS,
    MAX_WEIGHTS,
    MIN_AFFINE_SHIFT,
    MIN_EXPONENT,
    MIN_LOGITS_E,
    POWER_OF_TWO,
    Affine,
    Kind,
    Layer,
    Network,
    Parameters,
    conv2d,
    linear,
    maxpool2,
)
from picotrain_golden.numerics import LIMIT, Int8
from picotrain_golden.operators import OPERATORS
from picotrain_golden.sparse import prototypes
from picotrain_golden.sparse.selection import Selection, of_method, updated


def validate(network: Network, dynamic: bool = False) -> None:
    """Raise ValueError, in one sentence, for what sections 3, 4, 12, 13 and 14 forbid.

    `dynamic` is for `niti-dynamic` and calibration: the logits' exponent is then not static, so the
    rule of section 4 does not apply.
    """
    if network.affine:
        _validate_affine_network(network)
        return
    layers = network.layers
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise ValueError(f"a network has 1 to {MAX_LAYERS} layers, not {len(layers)}")
    if len(network.parameters) != len(layers):
        raise ValueError(f"{len(network.parameters)} parameter sets for {len(layers)} layers")
    shape = network.input_shape
    for index, layer in enumerate(layers):
        if layer.in_shape != shape:
            raise ValueError(f"layer {index} takes {layer.in_shape} but is given {shape}")
        _validate_layer(index, layer)
        held = network.parameters[index]
        _validate_weights(index, layer, held)
        if held is not None:
            _validate_numbers(index, held)
        shape = layer.out_shape
    if layers[-1].kind != "linear" or layers[-1].relu:
        raise ValueError("the last layer must be linear without ReLU")
    if not 2 <= network.classes <= MAX_CLASSES:
        raise ValueError(f"a network has 2 to {MAX_CLASSES} classes, not {network.classes}")
    if not dynamic and network.logits_exponent < LEAST_LOGITS_EXPONENT:
        raise ValueError(
            f"the logits have exponent {network.logits_exponent}, {LEAST_LOGITS_EXPONENT} is the "
            "least"
        )


def _validate_layer(index: int, layer: Layer) -> None:
    _validate_kind(index, layer, POWER_OF_TWO, "affine")
    if layer.inputs:
        raise ValueError(
            f"layer {index} names what it reads, but in the power-of-two form every layer reads "
            "the one before it"
        )
    _validate_size(index, layer)
    expected: Layer
    if layer.kind == "conv2d":
        if any(not 1 <= size <= MAX_KERNEL for size in layer.kernel):
            raise ValueError(f"layer {index} has a kernel outside 1..{MAX_KERNEL}")
        if layer.stride not in ((1, 1), (2, 2)):
            raise ValueError(f"layer {index} has stride {layer.stride}, not 1 or 2 on both axes")
        if any(not 0 <= pad < size for pad, size in zip(layer.padding, layer.kernel, strict=True)):
            raise ValueError(f"layer {index} has a padding that is not less than its kernel")
        expected = conv2d(
            layer.in_shape, layer.rows, layer.kernel, layer.stride[0], layer.padding, layer.relu
        )
    elif layer.kind == "maxpool2":
        expected = maxpool2(layer.in_shape)
    else:
        expected = linear(layer.in_shape, layer.rows, layer.relu)
    if layer != expected:
        raise ValueError(f"layer {index} is {layer}, but its fields ask for {expected}")
    if layer.has_weights and layer.most_terms > MAX_TERMS:
        raise ValueError(f"layer {index} sums {layer.most_terms} terms, more than {MAX_TERMS}")


def _validate_kind(index: int, layer: Layer, kinds: tuple[Kind, ...], other: str) -> None:
    if layer.kind in kinds:
        return
    if layer.kind in (*POWER_OF_TWO, *AFFINE):
        raise ValueError(f"layer {index} is {layer.kind}, which only the {other} form has")
    raise ValueError(f"layer {index} has unknown kind {layer.kind!r}")


def _validate_size(index: int, layer: Layer) -> None:
    if any(not 1 <= size <= MAX_DIMENSION for size in (*layer.in_shape, *layer.out_shape)):
        raise ValueError(f"layer {index} has a dimension outside 1..{MAX_DIMENSION}")
    for shape in (layer.in_shape, layer.out_shape):
        if prod(shape) > MAX_ELEMENTS:
            raise ValueError(
                f"layer {index} has a tensor of {prod(shape)} elements, more than {MAX_ELEMENTS}"
            )
    if layer.weight_count > MAX_WEIGHTS:
        raise ValueError(f"layer {index} has {layer.weight_count} weights, more than {MAX_WEIGHTS}")


def _validate_weights(index: int, layer: Layer, held: Parameters | None) -> None:
    if held is None or not layer.has_weights:
        if (held is not None) != layer.has_weights:
            raise ValueError(f"layer {index}, {layer.kind}, has weights where it must not, or none")
        return
    if held.weights.dtype != np.int8 or held.weights.shape != (layer.rows, layer.row_length):
        raise ValueError(
            f"layer {index} needs int8 weights of shape {(layer.rows, layer.row_length)}, "
            f"not {held.weights.dtype} of {held.weights.shape}"
        )


def _validate_numbers(index: int, held: Parameters) -> None:
    if held.weights.min() == -128:
        raise ValueError(f"layer {index} has a weight of -128")
    for name, value, low, high in (
        ("exponent", held.exponent, MIN_EXPONENT, MAX_EXPONENT),
        ("forward_shift", held.forward_shift, 0, MAX_SCALE_SHIFT),
    ):
        if not low <= value <= high:
            raise ValueError(f"layer {index} has {name} {value}, outside {low}..{high}")
    _validate_calibrated(index, held)


def _validate_calibrated(index: int, held: Parameters) -> None:
    """What an affine layer may have too."""
    for name, value, low, high in (
        ("error_shift", held.error_shift, 0, MAX_SCALE_SHIFT),
        ("gradient_bits", held.gradient_bits, 0, MAX_BITS),
        ("score_bits", held.score_bits, 0, MAX_BITS),
    ):
        if not low <= value <= high:
            raise ValueError(f"layer {index} has {name} {value}, outside {low}..{high}")


# The affine form: sections 13 and 14


def _validate_affine_network(network: Network) -> None:
    layers = network.layers
    if not 1 <= len(layers) <= MAX_AFFINE_LAYERS:
        raise ValueError(
            f"an affine network has 1 to {MAX_AFFINE_LAYERS} layers, not {len(layers)}"
        )
    for what, entries in (("parameter", network.parameters), ("affine", network.affine)):
        if len(entries) != len(layers):
            raise ValueError(f"{len(entries)} {what} sets for {len(layers)} layers")
    if any(not 1 <= size <= MAX_DIMENSION for size in network.input_shape):
        raise ValueError(f"the input has a dimension outside 1..{MAX_DIMENSION}")
    for index, layer in enumerate(layers):
        _validate_affine_layer(network, index, layer)
        held = network.parameters[index]
        _validate_weights(index, layer, held)
        _validate_affine(index, layer, network.affine[index], held)
    read = {number for index in range(len(layers)) for number in network.reads(index)}
    for number in range(-1, len(layers) - 1):
        if number not in read:
            what = "the input" if number == -1 else f"the output of layer {number}"
            raise ValueError(f"{what} is read by no layer")
    if not 2 <= network.classes <= MAX_AFFINE_OUTPUTS:
        raise ValueError(
            f"an affine network has 2 to {MAX_AFFINE_OUTPUTS} outputs, not {network.classes}"
        )
    mantissa, exponent = network.logits_scale
    if not (1 << 15 <= mantissa < 1 << 16 and MIN_LOGITS_E <= exponent <= MAX_LOGITS_E):
        raise ValueError(
            f"the logits have scale M {mantissa}, E {exponent}; M is 2^15..2^16-1 and E "
            f"{MIN_LOGITS_E}..{MAX_LOGITS_E}"
        )


def _validate_affine_layer(network: Network, index: int, layer: Layer) -> None:
    _validate_kind(index, layer, AFFINE, "power-of-two")
    operator = OPERATORS[layer.kind]
    reads = network.reads(index)
    if len(reads) != operator.inputs:
        raise ValueError(f"layer {index}, {layer.kind}, reads {len(reads)} tensors")
    for number in reads:
        if not -1 <= number < index:
            raise ValueError(f"layer {index} reads layer {number}, which is none before it")
        if network.shape_of(number) != layer.in_shape:
            raise ValueError(
                f"layer {index} takes {layer.in_shape} but is given {network.shape_of(number)}"
            )
    _validate_size(index, layer)
    if layer.relu:
        raise ValueError(f"layer {index} has ReLU, which in the affine form its bounds are")
    complaint = operator.shape_error(layer)
    if complaint:
        raise ValueError(f"layer {index} {complaint}")
    if layer.row_length > MAX_TERMS:
        raise ValueError(f"layer {index} sums {layer.row_length} terms, more than {MAX_TERMS}")


def _validate_affine(index: int, layer: Layer, affine: Affine, held: Parameters | None) -> None:
    operator = OPERATORS[layer.kind]
    if len(affine.zero_in) != operator.inputs:
        raise ValueError(f"layer {index} has {len(affine.zero_in)} zero points for its inputs")
    for name, value in (
        *(("an input's zero point", zero) for zero in affine.zero_in),
        ("the output's zero point", affine.zero_out),
        ("the lower bound", affine.low),
        ("the upper bound", affine.high),
    ):
        if not -128 <= value <= 127:
            raise ValueError(f"layer {index} has {name} {value}, outside -128..127")
    if affine.low > affine.high:
        raise ValueError(
            f"layer {index} has bounds {affine.low}..{affine.high}, which hold nothing"
        )
    allowed = operator.multiplier_counts(layer)
    counts = ((layer.rows,), allowed, (affine.multiplier.size,))
    for (name, array), sizes in zip(
        (("bias", affine.bias), ("multiplier", affine.multiplier), ("shift", affine.shift)),
        counts,
        strict=True,
    ):
        if array.dtype != np.int32 or array.ndim != 1 or array.size not in sizes:
            raise ValueError(
                f"layer {index} needs {name} int32 of {' or '.join(map(str, sizes))}, "
                f"not {array.dtype} of {array.shape}"
            )
    complaint = operator.affine_error(layer, affine)
    if complaint:
        raise ValueError(f"layer {index} {complaint}")
    if held is not None:
        if held.exponent != 0 or held.forward_shift != 0:
            raise ValueError(f"layer {index} is affine, but has an exponent or a forward shift")
        _validate_calibrated(index, held)
    _validate_range(index, layer, affine, None if held is None else held.weights)


def validate_training(network: Network, method: Method, selection: Selection | None = None) -> None:
    """The same for what sections 15 and 16 forbid an affine network that a method trains."""
    selection = of_method(network, method, selection)
    if not network.affine:
        if method.probes:
            raise ValueError(
                f"method {method.name} is for affine networks, and {network.name} is of the "
                "power-of-two form"
            )
        return
    layers = network.layers
    if len(layers) > MAX_TRAINED_LAYERS:
        raise ValueError(
            f"an affine network of {len(layers)} layers does not train, {MAX_TRAINED_LAYERS} are "
            "the most"
        )
    if network.classes > MAX_TRAINED_OUTPUTS:
        raise ValueError(
            f"an affine network of {network.classes} outputs does not train, "
            f"{MAX_TRAINED_OUTPUTS} are the most"
        )
    if not any(layer.has_weights for layer in layers):
        raise ValueError(f"network {network.name} has no weights, so nothing in it trains")
    if method.name == "prototype":
        prototypes.check(network)
    updates = updated(network, method, selection)
    for index, layer in enumerate(layers):
        held, affine = network.parameters[index], network.affine[index]
        weights = None if held is None else held.weights
        complaint = OPERATORS[layer.kind].training_error(layer, affine, weights)
        if complaint:
            raise ValueError(f"layer {index} {complaint}, so it does not train")
        if weights is not None and updates[index] and method.changes_weights:
            # Whatever the weights become, no sum may overflow.
            _validate_range(index, layer, affine, np.full_like(weights, LIMIT))


def _validate_range(index: int, layer: Layer, affine: Affine, weights: Int8 | None) -> None:
    operator = OPERATORS[layer.kind]
    for m, s in zip(affine.multiplier.tolist(), affine.shift.tolist(), strict=True):
        if m != 0 and not operator.least_multiplier <= m < 1 << 31:
            raise ValueError(
                f"layer {index} has multiplier {m}, not 0 or {operator.least_multiplier}..2^31-1"
            )
        if not MIN_AFFINE_SHIFT <= s <= MAX_AFFINE_SHIFT:
            raise ValueError(
                f"layer {index} has shift {s}, outside {MIN_AFFINE_SHIFT}..{MAX_AFFINE_SHIFT}"
            )
    sums = operator.largest_sums(layer, affine, weights).tolist()
    for row, (total, s) in enumerate(zip(sums, affine.shift.tolist(), strict=True)):
        if (total << max(s, 0)) + 128 >= 1 << 31:
            raise ValueError(
                f"layer {index}, row {row}: a sum of up to {total} with shift {s} may overflow "
                "32 bits"
            )
