"""The page of a pairing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mobile_sync.pairing import pair
from playwright.sync_api import Browser, Page, expect
from support.pairing import KEY, Waiting, has_lan, waiting

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not has_lan(), reason="this machine has no address that others could reach"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Waiting]:
    with waiting(tmp_path / "desktop") as desk:
        yield desk


@pytest.fixture(params=["light", "dark"])
def shown(request: pytest.FixtureRequest, browser: Browser, desk: Waiting) -> Iterator[Page]:
    context = browser.new_context(color_scheme=request.param)
    page = context.new_page()
    problems: list[str] = []
    # A 401 is how it learns that there is a key.
    page.on(
        "console",
        lambda line: problems.append(line.text) if line.type == "error" and "401" not in line.text else None,
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{desk.server.url}/pair")
    yield page
    context.close()
    assert problems == []


def test_it_shows_a_code_and_says_who_was_let_in(shown: Page, desk: Waiting, tmp_path: Path) -> None:
    shown.get_by_role("button", name="Show a code").click()
    shown.get_by_role("textbox", name="Key").fill(KEY)
    shown.get_by_role("button", name="Use this key").click()
    image = shown.get_by_role("img", name="QR code")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 100
    ground = shown.locator(".qr").evaluate("node => getComputedStyle(node).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    pair(shown.locator("#code").inner_text(), tmp_path / "phone", "Pixel", urls=[desk.server.url])
    expect(shown.locator("#state")).to_have_text("Paired: Pixel (phone)")
    expect(image).to_be_hidden()


def test_opened_by_a_link_it_says_what_to_do_and_asks_the_server_nothing(shown: Page, desk: Waiting) -> None:
    link = desk.begin()["link"]
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto("about:blank")
    shown.goto(desk.server.url + link[link.index("/pair") :])
    expect(shown.get_by_text("orchestrator phone pair")).to_be_visible()
    assert not any("pairing" in url or "s=" in url for url in asked if "#" not in url)
