"""What a person does on the chat page, in Chromium, against a real server."""

import re

import pytest
from playwright.sync_api import Page, expect
from support.desktop import listening
from support.scripted import Gate, Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STORY = "Once upon a time a desktop, a server and a phone shared one memory."


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Page):
    return page.locator("li.assistant .bubble")


def test_a_question_is_answered_and_says_who_answered(page):
    expect(page.locator("#state")).to_have_attribute("data-state", "ready")
    say(page, "Hello there")
    expect(answers(page)).to_have_text("Hello there")
    expect(page.locator("li.assistant details.label summary")).to_contain_text("desktop")


def test_an_answer_that_is_whole_is_not_drawn_again_when_it_is_stored(page):
    """Whoever is about to press a button under it presses that very button."""
    say(page, "Hello there")
    again = page.get_by_role("button", name="Answer again: Hello there").element_handle()
    expect(page.locator("#conversations .name")).to_have_text(["Hello there"])
    say(page, "Something else")
    expect(answers(page)).to_have_text(["Hello there", "Something else"])
    assert again.is_visible()


def test_nothing_is_requested_from_outside(page, desktop, requests_made):
    say(page, "Hello")
    expect(answers(page)).to_have_text("Hello")
    assert requests_made
    assert [url for url in requests_made if not url.startswith(desktop.url)] == []


def test_an_answer_can_never_act_as_markup(page):
    say(page, "<img src=x onerror=\"document.title='hacked'\"> [bad](javascript:alert(1)) **bold**")
    expect(answers(page).locator("strong")).to_have_text("bold")
    expect(answers(page).locator("img")).to_have_count(0)
    assert answers(page).locator("a[href^='javascript']").count() == 0
    assert page.title() == "Orchestrator"


def test_every_conversation_is_listed_and_can_be_reopened_renamed_and_deleted(page):
    say(page, "First topic")
    expect(answers(page)).to_have_text("First topic")
    page.get_by_role("button", name="New conversation").click()
    say(page, "Second topic")
    expect(answers(page)).to_contain_text("Second topic")  # beside what is recalled of the first

    names = page.locator("#conversations .name")
    expect(names).to_have_text(["Second topic", "First topic"])
    names.nth(1).click()
    expect(answers(page)).to_have_text("First topic")

    page.get_by_role("button", name="Rename First topic").click()
    page.locator("#ask-input").fill("Renamed")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(names.filter(has_text="Renamed")).to_have_count(1)

    page.get_by_role("button", name="Delete Renamed").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(names).to_have_text(["Second topic"])


def test_messages_and_titles_can_be_searched(page):
    say(page, "The zebra is striped")
    expect(answers(page)).to_have_text("The zebra is striped")
    page.get_by_label("Search titles and messages").fill("zebra")
    expect(page.locator("#conversations .name").first).to_contain_text("zebra")
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Search titles and messages").fill("")
    page.get_by_role("button", name="Rename The zebra is striped").click()
    page.locator("#ask-input").fill("About animals")
    page.keyboard.press("Enter")
    page.get_by_label("Search titles and messages").fill("about animal")
    expect(page.locator("#conversations .name")).to_have_text(["About animals"])
    page.locator("#conversations .name").click()
    expect(answers(page)).to_have_text("The zebra is striped")
    page.get_by_label("Search titles and messages").fill("giraffe")
    expect(page.locator("#conversations")).to_have_text("Nothing found.")


class TestWhileAnAnswerGrows:
    @pytest.fixture
    def gate(self):
        gate = Gate()
        yield gate
        gate.open()

    @pytest.fixture
    def backend(self, gate):
        return ScriptedBackend([Reply(text=STORY, gate=gate), Reply(text="And then?")])

    def test_text_appears_token_by_token(self, page, gate):
        say(page, "Tell me a story")
        gate.allow(3)
        expect(answers(page)).to_have_text("Once upon a")
        gate.open()
        expect(answers(page)).to_have_text(STORY)

    def test_stop_ends_it_and_keeps_what_was_said(self, page, gate):
        say(page, "Tell me a story")
        gate.allow(3)
        expect(answers(page)).to_have_text("Once upon a")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.locator("li.assistant")).to_contain_text("Stopped.")
        page.reload()
        expect(answers(page)).to_have_text("Once upon a")

    def test_a_reload_in_mid_answer_shows_the_whole_answer_once(self, page, gate):
        say(page, "Tell me a story")
        gate.allow(4)
        expect(answers(page)).to_have_text("Once upon a time")
        page.reload()
        expect(answers(page)).to_have_text("Once upon a time")
        gate.open()
        expect(answers(page)).to_have_text(STORY)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        page.reload()
        expect(answers(page)).to_have_count(1)
        expect(answers(page)).to_have_text(STORY)

    def test_a_second_window_watches_the_same_answer_and_can_stop_it(self, page, gate):
        say(page, "Tell me a story")
        gate.allow(3)
        expect(answers(page)).to_have_text("Once upon a")
        other = page.context.new_page()
        other.goto(page.url)
        expect(answers(other)).to_have_text("Once upon a")
        other.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(answers(page)).to_have_text("Once upon a")

    def test_a_lost_connection_is_taken_up_again_without_loss(self, page, gate):
        say(page, "Tell me a story")
        gate.allow(2)
        expect(answers(page)).to_have_text("Once upon")
        page.context.set_offline(True)
        gate.allow(3)
        page.context.set_offline(False)
        gate.open()
        expect(answers(page)).to_have_text(STORY)


