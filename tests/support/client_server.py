"""A server for foreign clients: it says one sentence, and calls the tool `weather` where it is offered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ai_orchestrator.server import Server
from support.desktop import listening
from support.scripted import ScriptedBackend

TEXT = "Hello there, you."
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'


def reply(prompt: Any, config: Any) -> str:
    """A call where a tool may be called and was not yet, JSON under a schema, else the sentence."""
    text = prompt.text
    if "weather" in text and "Wien" not in text:
        return CALL
    return '{"city": "Wien"}' if config.json_schema is not None else TEXT


@contextmanager
def answering(data: Path) -> Iterator[Server]:
    """The server, on a free port of loopback, without a key."""
    with listening(data, ScriptedBackend(reply)) as server:
        yield server
