"""`picotrain check`: an imported network against TFLite Micro, tensor by tensor."""

from __future__ import annotations

import argparse
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np

from picotrain import inputs
from picotrain.cli.options import (
    NamedFile,
    Verbs,
    add_kernels,
    add_ram,
    add_seed,
    add_verb,
    arena,
    finish,
)
from picotrain.convert.check import GOLDEN, check, random_inputs, running
from picotrain.convert.importer import Imported, import_model
from picotrain.convert.model import read
from picotrain.device.backends import NAMES as TARGETS
from picotrain.errors import UserError
from picotrain.inputs import positive
from picotrain.progress import progress_bar
from picotrain_golden.numerics import Int8

_RANDOM = 200


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "check",
        "Import an int8 .tflite file, run it here and in TensorFlow Lite for Microcontrollers on "
        "the same inputs, and compare every tensor.",
        "picotrain check model.tflite --random 200",
    )
    parser.add_argument("file", action=NamedFile, metavar="FILE", help="an int8 model (.tflite)")
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "--inputs",
        action=NamedFile,
        metavar="FILE",
        help="images, int8 [N, H, W, C], as numpy.save writes them (.npy)",
    )
    given.add_argument(
        "--random",
        type=positive,
        default=_RANDOM,
        metavar="N",
        help="made-up images instead (default: %(default)s)",
    )
    add_seed(parser, 0, "draws the made-up images")
    parser.add_argument(
        "--target",
        default=GOLDEN,
        help=f"where the network runs: one of {', '.join(TARGETS)} (default: %(default)s)",
    )
    add_kernels(parser)
    add_ram(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    _check_unused(options)
    imported = import_model(read(options.file))
    if options.inputs is not None:
        images = _images(options.inputs, imported)
    else:
        images = random_inputs(imported, options.random, options.seed)
    network = imported.network
    with (
        running(network, options.target, arena(options), options.kernels) as tensors_of,
        progress_bar(f"check {network.name}", len(images), "input") as advance,
    ):
        outcome = check(imported, images, tensors_of, advance)
    found = outcome.difference
    if found is None:
        print(
            f"{network.name}: {outcome.tensors} tensors, {outcome.elements:,} elements equal for "
            f"{outcome.images} inputs: {options.target} and TFLite Micro"
        )
    else:
        print(f"{network.name}, {options.target}: {found}")
    finish(
        options,
        {
            "model": network.name,
            "target": options.target,
            "inputs": outcome.images,
            "tensors": outcome.tensors,
            "elements": outcome.elements,
            "equal": found is None,
            "difference": None if found is None else asdict(found),
        },
    )
    return 0 if found is None else 1


def _check_unused(options: argparse.Namespace) -> None:
    """Raise UserError for what says nothing where golden runs the network as it stands."""
    for option, value in (("--ram-kib", options.ram_kib), ("--kernels", options.kernels)):
        if options.target == GOLDEN and value is not None:
            raise UserError(
                f"{option} is not used by target {GOLDEN}, which checks without a limit of memory "
                "and without kernels; leave it out"
            )


def _images(path: Path, imported: Imported) -> Int8:
    """Those of a file; UserError for what the network does not take."""
    content = inputs.read_bytes(path, "give an array that numpy.save wrote")
    try:
        images = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:
        # numpy raises a dozen classes of exceptions for damaged bytes.
        raise UserError(
            f"{path} is damaged, or no array ({error}); give one that numpy.save wrote"
        ) from error
    if not isinstance(images, np.ndarray):
        raise UserError(
            f"{path} is an archive of arrays ({', '.join(images.files)}); give one array, a .npy "
            "file of numpy.save"
        )
    wanted = imported.network.input_shape
    if images.dtype != np.int8:
        raise UserError(
            f"{path} holds {images.dtype}, the network takes int8; quantise the images with the "
            "scale and zero point of its input"
        )
    if images.shape[1:] != wanted or not len(images):
        raise UserError(
            f"{path} holds images of shape {list(images.shape)}, the network takes "
            f"[N, {', '.join(map(str, wanted))}]; reshape them"
        )
    return images
