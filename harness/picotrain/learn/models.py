"""Networks by name: their architecture in TOML files, their trained weights in .npz files."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import zipfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.datasets import NAMES, Dataset
from picotrain.datasets.npz import read_arrays
from picotrain.errors import UserError, must_be, whole_number
from picotrain.learn import affine_file
from picotrain.learn.affine_file import Scales
from picotrain.learn.architectures import chain
from picotrain.learn.architectures.architecture import Architecture, in_words
from picotrain.learn.architectures.reader import difference, parse
from picotrain.learn.architectures.untrained import untrained
from picotrain.output import write_bytes
from picotrain.places import IN_CHECKOUT, MADE_BACKBONES, SHIPPED
from picotrain_golden import generator
from picotrain_golden.calibration import RANGE_NAMES, Histograms
from picotrain_golden.network import Network, Parameters
from picotrain_golden.validation import validate

MODELS = SHIPPED / "models"
DEFAULT = "tinycnn"
"""The network where none is named."""
BACKBONES = MODELS / "backbones"


# Architectures: TOML


def shipped() -> list[str]:
    """Names of the networks in models/."""
    return sorted(path.stem for path in MODELS.glob("*.toml"))


def resolve(name_or_path: str) -> Architecture:
    """The architecture of a shipped network, or the one in the TOML file at a path."""
    if name_or_path in shipped():
        return load(MODELS / f"{name_or_path}.toml")
    path = inputs.named(name_or_path)
    if inputs.is_file(path):
        _refuse_model(path)
        return load(path)
    raise UserError(
        f"unknown network {name_or_path!r}: it is neither a file nor one of "
        f"{', '.join(shipped())}; use one of these, or the path of a TOML file"
    )


def _refuse_model(path: Path) -> None:
    kind = {".tflite": "a TFLite", ".onnx": "an ONNX"}.get(path.suffix.lower())
    if kind is not None:
        raise UserError(f"{path} is {kind} model: make it a backbone with `picotrain import`")


def load(path: Path) -> Architecture:
    """The architecture in a TOML file, checked against docs/numerics.md section 12."""
    return parse(inputs.read_toml(path), str(path))


# Weights


def initial_network(architecture: Architecture, seed: int) -> Network:
    """An untrained network: normal weights with He's standard deviation, no static numbers yet.
    An affine one is quantised for noise.

    int8 weights have a standard deviation of 32, so the exponent is log2(sqrt(2 / K) / 32),
    rounded half up.
    """
    if architecture.affine:
        return untrained(architecture, seed).network
    parameters: list[Parameters | None] = []
    for index, layer in enumerate(architecture.layers):
        if not layer.has_weights:
            parameters.append(None)
            continue
        stream = generator.stream(index, generator.WEIGHTS)
        weights = generator.normal_scores(seed, stream, layer.weight_count)
        # K may be a power of 4, where floating point could round either way: with c the least
        # integer such that 4^c >= K, the exponent is -4 - c exactly.
        c = ((layer.row_length - 1).bit_length() + 1) // 2
        parameters.append(Parameters(weights.reshape(layer.rows, layer.row_length), -4 - c))
    network = Network(
        architecture.name, architecture.input_shape, architecture.layers, tuple(parameters)
    )
    validate(network, dynamic=True)
    return network


# Backbones: .npz
#
# version         int64 []: 1, or 2 of an affine network, whose other arrays affine_file names
# architecture    str [], JSON, the keys of the TOML files
# info            str [], JSON, how the backbone was made
# numbers         int64 [layers, 5], the columns of NUMBERS; 0 where a layer has no weights
# weights_<l>     int8 [rows, K], for each layer l that has weights
# histogram_<n>   int64 [layers, 32], for each n of RANGE_NAMES; only if it was calibrated

_VERSION, _AFFINE_VERSION = 1, 2
NUMBERS = ("exponent", "forward_shift", "error_shift", "gradient_bits", "score_bits")


def backbone_path(model: str, dataset: str) -> Path:
    """Where the backbone of a network for a dataset is: the shipped one, or where one is made."""
    name = f"{model}-{dataset}.npz"
    shipped_one = BACKBONES / name
    return shipped_one if shipped_one.is_file() else MADE_BACKBONES / name


_SPEECH = ("backbones-speech", "--epochs 20 --mu 3,2,1,0 --ram-kib 65536 --calibration-angle 45")
_RECIPES = {
    ("vgg11", "cifar10"): (
        "backbone-vgg11",
        "--arithmetic float --ram-kib 65536 --calibration-samples 512",
    )
}
"""Of backbones that are not shipped: the makefile's goal, and what it has `pretrain` do."""


