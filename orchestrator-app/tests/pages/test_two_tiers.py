"""The chat page of a VPS: who answered and why, where another tier went on, and other versions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ai_orchestrator.server import Server
from playwright.sync_api import Page, expect
from support.scripted import Gate, Reply, ScriptedBackend
from support.two_tiers import TwoTiers, lost_after, two_tiers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOME = "The desktop 🦜 knows it all."
AWAY = " So says the vps."


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def pair(tmp_path, gate) -> Iterator[TwoTiers]:
    desktop = ScriptedBackend([Reply(when="slow", text=HOME, gate=gate)], otherwise=HOME, name="large")
    with two_tiers(tmp_path, desktop, ScriptedBackend(otherwise=AWAY, name="small")) as pair:
        yield pair


@pytest.fixture
def desktop(pair) -> Iterator[Server]:
    """The server that the page is opened at: here it is the VPS."""
    with Server(pair.vps.settings, pair.vps) as server:
        server.services.model.ensure(10)
        yield server


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def label(page: Page):
    return page.locator("li.assistant > details.label > summary").last


def text_of(page: Page) -> str:
    """The answer without its seam."""
    return page.locator("li.assistant > .bubble").evaluate(
        """(bubble) => {
          const copy = bubble.cloneNode(true);
          copy.querySelector(".seam")?.remove();
          return copy.textContent.replace(/\\s+/g, " ").trim();
        }"""
    )


def test_the_label_says_who_answered_and_why(page, pair):
    say(page, "Who?")
    expect(label(page)).to_have_text("answered by the desktop · large")
    pair.wire.leave()
    say(page, "And now?")
    expect(label(page)).to_have_text("answered by the VPS: the desktop is away (the plug was pulled) · small")
    page.reload()
    expect(label(page)).to_have_text("answered by the VPS: the desktop is away (the plug was pulled) · small")


def test_the_top_line_says_who_would_answer_now(page, pair):
    expect(page.locator("#state-text")).to_have_text("desktop, through the VPS")
    pair.wire.leave()
    page.reload()
    expect(page.locator("#state-text")).to_have_text("VPS · small (the desktop is away)")


def test_a_hand_over_is_seen_where_it_happened_now_and_later(page, pair, gate):
    pair.wire.change = lost_after(3)
    say(page, "slow?")
    gate.allow(4)
    expect(page.locator(".seam")).to_contain_text(
        "continued by vps · small: the desktop was lost in mid-answer"
    )
    expect(label(page)).to_contain_text("answered by the VPS: the desktop was lost in mid-answer")
    shown = text_of(page)
    assert shown == "The desktop 🦜 So says the vps."
    gate.open()
    page.reload()
    expect(page.locator(".seam")).to_have_count(1)
    assert text_of(page) == shown


def test_other_versions_are_there_and_out_of_the_way(page, pair, gate):
    pair.wire.change = lost_after(3)
    say(page, "slow?")
    gate.open()
    expect(label(page)).to_contain_text("lost in mid-answer")
    run = pair.desktop.runs.get(last_run(pair))
    run.wait(10)
    assert pair.exchange()
    page.reload()
    versions = page.locator("li.assistant details.versions")
    expect(versions.locator("> summary")).to_have_text("1 other version")
    expect(versions.locator(".bubble")).to_be_hidden()
    versions.locator("> summary").click()
    expect(versions.locator(".bubble")).to_have_text(HOME)
    expect(versions.locator("details.label summary")).to_have_text("answered by the desktop · large")
    expect(page.locator("li.assistant")).to_have_count(1)


def test_an_answer_is_given_again_by_the_tier_that_answers_now(page, pair):
    say(page, "Who?")
    expect(label(page)).to_have_text("answered by the desktop · large")
    pair.wire.leave()
    page.get_by_role("button", name="Answer again: Who?").click()
    answered = page.locator("li.assistant > details.label > summary").first
    expect(answered).to_contain_text("answered by the VPS: the desktop is away")
    versions = page.locator("li.assistant details.versions")
    versions.locator("> summary").click()
    expect(versions.locator(".bubble")).to_have_text(HOME)
    page.reload()
    expect(page.locator("li.assistant")).to_have_count(1)
    expect(answered).to_contain_text("answered by the VPS")


def last_run(pair: TwoTiers) -> str:
    (conversation, *_) = pair.vps.conversations.list(empty=True)
    return pair.vps.conversations.messages(conversation.conversation_id)[-1].run_id or ""
