"""Full-text search over messages: BM25 where words match, plain substring where there are none."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from shared_context.conversations.messages import SearchHit, whole_characters

MAX_QUERY_CHARS = 1000
MAX_WORDS = 32
"""More words than anyone types; each costs an index lookup."""

MIN_PREFIX_CHARS = 3
"""Shorter beginnings match most of everything, which takes long and helps nobody."""

SNIPPET_CHARS = 160
MAX_PLACES = 200
"""Of one word in one text: what stands there more often says nothing."""
PLAIN_CHARS = 20_000
"""How far into a message a word is looked for that differs in its accents."""

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
        rows = connection.execute(_BY_WORDS, (expression, limit))
        hits = [_hit(row, _words(query)) for row in rows]
        if hits:
            return hits
    if expression is not None and not _unspaced(query):
        return []
    rows = connection.execute(_BY_SUBSTRING, (query, limit))
    return [_hit(row, [query]) for row in rows]


def matching_titles(rows: Iterable[sqlite3.Row], query: str, limit: int) -> list[sqlite3.Row]:
    """The first rows whose title has all words of the query; of one without words, the query as it stands."""
    query = whole_characters(query)[:MAX_QUERY_CHARS].strip()
    wanted = [_plain(word) for word in _words(query) or [query]]
    fitting = (row for row in rows if query and all(word in _plain(row["title"]) for word in wanted))
    return list(islice(fitting, max(0, limit)))


def fts_expression(query: str) -> str | None:
    """An FTS5 expression for all words of a person's text; None when it has no words.

    Every word is quoted, so that AND, NEAR, *, : or quotes are only text.
    """
    words = _words(query)
    if not words:
        return None
    quoted = [f'"{word}"' for word in words]
    if query[-1].isalnum() and (len(words[-1]) >= MIN_PREFIX_CHARS or not words[-1].isascii()):
        quoted[-1] += " *"
    return " ".join(quoted)


def _words(query: str) -> list[str]:
    return [word for word in _WORD.findall(query)[:MAX_WORDS] if any(map(str.isalnum, word))]


def _unspaced(query: str) -> bool:
    return any(unicodedata.category(character) == "Lo" for character in query)


# Ranking needs only the index. What is shown is fetched for the few best: computing FTS5's
# snippet() for every match before sorting takes seconds when a common word is looked for.
_BY_WORDS = """WITH best AS (
        SELECT rowid AS position, rank FROM messages_fts
        WHERE messages_fts MATCH ? ORDER BY rank LIMIT ?
    )
    SELECT m.message_id, m.conversation_id, c.title, m.role, m.created_at, m.content,
        -best.rank AS score
    FROM best JOIN messages AS m USING (position)
    JOIN conversation_view AS c ON c.conversation_id = m.conversation_id
    WHERE m.superseded_by IS NULL
    ORDER BY best.rank, m.position DESC"""
_BY_SUBSTRING = """SELECT m.message_id, m.conversation_id, c.title, m.role, m.created_at, m.content,
        0.0 AS score
    FROM messages AS m JOIN conversation_view AS c ON c.conversation_id = m.conversation_id
    WHERE instr(m.content, ?) > 0 AND m.superseded_by IS NULL ORDER BY m.position DESC LIMIT ?"""


def _hit(row: sqlite3.Row, wanted: list[str]) -> SearchHit:
    fields = dict(row)
    content = fields.pop("content")
    return SearchHit(**fields, snippet=snippet(content, wanted))


def snippet(content: str, wanted: Collection[str]) -> str:
    """About `SNIPPET_CHARS` of the text, see `excerpt`."""
    return excerpt(content, wanted, SNIPPET_CHARS)


def excerpt(content: str, wanted: Collection[str], chars: int) -> str:
    """About so many characters of the text where most of `wanted` stands, the rarer of it weighing
    more, with … where it is cut; the beginning when none is found."""
    places = _places(content.lower(), [word.lower() for word in wanted])
    if not places:
        places = _places(_plain(content[:PLAIN_CHARS]), [_plain(word) for word in wanted])
    start = _best_start(places, chars)
    end = start + chars
    return ("…" if start else "") + content[start:end].strip() + ("…" if end < len(content) else "")


def _places(content: str, wanted: Iterable[str]) -> list[tuple[int, float]]:
    """Where each word stands, with its weight: one divided by how often it stands there."""
    places: list[tuple[int, float]] = []
    for word in dict.fromkeys(filter(None, wanted)):
        here = list(islice(_starts(content, word), MAX_PLACES))
        places += [(at, 1 / len(here)) for at in here]
    return sorted(places)


def _starts(content: str, word: str) -> Iterator[int]:
    at = content.find(word)
    while at >= 0:
        yield at
        at = content.find(word, at + len(word))


def _best_start(places: Sequence[tuple[int, float]], chars: int) -> int:
    """Where a piece of so many characters begins that holds the most weight, some of it before the first place."""
    best, start, weight, first = 0.0, 0, 0.0, 0
    for at, counts in places:
        weight += counts
        while places[first][0] < at - chars // 2:
            weight -= places[first][1]
            first += 1
        if weight > best + 1e-9:
            best, start = weight, max(0, places[first][0] - chars // 4)
    return start


def _plain(text: str) -> str:
    """Without case and accents, character by character, so that places stay the same."""
    return "".join(unicodedata.normalize("NFD", character)[0].lower()[:1] for character in text)
