"""What a reasoning model thinks stands folded before its answer, and is no part of it."""

import pytest
from playwright.sync_api import expect
from support.scripted import ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(
        otherwise="<think>\nA riddle: <b>bold</b>?\n</think>\n\nForty-two.", template=TEMPLATE
    )


def test_thoughts_are_folded_shown_on_demand_and_gone_with_the_page(page):
    page.get_by_label("Message", exact=True).fill("What is it?")
    page.keyboard.press("Enter")
    answer = page.locator("li.assistant")
    expect(answer.locator(".bubble")).to_have_text("Forty-two.")
    thoughts = answer.locator("details.thoughts")
    expect(thoughts.locator("p")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator("p")).to_have_text("A riddle: <b>bold</b>?")
    expect(answer.locator("details.label:not(.thoughts) summary")).to_contain_text("desktop")
    page.reload()
    expect(answer.locator(".bubble")).to_have_text("Forty-two.")
    expect(thoughts).to_have_count(0)
