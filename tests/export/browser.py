"""One real Chromium for the tests of pages, driven by playwright, with the network off."""

import os
import shutil
from contextlib import contextmanager

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium():
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("OSTINATO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path, before="", **options):
    """The page at `path`, opened from disk; `before` is a script that runs first. Fails on errors and requests."""
    wrong = []
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.add_init_script(before)
    page.set_default_timeout(15_000)
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if request.url.startswith(("http", "ws")) else None)
    try:
        page.goto(path.as_uri())
        page.evaluate("ostinato.ready")
        yield page
    finally:
        context.close()
    assert wrong == []
