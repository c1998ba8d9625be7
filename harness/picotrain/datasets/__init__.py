"""Datasets by name: `mnist`, `digits`, `cifar10`, `fsdd-SPEAKER`, `spoken-digits`, `watch-PERSON`,
and for a user's own `npz:FILE`, `speech-commands:FOLDER`, `wake-words:FOLDER`.

Files are looked for in the folder that PICOTRAIN_DATA names, in `../shared/data` beside the
repository, and in the user's cache, where what is missing is downloaded to. A file that is found
but damaged is reported, not passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from picotrain import inputs
from picotrain.datasets import cifar10, digits, fewshot, files, fsdd, mlperf_tiny, mnist, npz, watch
from picotrain.datasets.dataset import Dataset, Split
from picotrain.datasets.folders import speech_commands, wake_words
from picotrain.datasets.kept import seen
from picotrain.datasets.keywords import spoken
from picotrain.datasets.shuffle import SPLIT_STREAM, permutation
from picotrain.datasets.transform import SAMPLE_STREAM, rotate, rotated_sample, sample
from picotrain.errors import UserError, must_be

__all__ = [
    "CHOICES",
    "COLLECTIONS",
    "NAMES",
    "SAMPLE_STREAM",
    "SPLIT_STREAM",
    "Dataset",
    "Split",
    "Status",
    "describe",
    "fetch",
    "load",
    "own",
    "permutation",
    "rotate",
    "rotated_sample",
    "sample",
    "verify",
]

COLLECTIONS = ("mnist", "digits", "cifar10", "fsdd", "watch", "mlperf-tiny", *fewshot.FILED)
"""What can be fetched and verified; `fsdd` is the recordings of every `fsdd-SPEAKER` and
`spoken-digits`, `watch` those of every `watch-PERSON`, `mlperf-tiny` a network, no data to load,
and the last ones are domains of few-shot tasks."""

NAMES = ("mnist", "digits", "cifar10", *fsdd.NAMES, *spoken.NAMES, *watch.NAMES)
"""What can be loaded, a user's own file apart."""
DEFAULT = "digits"
"""It needs no download."""

CHOICES = (
    "mnist, digits, cifar10, fsdd-SPEAKER, spoken-digits, watch-PERSON, npz:FILE, "
    "speech-commands:FOLDER or wake-words:FOLDER"
)
"""The same in words, for help and errors."""

_NPZ = "npz:"
_OWN: dict[str, Callable[[Path], Dataset]] = {
    _NPZ: npz.load,
    speech_commands.PREFIX: speech_commands.load,
    wake_words.PREFIX: wake_words.load,
}
"""What a name begins with whose rest is a path of the user's."""
_FSDD, _WATCH = "fsdd-", "watch-"


@dataclass(frozen=True)
class Status:
    """What is known about one of `COLLECTIONS`, or a user's own data, on this machine.

    `state` is "present", "absent" or "damaged"; `where` the folder or package it is in, `bytes`
    the space that it takes there; `detail` says what is wrong, if anything is.
    """

    name: str
    state: str
    where: str
    bytes: int
    detail: str = ""


def load(name: str | Path, download: bool = True) -> Dataset:
    """The dataset of that name, verified; downloaded first if it is missing and `download`.

    A Path is that of a file of your own, as `npz:FILE` is.
    """
    must_be("the data set", name, (str, Path), "give its name, such as 'digits', or npz:FILE")
    if isinstance(name, Path):
        name = f"{_NPZ}{name}"
    if mine := own(name):
        return _OWN[mine[0]](mine[1])
    if name == "mnist":
        return mnist.load(mnist.FILES, download)
    if name == "cifar10":
        return cifar10.load(cifar10.FILES, download)
    if name == "digits":
        return digits.load()
    if name in fsdd.NAMES:
        return fsdd.load(name, fsdd.FILES, download)
    if name == "fsdd" or name.startswith(_FSDD):
        raise UserError(
            f"dataset {name!r} needs one of its speakers to adapt to; use {', '.join(fsdd.NAMES)}"
        )
    if name in spoken.NAMES:
        return spoken.load(name, fsdd.FILES, download)
    if name.startswith(spoken.EVERYBODY):
        raise UserError(
            f"dataset {name!r} is of nobody; use {spoken.EVERYBODY}, or {spoken.EVERYBODY}-SPEAKER "
            f"or {spoken.EVERYBODY}-without-SPEAKER of {', '.join(fsdd.SPEAKERS)}"
        )
    if name in watch.NAMES:
        return watch.load(name, watch.FILES, download)
    if name == "watch" or name.startswith(_WATCH):
        raise UserError(
            f"dataset {name!r} needs one of its people to adapt to; use {watch.NAMES[0]} to "
            f"{watch.NAMES[-1]}"
        )
    if name == mlperf_tiny.FILES.name:
        raise UserError(f"{name!r} is a network, with no images to load; use {CHOICES}")
    if name in fewshot.FILED:
        raise UserError(f"{name!r} is for few-shot tasks, with nothing to adapt to; use {CHOICES}")
    for prefix in _OWN:
        if name == prefix.removesuffix(":"):
            raise UserError(f"dataset {name!r} is of your own: say where it is, as {prefix}PATH")
    raise UserError(f"unknown dataset {name!r}; use {CHOICES}")


