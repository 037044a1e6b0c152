"""Full-text search over messages: BM25 where words match, plain substring where there are none."""

from __future__ import annotations

import re
import sqlite3
import unicodedata

from shared_context.messages import SearchHit, whole_characters

MAX_QUERY_CHARS = 1000
MAX_WORDS = 32
"""More words than anyone types; each costs an index lookup."""

SNIPPET_WORDS = 24
SNIPPET_CHARS = 160

_WORD = re.compile(r"\w+", re.UNICODE)


def search_messages(connection: sqlite3.Connection, query: str, limit: int) -> list[SearchHit]:
    """Messages with all words of the query, best first; the last word may be a beginning.

    Where words do not help (emoji, punctuation, Chinese or Japanese, which are written without
    spaces) the query is looked for as it stands, newest first. Nothing in it is syntax.
    """
    query = whole_characters(query)[:MAX_QUERY_CHARS].replace("\x00", " ").strip()
    if not query or limit <= 0:
        return []
    expression = fts_expression(query)
    if expression is not None:
        hits = [_hit(row) for row in connection.execute(_BY_WORDS, (SNIPPET_WORDS, expression, limit))]
        if hits:
            return hits
    if expression is not None and not _unspaced(query):
        return []
    rows = connection.execute(_BY_SUBSTRING, (query, limit))
    return [_substring_hit(row, query) for row in rows]


def fts_expression(query: str) -> str | None:
    """An FTS5 expression for all words of a person's text; None when it has no words.

    Every word is quoted, so that AND, NEAR, *, : or quotes are only text.
    """
    words = [word for word in _WORD.findall(query)[:MAX_WORDS] if any(map(str.isalnum, word))]
    if not words:
        return None
    quoted = [f'"{word}"' for word in words]
    if query[-1].isalnum():
        quoted[-1] += " *"
    return " ".join(quoted)


def _unspaced(query: str) -> bool:
    return any(unicodedata.category(character) == "Lo" for character in query)


_BY_WORDS = """SELECT m.message_id, m.conversation_id, c.title, m.role, m.created_at,
        snippet(messages_fts, 0, '', '', '…', ?) AS snippet, -bm25(messages_fts) AS score
    FROM messages_fts
    JOIN messages AS m ON m.position = messages_fts.rowid
    JOIN conversation_view AS c ON c.conversation_id = m.conversation_id
    WHERE messages_fts MATCH ? ORDER BY bm25(messages_fts), m.position DESC LIMIT ?"""
_BY_SUBSTRING = """SELECT m.message_id, m.conversation_id, c.title, m.role, m.created_at, m.content
    FROM messages AS m JOIN conversation_view AS c ON c.conversation_id = m.conversation_id
    WHERE instr(m.content, ?) > 0 ORDER BY m.position DESC LIMIT ?"""


def _hit(row: sqlite3.Row) -> SearchHit:
    return SearchHit(**dict(row))


def _substring_hit(row: sqlite3.Row, query: str) -> SearchHit:
    fields = dict(row)
    content = fields.pop("content")
    return SearchHit(**fields, snippet=_around(content, query), score=0.0)


def _around(content: str, query: str) -> str:
    at = max(content.find(query), 0)
    start = max(0, at - SNIPPET_CHARS // 2)
    end = min(len(content), at + len(query) + SNIPPET_CHARS // 2)
    return ("…" if start else "") + content[start:end] + ("…" if end < len(content) else "")
