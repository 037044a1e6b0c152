"""Session files of coding agents: one JSON object on each line.

    Claude Code  ~/.claude/projects/<project>/<session>.jsonl   {"type": "user", "sessionId", "message": {…}}
    Codex        ~/.codex/sessions/…/rollout-….jsonl            {"type": "response_item", "payload": {…}}
    OpenClaw     ~/.openclaw/agents/<agent>/sessions/….jsonl    {"type": "message", "message": {…}}

What the person and the assistant said is read; calls of tools, their results and the thinking are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from shared_context.conversations.foreign.conversation import ForeignConversation, json_lines

LOOKED_AT = 20
"""Lines of a file by which the program is known."""
_INJECTED = ("<environment_context>", "<user_instructions>", "<permissions instructions>", "# AGENTS.md")
"""How Codex begins what it says in the person's name."""


def program_of(path: Path) -> str | None:
    """`claude-code`, `codex` or `openclaw`; None: none of them wrote this."""
    for item in islice(json_lines(path), LOOKED_AT):
        if "sessionId" in item:
            return "claude-code"
        if isinstance(item.get("payload"), dict):
            return "codex"
        if item.get("type") == "session" or (item.get("type") == "message" and "message" in item):
            return "openclaw"
    return None


def read_claude_code(path: Path) -> Iterator[ForeignConversation]:
    conversation = ForeignConversation("claude-code", path.stem)
    for item in json_lines(path):
        if item.get("type") == "summary":
            conversation.title = str(item.get("summary"))
        elif item.get("isSidechain") or item.get("isMeta"):
            conversation.skipped["messages of sub-agents and of the program"] += 1
        elif item.get("type") in ("user", "assistant"):
            _add(conversation, item.get("message"), item.get("uuid"), item.get("timestamp"))
    yield conversation


def read_codex(path: Path) -> Iterator[ForeignConversation]:
    conversation = ForeignConversation("codex", path.stem)
    for item in json_lines(path):
        payload = item.get("payload")
        if not isinstance(payload, dict) or payload.get("type") != "message":
            continue
        if payload.get("role") == "developer" or _is_injected(payload.get("content")):
            conversation.skipped["messages of the program"] += 1
        else:
            _add(conversation, payload, payload.get("id"), item.get("timestamp"))
    yield conversation


def read_openclaw(path: Path) -> Iterator[ForeignConversation]:
    conversation = ForeignConversation("openclaw", path.stem)
    for item in json_lines(path):
        if item.get("type") == "message":
            _add(conversation, item.get("message"), item.get("id"), item.get("timestamp"))
    yield conversation


def _add(conversation: ForeignConversation, message: Any, message_id: Any, at: Any) -> None:
    if isinstance(message, dict):
        conversation.add(message.get("role"), message.get("content"), message_id, at)


def _is_injected(content: Any) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    text = first.get("text") if isinstance(first, dict) else content
    return isinstance(text, str) and text.lstrip().startswith(_INJECTED)
