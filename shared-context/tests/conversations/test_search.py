from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shared_context.conversations.search import excerpt, fts_expression, snippet
from shared_context.conversations.store import ConversationStore


def found(store: ConversationStore, query: str, limit: int = 20) -> list[str]:
    by_id = {message.message_id: message.content for message in store.messages("default")}
    return [by_id[hit.message_id] for hit in store.search(query, limit)]


def fill(store: ConversationStore, *texts: str) -> None:
    for text in texts:
        store.add_message("default", "user", text)


def test_the_message_that_fits_best_comes_first(store: ConversationStore) -> None:
    fill(
        store,
        "the relay is mentioned once in a long message about many other things of the project",
        "relay relay",
        "nothing of the kind",
    )
    assert found(store, "relay") == [
        "relay relay",
        "the relay is mentioned once in a long message about many other things of the project",
    ]


def test_all_words_have_to_be_there_and_the_last_may_be_a_beginning(store: ConversationStore) -> None:
    fill(store, "continuity theory", "continuity of memory")
    assert found(store, "continuity theo") == ["continuity theory"]
    assert found(store, "contin theory") == []


def test_case_and_accents_do_not_matter(store: ConversationStore) -> None:
    fill(store, "Le Café de Zoë")
    assert found(store, "cafe ZOE") == ["Le Café de Zoë"]


def test_a_hit_says_where_it_is(store: ConversationStore) -> None:
    store.create("trip", "A trip")
    message = store.add_message("trip", "user", "word " * 100 + "needle " + "word " * 100)
    (hit,) = store.search("needle")
    assert (hit.message_id, hit.conversation_id, hit.title) == (message.message_id, "trip", "A trip")
    assert (hit.role, hit.created_at) == ("user", message.created_at)
    assert "needle" in hit.snippet
    assert len(hit.snippet) < 200
    assert hit.score > 0


@pytest.mark.parametrize(
    ("content", "wanted", "shown"),
    [
        ("short", ["short"], "short"),
        ("a " * 200 + "Needle b", ["needle"], "Needle b"),
        ("a " * 200 + "Zoë b", ["zoe"], "Zoë b"),
        ("ß" * 300 + " needle", ["needle"], "needle"),
        ("x" * 400, ["absent"], "x" * 160 + "…"),
        ("", ["x"], ""),
    ],
)
def test_a_snippet_shows_the_place(content: str, wanted: list[str], shown: str) -> None:
    assert snippet(content, wanted).endswith(shown)
    assert len(snippet(content, wanted)) <= 162


@given(st.text(max_size=400), st.lists(st.text(max_size=5), max_size=3))
def test_a_snippet_is_a_part_of_the_text(content: str, wanted: list[str]) -> None:
    shown = snippet(content, wanted)
    assert shown in content or shown.strip("…").strip() in content


def test_the_limit_is_kept(store: ConversationStore) -> None:
    fill(store, *(f"apple {number}" for number in range(10)))
    assert len(store.search("apple", limit=3)) == 3
    assert store.search("apple", limit=0) == []
    assert store.search("apple", limit=-1) == []


@pytest.mark.parametrize("query", ["🎉", "🦜 🎉", "C++ (really)", "「」", "...", "50% off!"])
def test_signs_and_emoji_are_found_as_they_stand(store: ConversationStore, query: str) -> None:
    fill(store, "unrelated", f"before {query} after")
    assert found(store, query) == [f"before {query} after"]


def test_languages_without_spaces_are_found_inside_a_sentence(store: ConversationStore) -> None:
    fill(store, "今日は東京で会議があります", "明日")
    assert found(store, "東京") == ["今日は東京で会議があります"]
    (hit,) = store.search("東京")
    assert "東京" in hit.snippet


@pytest.mark.parametrize(
    "query",
    [
        "", " ", '"', '""', "'", "*", "a*", "AND", "OR", "NOT", "a AND", "NEAR(a b)", "NEAR(", "content:a",
        "{a}: b", "^a", "a + b", "a - b", "-a", "(", ")", "a\x00b", "\x00", "%", "_", ";--", "\ud800", "\\",
        '"a" OR "b', "a" * 5000, "a " * 5000, "\n", "é́́",
    ],
)  # fmt: skip
def test_no_text_is_syntax(store: ConversationStore, query: str) -> None:
    fill(store, "apple and orange")
    assert isinstance(store.search(query), list)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
@example('"^*(){}:+-')
def test_any_query_is_valid(store: ConversationStore, query: str) -> None:
    assert isinstance(store.search(query), list)


def test_words_that_look_like_operators_are_words(store: ConversationStore) -> None:
    fill(store, "this and that", "near and far")
    assert found(store, "and NEAR") == ["near and far"]
    assert found(store, "NOT this") == []


@given(st.text(max_size=100))
def test_an_expression_is_only_quoted_words(query: str) -> None:
    expression = fts_expression(query)
    if expression is not None:
        parts = expression.removesuffix(" *").split(" ")
        assert all(part[0] == part[-1] == '"' and '"' not in part[1:-1] for part in parts)


def test_deleted_messages_are_not_found_and_the_index_stays_whole(store: ConversationStore) -> None:
    fill(store, "apple", "apple pie")
    store.clear("default")
    assert store.search("apple") == []
    fill(store, "apple tart")
    assert found(store, "apple") == ["apple tart"]
    with store.database.write() as connection:
        connection.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


def test_an_excerpt_shows_the_place_of_the_rarest_words() -> None:
    text = "It is what it is. " * 40 + "The copper elbow is behind the pump. " + "It is so. " * 40
    assert "copper elbow" in excerpt(text, ["is", "it", "copper", "elbow"], 80)
