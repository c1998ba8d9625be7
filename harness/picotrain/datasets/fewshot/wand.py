"""Digits drawn in the air with an IMU board (Pete Warden's magic wand): strokes as images."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from picotrain.datasets.dataset import Bytes, Split
from picotrain.datasets.fewshot.domain import SIDE, Domain
from picotrain.datasets.files import Archive, DataFile, FileSet, read_all, require
from picotrain.datasets.kept import decoded

Floats = NDArray[np.float64]

_COMMIT = "8170591863f9addca27b1a963263f7c7bed33f41"
_BASE = f"https://raw.githubusercontent.com/petewarden/magic_wand_digit_data/{_COMMIT}/"
_FILES = {
    "petewarden_0.json": (
        "446316ff5677b01d3e304aaf60d1c448b60185cfcb395328913bcb7a5b2af949",
        336_219,
    ),
    "petewarden_1.json": (
        "6e929f6ea5e76091dd5cd01e80045a47215bfaed2c4d93bc22c8a22d7ec01387",
        183_564,
    ),
    "petewarden_2.json": (
        "2e823f3f374dce27005ad594871679c3db8ab81c2ef4b3767889edaff6d4e866",
        308_710,
    ),
    "petewarden_3.json": (
        "836a4fa621ec7bb60b26e48b91e58de25a7c2f9cb6f0be34da8f1215c5ee2dfa",
        312_557,
    ),
    "petewarden_4.json": (
        "35d44f391307c9f24a7c464a9b839dc6b28eb484d84f25b459f6476d21d05c6f",
        349_409,
    ),
    "petewarden_5.json": (
        "4f0ef98ce3d7d885ffbc014dde4845889ff2f67d5b7712b03d8e853e728afcd7",
        380_976,
    ),
    "petewarden_6.json": (
        "a44d0a2685469fe5481ac6a69ab520fe8fa256227bc9becfd95d32b55f74f930",
        303_811,
    ),
    "petewarden_7.json": (
        "5f2c7dd40ba568cddaaf384624be801944a6e1205a10eeba3e5e47e7fc080deb",
        266_710,
    ),
    "petewarden_8.json": (
        "7ea7270543adf10d1af3624f09fe6e21d004e33e5598eca4b87ab84bd61f1d90",
        390_067,
    ),
    "petewarden_9.json": (
        "b0e3dae6876c802c6aacaf2016b380a9f8b3c62966f23339e403a3b1b493e30d",
        304_111,
    ),
}

FILES = FileSet(
    name="magic-wand",
    folders=("magic-wand-digits",),
    files=tuple(DataFile(name, sha256) for name, (sha256, _) in _FILES.items()),
    archives=tuple(
        Archive(name, f"{_BASE}{name}", sha256, size) for name, (sha256, size) in _FILES.items()
    ),
)

_LONGEST = 23.0
"""Pixels of the longer side of a stroke, from first to last centre."""
_REACH = 1.5
"""A pixel so far from the stroke is black; one that is nearer than 0.5 is white."""


def load(download: bool = True, fileset: FileSet = FILES) -> Domain:
    """1,000 digits of one person."""
    digests = {file.name: file.sha256 for file in fileset.files}
    splits = decoded.kept(
        fileset.name,
        list(digests.values()),
        [__file__],
        require(fileset, download).values(),
        lambda: {"images": _images(read_all(fileset, download=False))},
    )
    found = splits["images"]
    source = f"magic_wand_digit_data (Warden), commit {_COMMIT[:8]}"
    return Domain(fileset.name, found.images, found.labels, source, digests)


def _images(contents: dict[str, bytes]) -> Split:
    images, labels = [], []
    for digit, data in enumerate(contents.values()):
        for stroke in json.loads(data)["strokes"]:
            points = [(point["x"], point["y"]) for point in stroke["strokePoints"]]
            images.append(drawn(np.array(points, np.float64)))
            labels.append(digit)
    return Split(np.stack(images), np.array(labels, np.uint8))


def drawn(points: Floats) -> Bytes:
    """The line through points [N, 2] of x to the right and y upwards: uint8 [32, 32, 1].

    The stroke fills 24 pixels in the middle, its shape kept. A pixel is 255 * (1.5 - d), within
    0..255 and rounded half up, d the distance of its centre from the line in pixels.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low).max())
    scale = _LONGEST / span if span > 0 else 0.0
    placed = (points - (low + high) / 2) * scale * np.array([1.0, -1.0]) + (SIDE - 1) / 2
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    nearest = np.full((SIDE, SIDE), np.inf)
    for start, end in pairwise(placed):
        nearest = np.minimum(nearest, _squares(columns, rows, start, end))
    if len(placed) == 1:
        nearest = _squares(columns, rows, placed[0], placed[0])
    levels = 255.0 * np.clip(_REACH - np.sqrt(nearest), 0.0, 1.0)
    pixels: Bytes = np.floor(levels + 0.5).astype(np.uint8)
    return pixels[..., np.newaxis]


def _squares(x: Floats, y: Floats, start: Floats, end: Floats) -> Floats:
    """The squared distance of each point from a piece of line."""
    across, down = (float(one) for one in end - start)
    length = across * across + down * down
    along = np.zeros_like(x)
    if length > 0:
        along = np.clip(((x - start[0]) * across + (y - start[1]) * down) / length, 0.0, 1.0)
    right, below = x - start[0] - along * across, y - start[1] - along * down
    squares: Floats = right * right + below * below
    return squares
