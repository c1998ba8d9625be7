"""Getting Renode: what is downloaded is what was pinned, or nothing changes."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from picotrain.device.targets import renode_release
from picotrain.device.targets.renode_release import (
    RELEASES,
    Release,
    choose_release,
    find_renode,
    install,
)
from picotrain.errors import UserError

SCRIPT = b"#!/bin/sh\necho Renode v1.16.1\n"


def archive(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()


GOOD = archive({"renode_1.16.1-dotnet_portable/renode": SCRIPT})


class Server(ThreadingHTTPServer):
    """Serves `content` at every path, and counts how often."""

    content = GOOD
    status = 200
    promised: int | None = None
    served = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.served += 1
        self.send_response(self.server.status)
        promised = self.server.promised
        length = len(self.server.content) if promised is None else promised
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def release(server: Server, content: bytes = GOOD) -> Release:
    url = f"http://127.0.0.1:{server.server_port}/renode.tar.gz"
    return Release(url, hashlib.sha256(content).hexdigest())


def test_installs_what_was_pinned_once(server: Server, tmp_path: Path) -> None:
    into = tmp_path / "build" / "renode"
    executable = install(release(server), into)
    assert executable == into / "renode"
    assert executable.read_bytes() == SCRIPT
    assert executable.stat().st_mode & 0o111
    assert install(release(server), into) == executable
    assert server.served == 1
    assert [path.name for path in into.parent.iterdir()] == ["renode"]


def test_another_release_replaces_the_first(server: Server, tmp_path: Path) -> None:
    into = tmp_path / "renode"
    install(release(server), into)
    server.content = archive({"other/renode": b"other"})
    assert install(release(server, server.content), into).read_bytes() == b"other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": GOOD + b"x"}, "is not the file that was pinned"),
        ({"content": b""}, "is not the file that was pinned"),
        ({"status": 404}, "HTTP Error 404"),
        ({"promised": len(GOOD) + 100}, "broke off after"),
    ],
)
def test_anything_else_leaves_all_as_it_was(
    server: Server, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    into = tmp_path / "renode"
    install(release(server), into)
    before = {path: path.read_bytes() for path in into.rglob("*")}
    (into / ".sha256").write_text("of another release")
    before[into / ".sha256"] = b"of another release"
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(UserError, match=message):
        install(release(server), into)
    assert {path: path.read_bytes() for path in into.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["renode"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "cannot unpack"),
        (archive({"folder/readme": b""}), "holds no executable"),
        (archive({"a/renode": b"", "b/renode": b""}), "holds no executable"),
    ],
    ids=["none", "without", "two"],
)
def test_an_archive_of_something_else(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.content = content
    with pytest.raises(UserError, match=message):
        install(release(server, content), tmp_path / "renode")
    assert list(tmp_path.iterdir()) == []


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    gone = release(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"cannot download .* set RENODE"):
        install(gone, tmp_path / "renode")


def test_there_is_a_release_for_linux_only() -> None:
    for machine in ("x86_64", "aarch64"):
        chosen = choose_release("Linux", machine)
        assert chosen is RELEASES[machine]
        assert chosen.url.startswith("https://github.com/renode/renode/releases/download/v1.16.1/")
        assert len(bytes.fromhex(chosen.sha256)) == 32
    for system, machine in (("Darwin", "arm64"), ("Linux", "riscv64")):
        with pytest.raises(UserError, match=f"{system} on {machine}"):
            choose_release(system, machine)


def test_the_command_says_what_is_wrong(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(renode_release, "choose_release", lambda *_: release(server))
    into = str(tmp_path / "renode")
    assert renode_release.main(["--into", into]) == 0
    assert capsys.readouterr().out.strip() == f"{into}/renode"
    server.status = 503
    assert renode_release.main(["--into", str(tmp_path / "other")]) == 2
    assert "HTTP Error 503" in capsys.readouterr().err


def test_which_renode_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {}
    for name in ("named", "path", "installed"):
        places[name] = tmp_path / name / "renode"
        places[name].parent.mkdir()
        places[name].write_bytes(SCRIPT)
        places[name].chmod(0o755)
    installed = places["installed"].parent
    monkeypatch.delenv("RENODE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_renode("renode", installed) == places["installed"]
    assert find_renode("renode", tmp_path / "nowhere") is None
    monkeypatch.setenv("PATH", str(places["path"].parent))
    assert find_renode("renode", installed) == places["path"]
    monkeypatch.setenv("RENODE", str(places["named"]))
    assert find_renode("renode", installed) == places["named"]
    monkeypatch.setenv("RENODE", str(tmp_path / "missing"))
    assert find_renode("renode", installed) is None
