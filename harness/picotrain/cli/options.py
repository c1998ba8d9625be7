"""Options that several verbs have, and what becomes of them."""

# What the options of one verb need is imported where they are added: a light verb stays light.

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from picotrain import output
from picotrain.errors import UserError
from picotrain.inputs import is_file, named, ram_kib, seed, small
from picotrain.places import RESULTS

_OR_FILES = ("model", "dataset")
"""Options that hold a name of ours or, as text, a file."""

_LATER = "resume"
"""An option that results had names without; where it is not given it changes none."""

Verbs = Any
"""What `ArgumentParser.add_subparsers` returns; argparse keeps its class to itself."""


class NamedFile(argparse.Action):
    """Keeps the path that a text names. A `type` would not do: argparse words each ValueError of
    one anew, and UserError is one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, named(values))


class NewFile(NamedFile):
    """Of a file to write. Its path no longer shows the slash by which a text names a folder."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if not str(values):
            raise UserError(f"{option_string} is empty; name a file")
        if str(values) == "." or str(values).endswith(("/", "/.")):
            raise UserError(f"cannot write {values}: it is a folder; name a file")
        super().__call__(parser, namespace, values, option_string)


def add_verb(verbs: Verbs, name: str, help_: str, example: str) -> argparse.ArgumentParser:
    """The parser of one verb, with an example and `--json`."""
    from picotrain.cli import VERBS

    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=VERBS[name][1], description=help_, epilog=f"example: {example}"
    )
    add_output(parser, "--json", "write the result as JSON; - is standard output")
    return parser


def add_output(
    parser: argparse.ArgumentParser, option: str, help_: str, required: bool = False
) -> None:
    """An option that names a file to write: `outputs` checks it before the verb runs."""
    added = parser.add_argument(
        option, action=NewFile, metavar="FILE", help=help_, required=required
    )
    _note_output(parser, option, added.dest)


def add_beside(parser: argparse.ArgumentParser, what: str, dest: str) -> None:
    """A file that a verb writes without an option: `complete` sets `dest` to its path, or None."""
    parser.set_defaults(**{dest: None})
    _note_output(parser, what, dest)


def _note_output(parser: argparse.ArgumentParser, what: str, dest: str) -> None:
    known = parser.get_default("outputs") or ()
    parser.set_defaults(outputs=(*known, (what, dest)))


@contextmanager
def outputs(options: argparse.Namespace) -> Iterator[None]:
    """Run a verb in it: its files can be written, and are no inputs; and where one is standard
    output, people read the rest on standard error.

    A verb that has default names of files sets them in `complete(options)`, a default of its
    parser.
    """
    if hasattr(options, "complete"):
        options.complete(options)
    files = [(option, getattr(options, dest)) for option, dest in options.outputs]
    given = [(option, path) for option, path in files if path is not None]
    output.check_apart(given, inputs_of(options))
    for _, path in given:
        output.check(path)
    if any(output.is_standard(path) for _, path in given):
        with output.people_on_stderr():
            yield
    else:
        yield


def inputs_of(options: argparse.Namespace) -> list[Path]:
    """The files that a verb reads, as far as its options name them."""
    written = {dest for _, dest in options.outputs}
    for name, output_name in getattr(options, "replaced", {}).items():
        # What a verb replaces on purpose is no input that gets lost.
        one, other = (getattr(options, dest) for dest in (name, output_name))
        if one and other and os.path.realpath(one) == os.path.realpath(other):
            written.add(name)
    given = {name: value for name, value in vars(options).items() if name not in written}
    found = [value for value in given.values() if isinstance(value, Path)]
    for name in _OR_FILES:
        if isinstance(given.get(name), str):
            place = _place(given[name])[0]
            named_outputs = (getattr(options, dest) for _, dest in options.outputs)
            found += [place, *(one for one in named_outputs if one and _is_read_from(place, one))]
    return [path for path in found if is_file(path)]


def _is_read_from(folder: Path, path: Path) -> bool:
    """Whether it is one of the many files in a folder that a data set is read from."""
    from picotrain.datasets.folders import SUFFIXES

    if "\0" in str(path):  # It is no path, and is refused where it is written.
        return False
    place, below = os.path.realpath(path), os.path.realpath(folder)
    return place.startswith(below + os.sep) and place.lower().endswith(SUFFIXES)


