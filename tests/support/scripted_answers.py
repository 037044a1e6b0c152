"""Questions to the `scripted` backend, and answers that end in an error."""

from __future__ import annotations

import pytest
from orchestrator_core.backend import Generation, Prompt
from orchestrator_core.errors import BackendError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role

ASK = Prompt.raw("[INST] Hi [/INST]")


def asking(text: str) -> Prompt:
    return Prompt((f"[INST] {text} [/INST]",), (ChatMessage(Role.USER, text),))


def config(**fields: object) -> GenerationConfig:
    return GenerationConfig.model_validate(fields)


def until_error(generation: Generation) -> tuple[str, BackendError]:
    shown = ""
    with pytest.raises(BackendError) as caught:
        for token in generation:
            shown += token.text
    return shown, caught.value
