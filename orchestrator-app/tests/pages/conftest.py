"""A real Chromium looking at a real server whose model follows a script."""

import shutil
from collections.abc import Iterator

import pytest
from ai_orchestrator.server import Server
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.desktop import listening
from support.scripted import Reply, ScriptedBackend, question

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Without them Chromium calls out to the internet at its start; these tests stay on loopback."""

PATIENCE_MS = 15_000

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one file: while it is there, an event loop runs in this thread, and no test can run another."""
    executable = shutil.which("chromium")
    assert executable, "Debian's chromium is missing: sudo apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def backend() -> ScriptedBackend:
    """Says back what was asked, without the line with the date; tests that need more replace it."""
    return ScriptedBackend(lambda prompt, config: Reply(text=question(prompt).partition("\n")[2]))


@pytest.fixture
def desktop(backend, tmp_path) -> Iterator[Server]:
    with listening(tmp_path / "data", backend) as server:
        yield server


@pytest.fixture
def requests_made() -> list[str]:
    return []


@pytest.fixture
def page(browser, desktop, requests_made) -> Iterator[Page]:
    """The chat page, opened. Any error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests_made.append(request.url))
    page.goto(desktop.url)
    yield page
    context.close()
    assert problems == []
