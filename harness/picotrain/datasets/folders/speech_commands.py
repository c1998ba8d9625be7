"""Speech Commands (Warden, arXiv 1804.03209), version 0.02, as its archive unpacks: in each WAV
file one word, of a second or less.

Twelve classes as MLPerf Tiny has them, in the order of its network: ten words, silence, and all
other words together.
"""

from __future__ import annotations

import hashlib
import os
import re
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from picotrain import inputs
from picotrain.datasets import shuffle
from picotrain.datasets.dataset import Bytes, Dataset, Split
from picotrain.datasets.folders import folder
from picotrain.datasets.folders.folder import File
from picotrain.datasets.kept import decoded
from picotrain.datasets.keywords import mfcc, sounds
from picotrain.datasets.shuffle import SPLIT_STREAM, permutation
from picotrain.errors import UserError
from picotrain.progress import progress_bar
from picotrain_golden.generator import words as random_words

PREFIX = "speech-commands:"
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
LABELS = (*WORDS, "silence", "unknown")
SILENCE, UNKNOWN = len(WORDS), len(WORDS) + 1
NOISE = "_background_noise_"

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SPLITS = tuple(folder.DOES)
_SEED = 0

_TENTHS = {"train": (0, 8), "validation": (8, 9), "test": (9, 10)}
"""Of each file of noise, so that no sound of it is in two splits."""

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class _Part:
    """A split: what is heard in it, in order, and how many seconds of silence come between the
    words and the unknown ones."""

    words: list[tuple[int, File]]
    unknown: list[File]
    silence: int

    def digests(self) -> tuple[str, str, int]:
        known = folder.digest(file for _, file in self.words)
        return known, folder.digest(self.unknown), self.silence

    def __len__(self) -> int:
        return len(self.words) + self.silence + len(self.unknown)


def load(path: Path) -> Dataset:
    """The data set that is unpacked in that folder: images uint8 [N, 49, 10, 1]."""
    folder.check(PREFIX, path)
    parts = _parts(path)
    noise = folder.files(path, NOISE, ".wav")
    splits, digest = decoded.kept_with_digest(
        "speech-commands",
        [{split: part.digests() for split, part in parts.items()}, folder.digest(noise)],
        [__file__, mfcc.__file__, sounds.__file__, shuffle.__file__],
        [],
        lambda: _heard(path, parts, noise),
    )
    return Dataset(
        f"{PREFIX}{path}",
        splits,
        len(LABELS),
        f"Speech Commands (Warden), in {path}, mel cepstral coefficients",
        {folder.name(path): digest},
        quantised=True,
        frames=True,
    )


def _parts(path: Path) -> dict[str, _Part]:
    """Which files are in which split: the ten words all, and of the others as many, of all of them
    together, as one word has on average."""
    there = folder.folders(path)
    missing = [word for word in (*WORDS, NOISE) if word not in there]
    others = [name for name in there if name not in WORDS and not name.startswith("_")]
    if missing or not others:
        lacks = ", ".join(missing) or "any other word, to be unknown"
        raise UserError(
            f"{PREFIX}{path}: it has no folder of {lacks}; unpack speech_commands_v0.02.tar.gz "
            f"there, or name the folder that has {WORDS[0]}/ and {NOISE}/ in it"
        )
    split_of = _split_rule(path)
    known: dict[str, list[tuple[int, File]]] = {split: [] for split in SPLITS}
    unknown: dict[str, list[File]] = {split: [] for split in SPLITS}
    for label, word in enumerate(WORDS):
        files = folder.files(path, word, ".wav")
        if not files:
            raise UserError(
                f"{PREFIX}{path}: {path / word} has no .wav file; unpack the archive again"
            )
        for file in files:
            known[split_of(file.name)].append((label, file))
    for word in others:
        for file in folder.files(path, word, ".wav"):
            unknown[split_of(file.name)].append(file)
    if not any(unknown.values()):
        raise UserError(
            f"{PREFIX}{path}: no folder of another word has a .wav file, to be unknown; unpack the "
            "archive again"
        )
    for split in SPLITS:
        if not known[split]:
            raise UserError(
                f"{PREFIX}{path}: no file of the ten words {folder.DOES[split]}; unpack the whole "
                f"archive, with {LISTS['validation']} and {LISTS['test']}"
            )
    return {
        split: _part(number, known[split], unknown[split]) for number, split in enumerate(SPLITS)
    }


