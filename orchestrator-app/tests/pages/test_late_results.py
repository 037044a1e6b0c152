"""Results that come when nobody wants them any more: the page shows and stores nothing of them in another place."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect
from support.desktop import listening
from support.scripted import Gate, Reply, ScriptedBackend, question

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answers(page: Page):
    return page.locator("li.assistant .bubble")


def questions(page: Page):
    return page.locator("li.user .bubble")


def row(page: Page, name: str):
    return page.locator("#conversations .open").filter(has_text=name)


@contextmanager
def held(page: Page, pattern: str, method: str = "GET"):
    """Requests that fit are held, with their answers, until `release()` is called."""
    waiting, released = [], []

    def hold(route):
        if released or route.request.method != method:
            route.fallback()
        else:
            waiting.append(route)

    def release():
        released.append(True)
        while waiting:
            waiting.pop(0).fallback()

    page.route(re.compile(pattern), hold)
    release.waiting = waiting
    try:
        yield release
    finally:
        release()


def wait_for(page: Page, release) -> None:
    """Until a request is held."""
    for _ in range(200):
        if release.waiting:
            return
        page.wait_for_timeout(25)
    raise AssertionError("nothing was asked for")


@pytest.fixture
def desktop(backend, tmp_path):
    """Recalls nothing: the model says back what it was shown."""
    with listening(tmp_path / "data", backend, context={"retrieval_share": 0}) as server:
        yield server


@pytest.fixture
def two(page, desktop):
    """Two conversations; the page shows the second."""
    ids = {}
    for name in ("Apples", "Bananas"):
        page.get_by_role("button", name="New conversation").click()
        say(page, name)
        expect(answers(page)).to_have_text(name)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        ids[name] = page.url.partition("#")[2]
    expect(row(page, "Apples")).to_be_visible()
    return ids


def stored(desktop, conversation_id: str) -> list[str]:
    messages = desktop.services.assistant.conversations.messages(conversation_id)
    return [message.content.strip() for message in messages]


def test_a_conversation_that_loads_late_does_not_mix_with_the_one_that_is_shown(page, desktop, two):
    with held(page, f"/conversations/{two['Apples']}") as release:
        row(page, "Apples").click()
        wait_for(page, release)
        row(page, "Bananas").click()
        expect(answers(page)).to_have_text("Bananas")
        release()
        say(page, "More bananas")
        expect(answers(page)).to_have_text(["Bananas", "More bananas"])
    expect(page.get_by_role("heading", name="Bananas")).to_be_visible()
    expect(row(page, "Bananas")).to_have_attribute("aria-current", "true")
    assert stored(desktop, two["Apples"]) == ["Apples", "Apples"]
    assert stored(desktop, two["Bananas"])[-2:] == ["More bananas", "More bananas"]


def test_a_question_asked_while_its_conversation_loads_stays_in_it(page, desktop, two):
    with held(page, f"/conversations/{two['Apples']}") as release:
        row(page, "Apples").click()
        wait_for(page, release)
        say(page, "Pears")
        expect(answers(page).last).to_have_text("Pears")
        release()
        expect(questions(page)).to_have_text(["Apples", "Pears"])
        expect(answers(page)).to_have_text(["Apples", "Pears"])
    assert stored(desktop, two["Apples"]) == ["Apples", "Apples", "Pears", "Pears"]


def test_a_conversation_that_begins_late_gets_its_question_and_the_shown_one_does_not(page, desktop, two):
    page.get_by_role("button", name="New conversation").click()
    with held(page, "/conversations$", "POST") as release:
        say(page, "Cherries")
        wait_for(page, release)
        page.get_by_label("Message", exact=True).fill("a second one, too early")
        page.keyboard.press("Enter")
        row(page, "Apples").click()
        expect(answers(page)).to_have_text("Apples")
        release()
        expect(row(page, "Cherries")).to_be_visible()
    expect(questions(page)).to_have_text(["Apples"])
    assert page.url.endswith(two["Apples"])
    assert stored(desktop, two["Apples"]) == ["Apples", "Apples"]
    expect(page.get_by_label("Message", exact=True)).to_have_value("a second one, too early")
    row(page, "Cherries").click()
    expect(answers(page)).to_have_text("Cherries")


def test_a_question_on_its_way_is_asked_although_another_conversation_is_opened(page, desktop, two):
    with held(page, "/chat/stream", "POST") as release:
        say(page, "Even more bananas")
        wait_for(page, release)
        row(page, "Apples").click()
        expect(answers(page)).to_have_text("Apples")
        release()
        row(page, "Bananas").click()
        expect(answers(page)).to_have_text(["Bananas", "Even more bananas"])
    assert stored(desktop, two["Apples"]) == ["Apples", "Apples"]


def test_a_question_that_cannot_be_sent_waits_in_its_own_conversation(page, two):
    page.route(re.compile("/chat/stream"), lambda route: route.abort())
    with held(page, "/chat/stream", "POST") as release:
        say(page, "Lost bananas")
        wait_for(page, release)
        row(page, "Apples").click()
        expect(answers(page)).to_have_text("Apples")
        release.waiting.pop().abort()
        expect(page.get_by_role("alert")).to_contain_text("“Lost bananas” could not be sent")
    expect(questions(page)).to_have_text(["Apples"])
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    row(page, "Bananas").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("Lost bananas")
    expect(questions(page)).to_have_text(["Bananas"])


def test_of_several_searches_the_last_one_is_shown(page, two):
    with held(page, r"/search\?q=app") as release:
        page.get_by_label("Search titles and messages").fill("apples")
        wait_for(page, release)
        page.get_by_label("Search titles and messages").fill("bananas")
        expect(row(page, "Bananas")).to_have_count(2)
        release()
        page.wait_for_timeout(200)
    expect(row(page, "Apples")).to_have_count(0)


def test_a_draft_that_comes_late_is_not_shown_over_another_conversation(page, two):
    with held(page, "/handoff$", "POST") as release:
        page.get_by_role("button", name="End session").click()
        wait_for(page, release)
        row(page, "Apples").click()
        expect(answers(page)).to_have_text("Apples")
        release()
        page.wait_for_timeout(200)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="End session").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_an_answer_of_a_conversation_that_is_left_is_not_announced(page, two):
    assert page.locator("#announce").inner_text() == "Answer: Bananas"
    with held(page, "/chat/stream", "POST") as release:
        say(page, "Silence")
        wait_for(page, release)
        page.get_by_role("button", name="New conversation").click()
        release()
        expect(row(page, "Bananas")).to_be_visible()
        page.wait_for_timeout(300)
    expect(page.locator("#announce")).to_have_text("Answer: Bananas")
    expect(answers(page)).to_have_count(0)


class TestStoppedBeforeTheRunIsKnown:
    @pytest.fixture
    def gate(self):
        gate = Gate()
        yield gate
        gate.open()

    @pytest.fixture
    def backend(self, gate):
        return ScriptedBackend([Reply(text="A long story.", gate=gate)])

    def test_it_is_stopped_in_its_conversation(self, page, desktop, gate):
        with held(page, "/chat/stream", "POST") as release:
            say(page, "A story?")
            wait_for(page, release)
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="New conversation").click()
            release()
            expect(row(page, "A story?")).to_be_visible()
            runs = desktop.services.assistant.runs
            for _ in range(100):
                if not runs.active():
                    break
                page.wait_for_timeout(50)
        assert not runs.active()
        row(page, "A story?").click()
        expect(questions(page)).to_have_text(["A story?"])


class TestACodeBlock:
    @pytest.fixture
    def backend(self):
        text = "Run this:\n\n```\nfirst line\nsecond line\n```\n\nThen **stop**."
        return ScriptedBackend(
            [Reply(text=text, crash_after=(5,))],
            otherwise=lambda prompt, config: Reply(text=question(prompt)),
        )

    def test_a_seam_in_it_leaves_it_and_what_follows_as_they_are(self, page):
        say(page, "How?")
        expect(page.locator(".seam")).to_contain_text("continued by desktop")
        for _ in range(2):
            expect(page.locator("li.assistant pre")).to_have_count(1)
            assert page.locator("li.assistant pre .seam").count() == 1
            expect(page.locator("li.assistant strong")).to_have_text("stop")
            page.reload()


SAMPLES = [
    "Plain words, and\nmore of them.\n\nA second paragraph.",
    "# Head\n\n- one\n- two **bold** `code`\n  1. deep\n\n> quoted *text*",
    "```python\nprint('x')\n```\n\nafter",
    "~~~\nopen and never closed\n**no bold**",
    "| a | b |\n|---|---|\n| 1 | `2` |\n\nend",
    "[a link](https://example.org/a_b?c=d) and https://example.org/auto, ![no](x.png) <b>html</b>",
    "**bold** __bold__ *it* ~~gone~~ a\\*b &amp; &lt; 🦜🦜 ``two ` ticks``",
    "Zeile eins  \nZeile zwei\n\n***\n\n    indented code\n\n中文**粗体**字",
    "",
    "```",
]


def test_a_seam_changes_nothing_wherever_it_is(page):
    """At every place of every sample: one mark, and the text around it reads as without it."""
    wrong = page.evaluate(
        """async (samples) => {
          const { render } = await import("/static/markdown.js");
          const html = (text, marks) => {
            const box = document.createElement("div");
            box.append(render(text, marks));
            const count = box.querySelectorAll("[data-seam]").length;
            for (const seam of box.querySelectorAll("[data-seam]")) seam.remove();
            return [count, box.innerHTML];
          };
          const seam = () => { const node = document.createElement("span"); node.dataset.seam = ""; return node; };
          const wrong = [];
          for (const text of samples) {
            const plain = html(text, [])[1];
            for (let at = 0; at <= text.length; at += 1) {
              for (const places of [[at], [at, at], [0, at, text.length]]) {
                const [count, marked] = html(text, places.map((place) => ({ at: place, node: seam() })));
                if (count !== places.length || marked !== plain) wrong.push([text, places, marked, plain]);
              }
            }
          }
          return wrong;
        }""",
        SAMPLES,
    )
    assert wrong == []
