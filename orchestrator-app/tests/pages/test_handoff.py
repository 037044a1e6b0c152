"""Ending a session on the chat page."""

import re

import pytest
from playwright.sync_api import Page, expect
from support.scripted import Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAID = "We decided on tea. TODO: write docs/tea.md"


@pytest.fixture
def backend():
    return ScriptedBackend(lambda prompt, config: Reply(text="Fine."))


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("li.assistant .bubble").last).to_have_text("Fine.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def end(page: Page):
    page.get_by_role("button", name="End session").click()
    dialog = page.get_by_role("dialog", name="End this session")
    expect(dialog).to_be_visible()
    return dialog


def text_of(desktop, name: str) -> str:
    return desktop.services.assistant.context.document(name).text


def test_a_session_ends_with_the_drafts_as_they_were_changed(page, desktop):
    expect(page.get_by_role("button", name="End session")).to_be_hidden()
    say(page, SAID)
    dialog = end(page)
    entry = dialog.get_by_label("Entry for SESSION_LOG.md")
    briefing = dialog.get_by_label("SESSION_BRIEFING.md", exact=True)
    expect(entry).to_have_value(re.compile("- We decided on tea."))
    expect(dialog.locator(".diff .added", has_text="- [ ] write docs/tea.md")).to_have_count(1)
    assert "tea" not in text_of(desktop, "SESSION_LOG.md")

    entry.fill("Settled on tea.")
    for summary in dialog.locator("summary").all():
        summary.click()
    briefing.fill(briefing.input_value() + "\nBy hand.\n")
    expect(dialog.locator(".diff .added", has_text="By hand.")).to_have_count(1)
    dialog.get_by_role("button", name="Store").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("handed off")
    assert text_of(desktop, "SESSION_LOG.md").rstrip().endswith("Settled on tea.")
    assert text_of(desktop, "SESSION_BRIEFING.md").rstrip().endswith("By hand.")

    page.get_by_role("button", name="End session").click()
    expect(page.locator("#notice")).to_contain_text("Nothing was said in this conversation since")
    expect(dialog).to_be_hidden()


def test_leaving_the_dialog_stores_nothing(page, desktop):
    say(page, SAID)
    before = text_of(desktop, "SESSION_BRIEFING.md")
    dialog = end(page)
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    dialog = end(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert text_of(desktop, "SESSION_BRIEFING.md") == before


def test_a_draft_that_was_overtaken_is_explained_and_kept(page, desktop):
    say(page, SAID)
    dialog = end(page)
    dialog.get_by_label("Entry for SESSION_LOG.md").fill("My words.")
    handoffs = desktop.services.handoffs
    conversation = page.evaluate("location.hash.slice(1)")
    desktop.services.assistant.conversations.add_message(conversation, "user", "More was said.")
    from orchestrator_core.handoff.session import Confirmation

    other = handoffs.draft(conversation)
    handoffs.confirm(Confirmation(conversation, other.entry_id, other.sources, other.entry))
    dialog.get_by_role("button", name="Store").click()
    expect(dialog.get_by_role("alert")).to_contain_text("handed off meanwhile")
    expect(dialog.get_by_label("Entry for SESSION_LOG.md")).to_have_value("My words.")


def test_text_of_a_session_is_never_markup(page):
    say(page, "We decided on <img src=x onerror=\"document.title='hacked'\"> tea.")
    dialog = end(page)
    expect(dialog.locator(".diff .added", has_text="<img")).to_have_count(1)
    expect(dialog.locator("img")).to_have_count(0)
    assert page.title() == "Orchestrator"


@pytest.mark.parametrize("width", [360, 1100])
def test_the_dialog_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 640})
    say(page, SAID)
    dialog = end(page)
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    dialog.get_by_role("button", name="Store").scroll_into_view_if_needed()
    expect(dialog.get_by_role("button", name="Store")).to_be_in_viewport()
