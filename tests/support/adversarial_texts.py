"""Long texts that make a backtracking pattern slow, derived from the pattern's own syntax tree.

A pattern is slow on text that keeps an unbounded repeat busy and then fails (`head + pump * n + tail`),
or that begins a match at every position and never ends one (`pump * n` of what the pattern starts with).
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]

MANY = 8
"""A repeat that may go on longer than this is pumped."""
CANDIDATES = ' a\tA0.-_/`"<[*:é'
TAILS = ("", "x", "\n", " \0")
LENGTH = 16_000
LIMIT_S = 1.0
"""For one text: sixty times what the slowest good pattern takes."""
UNSEEN_S = 0.02
"""Too little to be worth a second look."""
Syntax = list[tuple[object, object]]


def adversarial_texts(pattern: re.Pattern[str], length: int) -> Iterator[tuple[str, str]]:
    """Texts of about `length` characters, each once, with the same text half as long."""
    tree = list(_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    starts = {"", *_samples(tree, 1)}
    pumps = {(head, pump) for head, pump in _pumps(tree, "") if pump}
    pumps |= {("", start[:end]) for start in starts for end in range(1, min(len(start), 40) + 1)}
    seen: set[str] = set()
    for head, pump in sorted(pumps):
        for tail in TAILS:
            half, text = (head + pump * (size // len(pump)) + tail for size in (length // 2, length))
            if text not in seen:
                seen.add(text)
                yield half, text


def _pumps(tree: Syntax, head: str) -> Iterator[tuple[str, str]]:
    """What precedes each long repeat, and what keeps the repeat going."""
    for position, (op, value) in enumerate(tree):
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, most, body = value  # type: ignore[misc]
            if most > MANY:
                for sample in _samples(list(body), len(CANDIDATES)):
                    yield head, sample
                    yield "", head + sample
                # What follows the repeat may be its body as well: `[ \t]+(.*?)[ \t]*$`.
                for sample in _samples(tree[position + 1 :], 2):
                    yield head, sample
            yield from _pumps(list(body), head)
        else:
            for inner in _inner(op, value):
                yield from _pumps(inner, head)
        head += next(iter(_samples([(op, value)], 1)), "")


def _inner(op: object, value: object) -> list[Syntax]:
    if op is sre.SUBPATTERN:
        return [list(value[3])]  # type: ignore[index]
    if op is sre.BRANCH:
        return [list(branch) for branch in value[1]]  # type: ignore[index]
    if op is sre.ATOMIC_GROUP:
        return [list(value)]  # type: ignore[call-overload]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [list(value[1])]  # type: ignore[index]
    return []


def _samples(tree: Syntax, most: int) -> list[str]:
    """Some texts that the tree would match, its zero-width assertions ignored."""
    samples = [""]
    for op, value in tree:
        if op is sre.AT or op in (sre.ASSERT, sre.ASSERT_NOT, sre.GROUPREF, sre.GROUPREF_EXISTS):
            continue
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, _, body = value  # type: ignore[misc]
            choices = [text * max(least, 1) for text in _samples(list(body), most)]
        elif inner := _inner(op, value):
            choices = [text for branch in inner for text in _samples(branch, most)]
        else:
            alone = _single(op, value)
            choices = [text for text in CANDIDATES if alone.fullmatch(text)] or _rare(op, value, alone)
        if not choices:
            return []
        chosen = choices if len(samples) == 1 else choices[:1]
        samples = [start + choice for start in samples for choice in chosen][: max(most, 1) * 8]
    return samples[: most if len(tree) == 1 and most > 1 else max(most, 8)]


def _single(op: object, value: object) -> re.Pattern[str]:
    """A pattern of the one character that this node stands for."""
    state = _parser.State()
    state.str = ""
    node = _parser.SubPattern(state, [(op, value)])
    from re import _compiler  # type: ignore[attr-defined]

    compiled: re.Pattern[str] = _compiler.compile(node)
    return compiled


def _rare(op: object, value: object, alone: re.Pattern[str]) -> list[str]:
    if op is sre.LITERAL:
        return [chr(value)]  # type: ignore[arg-type]
    return [chr(code) for code in range(0x3000) if alone.fullmatch(chr(code))][:2]


class _TooSlow(Exception):
    pass


def _stop(*_: object) -> None:
    raise _TooSlow


def cpu_seconds(pattern: re.Pattern[str], text: str, anchored: bool) -> float:
    """CPU time to look for the pattern everywhere in the text, or only at its start; `LIMIT_S` when it
    takes longer.

    The match is interrupted then: the `re` module looks for signals while it backtracks.
    """
    previous = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    started = time.thread_time()
    try:
        pattern.match(text)
        for _ in () if anchored else pattern.finditer(text):
            pass
        pattern.fullmatch(text)
    except _TooSlow:
        return LIMIT_S
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    return time.thread_time() - started


def slow_text(
    pattern: re.Pattern[str], *, anchored: bool = False, reads_at_most: int | None = None
) -> str | None:
    """A text on which the pattern's time grows faster than the text; None when there is none.

    Args:
        anchored: the pattern is only tried at the start of a text.
        reads_at_most: characters of the texts it is given; then only the time for so many counts.
    """
    for half, text in adversarial_texts(pattern, reads_at_most or LENGTH):
        first = cpu_seconds(pattern, text, anchored)
        if first >= LIMIT_S:
            return text
        if first > UNSEEN_S and reads_at_most is None:
            longer = min(cpu_seconds(pattern, text, anchored) for _ in range(3))
            shorter = min(cpu_seconds(pattern, half, anchored) for _ in range(3))
            if longer > 3 * shorter:
                return text
    return None
