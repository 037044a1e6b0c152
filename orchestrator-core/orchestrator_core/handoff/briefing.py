"""The briefing as it should be after a session: the owner's text, and lines of the session. Pure.

Under "Now", "Next" and "Open questions" (or what they are called in another language) stands a
block between two comments. The next handoff replaces it; everything outside is the owner's and
stays. Comments are neither shown nor sent to a model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared_context.documents.markdown import blocks

from orchestrator_core.handoff.entry import BY_ASSISTANT, line_of
from orchestrator_core.handoff.extract import Extract, Fact, Kind

BEGIN = "<!-- from sessions: the next handoff rewrites what stands up to the end mark -->"
END = "<!-- end -->"
NOW_MOST = 10
DONE_MOST = 4
"""Of the lines under "Now"; decisions matter longer."""
CARRIED_MOST = 15
"""Lines of a block. What a newer session pushes out of it is still in the log."""
DONE_ALIKE = 0.6
"""Part of a task's words that something done must share with it, for the task to be dropped."""

_PLACEHOLDER = re.compile(r"- \([^()]*\)$")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the briefing that handoffs keep up to date.

    Args:
        heading: for a briefing that has none of the titles.
        titles: of an existing heading, in lower case.
        kinds: of the facts that stand there, in this order.
        carries: whether what an earlier session left there stays.
    """

    heading: str
    titles: frozenset[str]
    kinds: tuple[Kind, ...]
    carries: bool
    most: int


def _titles(text: str) -> frozenset[str]:
    return frozenset(title.strip() for title in text.split(","))


SECTIONS = (
    Section(
        "Now",
        _titles(
            "now, status, current state, state, where we are, jetzt, stand, aktueller stand, état actuel, maintenant,"
            " ahora, estado, estado actual, adesso, stato, nu, agora, 现状, 現状"
        ),
        (Kind.DECIDED, Kind.DONE),
        carries=False,
        most=NOW_MOST,
    ),
    Section(
        "Next",
        _titles(
            "next, next steps, to do, todo, tasks, nächste schritte, als nächstes, aufgaben, prochaines étapes,"
            " à faire, próximos pasos, pendientes, prossimi passi, da fare, volgende stappen, próximos passos,"
            " 下一步, 次にやること"
        ),
        (Kind.TODO,),
        carries=True,
        most=CARRIED_MOST,
    ),
    Section(
        "Open questions",
        _titles(
            "open questions, open, questions, open points, offene fragen, offene punkte, offen, questions ouvertes,"
            " preguntas abiertas, dudas, domande aperte, open vragen, perguntas em aberto, 未解决的问题, 未決事項"
        ),
        (Kind.OPEN,),
        carries=True,
        most=CARRIED_MOST,
    ),
)


def updated_briefing(text: str, found: Extract, wording: Mapping[str, str] | None = None) -> str:
    """The briefing with this session in it.

    Args:
        text: as it is now, with line feeds; an untouched starter loses its placeholders where a
            line takes their place.
        wording: other words for some of the facts.
    """
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    done = [fact.text for fact in found.of(Kind.DONE)]
    for section in SECTIONS:
        facts = [fact for kind in section.kinds for fact in _newest(found.of(kind), kind)]
        _update(lines, section, facts, done, wording or {})
    return "\n".join(lines).strip("\n") + "\n"


def unified_diff(before: str, after: str, name: str) -> str:
    """What changes, for people; "" when nothing does."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} (now)", f"{name} (draft)", lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)


def _update(
    lines: list[str], section: Section, facts: Sequence[Fact], done: Sequence[str], wording: Mapping[str, str]
) -> None:
    start, stop = _place(lines, section)
    block = _block(lines, start, stop)
    old = lines[block[0] + 1 : block[1] - 1] if block else []
    new = [line_of(fact, wording) for fact in facts]
    if section.carries:
        settled = [*done, *(fact.text for fact in facts)]
        carried = [
            line for line in old if line.strip() and not any(_same_matter(line, one) for one in settled)
        ]
        new = [*carried, *new]
    elif not new:
        new = old  # a session that decided nothing leaves things where they are
    said = {_key(line) for at, line in enumerate(lines) if not block or not block[0] <= at < block[1]}
    new = [line for line in dict.fromkeys(new) if _key(line) not in said][-section.most :]
    if block:
        lines[block[0] : block[1]] = [BEGIN, *new, END] if new else []
    elif new:
        _insert(lines, start, stop, section, new)


def _newest(facts: Sequence[Fact], kind: Kind) -> Sequence[Fact]:
    return facts[-DONE_MOST if kind is Kind.DONE else -CARRIED_MOST :]


def _place(lines: Sequence[str], section: Section) -> tuple[int, int]:
    """The lines of the section, without its heading; both the end of the text when it has none."""
    headings = [part for part in blocks(lines) if part.kind == "heading"]
    for position, heading in enumerate(headings):
        if heading.title.strip(" :*").lower() in section.titles:
            below = (later.start for later in headings[position + 1 :] if later.level <= heading.level)
            return heading.stop, next(below, len(lines))
    return len(lines), len(lines)


def _block(lines: Sequence[str], start: int, stop: int) -> tuple[int, int] | None:
    """Where the block of the last handoff is, both marks included. A mark that lost its partner
    marks nothing."""
    begin: int | None = None
    for at in range(start, stop):
        line = lines[at].strip()
        if line == BEGIN:
            begin = at
        elif line == END and begin is not None:
            return begin, at + 1
        elif line.startswith(("#", "```", "~~~")):
            begin = None
    return None


def _insert(lines: list[str], start: int, stop: int, section: Section, new: Sequence[str]) -> None:
    block = [BEGIN, *new, END]
    if start == len(lines) and start == stop:
        gap = [""] if lines and lines[-1].strip() else []
        lines += [*gap, f"## {section.heading}", "", *block]
        return
    kept = [line for line in lines[start:stop] if not _PLACEHOLDER.match(line.strip())]
    while kept and not kept[-1].strip():
        kept.pop()
    while kept and not kept[0].strip():
        kept.pop(0)
    after = [] if stop == len(lines) else [""]
    lines[start:stop] = ["", *kept, *([""] if kept else []), *block, *after]


def _same_matter(line: str, said: str) -> bool:
    """Whether something said or done now is about the task or question in this line."""
    words, others = set(_words(line)), set(_words(said))
    if not words or not others:
        return False
    return len(words & others) / len(words) >= DONE_ALIKE


def _words(text: str) -> list[str]:
    """Words long enough to mean something; all of them in a text of short ones."""
    found = [word.casefold() for word in _WORD.findall(text.replace(BY_ASSISTANT, ""))]
    return [word for word in found if len(word) > 3 or any(c.isdigit() for c in word)] or found


def _key(line: str) -> str:
    return " ".join(_WORD.findall(line.replace(BY_ASSISTANT, "").casefold()))
