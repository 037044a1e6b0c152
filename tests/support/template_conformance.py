"""How our prompts compare with those that transformers renders from the same template and messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import Role
from orchestrator_core.prompt.outline import Outline
from orchestrator_core.prompt.template import ChatTemplate
from orchestrator_core.prompt.ways import Way
from support.conversations import CONVERSATIONS, Conversation

SPECIAL = SpecialTokens("<s>", "</s>", frozenset({"<s>", "</s>", "<|im_end|>"}), adds_bos=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Args:
        reason: why the texts differ; "" where they are equal.
        way: how the messages were shown to the template; None: no way was found.
    """

    template: str
    conversation: str
    reason: str
    way: Way | None
    ours: str
    theirs: str

    @property
    def differs(self) -> bool:
        return self.ours != self.theirs


def templates(source: Path) -> dict[str, str]:
    """The chat templates of llama.cpp's source package, by name."""
    return {
        file.stem: file.read_text("utf-8") for file in sorted((source / "models/templates").glob("*.jinja"))
    }


def compare_all(name: str, source: str) -> Iterator[Comparison]:
    template = ChatTemplate(source, SPECIAL)
    for label, conversation in CONVERSATIONS.items():
        yield _compare(name, source, template, label, conversation)


def _compare(
    name: str, source: str, template: ChatTemplate, label: str, conversation: Conversation
) -> Comparison:
    messages, tools = conversation
    today = datetime.now()
    theirs, refused = _transformers(source, conversation, today)
    begun = messages[-1].content if messages[-1].role is Role.ASSISTANT else ""
    said = messages[:-1] if begun else messages
    ours = template.render(said, tools=tools, today=today, begun=bool(begun)).text + begun
    way = next(template.ways_for(said, tools), None)
    reason = "" if ours == theirs else _reason(source, template, conversation, refused)
    return Comparison(name, label, reason, way, ours, theirs)


def _reason(source: str, template: ChatTemplate, conversation: Conversation, refused: str) -> str:
    """Why the texts may differ."""
    if refused:
        return "transformers refuses: " + refused
    outline = Outline.of(*conversation)
    text, refused = _transformers(source, (list(outline.messages), outline.tools), datetime.now())
    lost = "" if refused else outline.missing(text)
    return f"transformers leaves out {lost}" if lost else ""


def _transformers(source: str, conversation: Conversation, today: datetime) -> tuple[str, str]:
    """What transformers renders, and why it does not."""
    from transformers.utils.chat_template_utils import render_jinja_template

    messages, tools = conversation
    begun = messages[-1].role is Role.ASSISTANT
    variables: dict[str, Any] = Way().variables(messages, tools)
    try:
        (text,), _ = render_jinja_template(
            conversations=[variables["messages"]],
            tools=variables["tools"],
            chat_template=source,
            add_generation_prompt=not begun,
            continue_final_message=begun,
            bos_token=SPECIAL.bos,
            eos_token=SPECIAL.eos,
        )
    except Exception as error:
        return "", f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    return text, ""
