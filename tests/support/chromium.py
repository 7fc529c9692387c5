"""A real headless Chromium, driven over a pipe: what a page logs, what it asks for, how it looks.

The protocol is that of Chromium's own tools (https://chromedevtools.github.io/devtools-protocol/, read 2026-11-28). No library
and no driver is needed: messages are JSON with a zero byte behind each.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT_S = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

# The browser reads commands from descriptor 3 and answers on 4.
_START = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def executable() -> str | None:
    """The path of a Chromium, ``None`` where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass(slots=True)
class Page:
    """A page that has been loaded.

    Attributes:
        logged: What its console and the browser's log say: script errors, refused styles, failed loads.
        requested: URLs that it asked for, its own among them.
        seconds: From the start of the navigation to the load event.
    """

    browser: Browser
    session: str
    logged: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page; the page's own policy does not hold for it."""
        answer = self.browser.call(
            "Runtime.evaluate", {"expression": expression, "returnByValue": True}, session=self.session
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what it looks like as PNG.

        Args:
            path: File to write.
            whole: Whether the whole page is shown, or only the window.
        """
        options = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.browser.call("Page.getLayoutMetrics", {}, session=self.session)["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 9000), "scale": 1}
        shot = self.browser.call("Page.captureScreenshot", options, session=self.session)
        path.write_bytes(base64.b64decode(shot["data"]))


class Browser:
    """A running Chromium. Use :func:`chromium`."""

    def __init__(self, reads: int, writes: int) -> None:
        self._writes = writes
        self._number = 0
        self._inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self._pages: dict[str, Page] = {}
        self._loaded: set[str] = set()
        threading.Thread(target=self._read, args=(reads,), daemon=True).start()

    def _read(self, reads: int) -> None:
        pending = b""
        while chunk := os.read(reads, 1 << 16):
            *messages, pending = (pending + chunk).split(b"\0")
            for message in messages:
                self._inbox.put(json.loads(message))

    def call(self, method: str, arguments: dict[str, Any], *, session: str = "") -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": arguments} | ({"sessionId": session} if session else {})
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        message = self._inbox.get(timeout=TIMEOUT_S)
        page = self._pages.get(message.get("sessionId", ""))
        event, said = message.get("method", ""), message.get("params", {})
        if page is None:
            return message
        if event == "Network.requestWillBeSent":
            page.requested.append(said["request"]["url"])
        elif event == "Runtime.consoleAPICalled":
            page.logged.append(f"console: {said['args']}")
        elif event == "Runtime.exceptionThrown":
            page.logged.append(f"exception: {said['exceptionDetails']['text']}")
        elif event == "Log.entryAdded":
            page.logged.append(f"{said['entry']['level']}: {said['entry']['text']}")
        elif event == "Page.loadEventFired":
            self._loaded.add(page.session)
        return message

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1.0) -> Page:
        """Load a page and wait until it is there.

        Args:
            url: Its address.
            width: Width of the window, CSS pixels.
            height: Height of the window, CSS pixels.
            dark: Whether the reader prefers dark pages.
            scale: Device pixels in a CSS pixel.
        """
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", {}, session=session)
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics, session=session)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": scheme}, session=session)
        started = time.monotonic()
        self.call("Page.navigate", {"url": url}, session=session)
        while session not in self._loaded:
            self._next()
        page.seconds = time.monotonic() - started
        return page


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run a Chromium.

    Args:
        profile: An empty directory for what it keeps.
    """
    program = executable()
    assert program is not None, "ask executable() first"
    to_browser, ours_out = os.pipe()
    ours_in, from_browser = os.pipe()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _START,
            str(to_browser),
            str(from_browser),
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
        ],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        os.close(ours_out)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