class TestTheEngineDiesInMidAnswer:
    @pytest.fixture
    def backend(self):
        return ScriptedBackend([Reply(text=STORY, crash_after=(4,))])

    def test_the_answer_is_whole_and_the_seam_is_visible(self, page):
        say(page, "Tell me a story")
        expect(page.locator(".seam")).to_contain_text("continued by desktop")
        before, after = page.locator("li.assistant > .bubble").inner_text().split("continued by desktop")
        assert f"{before.strip()} {after.partition(chr(10))[2].strip()}" == STORY


class TestTheModelRefuses:
    @pytest.fixture
    def backend(self):
        return ScriptedBackend([Reply(refuse="overloaded"), Reply(text="Now it works.")])

    def test_the_reason_is_shown_and_the_message_is_kept(self, page):
        say(page, "Precious words")
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Message", exact=True)).to_have_value("Precious words")
        page.keyboard.press("Enter")
        expect(answers(page)).to_have_text("Now it works.")
        expect(page.get_by_role("alert")).to_be_hidden()
        page.reload()
        expect(page.locator("li.user .bubble")).to_have_text(["Precious words"])


class TestWithAKey:
    @pytest.fixture
    def desktop(self, backend, tmp_path):
        with listening(tmp_path / "data", backend, api_key="sesame-sesame-sesame") as server:
            yield server

    def test_the_page_asks_for_the_key_and_forgets_a_wrong_one(self, page):
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.get_by_label("Key", exact=True).fill("wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(dialog).to_be_visible()
        page.get_by_label("Key", exact=True).fill("sesame-sesame-sesame")
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#state")).to_have_attribute("data-state", "ready")
        say(page, "Hello")
        expect(answers(page)).to_have_text("Hello")


def test_it_works_with_the_keyboard_alone(page):
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("Line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.keyboard.press("Enter")
    expect(page.locator("li.user .bubble")).to_have_text("Line one\nline two")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#conversations .small").first).to_be_attached()
    reachable = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reachable |= set(page.evaluate("[document.activeElement.id, ...document.activeElement.classList]"))
    assert {"skip", "new", "find", "open", "small", "theme", "log", "message", "send"} <= reachable


def test_every_control_has_a_name_for_screen_readers(page):
    say(page, "Hello")
    expect(answers(page)).to_have_text("Hello")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, a, dialog")]
        .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
                         || e.labels?.length || e.textContent.trim()))
        .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    expect(page.locator("#announce")).to_have_text("Answer: Hello")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_schemes(page, scheme):
    page.emulate_media(color_scheme=scheme)
    colours = page.evaluate(
        """() => ["body", "#composer textarea", ".state", "#send", ".new"].map((selector) => {
          const element = document.querySelector(selector);
          const style = getComputedStyle(element);
          let ground = element;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          return [selector, style.color, getComputedStyle(ground).backgroundColor];
        })"""
    )
    for selector, text, ground in colours:
        assert contrast(rgb(text), rgb(ground)) >= 4.5, selector


def rgb(css: str) -> tuple[float, ...]:
    return tuple(float(number) for number in re.findall(r"[\d.]+", css)[:3])


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2 contrast ratio of two sRGB colours."""

    def luminance(colour):
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("button", name="New conversation")).to_be_visible()
    page.keyboard.press("Escape")
    say(page, "averyveryverylongwordwithoutanyspace" * 5)
    expect(answers(page)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_stays_usable_when_the_server_goes_away(page, desktop):
    say(page, "Hello")
    expect(answers(page)).to_have_text("Hello")
    desktop.stop(drain_s=0)
    say(page, "Are you there?")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Are you there?")


class TestNotices:
    def test_what_the_owner_has_to_act_upon_is_shown_as_long_as_it_lasts(self, desktop, page):
        notices = ["The credential of this desktop was used from 203.0.113.9 too."]
        desktop.services.notices.append(lambda: notices)
        page.reload()
        warnings = page.locator("#warnings .notice")
        expect(warnings).to_have_text(notices)
        notices.clear()
        page.reload()
        expect(warnings).to_have_count(0)
