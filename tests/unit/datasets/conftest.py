"""A machine without data, and servers that have some."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from picotrain.datasets import files
from picotrain.datasets.fewshot import brought


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data on this machine, and no network but this machine's own."""
    monkeypatch.delenv("PICOTRAIN_DATA", raising=False)
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "repository")
    fashion = replace(brought.FASHION, folders=brought.FASHION.folders[:-1])
    monkeypatch.setattr(brought, "FASHION", fashion)  # where Debian has it
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PICOTRAIN_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts servers on this machine, each the mirror from then on."""
    servers = []

    def start(handler: Any) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        monkeypatch.setenv("PICOTRAIN_MIRROR", f"http://127.0.0.1:{server.server_port}/")

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
