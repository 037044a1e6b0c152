"""Which model writes the minutes of a session: the one that answers, where it is fit for that."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_core.assistant.assistant import Assistant
from orchestrator_core.backend import BackendDescription
from orchestrator_core.handoff.proposer import Proposer, ProposingModel
from orchestrator_core.settings import BUILTIN_MODEL, Settings

LEAST_WINDOW = 4096
"""Tokens. A smaller window holds too little of a session beside the instruction."""


def proposer_of(assistant: Assistant, ensure_loaded: Callable[[], object] = lambda: None) -> Proposer:
    """
    Args:
        ensure_loaded: called before the model is asked; it may raise.
    """

    def model() -> ProposingModel | None:
        if assistant.settings.handoff.model == "never":
            return None
        ensure_loaded()
        if not is_fit(assistant.settings, assistant.backend.describe()):
            return None
        return ProposingModel(
            complete=assistant.complete,
            count=assistant.count_tokens,
            window=assistant.backend.context_length,
            busy=lambda: any(run.spec.conversation_id is not None for run in assistant.runs.active()),
        )

    return Proposer(model)


def is_fit(settings: Settings, description: BackendDescription) -> bool:
    """Whether this model may propose items. The built-in one knows this project and little else."""
    if settings.handoff.model == "always":
        return True
    builtin = settings.model.path == BUILTIN_MODEL and settings.model.url is None
    return not builtin and description.context_length >= LEAST_WINDOW