def to_make(model: str, dataset: str) -> str:
    """The command that makes a backbone which is not shipped, where `backbone_path` looks."""
    speech = model == DEFAULT and dataset.startswith("fsdd-")
    goal, how = _SPEECH if speech else _RECIPES.get((model, dataset), ("", ""))
    if IN_CHECKOUT and goal:
        return f"make {goal}"
    out = shlex.quote(str(MADE_BACKBONES / f"{model}-{dataset}.npz"))
    words = (f"picotrain pretrain --model {model} --dataset {dataset}", how, f"--out {out}")
    return " ".join(filter(None, words))


def check_made(path: Path, named: str, dataset: str) -> None:
    """Raise UserError, with the words that the user gave, where no backbone of the network in the
    file `named` was made for a data set yet."""
    if named in shipped() or inputs.is_file(path):
        return
    words = ("picotrain", "pretrain", "--model", named, "--dataset", dataset, "--out", str(path))
    raise UserError(
        f"there is no backbone of {named} for {dataset}; make it with `{shlex.join(words)}`, or "
        "name one with --backbone"
    )


def _made_for(path: Path) -> tuple[str, str] | None:
    """Network and data set by the place of a file that `backbone_path` chose; else None."""
    fitting = [name for name in NAMES if path.stem.endswith(f"-{name}")]
    if path.parent != MADE_BACKBONES or not fitting:
        return None
    # Names of networks and of data sets have dashes in them, and one data set may end like another.
    dataset = max(fitting, key=len)
    return path.stem.removesuffix(f"-{dataset}"), dataset


def load_network(name: str | Path, dataset: str | None = None, seed: int = 0) -> Network:
    """A network by its name or file.

    With `dataset`, the pre-trained one for that data set; of a backbone (.npz), the one that is in
    it; else an untrained one, whose weights are drawn from `seed`.
    """
    must_be("the network's name", name, (str, Path), "give a name, such as 'tinycnn', or a file")
    must_be("the data set", dataset, (str, NoneType), "give its name, such as 'digits'")
    if not 0 <= whole_number("the seed", seed) < 1 << 32:
        raise UserError(f"the seed is {seed}; use 0 to 2^32 - 1")
    if Path(name).suffix == ".npz":
        if dataset is not None:
            raise UserError(
                f"{name} is a backbone, trained already: leave data set {dataset!r} out, or name "
                "a network"
            )
        return load_backbone(Path(name))[0]
    architecture = resolve(str(name))
    if dataset is None:
        return initial_network(architecture, seed)
    if dataset not in NAMES:
        raise UserError(
            f"no backbone is shipped for {dataset}; make one with `picotrain pretrain` and name "
            "its file instead"
        )
    return load_backbone(backbone_path(architecture.name, dataset))[0]


def check_fit(network: Network | Architecture, dataset: Dataset) -> None:
    """Raise UserError where a network cannot take the images or classes of a data set."""
    takes, has = tuple(network.input_shape), tuple(dataset.image_shape)
    if takes != has:
        raise UserError(
            f"network {network.name} takes images of {in_words(takes)}, data set {dataset.name} "
            f"has {in_words(has)}; use another network or data set"
        )
    if dataset.classes > network.classes:
        raise UserError(
            f"network {network.name} has {network.classes} classes, data set {dataset.name} has "
            f"{dataset.classes}; {dataset.label_advice(network.classes)}"
        )