def _place(text: str) -> tuple[Path, bool]:
    """The path in the text of such an option, and whether it is one, and no name of ours."""
    from picotrain import datasets

    mine = datasets.own(text)
    return (mine[1], True) if mine else (named(text), is_file(named(text)))


def result_file(options: argparse.Namespace, *parts: object, suffix: str = ".json") -> Path:
    """Where a result goes that no option names: `parts` for people, then a digest of all options,
    so that runs that differ in any have files of their own."""
    written = {"command", "outputs", "replaced", *(dest for _, dest in options.outputs)}
    values = {}
    for name, value in vars(options).items():
        if name in written or callable(value) or (name == _LATER and value is None):
            continue
        path, is_place = named(str(value)), isinstance(value, Path)
        if name in _OR_FILES and not is_place:
            path, is_place = _place(str(value))
        # A file counts by its place: names alone are the same in many folders.
        values[name] = os.path.realpath(path) if is_place else value
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    stem = "-".join(re.sub(r"[^\w.]+", "-", str(part)) for part in parts)
    return RESULTS / f"{stem[:120]}-{digest.hexdigest()[:8]}{suffix}"


def add_ram(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ram-kib",
        type=ram_kib,
        metavar="N",
        help="arena of golden and host (default: what a Pico has left)",
    )


def add_device(
    parser: argparse.ArgumentParser,
    default_target: str,
    default_dataset: bool = True,
) -> None:
    from picotrain import datasets
    from picotrain.device.backends import NAMES as TARGETS
    from picotrain.learn.adapt import AdaptOptions

    parser.add_argument(
        "--target",
        default=default_target,
        help=f"one of {', '.join(TARGETS)} (default: %(default)s)",
    )
    add_kernels(parser)
    add_model(parser)
    if default_dataset:
        add_dataset(parser)
    else:
        parser.add_argument(
            "--dataset",
            help=f"{datasets.CHOICES}, or random: noise, and an untrained network without "
            f"--backbone (default: {datasets.DEFAULT} where there is a backbone for it, or else "
            "random; of an affine backbone random)",
        )
    add_backbone(parser)
    add_angle(parser)
    add_seed(parser, AdaptOptions.seed, "draws the images and all that is random")
    add_ram(parser)


def add_dataset(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    from picotrain import datasets

    parser.add_argument(
        "--dataset",
        default=default or datasets.DEFAULT,
        help=f"{datasets.CHOICES} (default: %(default)s)",
    )


def add_backbone(
    parser: argparse.ArgumentParser, default: str = "that of --model for --dataset"
) -> None:
    parser.add_argument(
        "--backbone",
        action=NamedFile,
        metavar="FILE",
        help=f"pre-trained network (default: {default})",
    )


def add_seed(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    parser.add_argument(
        "--seed", type=seed, default=default, metavar="N", help=f"{what} (default: %(default)s)"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    from picotrain.learn import models

    parser.add_argument(
        "--model",
        help=f"shipped name or TOML file (default: that of --backbone, or else {models.DEFAULT})",
    )


def add_angle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--angle",
        type=float,
        metavar="DEGREES",
        help="by how much images are turned (default: 30 for digits, mnist and cifar10, else 0)",
    )


def add_logits_exponent(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--logits-exponent",
        type=small,
        metavar="N",
        help="read the logits with this exponent, the temperature of the softmax, and calibrate "
        f"with it (default: {default})",
    )


def add_kernels(parser: argparse.ArgumentParser) -> None:
    from picotrain.device.backends import KERNELS

    known = "; ".join(f"{target}: {', '.join(sets)}" for target, sets in KERNELS.items())
    parser.add_argument("--kernels", metavar="NAME", help=f"{known} (default: the first)")


def add_plan(parser: argparse.ArgumentParser) -> None:
    from picotrain.learn import plans

    parser.add_argument(
        "--plan",
        choices=plans.NAMES,
        default=plans.NAMES[0],
        help="weights in SRAM, or lean: in flash, for infer, priot and priot-s (default: "
        "%(default)s)",
    )


def arena(options: argparse.Namespace) -> int | None:
    return None if options.ram_kib is None else options.ram_kib * 1024


def check_backbone_name(path: Path) -> None:
    """Raise UserError for an output that no verb would take for a backbone."""
    if path.suffix != ".npz" and not output.is_standard(path):
        raise UserError(f"--out {path} is no backbone by its name; let it end in .npz")


def finish(options: argparse.Namespace, content: Any) -> None:
    if options.json is not None:
        output.write_json(options.json, content)
