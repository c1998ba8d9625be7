"""States in .npz files.

state_version   int64 []: 1
about           str [], JSON: the fields of a State that are no arrays
numbers         int64 [layers, 5], the columns of models.NUMBERS
learned_<l>     int8 [n], for each layer l that has weights
scored_<l>      uint8, with PRIOT-S: bit e % 8 of byte e // 8 is set where edge e has a score
sha256          str []: of all the others, in the order of their names
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.datasets.npz import read_arrays
from picotrain.device.interface import Device
from picotrain.errors import UserError
from picotrain.learn.field.state import State, method_fields, state_of
from picotrain.learn.models import NUMBERS, npz_bytes
from picotrain.output import is_standard, write_bytes
from picotrain_golden import Method, Network

VERSION = 1
_FIX = "give a file of `picotrain adapt --save`"
_TEXTS = ("network", "backbone_sha256", "network_sha256")
_COUNTS = ("epochs", "images")

Arrays = dict[str, NDArray[Any]]


def check_name(option: str, path: Path) -> None:
    """Raise UserError for a file that a state is not written to, again and again."""
    if is_standard(path) or path.suffix != ".npz":
        raise UserError(f"{option} {path} is no file for a state; name one that ends in .npz")


def write_state(path: Path, state: State) -> None:
    """Write a file, whole or not at all; the same state gives the same bytes."""
    about = {
        **{name: getattr(state, name) for name in (*_TEXTS, *_COUNTS, "run")},
        "method": method_fields(state.method),
        "logits": list(state.logits),
    }
    arrays: Arrays = {
        "state_version": np.array(VERSION, np.int64),
        "about": np.array(json.dumps(about, sort_keys=True)),
        "numbers": state.numbers,
    }
    for index, (learned, edges) in enumerate(zip(state.learned, state.scored, strict=True)):
        if learned is not None:
            arrays[f"learned_{index}"] = learned
        if edges is not None:
            bits = np.zeros(int(edges.max(initial=-1)) + 1, np.bool_)
            bits[edges] = True
            arrays[f"scored_{index}"] = np.packbits(bits, bitorder="little")
    arrays["sha256"] = np.array(_sha256(arrays))
    write_bytes(path, npz_bytes(arrays))


def save_state(
    path: str | Path,
    device: Device,
    network: Network,
    method: Method,
    epochs: int = 0,
    images: int = 0,
) -> State:
    """Write what a device has learned, that holds the network and trains it by the method.

    `epochs` are done, and `images` of the next one, for who counts them.
    """
    place = inputs.named(str(path))
    check_name("the state", place)
    state = state_of(device, network, method, epochs=epochs, images=images)
    write_state(place, state)
    return replace(state, source=str(path))


def load_state(path: str | Path) -> State:
    """The state in a file; UserError, in one sentence, for any other file."""
    place = inputs.named(str(path))
    if not inputs.is_file(place):
        raise UserError(f"there is no state at {path}; {_FIX}")
    inputs.read_bytes(place, "make it readable, or name another state")
    try:
        arrays = read_arrays(place)
    except ValueError as error:
        raise UserError(f"{path} is damaged, or no state ({error}); {_FIX}") from error
    if "state_version" not in arrays:
        what = "a backbone" if "architecture" in arrays else "something else"
        raise UserError(f"{path} is no state but {what}; {_FIX}")
    try:
        version = int(_array(arrays, "state_version", np.int64, 0))
        if version != VERSION:
            raise UserError(
                f"{path} is a state of version {version}, but this program reads version "
                f"{VERSION}; use the picotrain that saved it"
            )
        if str(arrays.get("sha256")) != _sha256(arrays):
            raise ValueError("its digest is not that of what it holds")
        return _state(arrays, str(path))
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy") from error


def _sha256(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(set(arrays) - {"sha256"}):
        array = arrays[name]
        # Texts have a type of the machine's byte order, and their length is in the content.
        text = array.dtype.kind == "U"
        content = str(array).encode() if text else np.ascontiguousarray(array).tobytes()
        kind = "text" if text else array.dtype.str
        digest.update(json.dumps([name, kind, list(array.shape), len(content)]).encode() + content)
    return digest.hexdigest()


def _state(arrays: Arrays, source: str) -> State:
    about = json.loads(str(arrays["about"]))
    texts = {name: about[name] for name in _TEXTS}
    counts = {name: about[name] for name in _COUNTS}
    if not all(isinstance(one, str) for one in texts.values()) or not all(
        type(one) is int and one >= 0 for one in counts.values()
    ):
        raise ValueError("what it says about itself is none")
    numbers = _array(arrays, "numbers", np.int64, 2)
    if numbers.shape[1] != len(NUMBERS) or not isinstance(about["run"], dict):
        raise ValueError("its numbers or its run are none")
    method = Method(**about["method"])
    learned, scored = [], []
    for index in range(len(numbers)):
        values, edges = None, None
        if f"learned_{index}" in arrays:
            values = _array(arrays, f"learned_{index}", np.int8, 1)
        if values is not None and method.name == "priot-s":
            packed = _array(arrays, f"scored_{index}", np.uint8, 1)
            edges = np.flatnonzero(np.unpackbits(packed, bitorder="little"))
            if edges.size != values.size:
                raise ValueError(f"layer {index} has {edges.size} edges for {values.size} scores")
        learned.append(values)
        scored.append(edges)
    mantissa, exponent = map(int, about["logits"])
    return State(
        **texts,
        method=method,
        numbers=numbers,
        logits=(mantissa, exponent),
        learned=tuple(learned),
        scored=tuple(scored),
        **counts,
        run=about["run"],
        source=source,
    )


def _array(arrays: Arrays, name: str, dtype: type[np.generic], dimensions: int) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(f"its array {name!r} is {array.dtype} {list(array.shape)}")
    return array
