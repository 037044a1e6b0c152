from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from shared_context.conversations.store import ConversationStore
from training_data.building import Sources, build, cleaned
from training_data.cli import main
from training_data.duplicates import repeated
from training_data.errors import DatasetSourceError
from training_data.records import Record


def nothing(_text: str) -> list[str]:
    return []


@pytest.fixture
def memory(tmp_path):
    """A data folder with one conversation: a plain answer, one given again, one asked again."""
    with ConversationStore.open(tmp_path / "memory.db") as store:
        store.create("c1")

        def ask(question, answer, **more):
            asked = store.add_message("c1", "user", question)
            return store.add_message("c1", "assistant", answer, reply_to=asked.message_id, model="m", **more)

        ask("Which bread do we bake on Monday?", "Rye, with caraway.")
        first = ask("When does the oven start?", "At noon.")
        store.add_message("c1", "assistant", "At four.", supersedes=first.message_id, reply_to=first.reply_to)
        ask("How many loaves fit in?", "Ten.")
        ask("How many loaves fit in it?", "Forty, on five decks.")
        store.add_message("c1", "user", "Never answered")
    return tmp_path


def test_only_answers_the_owner_let_stand_are_learned(memory):
    built = build(Sources(curated=False, conversations=memory), 1)
    assert [record.answer for record in built.records] == [
        "Rye, with caraway.",
        "At four.",
        "Forty, on five decks.",
    ]
    assert built.records[1].prompt[0] == {"role": "user", "content": "Which bread do we bake on Monday?"}
    assert {record.fact for record in built.records} == {"conversation:c1"}
    assert "(m)" in built.records[0].source
    assert all(record.licence and record.topic == "practice" for record in built.records)


def test_a_conversation_that_is_not_chosen_is_not_read(memory):
    with ConversationStore.open(memory / "memory.db") as store:
        store.create("c2")
        store.add_message("c2", "user", "Something else?")
        store.add_message("c2", "assistant", "Quite so, it is.")
    built = build(Sources(curated=False, conversations=memory, chosen=["c2"]), 1)
    assert [record.answer for record in built.records] == ["Quite so, it is."]
    with pytest.raises(DatasetSourceError, match="nobody"):
        build(Sources(curated=False, conversations=memory, chosen=["nobody"]), 1)


def test_sections_and_log_entries_become_answers(tmp_path):
    (tmp_path / "proj").mkdir()
    (tmp_path / "SESSION_LOG.md").write_text(
        "# Log\n\n## 2026-10-05 14:03 UTC · desktop <!-- entry:x1 -->\n\nWe moved the oven to the north wall.\n"
    )
    (tmp_path / "proj/PROJECT_CONTEXT.md").write_text(
        "# Ovens\n\n## Heat\n\nThe deck oven is held at 240 degrees.\n\n## Empty\n"
    )
    built = build(Sources(curated=False, documents=tmp_path), 1)
    answers = {record.fact: record.answer for record in built.records}
    assert answers == {
        "SESSION_LOG.md#2026-10-05 14:03 UTC · desktop": "We moved the oven to the north wall.",
        "proj/PROJECT_CONTEXT.md#Heat": "The deck oven is held at 240 degrees.",
    }
    assert {record.topic for record in built.records} == {"handoff", "architecture"}


def test_what_the_log_rolled_over_is_read_too_and_other_files_are_not(tmp_path):
    (tmp_path / "proj").mkdir()
    for name, said in (
        ("SESSION_LOG.md", "The newest entry is about the oven."),
        ("SESSION_LOG.2025.md", "An older entry is about the flour."),
        ("proj/SESSION_LOG.2025-2.md", "Another one is about the yeast."),
        ("SESSION_LOG.backup.md", "A copy that somebody made by hand."),
        ("NOTES.md", "Notes that are no handoff document."),
    ):
        (tmp_path / name).write_text(
            f"# Log\n\n## 2025-01-01 10:00 UTC · desktop <!-- entry:x -->\n\n{said}\n"
        )
    built = build(Sources(curated=False, documents=tmp_path), 1)
    assert sorted({record.answer.split()[-1] for record in built.records}) == ["flour.", "oven.", "yeast."]
    assert all("session log" in record.question for record in built.records if "say about" in record.question)


def test_nothing_of_the_owners_is_read_unless_named(memory, monkeypatch):
    monkeypatch.chdir(memory)
    assert {record.source for record in build(Sources(), 1, ["talk", "practice"]).records} == {"curated"}


def test_a_text_with_a_secret_is_left_out_and_its_kind_is_told_without_it(memory):
    with ConversationStore.open(memory / "memory.db") as store:
        store.create("c3")
        store.add_message("c3", "user", "Where do I write to?")
        store.add_message("c3", "assistant", "To oven.master@bakery-example.org, the usual address.")
    output = memory / "d.jsonl"
    result = CliRunner().invoke(
        main, ["--no-curated", "--conversations", str(memory), "--output", str(output)]
    )
    assert result.exit_code == 0, result.output
    assert "left out of conversation:c3: 1 (EMAIL_ADDRESS)" in result.stderr
    assert "oven.master" not in output.read_text() + result.output
    assert len(output.read_text().splitlines()) == 3


def test_what_is_said_again_is_kept_once_and_another_figure_is_another_fact():
    records = [
        Record.of("What is the default port?", "The default port is 5000."),
        Record.of("what is the default port", "The default port is 5000."),
        Record.of("What is the default port?", "The default port is 8000."),
    ]
    built = cleaned(records, nothing)
    assert [record.answer for record in built.records] == [
        "The default port is 5000.",
        "The default port is 8000.",
    ]
    assert [removed.reason for removed in built.removed] == ["said already"]


def test_the_same_sources_and_seed_give_the_same_dataset(memory):
    sources = Sources(conversations=memory)
    built = build(sources, 3, ["continuity", "practice"])
    assert built == build(sources, 3, ["continuity", "practice"])
    assert {record.topic for record in built.records} == {"continuity", "practice"}


@pytest.mark.parametrize("option", ["--documents", "--conversations"])
def test_a_source_that_is_not_there_is_said_in_one_line_and_nothing_is_written(tmp_path, option):
    output = tmp_path / "d.json"
    result = CliRunner().invoke(main, [option, str(tmp_path / "none"), "--output", str(output)])
    assert result.exit_code == 1
    assert "none" in result.output
    assert not output.exists()


def test_chats_are_written_as_messages_when_asked(memory):
    output = memory / "d.json"
    result = CliRunner().invoke(
        main, ["--no-curated", "--conversations", str(memory), "--output", str(output), "--messages"]
    )
    assert result.exit_code == 0, result.output
    assert all(row["messages"][-1]["role"] == "assistant" for row in json.loads(output.read_text()))


def test_nothing_that_is_left_says_again_what_something_else_says():
    built = build(Sources(), 20261, ["talk", "handoff"])
    assert repeated(built.records) == set()
