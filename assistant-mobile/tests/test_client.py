"""The client against a real desktop: asking, writing, reading offline, and what waits when nobody is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ai_orchestrator.server import Server
from mobile_sync import signed_http
from mobile_sync.client import PhoneClient
from mobile_sync.errors import NotPaired
from mobile_sync.outbox import EntryState
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.settings import Settings
from shared_context.errors import DocumentNotFound
from support.desktop import listening
from support.paired_phone import paired
from support.ports import free_port
from support.scripted import ScriptedBackend, echo


def settings_of(data: Path) -> Settings:
    return Settings.model_validate({"data": data, "context": {"embeddings": None}})


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(signed_http, "is_readable", lambda url: True)
    with listening(tmp_path / "desktop") as running:
        yield running


@pytest.fixture
def phone(desktop: Server, tmp_path: Path) -> Iterator[PhoneClient]:
    paired(desktop.services, tmp_path / "phone", urls=(desktop.url,))
    with PhoneClient(settings_of(tmp_path / "phone")) as client:
        yield client


@pytest.fixture
def away(desktop: Server, tmp_path: Path) -> Iterator[PhoneClient]:
    """One whose desktop is not where it was."""
    paired(desktop.services, tmp_path / "away", urls=(f"http://127.0.0.1:{free_port()}",))
    with PhoneClient(settings_of(tmp_path / "away"), backend=ScriptedBackend(echo)) as client:
        yield client


def said(server: Server, conversation_id: str = "default") -> list[tuple[str, str]]:
    messages = server.services.assistant.conversations.messages(conversation_id)
    return [(message.role, message.content) for message in messages]


def test_an_answer_says_who_gave_it_and_by_which_road(phone: PhoneClient, desktop: Server) -> None:
    events = list(phone.stream("one two three"))
    names = [event.name for event in events]
    assert names[0] == "road" and names[-1] == "done" and "token" in names
    done = events[-1].data
    assert (done["tier"], done["road"]["way"]) == ("desktop", "lan")
    assert done["model"] and done["reason"]
    assert "".join(event.data["token"] for event in events if event.name == "token") == done["response"]
    assert phone.outbox.entries() == []
    assert [role for role, _ in said(desktop)] == ["user", "assistant"]


def test_everything_is_readable_offline_after_an_exchange(phone: PhoneClient, desktop: Server) -> None:
    phone.chat("Where is the quokka?", "trip")
    assert phone.sync().complete
    desktop.stop(drain_s=0)
    assert phone.history("trip")[0].content == "Where is the quokka?"
    assert {document.name for document in phone.documents()} >= {"PORTFOLIO_CONTEXT.md", "SESSION_LOG.md"}
    assert any("quokka" in hit["text"] for hit in phone.search("quokka"))
    assert [conversation.conversation_id for conversation in phone.conversations()] == ["trip"]


def test_what_is_written_reaches_the_desktop_once(phone: PhoneClient, desktop: Server) -> None:
    phone.sync()
    briefing = next(each for each in phone.documents() if each.name == "SESSION_BRIEFING.md")
    assert phone.edit_document("SESSION_BRIEFING.md", briefing.text + "\nBuy a lamp.\n") is None
    assert phone.add_log_entry("Went to the shop.") is None
    assert phone.flush()
    context = desktop.services.assistant.context
    assert context is not None
    assert context.document("SESSION_BRIEFING.md").text.count("Buy a lamp.") == 1
    assert context.document("SESSION_LOG.md").text.count("Went to the shop.") == 1


def test_offline_the_own_model_answers_and_the_household_learns_of_it_later(
    away: PhoneClient, desktop: Server
) -> None:
    done = away.chat("Are you there?", "trip")
    assert (done["tier"], done["road"]["way"]) == ("phone", "phone")
    assert "neither the desktop nor the VPS" in done["reason"]
    assert [entry.state for entry in away.outbox.entries()] == [EntryState.ANSWERED]
    away.household.membership = away.membership  # the same household …
    away.household.roads._lan = lambda: [desktop.url]  # … found by discovery
    assert away.flush()
    assert [role for role, _ in said(desktop, "trip")] == ["user", "assistant"]
    assert away.history("trip")[1].tier == "phone"


def test_offline_without_a_model_it_waits_and_is_answered_once(desktop: Server, tmp_path: Path) -> None:
    data = tmp_path / "waiting"
    paired(desktop.services, data, urls=(f"http://127.0.0.1:{free_port()}",))
    with PhoneClient(settings_of(data)) as client:
        first, second = client.chat("First", "trip"), client.chat("Second", "trip")
        assert "entry_id" in first and "no model" in first["reason"]
        assert "waits as well" in second["reason"] or "no model" in second["reason"]
        log = client.add_log_entry("Nobody home.")
        assert log is not None and log.state is EntryState.ANSWERED
    paired(desktop.services, data, urls=(desktop.url,))
    with PhoneClient(settings_of(data)) as client:
        assert [entry.state for entry in client.outbox.entries()][:2] == [EntryState.QUEUED] * 2
        assert client.flush()
        assert client.flush()
    roles = [role for role, _ in said(desktop, "trip")]
    contents = [content for role, content in said(desktop, "trip") if role == "user"]
    assert (roles, contents) == (["user", "assistant"] * 2, ["First", "Second"])


def test_simple_questions_stay_on_the_device_when_the_owner_says_so(desktop: Server, tmp_path: Path) -> None:
    paired(desktop.services, tmp_path / "own", urls=(desktop.url,))
    settings = settings_of(tmp_path / "own")
    settings.phone.own_model_first, settings.phone.simple_chars = True, 20
    with PhoneClient(settings, backend=ScriptedBackend(echo)) as client:
        assert client.chat("What time is it?")["tier"] == "phone"
        assert client.chat("A question of more than twenty characters")["tier"] == "desktop"


def test_what_can_never_be_sent_is_refused_before_it_is_kept(phone: PhoneClient) -> None:
    with pytest.raises(InvalidRequest):
        phone.chat("Hi", max_tokens=-1)
    assert phone.outbox.entries() == []


def test_a_refusal_waits_for_the_owner(phone: PhoneClient) -> None:
    with pytest.raises(DocumentNotFound):
        phone.chat("Hi", project="no-such-project")
    (entry,) = phone.outbox.entries()
    assert entry.state is EntryState.REFUSED and entry.problem
    phone.outbox.delete(entry.entry_id)
    assert phone.chat("Hi")["tier"] == "desktop"


def test_a_run_is_followed_again_from_any_offset(phone: PhoneClient) -> None:
    done = phone.chat("one two three four")
    events = list(phone.resume(done["run_id"], 1))
    assert events[-1].name == "done"
    text = "".join(event.data["token"] for event in events if event.name == "token")
    assert done["response"].endswith(text) and 0 < len(text) < len(done["response"])
    assert phone.stop(done["run_id"])["state"] == "done"


def test_who_is_not_paired_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(NotPaired, match="not paired"):
        PhoneClient(settings_of(tmp_path))
    (tmp_path / "household.json").write_text("{")
    with pytest.raises(NotPaired, match="damaged"):
        PhoneClient(settings_of(tmp_path))
