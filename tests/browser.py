"""A page in headless Chromium, and everything that goes wrong in it.

Spoken to in the DevTools protocol over `--remote-debugging-pipe`: JSON messages that end with a
zero byte, which the browser reads from its descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_TIMEOUT_S = 60
_QUIET_S = 0.3
"""How long a loaded page may do nothing before it counts as done."""


def find_chromium() -> str | None:
    """The program, or None where no Chromium is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """What a page did while it was loaded and drawn. `measure` holds the values asked for."""

    problems: list[str] = field(default_factory=list)
    """Console errors and warnings, exceptions, and log entries of the browser."""
    requests: list[str] = field(default_factory=list)
    """All addresses asked for but the page's own and data URLs."""
    measure: dict[str, Any] = field(default_factory=dict)
    screenshot: bytes = b""


class Browser:
    """One browser and its pages; `browser()` opens it."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command. Events that arrive meanwhile are kept in `events`."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _TIMEOUT_S
        while (answer := self._next(deadline)) is not None:
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise AssertionError(f"no answer to {method} within {_TIMEOUT_S} s")

    def wait(self, event: str) -> None:
        """Until an event has arrived."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not any(one.get("method") == event for one in self.events):
            message = self._next(deadline)
            assert message is not None, f"no {event} within {_TIMEOUT_S} s"
            self.events.append(message)

    def settle(self) -> None:
        """Until nothing more arrives for a moment."""
        while (message := self._next(time.monotonic() + _QUIET_S)) is not None:
            self.events.append(message)

    def _next(self, deadline: float) -> dict[str, Any] | None:
        """The next message, None at the deadline."""
        while b"\0" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                return None
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "the browser ended"
            self._received += chunk
        message, self._received = self._received.split(b"\0", 1)
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def visit(
        self,
        file: Path,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        measure: dict[str, str] | None = None,
    ) -> Page:
        """Load a file at a size in CSS pixels, light or dark, and draw all of it.

        `measure` names JavaScript expressions to evaluate in it.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self.settle()
        self.events.clear()
        address = file.resolve().as_uri()
        self.call("Page.navigate", session, url=address)
        self.wait("Page.loadEventFired")
        self.settle()
        page = Page()
        for name, expression in (measure or {}).items():
            answer = self.call(
                "Runtime.evaluate", session, expression=expression, returnByValue=True
            )
            assert "exceptionDetails" not in answer, f"{expression}: {answer}"
            page.measure[name] = answer["result"].get("value")
        shot = self.call(
            "Page.captureScreenshot", session, format="png", captureBeyondViewport=True
        )
        page.screenshot = base64.b64decode(shot["data"])
        self.settle()
        for event in self.events:
            _note(page, event, address)
        self.call("Target.closeTarget", targetId=target)
        return page


def _note(page: Page, event: dict[str, Any], address: str) -> None:
    method, what = event.get("method"), event.get("params", {})
    if method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
        said = " ".join(str(one.get("value", one.get("description"))) for one in what["args"])
        page.problems.append(f"console.{what['type']}: {said}")
    elif method == "Runtime.exceptionThrown":
        details = what["exceptionDetails"]
        thrown = details.get("exception", {}).get("description", details["text"])
        page.problems.append(f"exception: {thrown}")
    elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
        page.problems.append(f"log: {what['entry']['text']}")
    elif method == "Network.requestWillBeSent":
        url = what["request"]["url"]
        if url != address and not url.startswith("data:"):
            page.requests.append(url)


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """Start a browser with a fresh profile folder; it ends with the context."""
    to_browser_read, to_browser = os.pipe()
    from_browser, from_browser_write = os.pipe()
    # The shell puts the two ends where the browser expects them.
    script = f'exec "$0" "$@" 3<&{to_browser_read} 4>&{from_browser_write}'
    command = ["bash", "-c", script, program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command,
        pass_fds=(to_browser_read, from_browser_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser_read)
    os.close(from_browser_write)
    opened = Browser(to_browser, from_browser)
    try:
        yield opened
        opened.call("Browser.close")
    finally:
        os.close(to_browser)
        os.close(from_browser)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
