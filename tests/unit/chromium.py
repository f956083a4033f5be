"""A headless Chromium, driven through its DevTools protocol: what a page shows, logs and asks the network for."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0 --remote-allow-origins=*"
).split()
PATIENCE = 120.0  # seconds


class Page:
    """A tab. `faults` collects errors of its scripts and console, `requests` every address but the page's own and data."""

    def __init__(self, address: str) -> None:
        import websocket

        self.socket = websocket.create_connection(address, timeout=PATIENCE)
        self.numbers = count(1)
        self.faults: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and take its answer; events on the way are noted."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.faults.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.faults.append(" ".join(str(part.get("value", part.get("description"))) for part in params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.faults.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith(("data:", "blob:")) and params.get("type") != "Document":
                    self.requests.append(address)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"].get("exception", {}).get("description"))
        return found["result"].get("value")

    def wait(self, condition: str) -> Any:
        """The value of an expression as soon as it is true."""
        ends = time.monotonic() + PATIENCE
        while not (value := self.run(condition)):
            if time.monotonic() > ends:
                raise AssertionError(f"never came true: {condition}; {self.faults}")
            time.sleep(0.05)
        return value

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """Set the size of the window, in the pixels of styles."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def scheme(self, name: str) -> None:
        """Make the system `light` or `dark`."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file, and wait until its scripts are done."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.resolve().as_uri() + fragment)
        self.wait("document.documentElement?.dataset.ready === 'yes'")

    def press(self, key: str) -> None:
        """Press and release a key."""
        codes = {"Tab": 9, "Enter": 13, "ArrowDown": 40, "ArrowUp": 38}
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=codes.get(key, ord(key[0].upper())),
                **more,
            )

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write a screenshot."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Callable[[], Page]]:
    """A running browser with an empty profile; what it gives opens tabs."""
    profile.mkdir(parents=True)
    assert CHROMIUM is not None
    with open(profile / "log", "wb") as log:
        browser = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=log, stdout=log
        )
    try:
        ends, port = time.monotonic() + PATIENCE, profile / "DevToolsActivePort"
        while not port.exists() or (not port.read_text().endswith("\n") and len(port.read_text().splitlines()) < 2):
            if browser.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"Chromium does not start: {(profile / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        server = f"http://127.0.0.1:{port.read_text().splitlines()[0]}"

        def page() -> Page:
            asked = urllib.request.Request(f"{server}/json/new?about:blank", method="PUT")
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return Page(json.load(answer)["webSocketDebuggerUrl"])

        yield page
    finally:
        browser.terminate()
        browser.wait(30)
