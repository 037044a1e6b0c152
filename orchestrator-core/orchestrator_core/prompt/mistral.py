"""Mistral's `[INST]` format, with the system text in front of the first user message.

Newer templates published with Mistral's models put the system text before the *last* user
message, so the whole prompt changes every turn and nothing can be kept in the KV cache.
In front of the first one the prefix stays. Formats, from Mistral's own description
(github.com/mistralai/cookbook, concept-deep-dive/tokenization/chat_templates.md):

    v1          <s> [INST] user [/INST] answer</s> [INST] user [/INST]
    v2, v3      <s>[INST] user[/INST] answer</s>[INST] user[/INST]
    tekken      <s>[INST]user[/INST]answer</s>[INST]user[/INST]
    v7          <s>[SYSTEM_PROMPT] system[/SYSTEM_PROMPT][INST] user[/INST] answer</s>

The blanks after a control token are what SentencePiece puts before a first word. Some
tokenizers put it there by themselves; then the text must not bring a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator_core.messages import ChatMessage, Role

MARKER = "[INST]"


@dataclass(frozen=True, slots=True)
class MistralForm:
    """How one generation of Mistral's models spells a conversation.

    Args:
        open: before a user message.
        close: after a user message.
        answer: before an answer.
        system_open, system_close: around the system text; both empty: the system text and
            a blank line stand in front of the first user message.
        eos: after an answer.
    """

    open: str = "[INST] "
    close: str = " [/INST]"
    answer: str = " "
    system_open: str = ""
    system_close: str = ""
    eos: str = "</s>"

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The conversation without BOS. Roles must alternate, beginning with a user
        message, after at most one system message (`shapes.folded` makes it so)."""
        parts: list[str] = []
        system = ""
        for message in messages:
            if message.role is Role.SYSTEM:
                if self.system_open:
                    parts += [self.system_open, message.content, self.system_close]
                else:
                    system = message.content + "\n\n"
            elif message.role is Role.USER:
                parts += [self.open, system, message.content, self.close]
                system = ""
            else:
                parts += [self.answer, message.content, self.eos]
        return "".join(parts)


def mistral_form(
    template: str | None, control: frozenset[str], eos: str, count_tokens: Callable[[str], int]
) -> MistralForm:
    """The form a model was trained on.

    Args:
        template: the model's own template, or None.
        control: its control tokens; v1 has no token for `[INST]`.
        eos: text that ends an answer.
        count_tokens: the backend's; called twice, to see whether the tokenizer puts a blank
            after a control token by itself.
    """
    eos = eos or "</s>"
    if MARKER not in control:
        begin = eos if eos in control else ""
        blank = "" if not begin or _blank_is_added(begin, count_tokens) else " "
        return MistralForm(open=f"{blank}[INST] ", close=" [/INST]", answer=" ", eos=eos)
    blank = "" if _without_blanks(template) or _blank_is_added(MARKER, count_tokens) else " "
    system = "[SYSTEM_PROMPT]" in control and "[SYSTEM_PROMPT]" in (template or "")
    return MistralForm(
        open=f"[INST]{blank}",
        close="[/INST]",
        answer=blank,
        system_open=f"[SYSTEM_PROMPT]{blank}" if system else "",
        system_close="[/SYSTEM_PROMPT]" if system else "",
        eos=eos,
    )


def _without_blanks(template: str | None) -> bool:
    """Whether a template writes `[INST]` without a blank after it (tekken)."""
    return template is not None and MARKER in template and f"{MARKER} " not in template


def _blank_is_added(after: str, count_tokens: Callable[[str], int]) -> bool:
    """A second blank costs a token of its own; one that joins its word costs nothing.

    The word is "a": every vocabulary has it as one token both with a blank and without.
    """
    return count_tokens(f"{after} a") > count_tokens(f"{after}a")
