"""Speech Commands in a user's folder: which sound is what, and what is wrong with a folder."""

from __future__ import annotations

import hashlib
import os
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from picotrain import datasets
from picotrain.datasets.dataset import Split
from picotrain.datasets.folders import speech_commands
from picotrain.datasets.folders.speech_commands import LABELS, NOISE, WORDS, by_speaker
from picotrain.datasets.keywords import mfcc, sounds
from picotrain.errors import UserError
from picotrain.learn import models

pytestmark = pytest.mark.usefixtures("nowhere")

OTHERS = ("bed", "cat")
TRAINING, VALIDATING, TESTING = "abcd", "v", "t"
SECONDS = 12


def write(
    path: Path, samples: NDArray[np.int16], rate: int = 16000, channels: int = 1, width: int = 2
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def tone(word: str, speaker: str) -> NDArray[np.int16]:
    """Another one for each file; most are shorter than a second."""
    hertz = 200 + 37 * (*WORDS, *OTHERS).index(word) + 400 * "abcdvt".index(speaker)
    return (np.sin(np.arange(9000) * hertz * 2 * np.pi / 16000) * 9000).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of each word train, one validates, one tests; in each tenth of the noise there is
    another tone."""
    path = tmp_path / "speech commands"
    for word in (*WORDS, *OTHERS):
        for speaker in TRAINING + VALIDATING + TESTING:
            write(path / word / f"{speaker}_nohash_0.wav", tone(word, speaker))
    tenths = np.repeat(np.arange(10), SECONDS * 1600)
    noise = np.sin(np.arange(len(tenths)) * (300 + 300 * tenths) * 2 * np.pi / 16000) * 500
    write(path / NOISE / "running_tap.wav", noise.astype(np.int16))
    (path / NOISE / "README.md").write_text("noise")
    (path / "LICENSE").write_text("free")
    for speaker, name in ((VALIDATING, "validation_list.txt"), (TESTING, "testing_list.txt")):
        listed = [f"{word}/{speaker}_nohash_0.wav" for word in (*WORDS, *OTHERS)]
        (path / name).write_text("\n".join(listed) + "\n")
    return path


def image(sound: NDArray[np.int16]) -> bytes:
    heard = mfcc.coefficients(sounds.fitted(sound.astype(np.float64)))
    return mfcc.pixels(heard).tobytes()


def of_class(split: Split, label: str) -> list[bytes]:
    return [one.tobytes() for one in split.images[split.labels == LABELS.index(label)]]


def test_classes_are_in_the_order_of_the_network_of_mlperf_tiny() -> None:
    assert (
        *("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"),
        *("silence", "unknown"),
    ) == LABELS


def test_every_sound_is_what_folder_and_lists_say(folder: Path) -> None:
    data = datasets.load(f"speech-commands:{folder}")
    assert data.name == f"speech-commands:{folder}"
    assert (data.classes, data.image_shape, data.angle) == (12, (49, 10, 1), 0.0)
    assert data.frames and data.quantised and not data.photographs
    models.check_fit(models.resolve("ds-cnn"), data)
    for name, speakers in (("train", TRAINING), ("validation", VALIDATING), ("test", TESTING)):
        split = data.splits[name]
        # Of silence and of unknown words there is as much as of a word.
        assert np.bincount(split.labels).tolist() == [len(speakers)] * 12
        for word in WORDS:
            assert of_class(split, word) == [image(tone(word, speaker)) for speaker in speakers]
        others = {image(tone(word, speaker)) for word in OTHERS for speaker in speakers}
        unknown = of_class(split, "unknown")
        assert set(unknown) <= others and len(set(unknown)) == len(speakers)


def test_each_split_has_noise_of_its_own(folder: Path) -> None:
    noise = np.repeat(np.arange(1, 11, dtype=np.int16), SECONDS * 1600)
    for split, tenths in (("train", range(1, 9)), ("validation", [9]), ("test", [10])):
        found = speech_commands._silences(folder, split, [noise[:99], noise], 40)
        assert [len(one) for one in found] == [16000] * 40
        assert {int(value) for one in found for value in np.unique(one)} == {*tenths}
    starts = {one.tobytes() for one in found}
    assert len(starts) == 1
    data = datasets.load(f"speech-commands:{folder}")
    assert len(set(of_class(data.train, "silence"))) == 4


def test_it_is_kept_decoded_until_a_file_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datasets.load(f"speech-commands:{folder}")
    assert list(first.sha256) == ["speech commands"] and len(first.sha256["speech commands"]) == 64
    original, read = speech_commands.samples, []
    monkeypatch.setattr(
        speech_commands, "samples", lambda path: read.append(path) or original(path)
    )
    second = datasets.load(f"speech-commands:{folder}")
    assert read == [] and second.sha256 == first.sha256
    assert (second.train.images == first.train.images).all()
    write(folder / "yes" / "t_nohash_0.wav", tone("no", "v"))
    changed = datasets.load(f"speech-commands:{folder}")
    assert of_class(changed.test, "yes") == [image(tone("no", "v"))]
    assert changed.sha256 != first.sha256 and len(read) == 12 * 6 - 6 + 1
    # The same sounds elsewhere have the same checksum.
    write(folder / "yes" / "t_nohash_0.wav", tone("yes", "t"))
    moved = folder.rename(folder.with_name("elsewhere"))
    assert datasets.load(f"speech-commands:{moved}").sha256 == {
        "elsewhere": first.sha256["speech commands"]
    }


def test_a_data_set_of_ones_own_is_verified(folder: Path) -> None:
    status = datasets.verify(f"speech-commands:{folder}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (status.state, status.where, status.bytes) == ("present", str(folder), size)


def test_without_lists_the_rule_of_their_author_decides(folder: Path) -> None:
    # From the lists of version 0.02, and one file that is in neither.
    assert by_speaker("right/bb05582b_nohash_3.wav") == "test"
    assert by_speaker("bed/0c40e715_nohash_0.wav") == "test"
    assert by_speaker("right/a69b9b3e_nohash_0.wav") == "validation"
    assert by_speaker("bed/00176480_nohash_0.wav") == "train"
    for name in ("validation_list.txt", "testing_list.txt"):
        (folder / name).unlink()
    for word in WORDS:
        for speaker in ("bb05582b", "a69b9b3e"):
            write(folder / word / f"{speaker}_nohash_1.wav", tone(word, "a"))
    data = datasets.load(f"speech-commands:{folder}")
    for split, speaker in (("validation", "a69b9b3e"), ("test", "bb05582b")):
        own = [one for one in "abcdvt" if by_speaker(f"yes/{one}_nohash_0.wav") == split]
        assert len(of_class(data.splits[split], "yes")) == 1 + len(own), speaker


def test_names_of_any_bytes_are_names(folder: Path) -> None:
    """One that is no text has a speaker too; a link to nothing beside the words is no word."""
    name = os.fsdecode(b"\xff\xe4_nohash_0.wav")
    (folder / "go" / "a_nohash_0.wav").rename(folder / "go" / name)
    (folder / "zebra").symlink_to("zebra")
    for listed in ("validation_list.txt", "testing_list.txt"):
        (folder / listed).unlink()
    data = datasets.load(f"speech-commands:{folder}")
    # Eleven classes of six sounds each, and silence.
    assert sum(len(split) for split in data.splits.values()) >= 60
    share = hashlib.sha1(b"\xff\xe4").hexdigest()
    wanted = int(share, 16) % (1 << 27) * 100 / ((1 << 27) - 1)
    split = "validation" if wanted < 10 else "test" if wanted < 20 else "train"
    assert by_speaker(f"go/{name}") == split


def spoilt(folder: Path, how: str) -> Path:
    """The folder, of which something is not as it should be."""
    victim = folder / "go" / "a_nohash_0.wav"
    if how == "a file":
        return victim
    if how == "missing":
        return folder / "nowhere"
    if how == "above":
        return folder.parent
    if how == "no others":
        for word in OTHERS:
            (folder / word).rename(folder.parent / word)
    elif how == "no noise":
        (folder / NOISE).rename(folder.parent / NOISE)
    elif how == "short noise":
        write(folder / NOISE / "running_tap.wav", np.ones(99_999, np.int16))
    elif how == "one list":
        (folder / "testing_list.txt").unlink()
    elif how == "empty list":
        (folder / "validation_list.txt").write_text("")
    elif how == "no text":
        (folder / "validation_list.txt").write_bytes(b"\xff")
    elif how == "rate":
        write(victim, np.ones(8000, np.int16), rate=8000)
    elif how == "stereo":
        write(victim, np.ones(8000, np.int16), channels=2)
    elif how == "bits":
        write(victim, np.ones(8000, np.int16), width=1)
    elif how == "cut":
        victim.write_bytes(victim.read_bytes()[:-99])
    elif how == "silent":
        write(victim, np.ones(0, np.int16))
    elif how == "no wav":
        victim.write_bytes(b"<html>")
    elif how == "empty":
        victim.write_bytes(b"")
    elif how == "chunk":
        sound = bytearray(victim.read_bytes())
        sound[16:20] = (1 << 30).to_bytes(4, "little")
        victim.write_bytes(bytes(sound))
    elif how == "empty word":
        for file in (folder / "go").iterdir():
            file.unlink()
    elif how == "empty others":
        for word in OTHERS:
            for file in (folder / word).iterdir():
                file.unlink()
    else:
        victim.unlink()
        if how == "loop":
            victim.symlink_to(victim.name)
        elif how == "dangling":
            victim.symlink_to("nowhere.wav")
        elif how == "pipe":
            os.mkfifo(victim)
        elif how == "a folder":
            victim.mkdir()
    return folder


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("a file", "a_nohash_0.wav: this is no folder; give the folder that the data set is"),
        ("missing", "nowhere: there is no such folder; give the folder"),
        (
            "above",
            "it has no folder of down, go, left, .*, _background_noise_; unpack speech",
        ),
        ("no others", "it has no folder of any other word, to be unknown; unpack"),
        ("no noise", "it has no folder of _background_noise_; unpack"),
        ("short noise", "_background_noise_ has no WAV file of 10 s or more, so no silence valid"),
        ("one list", "validation_list.txt is there, but no testing_list.txt; unpack the whole"),
        ("empty list", "no file of the ten words validates; unpack the whole archive"),
        ("no text", "validation_list.txt is no text in UTF-8"),
        ("rate", r"go/a_nohash_0.wav has 8,000 Hz, 1 channel\(s\) and 16 bits; give 16 kHz"),
        ("stereo", r"go/a_nohash_0.wav has 16,000 Hz, 2 channel\(s\) and 16 bits; give 16 kHz"),
        ("bits", r"go/a_nohash_0.wav has 16,000 Hz, 1 channel\(s\) and 8 bits; give 16 kHz"),
        ("cut", "go/a_nohash_0.wav has 8,950 samples of 9,000; give 16 kHz"),
        ("silent", "go/a_nohash_0.wav has 0 samples of 0; give 16 kHz"),
        ("no wav", "go/a_nohash_0.wav is no WAV file of plain samples: .*; give 16 kHz"),
        ("empty", "go/a_nohash_0.wav is no WAV file of plain samples: it is cut off; give 16"),
        ("chunk", "go/a_nohash_0.wav is no WAV file of plain samples: .*; give 16 kHz"),
        ("empty word", "go has no .wav file; unpack the archive again"),
        ("empty others", "no folder of another word has a .wav file, to be unknown; unpack"),
        ("loop", "cannot read .*go/a_nohash_0.wav: Too many levels.*; put the file there, or move"),
        ("dangling", "cannot read .*go/a_nohash_0.wav: No such file.*; put the file there, or mo"),
        ("pipe", "go/a_nohash_0.wav is no plain file; put the file there, or move it away"),
        ("a folder", "go/a_nohash_0.wav is no plain file; put the file there, or move it away"),
    ],
)
def test_bad_folders(folder: Path, how: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        datasets.load(f"speech-commands:{spoilt(folder, how)}")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    (folder / "go").chmod(0)
    with pytest.raises(UserError, match=r"cannot read the folder .*go: Permission denied"):
        datasets.load(f"speech-commands:{folder}")
    (folder / "go").chmod(0o755)


def test_a_folder_is_needed() -> None:
    with pytest.raises(UserError, match="'speech-commands' is of your own: say where it is, as sp"):
        datasets.load("speech-commands")
