"""What is said in another tab, or by another device, appears by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from support.scripted import Gate, Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def log(page: Page):
    return page.locator(".log .bubble")


def names(page: Page):
    return page.locator("#conversations .name")


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def backend(gate):
    return ScriptedBackend(
        [
            Reply(when="slow", text="One two three four.", gate=gate),
            Reply(when="first", text="An answer."),
            Reply(when="second", text="Another answer."),
        ]
    )


@pytest.fixture
def other(page, desktop):
    """A second tab, in the same conversation."""
    say(page, "The first question")
    expect(log(page)).to_have_text(["The first question", "An answer."])
    other = page.context.new_page()
    other.goto(page.url)
    expect(log(other)).to_have_text(["The first question", "An answer."])
    return other


def test_two_tabs_show_the_same(page, other):
    say(other, "The second question")
    expect(log(page)).to_have_text(
        ["The first question", "An answer.", "The second question", "Another answer."]
    )
    page.get_by_role("button", name="Answer again: The second question").click()
    expect(other.get_by_text("1 other version")).to_be_visible()
    other.get_by_role("button", name="Rename The first question").click()
    other.locator("#ask-input").fill("A name")
    other.keyboard.press("Enter")
    expect(names(page)).to_have_text(["A name"])
    expect(page.get_by_role("heading", name="A name")).to_be_visible()


def test_an_answer_grows_in_both_and_either_can_stop_it(page, other, gate):
    say(page, "A slow one")
    gate.allow(2)
    expect(log(page).last).to_have_text("One two")
    expect(log(other)).to_have_text(["The first question", "An answer.", "A slow one", "One two"])
    other.get_by_role("button", name="Stop").click()
    for tab in (page, other):
        expect(tab.get_by_role("button", name="Send")).to_be_visible()
        expect(log(tab).last).to_have_text("One two")


def test_what_is_written_and_unfolded_stays_as_it_is(page, other):
    page.get_by_label("Message", exact=True).fill("half a thou")
    details = page.locator("li.assistant details.label").first
    details.locator("summary").click()
    say(other, "The second question")
    expect(log(page)).to_have_count(4)
    expect(page.get_by_label("Message", exact=True)).to_have_value("half a thou")
    assert details.evaluate("details => details.open")
    expect(details.locator("summary")).to_be_focused()


def test_a_conversation_that_is_deleted_elsewhere_says_so(page, other):
    other.get_by_role("button", name="Delete The first question").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no longer there")
    expect(names(page)).to_have_count(0)
    expect(log(page)).to_have_text(["The first question", "An answer."])
