"""ChatGPT's data export: `conversations.json`, a list of trees of messages.

A conversation's `mapping` holds every message with its parent; `current_node` is the end of the branch that was
shown last, which is the one that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared_context.conversations.foreign.conversation import ForeignConversation, dicts, json_of

NAME = "chatgpt"


def recognises(data: Any) -> bool:
    return any(isinstance(item.get("mapping"), dict) for item in dicts(data))


def read(path: Path) -> Iterator[ForeignConversation]:
    for item in dicts(json_of(path)):
        mapping = item.get("mapping")
        if isinstance(mapping, dict):
            yield _conversation(item, mapping)


def _conversation(item: dict[str, Any], mapping: dict[str, Any]) -> ForeignConversation:
    name = item.get("conversation_id") or item.get("id") or item.get("create_time")
    conversation = ForeignConversation(NAME, str(name), item.get("title"))
    branch = _branch(mapping, item.get("current_node"))
    for node in branch:
        message = node.get("message")
        if not isinstance(message, dict):
            continue
        author = message.get("author")
        role = author.get("role") if isinstance(author, dict) else None
        content = message.get("content")
        if not isinstance(content, dict) or role == "system" or _is_hidden(message):
            continue
        if content.get("content_type") not in ("text", "multimodal_text"):
            conversation.skipped[f"parts of the kind {str(content.get('content_type'))[:40]!r}"] += 1
            continue
        conversation.add(role, content.get("parts"), message.get("id"), message.get("create_time"))
    others = sum(isinstance(node, dict) and bool(node.get("message")) for node in mapping.values())
    if others > len(branch):
        conversation.skipped["messages of branches that were left"] += others - len(branch)
    return conversation


def _branch(mapping: dict[str, Any], last: Any) -> list[dict[str, Any]]:
    """From the root to the node that was shown last. A tree that names none: its newest leaf."""
    node = mapping.get(last) if isinstance(last, str) else None
    if not isinstance(node, dict):
        leaves = [node for node in mapping.values() if isinstance(node, dict) and not node.get("children")]
        node = leaves[-1] if leaves else None
    branch: list[dict[str, Any]] = []
    while isinstance(node, dict) and len(branch) <= len(mapping):
        branch.append(node)
        parent = node.get("parent")
        node = mapping.get(parent) if isinstance(parent, str) else None
    return branch[::-1]


def _is_hidden(message: dict[str, Any]) -> bool:
    metadata = message.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("is_visually_hidden_from_conversation"))
