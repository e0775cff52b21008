"""A headless Chromium that tests drive over the DevTools protocol, through two pipes: no package is needed for it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DRIVEN = ("--hide-scrollbars", "--remote-debugging-pipe")
PATIENCE = 120.0
"""Seconds; a busy machine may need them."""


class Page:
    """One page, and what it asked for and complained of since it was opened.

    Attributes:
        requests: addresses that it asked for.
        complaints: errors of scripts, of the content security policy, and what was written to the console.
    """

    def __init__(self, write: int, read: int):
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._write, self._read, self._rest = write, read, b""
        self._numbers = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, path: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show a file, and wait until it has loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.requests.clear()
        self.complaints.clear()
        self.ask("Page.navigate", url=path.as_uri())
        self._until(lambda: any(event["method"] == "Page.loadEventFired" for event in self._events))

    def run(self, code: str) -> Any:
        """The value of an expression in the page."""
        asked = {"expression": code, "returnByValue": True, "awaitPromise": True}
        result = self.ask("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Click an element, as a mouse does, where it is."""
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        self.click_at(x, y)

    def click_at(self, x: float, y: float) -> None:
        """Click a place in the window."""
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, selector: str, text: str) -> None:
        """Put a text into a field in place of what is there, as typing does."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{field}.focus()")
        self.run(f"{field}.select()")
        self.ask("Input.insertText", text=text)

    def picture(self, path: Path, whole: bool = False) -> None:
        """A screenshot of the window, or of the whole page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol for this page; returns its result."""
        return self._ask(method, parameters, self._session)

    def _ask(self, method: str, parameters: dict[str, Any], session: str = "") -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        found: list[dict[str, Any]] = []
        self._until(lambda: bool(found), number, found)
        assert "error" not in found[0], found[0]["error"]
        return found[0]["result"]

    def _until(self, done: Any, number: int = 0, found: list[dict[str, Any]] | None = None) -> None:
        until = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < until, "the browser does not answer"
            if not select.select([self._read], [], [], 1.0)[0]:
                continue
            self._rest += os.read(self._read, 1 << 20)
            *messages, self._rest = self._rest.split(b"\0")
            for message in map(json.loads, messages):
                if "method" in message:
                    self._hear(message)
                elif message["id"] == number and found is not None:
                    found.append(message)

    def _hear(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        what = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(what["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled":
            self.complaints.append(str(what["args"]))
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(what["entry"]["text"])


def installed() -> str:
    """The browser's program; skips the test where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return program


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A page of a browser of its own; skips the test where there is none."""
    program = installed()
    (their_read, write), (read, their_write) = os.pipe(), os.pipe()
    command = 'exec "$0" "$@" 3<&%d 4>&%d' % (their_read, their_write)  # noqa: UP031
    process = subprocess.Popen(
        ["bash", "-c", command, program, *FLAGS, *DRIVEN, f"--user-data-dir={profile}"],
        pass_fds=(their_read, their_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_read)
    os.close(their_write)
    try:
        yield Page(write, read)
    finally:
        os.close(write)
        process.kill()
        process.wait()
        os.close(read)