def own(name: str) -> tuple[str, Path] | None:
    """What the name of a user's own data begins with, such as `npz:`, and the path behind it; None
    for any other name."""
    for prefix in _OWN:
        if name.startswith(prefix):
            return prefix, inputs.named(name.removeprefix(prefix))
    return None


def describe(advance: Callable[[int], object] = lambda _: None) -> list[Status]:
    """The state of all `COLLECTIONS`. Verifies the files that are there, but reads none again that
    is as it was when it was verified. `advance` is called with 1 after each of them."""
    states = []
    for name in COLLECTIONS:
        states.append(_state(name))
        advance(1)
    return states


def verify(name: str) -> Status:
    """Check a dataset that should be on this machine; raises UserError if it is not, or damaged."""
    fileset = _fileset(name)
    if fileset is None:
        if name == "digits":
            digits.bundled()  # not what the cache keeps of them
        else:
            load(name)
        return _unfiled(name)
    return _present(fileset)


def fetch(name: str) -> Status:
    """Download what is missing of a dataset, then verify all of it."""
    fileset = _fileset(name)
    if fileset is not None:
        files.require(fileset, download=True)
    return verify(name)


def _fileset(name: str) -> files.FileSet | None:
    if name in fewshot.FILED:
        return fewshot.fileset(name)
    known = (mnist.FILES, cifar10.FILES, fsdd.FILES, watch.FILES, mlperf_tiny.FILES)
    for one, names in (("fsdd", fsdd.NAMES + spoken.NAMES), ("watch", watch.NAMES)):
        if name in names:
            name = one
    return next((one for one in known if one.name == name), None)


def _state(name: str) -> Status:
    fileset = _fileset(name)
    places = files.locate(fileset) if fileset else {}
    found = [path for path in places.values() if path is not None]
    where, size = _place(found)
    try:
        if fileset and None not in places.values() and seen.unchanged(_checksums(fileset)):
            return Status(name, "present", where, size)
        return verify(name)
    except files.MissingDataError as error:
        return Status(name, "absent", where, size, str(error))
    except UserError as error:
        # Damaged, or not readable, which is as bad.
        return Status(name, "damaged", where, size, str(error))


def _present(fileset: files.FileSet) -> Status:
    files.read_all(fileset, download=False)
    checksums = _checksums(fileset)
    seen.note(checksums)
    where, size = _place(list(checksums))
    return Status(fileset.name, "present", where, size)


def _checksums(fileset: files.FileSet) -> dict[Path, str]:
    """Of all files of a set, which are there."""
    places = files.require(fileset, download=False)
    return {places[file.name]: file.sha256 for file in fileset.files}


def _place(paths: list[Path]) -> tuple[str, int]:
    """The folders that the files are in, and their size together."""
    folders = dict.fromkeys(str(path.parent) for path in paths)
    return ", ".join(folders), sum(path.stat().st_size for path in paths)


def _unfiled(name: str) -> Status:
    """Of a dataset that is the user's, or part of a package."""
    mine = own(name)
    path = mine[1] if mine else digits.bundled_file() or Path()
    if mine and path.is_dir():
        sizes = (file.stat().st_size for file in path.rglob("*") if file.is_file())
        return Status(name, "present", str(path), sum(sizes))
    size = path.stat().st_size if path.is_file() else 0
    return Status(name, "present", str(path.parent), size)
