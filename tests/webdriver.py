"""Enough of the W3C WebDriver protocol to use a page in Chromium, without a package for it."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

__all__ = ["Browser", "missing_browser", "open_browser"]

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,900",
)


def _chromium() -> str | None:
    return next((path for name in _CHROMIUM if (path := shutil.which(name))), None)


def missing_browser() -> str | None:
    """What is not installed; None if a browser can be used."""
    if _chromium() is None:
        return "Chromium, which tests the page, is not installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


class Browser:
    """A browser with one window."""

    def __init__(self, address: str, session: str) -> None:
        self._address = f"{address}/session/{session}"

    def open(self, page: Path) -> None:
        """Load a file."""
        self._post("url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What `script`, the body of a function, returns."""
        return self._post("execute/sync", {"script": script, "args": list(arguments)})

    def resize(self, width: int, height: int) -> None:
        """Give the page so many pixels, as a phone or a screen does."""
        self._post(
            "goog/cdp/execute",
            {
                "cmd": "Emulation.setDeviceMetricsOverride",
                "params": {
                    "width": width,
                    "height": height,
                    "deviceScaleFactor": 1,
                    "mobile": width < 600,
                },
            },
        )

    def click(self, selector: str) -> None:
        """Click the first element that `selector` (CSS) finds, as a person would."""
        found = self._post("element", {"using": "css selector", "value": selector})
        self._post(f"element/{found[_ELEMENT]}/click", {})

    def press(self, *keys: str) -> None:
        """Press and release keys."""
        strokes = [{"type": kind, "value": k} for k in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def complaints(self) -> list[str]:
        """What the console got since it was last asked."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"})]

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until something has come true, which it must."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return _post(f"{self._address}/{path}", body)


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A headless Chromium with a new `profile`, ended with the context."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        line = next(line for line in driver.stdout if "started successfully on port" in line)
        address = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
        options = {
            "binary": _chromium(),
            "args": [*_ARGUMENTS, f"--user-data-dir={profile}"],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        opened = _post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        try:
            yield Browser(address, opened["sessionId"])
        finally:
            urlopen(Request(f"{address}/session/{opened['sessionId']}", method="DELETE")).close()
    finally:
        driver.terminate()
        driver.wait()
        if driver.stdout is not None:
            driver.stdout.close()


def _post(url: str, body: dict[str, Any]) -> Any:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except HTTPError as error:
        raise AssertionError(f"{url}: {json.load(error)['value']['message']}") from None