def _part(number: int, known: list[tuple[int, File]], unknown: list[File]) -> _Part:
    mean = max((2 * len(known) + len(WORDS)) // (2 * len(WORDS)), 1)
    drawn = permutation(len(unknown), _SEED + number, SPLIT_STREAM)[:mean]
    return _Part(known, [unknown[index] for index in sorted(drawn)], mean)


def _split_rule(path: Path) -> Callable[[str], str]:
    """The split of a file by its name, from the two lists; without them by the rule that they were
    made by, which is in the data set's README."""
    there = [name for name in LISTS.values() if inputs.is_file(path / name)]
    if not there:
        return by_speaker
    listed: dict[str, str] = {}
    for split, name in LISTS.items():
        if name not in there:
            raise UserError(
                f"{PREFIX}{path}: {there[0]} is there, but no {name}; unpack the whole archive"
            )
        text = inputs.read_text(path / name, "unpack it again")
        listed |= {line.strip(): split for line in text.splitlines() if line.strip()}
    return lambda file: listed.get(file, "train")


_MOST = (1 << 27) - 1


def by_speaker(name: str) -> str:
    """A tenth of the speakers validates and a tenth tests, by the digest of their name."""
    speaker = re.sub(r"_nohash_.*$", "", name.rpartition("/")[2])
    share = int(hashlib.sha1(os.fsencode(speaker)).hexdigest(), 16) % (_MOST + 1) * (100.0 / _MOST)
    return "validation" if share < 10.0 else "test" if share < 20.0 else "train"


def _heard(path: Path, parts: dict[str, _Part], noise: list[File]) -> dict[str, Split]:
    recorded = [samples(file.path) for file in noise]
    total = sum(len(part) for part in parts.values())
    with progress_bar("sounds", total, "sound") as advance:
        return {
            split: _split(part, _silences(path, split, recorded, part.silence), advance)
            for split, part in parts.items()
        }


def _split(part: _Part, silences: list[Samples], advance: Callable[[int], object]) -> Split:
    images = np.empty((len(part), *mfcc.SHAPE), np.uint8)
    labels = np.empty(len(part), np.uint8)
    for index, (label, sound) in enumerate(_sounds(part, silences)):
        images[index], labels[index] = _image(sound), label
        advance(1)
    return Split(images, labels)


def _sounds(part: _Part, silences: list[Samples]) -> Iterator[tuple[int, Samples]]:
    for label, file in part.words:
        yield label, samples(file.path)
    for sound in silences:
        yield SILENCE, sound
    for file in part.unknown:
        yield UNKNOWN, samples(file.path)


def _image(sound: Samples) -> Bytes:
    return mfcc.pixels(mfcc.coefficients(sounds.fitted(sound.astype(np.float64))))


def _silences(path: Path, split: str, recorded: list[Samples], count: int) -> list[Samples]:
    """So many seconds of the split's part of the noise, each from anywhere in it."""
    first, last = _TENTHS[split]
    pieces = [one[len(one) * first // 10 : len(one) * last // 10] for one in recorded]
    places = np.array([max(len(piece) - mfcc.RATE_HZ + 1, 0) for piece in pieces], np.int64)
    ends = np.cumsum(places)
    if not len(ends) or ends[-1] == 0:
        raise UserError(
            f"{PREFIX}{path}: {NOISE} has no WAV file of 10 s or more, so no silence "
            f"{folder.DOES[split]}; unpack the whole archive"
        )
    drawn = random_words(_SEED + SPLITS.index(split), SPLIT_STREAM, count) % ends[-1]
    found = []
    for place in drawn:
        which = int(np.searchsorted(ends, place, side="right"))
        begin = int(place - (ends[which] - places[which]))
        found.append(pieces[which][begin : begin + mfcc.RATE_HZ])
    return found


def samples(path: Path) -> Samples:
    """Of a WAV file: int16 [N], 16 kHz. UserError, with its name, for any other."""
    fix = "give 16 kHz, one channel, 16 bits, or unpack the archive again"
    try:
        with path.open("rb") as stream, wave.open(stream) as sound:
            found = (sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth())
            frames, data = sound.getnframes(), sound.readframes(sound.getnframes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {inputs.reason(error)}; {fix}") from error
    except (wave.Error, EOFError, RuntimeError) as error:
        # RuntimeError: a chunk in it says that it is longer than the file.
        why = str(error) or "it is cut off"
        raise UserError(f"{path} is no WAV file of plain samples: {why}; {fix}") from error
    if found != (mfcc.RATE_HZ, 1, 16):
        rate, channels, bits = found
        raise UserError(f"{path} has {rate:,} Hz, {channels} channel(s) and {bits} bits; {fix}")
    if not frames or len(data) != 2 * frames:
        raise UserError(f"{path} has {len(data) // 2:,} samples of {frames:,}; {fix}")
    return np.frombuffer(data, "<i2").astype(np.int16)
