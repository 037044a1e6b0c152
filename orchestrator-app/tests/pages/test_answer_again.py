"""An answer that is asked for again takes the former one's place, which stays behind it."""

from __future__ import annotations

import pytest
from orchestrator_core.errors import ModelUnusable
from playwright.sync_api import Page, expect
from support.scripted import Gate, Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def backend():
    """The second answer about the lamp fails in the middle, once."""
    return ScriptedBackend(
        [
            Reply(when="weather", text="Rain."),
            Reply(text="The blue one."),
            Reply(text="The green one.", crash_after=(2,), failure=ModelUnusable("The model is hurt.")),
        ]
    )


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def shown(page: Page):
    return page.locator("li.assistant > .bubble")


def again(page: Page, question: str):
    return page.get_by_role("button", name=f"Answer again: {question}")


def test_the_new_answer_stands_where_the_former_stood_and_the_former_behind_it(page):
    say(page, "Which lamp?")
    expect(shown(page)).to_have_text("The blue one.")
    say(page, "How is the weather?")
    expect(shown(page).nth(1)).to_have_text("Rain.")

    again(page, "Which lamp?").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(shown(page)).to_have_text(["The green", "Rain."])
    expect(page.get_by_text("The answer broke off.")).to_be_visible()
    again(page, "Which lamp?").click()
    expect(shown(page)).to_have_text(["The green one.", "Rain."])
    expect(page.get_by_role("alert")).to_be_hidden()
    versions = page.locator("li.assistant").first.locator("details.versions")
    expect(versions.locator("> summary")).to_have_text("2 other versions")
    expect(versions.locator(".bubble").first).to_be_hidden()
    versions.locator("> summary").click()
    expect(versions.locator(".bubble")).to_have_text(["The blue one.", "The green"])

    page.reload()
    expect(shown(page)).to_have_text(["The green one.", "Rain."])
    expect(page.locator("li.user")).to_have_count(2)
    expect(again(page, "Which lamp?")).to_have_count(1)


def test_it_works_with_the_keyboard_and_is_told_to_screen_readers(page):
    say(page, "How is the weather?")
    expect(shown(page)).to_have_text("Rain.")
    page.get_by_label("Message", exact=True).press("Shift+Tab")
    expect(again(page, "How is the weather?")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("details.versions > summary")).to_have_text("1 other version")
    expect(again(page, "How is the weather?")).to_be_focused()
    expect(page.locator("#announce")).to_have_text("Answer: Rain.")
    page.keyboard.press("Space")
    expect(page.locator("details.versions > summary")).to_have_text("2 other versions")


class TestWhileItGrows:
    @pytest.fixture
    def backend(self, gate):
        return ScriptedBackend([Reply(text="The blue one."), Reply(text="The green one, I say.", gate=gate)])

    def test_stopped_before_its_first_word_it_leaves_the_former(self, page, gate):
        say(page, "Which lamp?")
        expect(shown(page)).to_have_text("The blue one.")
        again(page, "Which lamp?").click()
        assert gate.wait_blocked()
        expect(again(page, "Which lamp?")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(shown(page)).to_have_text("The blue one.")
        expect(page.locator("details.versions")).to_have_count(0)
        expect(again(page, "Which lamp?")).to_be_visible()

    def test_a_reload_in_the_middle_ends_with_one_answer(self, page, gate):
        say(page, "Which lamp?")
        expect(shown(page)).to_have_text("The blue one.")
        again(page, "Which lamp?").click()
        gate.allow(2)
        expect(shown(page)).to_have_text("The green")
        page.reload()
        expect(shown(page)).to_have_text(["The blue one.", "The green"])
        gate.open()
        expect(shown(page)).to_have_text(["The green one, I say."])
        expect(page.locator("details.versions .bubble")).to_have_text("The blue one.")

    def test_another_conversation_opened_meanwhile_stays_as_it_is(self, page, gate):
        say(page, "Which lamp?")
        expect(shown(page)).to_have_text("The blue one.")
        again(page, "Which lamp?").click()
        gate.allow(2)
        expect(shown(page)).to_have_text("The green")
        page.get_by_role("button", name="New conversation").click()
        gate.open()
        expect(page.locator(".empty")).to_be_visible()
        page.locator("#conversations .name").first.click()
        expect(shown(page)).to_have_text("The green one, I say.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_is_readable_and_large_enough(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 640})
    say(page, "How is the weather?")
    button = again(page, "How is the weather?")
    expect(button).to_have_text("Answer again")
    box = button.bounding_box()
    assert box is not None and box["height"] >= 24 and box["width"] >= 24
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
