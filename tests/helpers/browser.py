"""A real headless Chromium, told what to do over a pipe (the DevTools protocol, `--remote-debugging-pipe`).

No port, no driver program and no network: messages are JSON with a NUL behind each, on descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pigeon import clock
from tests.helpers.waiting import patient

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
).split()


class Browser:
    """One window with one page."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        start = 'exec "$@" 3<&$READ 4>&$WRITE'
        words = ["bash", "-c", start, "-", PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            words,
            env={**os.environ, "HOME": str(profile), "READ": str(to_read), "WRITE": str(to_write)},
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._number = 0
        self._received = b""
        self.asked: list[str] = []
        """Every address that the page has asked for."""
        self.errors: list[str] = []
        """What went wrong in the page's program."""
        targets = self.call("Target.getTargets", session=None)["targetInfos"]
        (page,) = [target for target in targets if target["type"] == "page"]
        attached = self.call("Target.attachToTarget", session=None, targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, *, session: str | None = "", **parameters: object) -> dict[str, Any]:
        """The result of a command of the protocol. Raises AssertionError: it failed, or no answer came."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = clock.monotonic() + patient(30)
        while clock.monotonic() < until:
            for answer in self._receive(until):
                if answer.get("id") == self._number:
                    assert "error" not in answer, f"{method}: {answer['error']}"
                    result: dict[str, Any] = answer["result"]
                    return result
        raise AssertionError(f"Chromium has not answered {method}")

    def _receive(self, until: float) -> list[dict[str, Any]]:
        ready, _, _ = select.select([self._read], [], [], max(0.0, until - clock.monotonic()))
        if ready:
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium has ended"
            self._received += data
        *whole, self._received = self._received.split(b"\0")
        messages = [json.loads(one) for one in whole]
        for message in messages:
            self._note(message.get("method"), message.get("params", {}))
        return messages

    def _note(self, method: str | None, parameters: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"])[:500])

    def show(self, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Open `address` in a window of this size, in a `light` or `dark` scheme; returns when it is drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        until = clock.monotonic() + patient(30)
        while self.value("document.readyState") != "complete":
            assert clock.monotonic() < until, f"{address} is not loaded"

    def value(self, expression: str) -> Any:
        """What JavaScript makes of `expression` in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """A press and release of the mouse's left button in the middle of the first element that fits."""
        self.drag(selector, 0.5, 0.5)

    def drag(self, selector: str, begin: float, end: float) -> None:
        """Press at `begin` (a share of the element's width), move, and release at `end`."""
        place = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
        )
        left, top, width, height = place
        y = top + height / 2
        for kind, share in (("mousePressed", begin), ("mouseMoved", end), ("mouseReleased", end)):
            button = "none" if kind == "mouseMoved" else "left"
            x = left + width * share
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=1, clickCount=1)

    def press(self, key: str) -> None:
        """A key such as `Escape`."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close", session=None)
        try:
            self._process.wait(patient(10))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)


@contextlib.contextmanager
def browser_in(profile: Path) -> Iterator[Browser]:
    """A browser with a fresh profile."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
