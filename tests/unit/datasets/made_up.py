"""Made-up data, packed and stored as data sets are."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np

from picotrain.datasets.dataset import Bytes

RANDOM = np.random.default_rng(0)

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def store(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def some(count: int, *shape: int) -> Bytes:
    return RANDOM.integers(0, 256, (count, *shape)).astype(np.uint8)
