"""A real headless Chromium for tests: found on this machine, or installed if possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright, sync_playwright  # pants: no-infer-dep

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL_SECONDS = 240


class NoBrowser(Exception):
    """No browser was found or could be installed; the text says why."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium.

    Raises:
        NoBrowser: None was found or could be installed.
    """
    with sync_playwright() as playwright:
        path = _find(playwright) or _install(playwright)
        # Its sandbox needs namespaces, which root and many containers lack.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        try:
            browser = playwright.chromium.launch(executable_path=path, args=options)
        except Error as error:
            raise NoBrowser(f"{path} does not start: {error.message.splitlines()[0]}") from None
        yield browser
        browser.close()


def _find(playwright: Playwright) -> str | None:
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)


def _install(playwright: Playwright) -> str:
    """Install Playwright's browser, else, for root on Debian, the system's."""
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        commands.append(["apt-get", "update"])
        commands.append(["apt-get", "install", "-y", "--no-install-recommends", "chromium"])
    said = ""
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            said = f"`{' '.join(command)}`: {error}"
            continue
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            said = f"`{' '.join(command)}` failed: {lines[-1] if lines else ''}"
        if (found := _find(playwright)) is not None:
            return found
    raise NoBrowser(f"no Chromium was found, and none could be installed: {said}")
