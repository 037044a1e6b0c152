"""A desktop server in this process with the engine in its own, and one client, for benchmarks over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from ai_orchestrator.server import Server
from household import Household
from measuring import event_data
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.settings import Settings

PATIENCE_S = 900.0


@dataclass(frozen=True)
class Answer:
    """One turn, as the client saw it.

    Args:
        first_s: seconds to the first token.
        longest_pause_s: between two tokens.
    """

    first_s: float
    longest_pause_s: float
    prompt: int
    cached: int
    recalled: int

    @property
    def ratio(self) -> float:
        return self.cached / self.prompt


class Desktop:
    """A running server with its assistant."""

    def __init__(self, assistant: Assistant, url: str) -> None:
        self.assistant = assistant
        self.url = url

    def ask(self, message: str, conversation: str, tokens: int) -> Answer:
        body = {"message": message, "conversation_id": conversation, "max_tokens": tokens}
        body |= {"temperature": 0, "repetition_penalty": 1.1}
        began = last = time.perf_counter()
        first = pause = 0.0
        with requests.post(f"{self.url}/chat/stream", json=body, stream=True, timeout=PATIENCE_S) as answer:
            answer.raise_for_status()
            for event in event_data(answer):
                now = time.perf_counter()
                if "token" in event:
                    first, pause = (now - began, pause) if not first else (first, max(pause, now - last))
                    last = now
                if event.get("done"):
                    usage = event["usage"]
                    recalled = sum(use["tokens"] for use in event["receipt"]["retrieved"])
                    return Answer(first, pause, usage["prompt_tokens"], usage["cached_tokens"], recalled)
        raise RuntimeError("The answer did not end.")

    def figures(self) -> dict[str, Any]:
        backend = self.assistant.backend
        assert isinstance(backend, LlamaCppBackend)
        return backend.engine_figures()

    def read_ahead(self) -> float:
        """Have everything read ahead that is known now; seconds until it is."""
        began = time.perf_counter()
        self.assistant.prompting.prewarm()
        while self.figures().get("ahead", 1):
            if time.perf_counter() - began > PATIENCE_S:
                raise RuntimeError("Reading ahead does not end.")
            time.sleep(0.02)
        return time.perf_counter() - began

    def append(self, text: str) -> None:
        assert self.assistant.context is not None
        self.assistant.context.append_entry(text)

    def edit(self, name: str, old: str, new: str) -> None:
        assert self.assistant.context is not None
        text = self.assistant.context.document(name).text
        assert old in text
        version = self.assistant.context.document(name).version
        self.assistant.context.edit(name, text.replace(old, new, 1), base_version=version)


@contextmanager
def desktop(
    model: Path, data: Path, *, threads: int, window: int, texts: Household | None, recalls: bool = True
) -> Iterator[Desktop]:
    """A server over `data`.

    Args:
        texts: writes the four documents first; None: they are there.
        recalls: whether questions recall passages; how many would differ from one to the next.
    """
    if texts is not None:
        folder = data / "context"
        folder.mkdir(parents=True)
        for name, text in texts.documents().items():
            (folder / name).write_text(text, "utf-8")
    settings = Settings.model_validate(
        {
            "data": data,
            "model": {"path": str(model), "context_length": window},
            "engine": {"threads": threads},
            "server": {"port": 0},
            "context": {"retrieval_share": None if recalls else 0.0},
        }
    )
    with ExitStack() as stack:
        assistant = stack.enter_context(open_assistant(settings))
        assistant.backend.load()
        server = Server(settings, assistant).start()
        stack.callback(server.stop, drain_s=0)
        yield Desktop(assistant, server.url)
        server.services.closing.set()
