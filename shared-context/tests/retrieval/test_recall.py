from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document import Document
from shared_context.documents.document_names import document_paths
from shared_context.errors import StoreError
from shared_context.retrieval.embedding import EmbeddingModel
from shared_context.retrieval.recall import MemorySearch


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ContextFolder]:
    context = ContextFolder(tmp_path / "context", state=tmp_path / "state")
    yield context
    context.close()


@pytest.fixture
def memory(tmp_path: Path, store: ConversationStore, context: ContextFolder) -> Iterator[MemorySearch]:
    memory = MemorySearch(tmp_path / "search.db", store, context.of_all_projects)
    yield memory
    memory.close()


def recalled(memory: MemorySearch, text: str, without: tuple[str, ...] = ()) -> list[str]:
    return [one.item for one in memory.recall(text, [], asked_at="", without=without)]


def test_messages_log_entries_and_sections_are_found(
    memory: MemorySearch, store: ConversationStore, context: ContextFolder
) -> None:
    message = store.add_message("default", "user", "The walnut loaf sells best.")
    _, entry = context.append_entry("Repaired the walnut press.")
    project = context.document("PROJECT_CONTEXT.md")
    context.edit(project.name, "# Shop\n\n## Range\n\nWalnut oil.\n", base_version=project.version)
    found = {one.item: one.source for one in memory.search("walnut")}
    assert found == {
        message.message_id: "message",
        f"SESSION_LOG.md#{entry}": "log",
        "PROJECT_CONTEXT.md#Range": "document",
    }


def test_one_reads_for_all_who_ask_meanwhile(tmp_path: Path, store: ConversationStore) -> None:
    begun, go_on = threading.Event(), threading.Event()
    readings: list[int] = []

    def documents() -> dict[str, Document]:
        readings.append(1)
        begun.set()
        assert go_on.wait(20)
        return {}

    memory = MemorySearch(tmp_path / "search.db", store, documents)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(memory.refresh)
        assert begun.wait(20)
        message = store.add_message("default", "user", "The walnut loaf sells best.")
        later = [pool.submit(recalled, memory, "Which walnut loaf sells best?") for _ in range(5)]
        while memory._calls < 6:
            threading.Event().wait(0.01)
        go_on.set()
        first.result(20)
        # What was said after the first reading began is read by the second, for all five.
        assert [one.result(20) for one in later] == [[message.message_id]] * 5
    assert len(readings) == 2
    memory.close()


def test_a_reading_that_fails_is_no_reading(tmp_path: Path, store: ConversationStore) -> None:
    failures = [StoreError("The disk is gone.")]

    def documents() -> dict[str, Document]:
        if failures:
            raise failures.pop()
        return {}

    memory = MemorySearch(tmp_path / "search.db", store, documents)
    message = store.add_message("default", "user", "The walnut loaf sells best.")
    with pytest.raises(StoreError):
        memory.refresh()
    assert recalled(memory, "Which walnut loaf sells best?") == [message.message_id]
    memory.close()


def test_a_changed_section_is_found_as_it_is_now(memory: MemorySearch, context: ContextFolder) -> None:
    project = context.document("PROJECT_CONTEXT.md")
    project = context.edit(project.name, "# A\n\nTin roof.\n", base_version=project.version)
    assert memory.search("tin")
    context.edit(project.name, "# A\n\nSlate roof.\n", base_version=project.version)
    assert not memory.search("tin")
    assert memory.search("slate")


def test_untouched_starters_say_nothing(memory: MemorySearch) -> None:
    assert memory.search("session briefing project portfolio") == []


def test_a_deleted_message_is_not_found(memory: MemorySearch, store: ConversationStore) -> None:
    store.create("other")
    kept = store.add_message("default", "user", "The walnut tree.")
    store.add_message("other", "user", "The walnut table.")
    assert len(memory.search("walnut")) == 2
    store.delete("other")
    later = store.add_message("default", "user", "A walnut chair.")
    assert {one.item for one in memory.search("walnut")} == {kept.message_id, later.message_id}


