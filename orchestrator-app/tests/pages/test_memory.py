"""What is remembered, on the chat page."""

import pytest
from playwright.sync_api import Page, expect
from support.scripted import Reply, ScriptedBackend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SAID = "Decision: we use tea. TODO: write docs/tea.md"


@pytest.fixture
def backend():
    return ScriptedBackend(lambda prompt, config: Reply(text="Fine."))


def hand_off(page: Page) -> None:
    page.get_by_label("Message", exact=True).fill(SAID)
    page.keyboard.press("Enter")
    expect(page.locator("li.assistant .bubble").last).to_have_text("Fine.")
    page.get_by_role("button", name="End session").click()
    page.get_by_role("dialog", name="End this session").get_by_role("button", name="Store").click()
    expect(page.locator("#notice")).to_contain_text("handed off")


def memory(page: Page):
    page.get_by_role("button", name="Memory", exact=True).click()
    dialog = page.get_by_role("dialog", name="Memory")
    expect(dialog).to_be_visible()
    return dialog


def texts(desktop) -> str:
    return "\n".join(document.text for document in desktop.services.assistant.context.documents())


def test_a_to_do_is_reworded_and_done(page, desktop):
    hand_off(page)
    dialog = memory(page)
    dialog.get_by_role("button", name="Edit: write docs/tea.md").click()
    asked = page.get_by_role("dialog", name="Reword it")
    asked.get_by_role("textbox").fill("write docs/green-tea.md")
    asked.get_by_role("button", name="Store").click()
    expect(dialog.get_by_text("write docs/green-tea.md", exact=True)).to_be_visible()
    assert "- [ ] write docs/green-tea.md" in texts(desktop)

    dialog.get_by_role("button", name="Done: write docs/green-tea.md").click()
    expect(dialog.get_by_text("write docs/green-tea.md", exact=True)).to_be_hidden()
    assert "- [ ] write docs/green-tea.md" not in texts(desktop)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_what_is_forgotten_leaves_the_documents_and_the_conversation(page, desktop):
    hand_off(page)
    dialog = memory(page)
    dialog.get_by_role("button", name="Forget: write docs/tea.md").click()
    page.get_by_role("dialog", name="Forget this?").get_by_role("button", name="Cancel").click()
    assert "docs/tea.md" in texts(desktop)
    dialog.get_by_role("button", name="Forget: write docs/tea.md").click()
    page.get_by_role("dialog", name="Forget this?").get_by_role("button", name="Forget", exact=True).click()
    expect(dialog.get_by_text("write docs/tea.md", exact=True)).to_be_hidden()
    assert "docs/tea.md" not in texts(desktop)
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("li.user .bubble")).to_have_count(0)


def test_an_item_that_is_gone_meanwhile_is_explained(page, desktop):
    hand_off(page)
    dialog = memory(page)
    page.route("**/memory/*", lambda route: route.abort())
    dialog.get_by_role("button", name="Done: write docs/tea.md").click()
    expect(dialog.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/memory/*")
    context = desktop.services.assistant.context
    briefing = context.document("SESSION_BRIEFING.md")
    lines = [line for line in briefing.text.splitlines(keepends=True) if "docs/tea.md" not in line]
    context.edit("SESSION_BRIEFING.md", "".join(lines), base_version=briefing.version)
    dialog.get_by_role("button", name="Done: write docs/tea.md").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()


def test_a_memory_without_items_says_so(page, desktop):
    expect(memory(page)).to_contain_text("Nothing yet.")
