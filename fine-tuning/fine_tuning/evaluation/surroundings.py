"""What stands around a question in real use: system text, handoff documents, notices, dates.

The server puts its system text and the owner's documents in front of the first question and
a time line in front of every one. Owners write about their own projects, so the model must
answer the same with any text there. This module makes such texts in the layout of the
server's prompt (a test compares the two), and a part of them in other layouts, because the
OpenAI-compatible routes pass on whatever a client sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from shared_context.documents.starters import starter_text
from training_data.wording import words

DOCUMENT_NAMES = ("PORTFOLIO_CONTEXT.md", "PROJECT_CONTEXT.md", "SESSION_BRIEFING.md", "SESSION_LOG.md")

SERVER_SYSTEM_TEXT = (
    "You are Orchestrator, the personal assistant of your owner. Answer truthfully and to the point."
)
SERVER_INTRODUCTION = "These documents hold what is known so far, from broad to narrow."

_SYSTEM = (
    "You are the assistant of Orchestrator.",
    "You are a helpful assistant.",
    "You are one assistant with one memory on several machines.",
    "Answer briefly and honestly.",
    "Answer from the documents below where they help.",
    "Say so when you do not know something.",
    "Below are the owner's handoff documents, from broad to narrow.",
    "Use the documents as context; do not repeat them.",
    "Be concise.",
    "Working on orchestrator integration",
)
_NAMES = words(
    "Atlas Harbor Lumen Kestrel Garden Ledger Bakery Weather Archive Trains Meadow Beacon Orchard Mosaic"
)
_PEOPLE = words("Anna Ben Carla David Elif Farid Grace Hugo Ines Jonas Kira Liam Mina Noah Olga Paul")
_PARTS = words(
    "parser website database importer scheduler report login search map camera sensor invoice calendar editor queue cache"
)
_VERBS = words(
    "rewrote fixed tested planned measured removed documented reviewed started finished moved cleaned"
)
_STATES = (
    "works",
    "fails sometimes",
    "is nearly done",
    "waits for review",
    "is slow",
    "is blocked",
    "was released",
    "needs tests",
)
_TOOLS = words("Python SQLite React nginx Go Rust Postgres Flask Docker pandas Terraform Kotlin")
_REASONS = (
    "because it is simpler",
    "because the old one was too slow",
    "because customers asked for it",
    "to save money",
    "so that it runs offline",
    "after the crash in spring",
    "to keep the data at home",
)


_HEADINGS = ("## {}", "# {}", "=== {} ===", "{}:", "Document: {}")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OFFSETS = ("+00:00", "+00:00", "+01:00", "+02:00", "-05:00", "-07:00", "+05:30", "+09:00")


def starter_documents() -> dict[str, str]:
    """The starter documents' texts by name."""
    return {name: starter_text(name) for name in DOCUMENT_NAMES}


def system_text(random: Random) -> str:
    """System text without documents: mostly the server's, else an owner's own."""
    if random.random() < 0.7:
        return SERVER_SYSTEM_TEXT
    return " ".join(random.sample(_SYSTEM, random.choice((1, 1, 2, 3))))


def with_documents(random: Random, starters: dict[str, str], limit: int) -> str:
    """System text with documents of at most about `limit` characters."""
    texts = _documents(random, starters)
    sizes = _shares(random, [len(text) for text in texts.values()], limit)
    server = random.random() < 0.75
    parts = [SERVER_INTRODUCTION] if server else []
    heading = random.choice(_HEADINGS)
    for (name, text), size in zip(texts.items(), sizes, strict=True):
        shown = _cut(random, text, size)
        if not shown:
            continue
        if len(shown) < len(text.strip()):
            shown = _with_notice(random, name, shown)
        if server:
            parts.append(f'<document name="{name}">\n{shown}\n</document>')
        else:
            parts.append(f"{heading.format(name)}\n\n{shown}")
    if random.random() < 0.9:
        parts.insert(0, system_text(random))
    if random.random() < 0.2:
        parts.append(f"[{random.randint(1, 60)} earlier messages of this conversation are left out.]")
    return "\n\n".join(parts)


