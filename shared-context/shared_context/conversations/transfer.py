"""Conversations as `conversation_history.json`: out, and back in.

    {"conversation_id": "…", "title": "…", "turn_count": 1,
     "history": [{"role": "user", "content": "…", "message_id": "…", "tier": "desktop",
                  "created_at": "2026-01-31T12:00:00.000000Z"}]}

An answer with other versions has `supersedes` and them as `versions`, in the same form, oldest first.
A bare list of `{"role", "content"}` is read as well. Not carried: receipts and model names.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared_context.conversations.messages import ROLES, Conversation, Message, auto_title
from shared_context.conversations.store import (
    MAX_ID_CHARS,
    MAX_TITLE_CHARS,
    ConversationStore,
    is_name,
)
from shared_context.errors import ConversationNotFound, InvalidImport, StoreError
from shared_context.storage.identity import in_utc, just_after, timestamp
from shared_context.storage.sqlite_errors import translated_system

MAX_FILE_BYTES = 32 * 1024 * 1024
"""About 100,000 messages. Parsing hostile JSON can take twenty times its size in memory."""
MAX_MESSAGES = 100_000
MAX_CONTENT_CHARS = 1_000_000
MAX_TIER_CHARS = 50
MAX_VERSIONS = 1000
"""Of one answer."""

_EARLIEST = timestamp(datetime(1970, 1, 1, tzinfo=UTC))
_CLOCK_SKEW = timedelta(days=20 * 365)
"""How far ahead a message's time may be: what was said while a clock was years off can be exported,
and comes back. But new messages sort after imported ones, so one from the year 9999 would push a
conversation there for good."""
_NAMESPACE = uuid.UUID("6f2b1e0a-5d5c-4f0e-9c59-2f6f0a3f7d11")
"""For ids made from content, so that importing the same thing again finds it there."""
_FORMAT_HINT = 'Expected {"conversation_id", "title", "history": [{"role", "content"}]} or only the list.'


@dataclass(frozen=True, slots=True)
class _Item:
    role: str
    content: str
    message_id: str | None
    tier: str | None
    created_at: str | None
    supersedes: str | None = None
    versions: tuple[_Item, ...] = ()


def export_conversation(store: ConversationStore, conversation_id: str) -> dict[str, Any]:
    """The conversation as plain JSON values.

    Raises:
        ConversationNotFound.
    """
    conversation = store.get(conversation_id)
    versions = store.versions(conversation_id)
    history = [
        _exported(message, versions.get(message.message_id, ()))
        for message in store.messages(conversation_id)
    ]
    return {
        "conversation_id": conversation.conversation_id,
        "title": conversation.title,
        "history": history,
        "turn_count": sum(item["role"] == "user" for item in history),
    }


def _exported(message: Message, versions: Sequence[Message] = ()) -> dict[str, Any]:
    item: dict[str, Any] = {
        "role": message.role,
        "content": message.content,
        "message_id": message.message_id,
        "tier": message.tier,
        "created_at": message.created_at,
    }
    if message.supersedes is not None:
        item["supersedes"] = message.supersedes
    if versions:
        item["versions"] = [_exported(version) for version in versions]
    return item


def import_conversation(
    store: ConversationStore, data: Any, conversation_id: str | None = None
) -> Conversation:
    """Add what `data` has and the conversation lacks; all of it or, on any error, nothing.

    Importing the same data again changes nothing. Messages that were deleted here come back,
    and messages that another conversation has are copied; both get new ids.

    Args:
        data: parsed JSON in the format above, or a bare list of messages.
        conversation_id: where to; default: the one named in `data`, else one made from its content.

    Raises:
        InvalidImport: names the item and what is wrong with it.
    """
    title, named, items = _checked(data)
    target = (
        conversation_id or named or _id_of(*(text for item in items for text in (item.role, item.content)))
    )
    if not is_name(target, MAX_ID_CHARS):
        raise _invalid("conversation_id", f"{target[:50]!r} cannot be an id")
    if title == next((auto_title(item.content) for item in items if item.role == "user"), None):
        title = None
    with store.database.write():
        if _is_missing(store, target):
            begun = min((item.created_at for item in items if item.created_at), default=None)
            store.create(target, title, created_at=begun)
        adding = _Adding(store, target)
        for index, item in enumerate(items):
            adding.add(str(index), item)
    return store.get(target)


def save_conversation(store: ConversationStore, conversation_id: str, path: Path) -> None:
    """Write the export to a file, which is replaced in one step.

    Raises:
        ConversationNotFound; StoreFull, StoreReadOnly: the file cannot be written.
        StoreError: something else than a file is there, which would be replaced by one.
    """
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is no file, so nothing is written there.", "Name a file.")
    text = json.dumps(export_conversation(store, conversation_id), ensure_ascii=False, indent=2)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with translated_system(path):
        try:
            with partial.open("x", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def load_conversation(
    store: ConversationStore, path: Path, conversation_id: str | None = None
) -> Conversation:
    """Import a file; see `import_conversation`.

    Raises:
        InvalidImport: also when the file is missing, too large, not UTF-8 or not JSON.
    """
    return import_conversation(store, _parsed(_read(path), path.name), conversation_id)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidImport(f"There is no file {path.name!r}.", "Save a conversation first.")
    with translated_system(path), path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidImport(f"{path.name} is larger than {MAX_FILE_BYTES // 1024**2} MiB.", "Split it.")
    return content


def _parsed(content: bytes, name: str) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidImport(f"{name} is not UTF-8 (byte {error.start}).", _FORMAT_HINT) from error
    except RecursionError as error:
        raise InvalidImport(f"{name} is nested too deeply.", _FORMAT_HINT) from error
    except ValueError as error:
        raise InvalidImport(f"{name} is not JSON: {error}.", _FORMAT_HINT) from error


def _checked(data: Any) -> tuple[str | None, str | None, list[_Item]]:
    if isinstance(data, list):
        return None, None, _items(data)
    if not isinstance(data, dict):
        raise InvalidImport(f"A conversation cannot be {_kind(data)}.", _FORMAT_HINT)
    history = data.get("history")
    if not isinstance(history, list):
        raise _invalid("history", f"should be a list, not {_kind(history)}")
    title = _text(data, "title", "title", most=10 * MAX_TITLE_CHARS)
    named = _text(data, "conversation_id", "conversation_id", most=MAX_ID_CHARS)
    return _title(title), named or None, _items(history)


def _items(history: Sequence[Any]) -> list[_Item]:
    if len(history) > MAX_MESSAGES:
        raise _invalid("history", f"has {len(history)} messages; at most {MAX_MESSAGES} can be imported")
    items = [_item(item, f"history[{index}]") for index, item in enumerate(history)]
    seen: set[str] = set()
    for index, item in enumerate(items):
        for version in (item, *item.versions):
            if version.message_id is not None:
                if version.message_id in seen:
                    raise _invalid(f"history[{index}].message_id", "is there twice")
                seen.add(version.message_id)
    return items


def _item(item: Any, where: str, *, is_version: bool = False) -> _Item:
    if not isinstance(item, dict):
        raise _invalid(where, f'should be {{"role", "content"}}, not {_kind(item)}')
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise _invalid(f"{where}.role", f"should be one of {', '.join(sorted(ROLES))}")
    if not isinstance(content, str):
        raise _invalid(f"{where}.content", f"should be text, not {_kind(content)}")
    if len(content) > MAX_CONTENT_CHARS:
        raise _invalid(f"{where}.content", f"has more than {MAX_CONTENT_CHARS} characters")
    if "\x00" in content:
        raise _invalid(f"{where}.content", "contains a NUL character")
    message_id = _name(item, "message_id", where, most=MAX_ID_CHARS)
    tier = _name(item, "tier", where, most=MAX_TIER_CHARS)
    supersedes = _name(item, "supersedes", where, most=MAX_ID_CHARS)
    versions = () if is_version else _versions(item, where)
    return _Item(role, content, message_id, tier, _moment(item, f"{where}.created_at"), supersedes, versions)


def _versions(item: dict[str, Any], where: str) -> tuple[_Item, ...]:
    versions = item.get("versions") or []
    if not isinstance(versions, list):
        raise _invalid(f"{where}.versions", f"should be a list, not {_kind(versions)}")
    if len(versions) > MAX_VERSIONS:
        raise _invalid(f"{where}.versions", f"has {len(versions)} entries; at most {MAX_VERSIONS} are read")
    return tuple(
        _item(version, f"{where}.versions[{index}]", is_version=True)
        for index, version in enumerate(versions)
    )


def _name(fields: dict[str, Any], name: str, where: str, *, most: int) -> str | None:
    value = _text(fields, name, f"{where}.{name}", most=most)
    if value is not None and not is_name(value, most):
        raise _invalid(f"{where}.{name}", "is empty or has control characters")
    return value


def _text(fields: dict[str, Any], name: str, where: str, *, most: int) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid(where, f"should be text, not {_kind(value)}")
    if len(value) > most:
        raise _invalid(where, f"has more than {most} characters")
    return value


def _moment(fields: dict[str, Any], where: str) -> str | None:
    text = _text(fields, "created_at", where, most=50)
    if text is None:
        return None
    try:
        moment = in_utc(text)
    except ValueError:
        raise _invalid(where, f"{text!r} is no ISO 8601 time") from None
    if not _EARLIEST <= moment <= timestamp(datetime.now(UTC) + _CLOCK_SKEW):
        raise _invalid(where, f"{text!r} is before 1970 or far in the future")
    return moment


def _title(text: str | None) -> str | None:
    words = " ".join((text or "").split())
    title = "".join(character for character in words if character.isprintable())
    return title[:MAX_TITLE_CHARS].strip() or None


class _Adding:
    """Adds messages one after the other, unless they are there."""

    def __init__(self, store: ConversationStore, conversation_id: str) -> None:
        self._store = store
        self._conversation_id = conversation_id
        self._previous: str | None = None
        self._ids: dict[str, str] = {}

    def add(self, key: str, item: _Item) -> None:
        """Add a message behind those added before, and its other versions.

        Args:
            key: tells messages of the same content apart.
        """
        group = [*item.versions, item]
        targets = [self._find(f"{key}.{index}", version) for index, version in enumerate(item.versions)]
        targets.append(self._find(key, item))
        self._ids |= {
            version.message_id: message_id
            for version, (message_id, _) in zip(group, targets, strict=True)
            if version.message_id is not None
        }
        moments = [
            there.created_at if there is not None else self._store_as(message_id, version)
            for version, (message_id, there) in zip(group, targets, strict=True)
        ]
        # Where the answer stands; the better version may be younger than what follows it.
        self._previous = min(moments)

    def _find(self, key: str, item: _Item) -> tuple[str, Message | None]:
        """The id that the message shall have here, and the message when it is there already."""
        store, conversation_id = self._store, self._conversation_id
        message_id = item.message_id or _id_of(conversation_id, key, item.role, item.content)
        while True:
            there = store.message(message_id)
            if there is not None and there.conversation_id == conversation_id:
                return message_id, there
            if there is None and not store.is_deleted(message_id):
                return message_id, None
            message_id = _id_of(conversation_id, message_id)

    def _store_as(self, message_id: str, item: _Item) -> str:
        """Returns its time, which the next message has to follow."""
        created_at = item.created_at
        if self._previous is not None and (created_at is None or created_at <= self._previous):
            created_at = just_after(self._previous)
        added = self._store.add_message(
            self._conversation_id,
            item.role,
            item.content,
            message_id=message_id,
            tier=item.tier,
            supersedes=None if item.supersedes is None else self._ids.get(item.supersedes, item.supersedes),
            created_at=created_at,
        )
        return added.created_at


def _is_missing(store: ConversationStore, conversation_id: str) -> bool:
    try:
        store.get(conversation_id)
    except ConversationNotFound:
        return True
    return False


def _id_of(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, json.dumps(parts)))


def _kind(value: Any) -> str:
    """A JSON value's type in words."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _invalid(where: str, what: str) -> InvalidImport:
    return InvalidImport(f"{where} {what}.", _FORMAT_HINT)
