from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.wording import says_the_same


@pytest.mark.parametrize(
    ("original", "reworded"),
    [
        ("ok so we'll go with the ping, 15 seconds", "We will go with the ping, 15 seconds."),
        ("let's just use SQLite for the queue", "Let us use SQLite for the queue."),
        ("done, 212 tests pass", "Done: 212 tests pass."),
        ("also we haven't decided on `max_tokens`", "We have not decided on `max_tokens`."),
        ("Also gut, wir nehmen restic.", "Wir nehmen restic."),
    ],
)
def test_cosmetic_changes_pass(original: str, reworded: str) -> None:
    assert says_the_same(original, reworded)


@pytest.mark.parametrize(
    ("original", "reworded"),
    [
        ("We use 15 seconds.", "We use 16 seconds."),
        ("We use 15 seconds.", "We use 15 minutes."),
        ("We use nginx 1.26.2.", "We use nginx 1.26.3."),
        ("Edit docs/relay.md.", "Edit docs/Relay.md."),
        ("Edit docs/relay.md.", "Edit relay.md."),
        ("Ask Mira about it.", "Ask Maria about it."),
        ("Ask Mira about it.", "Ask mira about it."),
        ("We will not use Redis.", "We will use Redis."),
        ("We use Redis.", "We will never use Redis."),
        ("Replace MySQL by Postgres.", "Replace Postgres by MySQL."),
        ("Drop MySQL and use Postgres.", "Use MySQL and drop Postgres."),
        ("Call before Friday.", "Call after Friday."),
        ("We need tea.", "We need tea from Hansen."),
        ("We might use Redis.", "We use Redis."),
        ("Is it settled?", "It is settled."),
        ("Run `make check`.", "Run make check."),
        ("The offset is -5.", "The offset is 5."),
        ("We use tea.", "We use tea.\n\n## Heading"),
        ("We use tea.", "We use <!-- tea."),
        ("We use tea.", ""),
        ("ok", "so"),
        ("Wir nehmen nicht restic.", "Wir nehmen restic."),
    ],
)
def test_changed_facts_do_not(original: str, reworded: str) -> None:
    assert not says_the_same(original, reworded)


WORDS = st.lists(
    st.sampled_from(
        ["we", "use", "tea", "not", "15", "Mira", "a/b.py", "v1.2", "before", "after", "-5", "`x`"]
    ),
    min_size=1,
)


@given(WORDS, st.data())
def test_no_word_that_matters_can_be_taken_away_added_or_moved(words: list[str], data: st.DataObject) -> None:
    original = " ".join(words)
    at = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(st.sampled_from(["Redis", "7", "never", "c/d.py"]))
    assert says_the_same(original, original)
    assert not says_the_same(original, " ".join(words[:at] + words[at + 1 :]))
    assert not says_the_same(original, " ".join([*words[:at], other, *words[at:]]))
    assert not says_the_same(original, " ".join([*words[:at], other, *words[at + 1 :]]))