def test_a_store_put_back_from_a_backup_is_read_again(
    tmp_path: Path, context: ContextFolder
) -> None:  # fmt: skip
    for name, text in (("first", "The walnut tree."), ("second", "The cherry tree.")):
        with ConversationStore.open(tmp_path / name / "memory.db") as store:
            store.add_message("default", "user", text)
            memory = MemorySearch(tmp_path / "search.db", store, context.of_all_projects)
            assert [one.text for one in memory.search("tree")] == [text]
            memory.close()


def test_a_broken_index_is_made_anew(
    tmp_path: Path, store: ConversationStore, context: ContextFolder
) -> None:  # fmt: skip
    store.add_message("default", "user", "The walnut tree.")
    (tmp_path / "search.db").write_bytes(b"not a database at all, whatever it says " * 100)
    memory = MemorySearch(tmp_path / "search.db", store, context.of_all_projects)
    assert memory.search("walnut")
    memory.close()


def test_nothing_is_recalled_when_little_fits(memory: MemorySearch, store: ConversationStore) -> None:
    store.add_message("default", "user", "The walnut tree was planted by my uncle.")
    store.add_message("default", "user", "Something about a boat.")
    assert recalled(memory, "Which walnut tree did my uncle plant?")
    assert not recalled(memory, "Explain quantum tree algorithms for database indexing in Haskell")


def test_what_is_shown_anyway_is_not_recalled(memory: MemorySearch, store: ConversationStore) -> None:
    shown = store.add_message("default", "user", "The walnut tree was planted by my uncle.")
    other = store.add_message("default", "user", "My aunt cut the walnut tree down.")
    assert recalled(memory, "walnut tree", (shown.message_id,)) == [other.message_id]