def user_turn(random: Random, text: str) -> str:
    """A question as the server hands it on: time line, seldom extra context, words."""
    extra = ""
    if random.random() < 0.06:
        extra = f"Additional context:\n{random.choice((_sentence(random), 'Working on orchestrator integration'))}\n\n"
    return f"{time_line(random)}\n\n{extra}{text}"


def time_line(random: Random) -> str:
    """For example `[Friday, 2026-10-02 14:03 UTC+02:00]`."""
    moment = datetime(2025, 6, 1) + timedelta(minutes=random.randrange(5 * 365 * 24 * 60))
    day = _DAYS[moment.weekday()]
    return f"[{day}, {moment:%Y-%m-%d %H:%M} UTC{random.choice(_OFFSETS)}]"


def _documents(random: Random, starters: dict[str, str]) -> dict[str, str]:
    kind = random.random()
    if kind < 0.4:
        return dict(starters)
    invented = _invented(random)
    if kind < 0.7:
        return {name: random.choice((starters[name], invented[name])) for name in DOCUMENT_NAMES}
    names = [name for name in DOCUMENT_NAMES if random.random() < 0.85]
    return {name: invented[name] for name in names}


def _invented(random: Random) -> dict[str, str]:
    projects = random.sample(_NAMES, 3)
    return {
        "PORTFOLIO_CONTEXT.md": "# Portfolio\n\n## Projects\n\n"
        + "\n".join(f"- {name}: {_sentence(random)}" for name in projects),
        "PROJECT_CONTEXT.md": f"# {projects[0]}\n\n## Architecture\n\n{_bullets(random, 5)}\n\n## Decisions\n\n"
        + "\n".join(
            f"- {_day(random)}: {random.choice(_TOOLS)} {random.choice(_REASONS)}"
            for _ in range(random.randint(1, 6))
        ),
        "SESSION_BRIEFING.md": f"# Session briefing\n\n## Now\n\n{_bullets(random, 3)}\n\n## Next\n\n{_bullets(random, 3)}",
        "SESSION_LOG.md": "# Session log\n\n"
        + "\n\n".join(f"## {_day(random)}\n\n{_bullets(random, 4)}" for _ in range(random.randint(1, 8))),
    }


def _sentence(random: Random) -> str:
    person, part = random.choice(_PEOPLE), random.choice(_PARTS)
    return random.choice(
        (
            f"{person} {random.choice(_VERBS)} the {part} {random.choice(_REASONS)}.",
            f"the {part} {random.choice(_STATES)}.",
            f"the {part} uses {random.choice(_TOOLS)} and talks to the {random.choice(_PARTS)}.",
            f"ask {person} about the {part}, {random.randint(2, 90)} entries are open.",
            f"the {random.choice(_NAMES)} {part} runs on port {random.randint(1024, 9999)}.",
        )
    )


def _bullets(random: Random, most: int) -> str:
    return "\n".join(f"- {_sentence(random)}" for _ in range(random.randint(1, most)))


def _day(random: Random) -> str:
    return (datetime(2026, 1, 1) + timedelta(days=random.randrange(1000))).strftime("%Y-%m-%d")


def _shares(random: Random, sizes: Sequence[int], limit: int) -> list[int]:
    total = sum(sizes)
    if total <= limit:
        return list(sizes)
    return [int(size * limit / total * random.uniform(0.5, 1.0)) for size in sizes]


def _cut(random: Random, text: str, size: int) -> str:
    """The beginning, or the end, of a text at a line boundary."""
    text = text.strip()
    if len(text) <= size:
        return text
    lines = text.split("\n")
    from_end = random.random() < 0.4
    kept: list[str] = []
    for line in reversed(lines) if from_end else lines:
        if sum(map(len, kept)) + len(line) > size:
            break
        kept.append(line)
    return "\n".join(reversed(kept) if from_end else kept).strip()


def _with_notice(random: Random, name: str, shown: str) -> str:
    """The line that tells the model what is missing."""
    if name == "SESSION_LOG.md":
        return f"[Left out: {random.randint(1, 40)} older entries.]\n{shown}"
    titles = "; ".join(random.sample(("Decisions", "Architecture", "Next", "Open questions", "Rules"), 2))
    return f"{shown}\n[Shortened. Left out: {titles}.]"
