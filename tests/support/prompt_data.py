"""Documents and stored messages for tests of the prompt, without files or databases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from shared_context.conversations.messages import Message
from shared_context.documents.context_folder import Document
from shared_context.documents.document_names import DOCUMENT_NAMES

AT = "2026-10-02T12:03:00.000000Z"


def document(name: str, text: str) -> Document:
    return Document(name, text, hashlib.sha1(text.encode()).hexdigest()[:12], AT, "desktop")


def documents(texts: Sequence[str]) -> list[Document]:
    """The four documents, broad to narrow."""
    return [document(name, text) for name, text in zip(DOCUMENT_NAMES, texts, strict=True)]


def message(number: int, role: str, content: str, reply_to: str | None = None) -> Message:
    at = f"2026-10-02T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000000Z"
    return Message(f"m{number}", "default", role, content, at, reply_to=reply_to)


def conversation(texts: Sequence[str]) -> list[Message]:
    """Question, answer, question, ...; each answer names its question."""
    return [
        message(n, "assistant" if n % 2 else "user", text, f"m{n - 1}" if n % 2 else None)
        for n, text in enumerate(texts)
    ]