def test_many_messages_are_read_in_portions(
    memory: MemorySearch, store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_context.retrieval.recall.BATCH", 7)
    for number in range(20):
        store.add_message("default", "user", f"Item number{number} is here.")
    assert memory.search("number19")[0].text == "Item number19 is here."
    assert memory.search("number0")[0].text == "Item number0 is here."


def test_an_answer_comes_with_the_question_before_it(memory: MemorySearch, store: ConversationStore) -> None:
    store.add_message("default", "assistant", "When is the dentist?")
    store.add_message("default", "user", "The dentist is on Friday.")
    (found,) = [one for one in memory.search("dentist friday") if one.speaker == "user"]
    assert found.before == "When is the dentist?"


def test_two_processes_may_share_the_index(tmp_path: Path, store: ConversationStore) -> None:
    first, second = (MemorySearch(tmp_path / "search.db", store) for _ in range(2))
    for number in range(4):
        store.add_message("default", "user", f"Lamp number {number}.")
        searched, other = (first, second) if number % 2 else (second, first)
        assert len(searched.search("lamp")) == len(other.search("lamp")) == number + 1
    store.clear("default")
    assert first.search("lamp") == second.search("lamp") == []
    first.close()
    second.close()


def test_a_long_answer_before_does_not_hide_what_a_clear_question_asks_for(
    memory: MemorySearch, store: ConversationStore
) -> None:
    store.add_message("default", "user", "I hid the walnut box of my aunt behind the chimney.")
    earlier = ["Tell me about turbines.", " ".join(f"turbine{n} blade{n}" for n in range(60))]
    found = memory.recall("Where did I hide the walnut box of my aunt?", earlier, asked_at="", without=())
    assert [one.text for one in found][:1] == ["I hid the walnut box of my aunt behind the chimney."]


def write(context: ContextFolder, project: str | None, text: str, name: str = "PROJECT_CONTEXT.md") -> None:
    context.in_project(project, create=True).edit(name, f"# Plan\n\n{text}\n")


def test_documents_of_all_projects_are_searched_and_told_apart(
    memory: MemorySearch, context: ContextFolder
) -> None:
    for project in (None, "boat", "house"):
        write(context, project, f"The walnut floor of the {project or 'office'} is new.")
    write(context, None, "Walnut everywhere.", "PORTFOLIO_CONTEXT.md")
    found = {one.item for one in memory.search("walnut")}
    assert found == {
        "PORTFOLIO_CONTEXT.md#Plan",
        "PROJECT_CONTEXT.md#Plan",
        "boat/PROJECT_CONTEXT.md#Plan",
        "house/PROJECT_CONTEXT.md#Plan",
    }


def test_only_the_documents_asked_for_are_looked_in_and_all_messages(
    memory: MemorySearch, store: ConversationStore, context: ContextFolder
) -> None:
    said = store.add_message("default", "user", "I like walnut floors.")
    # So many that they would take all places before anything is left out.
    for number in range(60):
        context.in_project("boat", create=True).append_entry(f"Walnut floor {number}, walnut, floor.")
    write(context, "house", "The walnut floor is new.")
    within = document_paths("house").values()
    wanted = {said.message_id, "house/PROJECT_CONTEXT.md#Plan"}
    assert {one.item for one in memory.search("walnut floor", 5, within=within)} == wanted
    answers = memory.recall("walnut floor", [], asked_at="", without=(), within=within, limit=5)
    assert {one.item for one in answers} == wanted
    assert [one.document for one in answers if one.source == "document"] == ["house/PROJECT_CONTEXT.md"]


def test_a_project_whose_folder_is_gone_is_found_no_more(
    tmp_path: Path, store: ConversationStore, context: ContextFolder
) -> None:
    write(context, "boat", "The walnut mast.")
    with_documents = MemorySearch(tmp_path / "search.db", store, context.of_all_projects)
    assert with_documents.search("walnut mast")
    with_documents.close()
    context.close()
    # Whoever has no documents at hand searches what was read last.
    without = MemorySearch(tmp_path / "search.db", store)
    assert without.search("walnut mast")
    without.close()
    shutil.rmtree(tmp_path / "context" / "boat")
    again = ContextFolder(tmp_path / "context", state=tmp_path / "state")
    memory = MemorySearch(tmp_path / "search.db", store, again.of_all_projects)
    assert memory.search("walnut mast") == []
    write(again, "boat", "The walnut mast, again.")
    assert memory.search("walnut mast")
    memory.close()
    again.close()


def test_a_conversation_with_a_document_s_name_is_no_document(
    memory: MemorySearch, store: ConversationStore, context: ContextFolder
) -> None:
    store.create("SESSION_LOG.md")
    said = store.add_message("SESSION_LOG.md", "user", "The walnut tree.")
    assert recalled(memory, "walnut tree") == [said.message_id]
    context.append_entry("Something else.")
    assert recalled(memory, "walnut tree") == [said.message_id]


def test_the_part_of_a_long_message_beside_the_one_that_fits_is_recalled_too(
    memory: MemorySearch, store: ConversationStore
) -> None:
    filler = "Nothing else of any note has happened on that day, as far as anybody can tell. " * 4
    store.add_message(
        "default", "user", f"The walnut cupboard from the auction is here. {filler}It cost 212 euros."
    )
    for number in range(30):
        store.add_message("default", "user", f"Chapter {number} is about sailing.")
    passages = memory.recall("What about the walnut cupboard from the auction?", [], asked_at="", without=())
    assert any("212 euros" in one.text for one in passages)


def test_a_model_that_knows_more_counts_for_more(tmp_path: Path) -> None:
    class Same:
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            return [[1.0, 0.1] if "ledger" in text or "?" in text else [0.1, 1.0] for text in texts]

    def best(meaning: float) -> str:
        store = ConversationStore.open(tmp_path / f"conversations {meaning}.db")
        model = EmbeddingModel(Same(), "same", immediate=True, with_before=False, meaning=meaning)
        memory = MemorySearch(tmp_path / f"search {meaning}.db", store, embedding=model)
        for number in range(40):
            store.add_message("default", "user", f"Nothing of note on day {number}.")
        store.add_message("default", "user", "The boiler is in the cellar.")
        store.add_message("default", "user", "The ledger lies upstairs.")
        (found, *_) = memory.search("Where is the boiler?")
        memory.close()
        store.close()
        return found.text

    assert best(0.1) == "The boiler is in the cellar."
    assert best(10.0) == "The ledger lies upstairs."
