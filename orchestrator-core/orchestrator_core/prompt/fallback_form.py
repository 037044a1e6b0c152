"""What a model reads that has no usable chat template.

Files without a template are mostly early Mistral ones, so they get Mistral's own first form, or the
form of its later vocabularies where `[INST]` is a control token (Mistral's description:
github.com/mistralai/cookbook, concept-deep-dive/tokenization/chat_templates.md):

    v1          <s> [INST] user [/INST] answer</s> [INST] user [/INST]
    v2, v3      <s>[INST] user[/INST] answer</s>[INST] user[/INST]

A template that cannot be used says that the model is of some other family, whose markers are not
known here. Then the roles stand there in words: no form at all, but nobody else's either.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator_core.backend import SpecialTokens
from orchestrator_core.message_shape import folded
from orchestrator_core.messages import ChatMessage, Role

MARKER = "[INST]"


def fallback_form(messages: Sequence[ChatMessage], special: SpecialTokens, *, has_template: bool) -> str:
    """The conversation, beginning with BOS.

    Args:
        has_template: the model has a template, but not one that works.
    """
    if has_template and MARKER not in special.control:
        transcript = "".join(
            f"{message.role.value.capitalize()}: {message.content}\n\n" for message in messages
        )
        return f"{special.bos}{transcript}Assistant:"
    later = MARKER in special.control
    eos = special.eos or "</s>"
    begin = " " if not later and eos in special.control else ""
    end = "[/INST]" if later else " [/INST]"
    return special.bos + "".join(
        f" {message.content}{eos}"
        if message.role is Role.ASSISTANT
        else f"{begin}{MARKER} {message.content}{end}"
        for message in folded(messages)
    )
