"""No regular expression of the house takes longer than in proportion to the text it reads.

Documents, messages and model output are other people's text: a pattern that backtracks over them
holds the interpreter, and with it the server, for as long as their writer likes.
"""

import re

import pytest
from support.adversarial_texts import slow_text
from support.house_patterns import MODULES, ROOT, page_patterns, patterns_in

PAGES = sorted((ROOT / "orchestrator-core/orchestrator_http/pages/static").glob("*.js"))
MADE_FROM_ARGUMENTS = {
    "guard.py: f'[{re.escape(firsts)}]'": [r"[<\[a-z]"],
    "tokenizer.py: f'(?<=[{re.escape(ends)}]) |^ '": [r"(?<=[>\]a-z]) |^ "],
    "making.py: f'{_NAME}-{_mark(replica)}-\\\\d{{8}}T\\\\d{{12}}Z\\\\.tar\\\\.gz'": [
        r"orchestrator-backup-abc-\d{8}T\d{12}Z\.tar\.gz"
    ],
    "migrate.py: f'm{number:03d}_'": ["m001_"],
}
"""Patterns that only a call's arguments complete."""

READ_AT_MOST = {
    "handoff/credentials.py": 1200,
}
"""Characters that a module's patterns are given (a text and its quote)."""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: "/".join(path.parts[-3:]))
def test_no_pattern_of_a_module_backtracks(module):
    bound = READ_AT_MOST.get("/".join(module.parts[-2:]))
    slow = {}
    for held in patterns_in(module, MADE_FROM_ARGUMENTS):
        text = slow_text(held.pattern, anchored=held.anchored, reads_at_most=bound)
        if text is not None:
            slow[held.pattern.pattern] = text[:40] + "..." + text[-10:]
    assert not slow


@pytest.mark.parametrize("script", PAGES, ids=lambda path: path.name)
def test_no_pattern_of_a_page_backtracks(script):
    assert [pattern.pattern for pattern in page_patterns(script) if slow_text(pattern)] == []


@pytest.mark.parametrize(
    "bad",
    [
        r"#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$",
        r"[ \t]*<!--.*?-->",
        r"<!--.*?-->",
        r"<[^>]*>",
        r"(a|a)*b",
        r"(\w+\s?)*$",
        r"\s+$",
        r"(?:x+x+)+y",
        r"\beyJ[\w-]{10,}\.x",
        r"^(?:a?){25}a{25}b",
    ],
)
def test_a_pattern_that_backtracks_is_told(bad):
    assert slow_text(re.compile(bad)) is not None


def test_the_scripts_of_the_page_have_patterns_that_are_found():
    assert sum(len(page_patterns(script)) for script in PAGES) >= 5
