"""Counting tokens for a remote server: its own tokenise route, or a cautious estimate."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from orchestrator_core.backend import Prompt
from orchestrator_core.backends.openai_dialect import Dialect, wire_messages
from orchestrator_core.backends.openai_http import OpenAIClient
from orchestrator_core.backends.openai_wire import ProtocolError
from orchestrator_core.remembered import Remembered

REMEMBERED_PROMPTS = 64
"""The documents of a snapshot are counted for every question; their counts are kept."""

TOKENS_PER_MESSAGE = 8
"""Room for a role and its control tokens in an estimate; real templates need 3 to 6."""

_PART = re.compile(r"[A-Za-z]+|[\x00-\x7f]|[^\x00-\x7f]+")


def estimate(text: str) -> int:
    """Tokens of `text`, rather too many than too few.

    Letters: one per 3 (English has 4 to 5 per token); every other ASCII character one, but the
    space before a word none; anything else one per UTF-8 byte, which is what a tokenizer with
    byte fallback needs in the worst case.
    """
    total = 0
    for part in _PART.findall(text):
        if part[0].isascii() and part[0].isalpha():
            total += -(-len(part) // 3)
        elif part != " ":
            total += len(part.encode())
    spaces = text.count(" ")
    words = len(re.findall(r" (?=[^ ])", text))
    return total + spaces - words


class ServerTokenizer:
    """Counts for one model of one server.

    Args:
        client: the server.
        dialect: says which tokenise route there is.
        model: the model's name there.
    """

    def __init__(self, client: OpenAIClient, dialect: Dialect, model: str) -> None:
        self._client = client
        self._tokenizer = dialect.tokenizer
        self._model = model
        # A prompt is counted when it is built and again when it is sent.
        self._prompts: Remembered[bytes, int] = Remembered(REMEMBERED_PROMPTS)

    @property
    def exact(self) -> bool:
        """Whether the counts are the server's own."""
        return self._tokenizer is not None

    def text(self, text: str) -> int:
        """Tokens of a text, without BOS."""
        if not text:
            return 0
        return self._count_text(text, bos=False)

    def prompt(self, prompt: Prompt) -> int:
        """Tokens of a prompt as the server will see it."""
        messages = wire_messages(prompt)
        key = hashlib.sha256(json.dumps([prompt.text if not messages else "", messages]).encode()).digest()
        return self._prompts.get(key, lambda: self._count_prompt(prompt, messages))

    def _count_prompt(self, prompt: Prompt, messages: list[dict[str, Any]]) -> int:
        if not messages:
            return self._count_text(prompt.text, bos=True)
        if self._tokenizer == "vllm":
            return self._vllm({"messages": messages})
        if self._tokenizer == "llama_server":
            answer = self._client.post(
                f"{self._client.root}/apply-template", {"messages": messages}, self._model
            )
            rendered = answer.get("prompt") if isinstance(answer, dict) else None
            if not isinstance(rendered, str):
                raise self._client.failure(ProtocolError("/apply-template returned no prompt"))
            return self._llama_server(rendered, bos=True)
        contents = estimate("".join(str(message["content"]) for message in messages))
        return max(estimate(prompt.text), contents) + TOKENS_PER_MESSAGE * (len(messages) + 1)

    def _count_text(self, text: str, *, bos: bool) -> int:
        if self._tokenizer == "vllm":
            return self._vllm({"prompt": text, "add_special_tokens": bos})
        if self._tokenizer == "llama_server":
            return self._llama_server(text, bos=bos)
        return estimate(text) + bos

    def _vllm(self, body: dict[str, Any]) -> int:
        answer = self._client.post(
            f"{self._client.root}/tokenize", {"model": self._model, **body}, self._model
        )
        count = answer.get("count") if isinstance(answer, dict) else None
        if not isinstance(count, int):
            raise self._client.failure(ProtocolError("/tokenize returned no count"))
        return count

    def _llama_server(self, text: str, *, bos: bool) -> int:
        body = {"content": text, "add_special": bos, "parse_special": True}
        answer = self._client.post(f"{self._client.root}/tokenize", body, self._model)
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(tokens, list):
            raise self._client.failure(ProtocolError("/tokenize returned no tokens"))
        return len(tokens)
