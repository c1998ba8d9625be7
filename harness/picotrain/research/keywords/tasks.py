"""What the network adapts to: one voice, or another microphone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from picotrain.datasets.dataset import Split
from picotrain.datasets.fsdd import DIGITS, SPEAKERS
from picotrain.learn.calibration import of_images
from picotrain.progress import progress_bar
from picotrain.research.keywords import head, spotter
from picotrain.research.keywords.sounds import CHANGES, Recordings
from picotrain_golden import Method, Network, Trainer

VOICES, MICROPHONES = "voices", "microphones"

_KNOWN, _UNKNOWN = range(10, 50), range(5, 10)
"""Recordings that heads are trained on, and those that static numbers are calibrated on."""


@dataclass(frozen=True)
class Task:
    """`kind` is VOICES or MICROPHONES; the network has its head and its static numbers."""

    kind: str
    name: str
    network: Network
    train: Split
    validation: Split
    test: Split


def everything() -> Iterator[Task]:
    """All tasks; the heads take most of the time."""
    network, scale = spotter.load()
    recordings = Recordings(scale)
    with progress_bar("heads", len(SPEAKERS) + 1, "head") as advance:
        for speaker in SPEAKERS:
            yield _voice(network, recordings, speaker)
            advance(1)
        yield from _microphones(network, recordings)
        advance(1)


def _voice(network: Network, recordings: Recordings, speaker: str) -> Task:
    """Digits of five speakers are known; the device hears the sixth, with the true labels."""
    others = tuple(one for one in SPEAKERS if one != speaker)
    known = _known(network, recordings, others)
    return Task(
        VOICES,
        speaker,
        known,
        recordings.split((speaker,), range(25, 50)),
        recordings.split((speaker,), range(15, 25)),
        recordings.split((speaker,), range(15)),
    )


def _microphones(network: Network, recordings: Recordings) -> Iterator[Task]:
    """Digits of six speakers are known; the device hears them changed. The label of a recording is
    what the network says of it as it was."""
    known = _known(network, recordings, SPEAKERS)
    before = Trainer(known, Method("infer"))

    def heard(which: range, change: int) -> Split:
        said = before.predict(recordings.split(SPEAKERS, which).images)
        changed = recordings.split(SPEAKERS, which, CHANGES[change])
        return replace(changed, labels=said.astype(np.uint8))

    for number, change in enumerate(CHANGES):
        parts = (heard(which, number) for which in (range(5, 9), range(9, 10), range(5)))
        yield Task(MICROPHONES, change.name, known, *parts)


def _known(network: Network, recordings: Recordings, speakers: tuple[str, ...]) -> Network:
    headed = head.with_head(network, DIGITS, recordings.split(speakers, _KNOWN))
    return of_images(headed, recordings.split(speakers, _UNKNOWN))