def save_backbone(
    path: Path,
    network: Network,
    info: dict[str, Any],
    histograms: Histograms | None = None,
    scales: Scales | None = None,
) -> None:
    """Write a network, how it was made (`info`, JSON values), its calibration histograms, and the
    scales of an affine one.

    The same arguments give the same bytes, as long as zlib compresses the same way.
    """
    validate(network, dynamic=True)
    document = affine_file.document(network) if network.affine else chain.document(network)
    arrays: dict[str, NDArray[Any]] = {
        "version": np.array(_AFFINE_VERSION if network.affine else _VERSION, np.int64),
        "architecture": np.array(json.dumps(document)),
        "info": np.array(json.dumps(info, sort_keys=True)),
    }
    if not network.affine:
        arrays["numbers"] = affine_file.numbers_of(network, NUMBERS)
    for index, held in enumerate(network.parameters):
        if held is not None:
            arrays[f"weights_{index}"] = held.weights
    arrays |= affine_file.arrays(network)
    if scales is not None:
        arrays |= affine_file.scale_arrays(scales)
    if histograms is not None:
        for name in RANGE_NAMES:
            arrays[f"histogram_{name}"] = np.stack([layer[name] for layer in histograms.layers])
    write_bytes(path, npz_bytes(arrays))


def npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    """As numpy.savez_compressed, which however stamps the time of day on every member."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, stream.getvalue(), compresslevel=9)
    return whole.getvalue()


def load_backbone(path: Path) -> tuple[Network, dict[str, Any]]:
    """The network in a backbone file, and how it was made."""
    arrays = _backbone_arrays(path)
    try:
        network = _network(arrays, path)
        info = json.loads(_string(arrays, "info"))
        if not isinstance(info, dict):
            raise ValueError("its info is not a JSON object")
        validate(network, dynamic=True)
    except UserError:
        raise
    except ValueError as error:
        raise _no_backbone(path, str(error)) from error
    return network, info


def check_same(named: Architecture, network: Network, path: Path) -> None:
    """Raise UserError, with the first difference, unless the network in the backbone at `path` is
    the one that was named."""
    found = difference(named, network)
    if found:
        raise UserError(
            f"the backbone {path} is not of network {named.name}: {found}; name the network "
            "that it is of, or none, or another backbone"
        )


def network_sha256(network: Network) -> str:
    """Digest of all that decides what a network computes: layers, weights, static numbers."""
    layers = [asdict(one) for one in network.layers]
    more, content = affine_file.digest_parts(network)
    if not network.affine:
        # As before layers could name what they read: what was computed is found by this digest.
        for one in layers:
            del one["inputs"]
            one["stride"] = one["stride"][0]
        more = {}
    shape = {"input": network.input_shape, "layers": layers, **more}
    digest = hashlib.sha256(json.dumps(shape, default=int).encode() + content)
    for held in network.parameters:
        if held is not None:
            numbers = {name: int(n) for name, n in vars(held).items() if name != "weights"}
            digest.update(json.dumps(numbers).encode() + held.weights.tobytes())
    return digest.hexdigest()


def load_histograms(path: Path) -> Histograms | None:
    """The calibration histograms in a backbone file; None if it was not calibrated."""
    arrays = _backbone_arrays(path)
    names = [f"histogram_{name}" for name in RANGE_NAMES]
    if not any(name in arrays for name in names):
        return None
    try:
        layers = len(_array(arrays, "numbers", np.int64, (None, None)))
        counts = [_array(arrays, name, np.int64, (layers, 32)) for name in names]
    except ValueError as error:
        raise _no_backbone(path, str(error)) from error
    return Histograms(
        [
            {name: table[index] for name, table in zip(RANGE_NAMES, counts, strict=True)}
            for index in range(layers)
        ]
    )


def load_scales(path: Path) -> Scales | None:
    """The scales in a backbone file of an affine network; None if it does not have them."""
    arrays = _backbone_arrays(path)
    if "scales" not in arrays:
        return None
    try:
        return affine_file.scales_of(_network(arrays, path), partial(_array, arrays))
    except ValueError as error:
        raise _no_backbone(path, str(error)) from error


def _backbone_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    if not inputs.is_file(path):
        made = _made_for(path)
        wanted = f"{made[0]}-*.npz" if made else "*.npz"
        there = [
            f"in {place}: {', '.join(names)}"
            for place in (BACKBONES, MADE_BACKBONES)
            if (names := sorted(file.name for file in place.glob(wanted)))
        ]
        makes = to_make(*made) if made else "picotrain pretrain"
        others = f", or give the path of one of those that are here, {'; '.join(there)}"
        raise UserError(
            f"there is no backbone at {path}; make it with `{makes}`{others * bool(there)}"
        )
    _refuse_model(path)
    if path.suffix.lower() == ".toml":
        raise UserError(
            f"{path} describes a network, and has no weights: make it a backbone with "
            f"`picotrain pretrain --model {shlex.quote(str(path))}`"
        )
    inputs.read_bytes(path, "make it readable, or name another backbone")
    try:
        arrays = read_arrays(path)
        if "state_version" in arrays:
            raise UserError(
                f"{path} is a saved state, of what a backbone learned; give it as --state or "
                "--resume, and the backbone that it is of as the backbone"
            )
        if "version" not in arrays and "about" in arrays:
            raise UserError(
                f"{path} is a network in floating point, for --pretrained of prune and "
                "depth-prune; name the backbone that --out of the same run wrote"
            )
        if "version" not in arrays and {"x", "y"} <= set(arrays):
            raise UserError(
                f"{path} looks like a data set: it has x and y; give it as --dataset npz:{path}, "
                "and a file of `picotrain pretrain` or `import` as the backbone"
            )
        version = int(_array(arrays, "version", np.int64, ()))
    except UserError:
        raise
    except ValueError as error:
        raise _no_backbone(path, str(error)) from error
    if version not in (_VERSION, _AFFINE_VERSION):
        raise UserError(
            f"{path} is a backbone of version {version}, but this program reads versions "
            f"{_VERSION} and {_AFFINE_VERSION}; pre-train the network again"
        )
    return arrays


def _no_backbone(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} is damaged, or no backbone ({reason}); restore it, or pre-train the network again"
    )


def _network(arrays: dict[str, NDArray[np.generic]], path: Path) -> Network:
    document = json.loads(_string(arrays, "architecture"))
    if not isinstance(document, dict):
        raise ValueError("its architecture is not a JSON object")
    if document.get("form") == affine_file.FORM:
        return affine_file.parse(document, partial(_array, arrays), "numbers" in arrays)
    architecture = parse(document, str(path))
    layers = architecture.layers
    numbers = _array(arrays, "numbers", np.int64, (len(layers), len(NUMBERS)))
    parameters: list[Parameters | None] = []
    for index, layer in enumerate(layers):
        if layer.has_weights:
            shape = (layer.rows, layer.row_length)
            weights = _array(arrays, f"weights_{index}", np.int8, shape)
            parameters.append(Parameters(weights, *map(int, numbers[index])))
        else:
            parameters.append(None)
    return Network(architecture.name, architecture.input_shape, layers, tuple(parameters))


def _string(arrays: dict[str, NDArray[np.generic]], name: str) -> str:
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.shape != ():
        raise ValueError(f"it has no string {name!r}")
    return str(array)


def _array(
    arrays: dict[str, NDArray[np.generic]],
    name: str,
    dtype: type[np.generic],
    shape: tuple[int | None, ...],
) -> NDArray[Any]:
    """The array of that name, of that type and shape; None stands for any size."""
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"it has no array {name!r}")
    fits = len(shape) == array.ndim and all(
        want in (None, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(f"its array {name!r} is {array.dtype} {list(array.shape)}")
    return array
