"""This device's copy of the memory, and its own model, if it has one.

The same assistant as on the other tiers, as the tier `phone`: it starts empty and receives everything by exchanges, so that
all of it can be read, searched and asked about without any network.
"""

from __future__ import annotations

from typing import NoReturn

from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import BackendDescription, ChatBackend, Generation, Prompt
from orchestrator_core.errors import ModelNotFound
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import Settings

TIER = "phone"


class NoModel(ChatBackend):
    """Of a device that only keeps the memory."""

    def load(self) -> NoReturn:
        raise ModelNotFound(
            "This device has no model of its own.",
            hint="Name a small GGUF file with model.path (ORCHESTRATOR_MODEL), and install the extra gguf.",
        )

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        self.load()

    def count_tokens(self, text: str) -> int:
        self.load()

    def count_prompt(self, prompt: Prompt) -> int:
        self.load()

    @property
    def context_length(self) -> int:
        self.load()

    def describe(self) -> BackendDescription:
        self.load()

    def close(self) -> None:
        """Nothing to free."""


def open_memory(settings: Settings, backend: ChatBackend | None = None) -> Assistant:
    """
    Args:
        settings: `data` is this device's folder.
        backend: its own model, which loads when it is asked first; None: it has none.

    Raises:
        StoreLocked: another process holds the folder. StoreError.
    """
    return open_assistant(settings, tier=TIER, backend=backend or NoModel())
