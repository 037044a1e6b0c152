"""More conversations than fit on a page, more messages than are shown at first, and answers that were cut off."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from support.scripted import Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MANY = 230


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def rows(page: Page):
    return page.locator("#conversations .name")


class TestManyConversations:
    @pytest.fixture
    def desktop(self, desktop):
        store = desktop.services.assistant.conversations
        for number in range(MANY):
            made = store.create()
            store.add_message(made.conversation_id, "user", f"Topic {number}")
        for _ in range(110):
            store.create()  # never used: newer than all others, and of no interest
        return desktop

    def test_all_of_them_can_be_reached_by_scrolling(self, page):
        expect(rows(page).first).to_have_text(f"Topic {MANY - 1}")
        assert rows(page).count() < MANY
        for _ in range(20):
            rows(page).last.scroll_into_view_if_needed()
            page.mouse.move(100, 400)
            page.mouse.wheel(0, 5000)
            if rows(page).count() == MANY:
                break
            page.wait_for_timeout(100)
        expect(rows(page)).to_have_count(MANY)
        expect(page.get_by_role("button", name="Older conversations")).to_have_count(0)
        rows(page).last.click()
        expect(page.locator("li.user .bubble")).to_have_text("Topic 0")

    def test_the_keyboard_reaches_them_too(self, page):
        more = page.get_by_role("button", name="Older conversations")
        expect(more).to_be_attached()
        before = rows(page).count()
        more.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#conversations .name")).not_to_have_count(before)


class TestManyMessages:
    @pytest.fixture
    def desktop(self, desktop):
        store = desktop.services.assistant.conversations
        for number in range(130):
            store.add_message("default", "user", f"Message {number}")
        return desktop

    def test_earlier_ones_are_shown_when_they_are_wanted(self, page):
        rows(page).first.click()
        shown = page.locator("li.user .bubble")
        expect(shown).to_have_count(100)
        expect(shown.last).to_be_in_viewport()
        page.get_by_role("button", name="Earlier messages").click()
        expect(shown).to_have_count(130)
        expect(shown.first).to_have_text("Message 0")
        expect(page.get_by_role("button", name="Earlier messages")).to_have_count(0)


class TestAnAnswerThatWasCutOff:
    @pytest.fixture
    def backend(self):
        return ScriptedBackend(
            [Reply(text="One two three four five.", cut_after=2)], otherwise="One two three four five."
        )

    def test_it_goes_on_where_it_ended(self, page):
        say(page, "Count")
        answer = page.locator("li.assistant > .bubble")
        expect(answer).to_have_text("One two")
        expect(page.get_by_text("The answer reached its length limit.")).to_be_visible()
        page.get_by_role("button", name="Continue: Count").click()
        expect(answer).to_have_text("One two three four five.")
        expect(page.get_by_role("button", name="Continue")).to_have_count(0)
        page.reload()
        expect(answer).to_have_text("One two three four five.")


class TestDialogs:
    def test_enter_renames_and_escape_does_not(self, page):
        say(page, "First topic")
        rename = page.get_by_role("button", name="Rename First topic")
        rename.click()
        page.keyboard.type("Never")
        page.keyboard.press("Escape")
        rename.click()
        expect(page.locator("#ask-input")).to_have_value("First topic")
        page.keyboard.type("A better name")
        page.keyboard.press("Enter")
        expect(rows(page)).to_have_text(["A better name"])
        expect(page.get_by_role("heading", name="A better name")).to_be_visible()
        page.get_by_role("button", name="Rename A better name").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)

    def test_every_dialog_does_on_enter_what_its_main_button_says(self, page):
        """The first submit button of a form is what Enter presses: none may be there to cancel."""
        page.evaluate("() => { import('/static/key.js').then(({ askForKey }) => askForKey()); }")
        expect(page.get_by_role("dialog", name="This server asks for its key")).to_be_visible()
        first = page.evaluate(
            "[...document.forms].map((form) => form.querySelector('button:not([type=button])')?.textContent)"
        )
        assert first == ["Send", "OK", "Store", "Use this key"]
