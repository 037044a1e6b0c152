"""Who is told of what, once, whatever the push service and the disk do."""

import threading
import time

import pytest
from orchestrator_core.errors import Conflict
from orchestrator_core.news import News
from orchestrator_http.push import pushing, store
from orchestrator_http.push.store import PushStore
from shared_context.errors import StoreFull
from support.push_service import dribble, hang_up, push_service, status
from support.scripted import Gate, Reply, ScriptedBackend
from support.waiting import wait_until


def test_an_answer_that_nobody_watched_is_told_once(here):
    phone = here.subscribe()
    run = here.ask_and_leave("What is it?")
    wait_until(lambda: phone.messages)
    here.push.tell(News.answered(run.run_id, run.spec.conversation_id, run.spec.message_id))
    here.settled()
    (message,) = phone.messages
    assert message["kind"] == "answer" and message["id"] == f"run:{run.run_id}"
    assert message["title"] == "What is it?" and message["text"] == run.text
    assert message["tier"] == "desktop" and message["run_id"] == run.run_id
    assert (
        message["conversation_id"] == run.spec.conversation_id
        and message["message_id"] == run.spec.message_id
    )


def test_an_answer_that_was_watched_is_not_told(here):
    here.subscribe()
    here.ask("What is it?")
    here.settled()
    assert here.service.requests == 0


def test_a_client_that_comes_back_at_once_is_not_told(here, monkeypatch):
    monkeypatch.setattr(pushing, "GRACE_S", 0.5)
    here.subscribe()
    run = here.ask_and_leave()
    here.client.get(f"/runs/{run.run_id}")
    here.settled()
    assert here.service.requests == 0


def test_a_slow_reader_is_told_only_when_it_leaves_before_the_end(here):
    phone = here.subscribe()
    run = here.ask_and_leave()
    reading = run.events()
    next(reading)
    wait_until(lambda: here.push.store.next([]).due > time.time() - 0.01)
    wait_until(lambda: here.push.store.next([]).due > time.time() - 0.01)
    assert not phone.messages
    reading.close()
    wait_until(lambda: phone.messages)


def test_an_answer_that_was_stopped_is_not_told(open_desk):
    gate = Gate()
    with open_desk(ScriptedBackend([Reply(text="one two three", gate=gate)])) as here:
        here.subscribe()
        asking = threading.Thread(target=here.ask_and_leave)
        asking.start()
        gate.allow(1)
        assert gate.wait_blocked()
        (run,) = here.assistant.runs.active()
        run.cancel()
        asking.join(20)
        here.settled()
        assert here.service.requests == 0


def test_a_service_that_fails_is_tried_until_it_takes_the_message_once(here):
    here.service.faults.extend([status(503), hang_up, status(429, Retry_After="0"), status(500)])
    phone = here.subscribe()
    here.ask_and_leave()
    wait_until(lambda: phone.messages)
    here.settled()
    assert here.service.requests == 5 and len(phone.messages) == 1
    (listed,) = here.client.get("/push").json["subscriptions"]
    assert listed["problem"] == "" and listed["failures"] == 0 and listed["delivered_at"]


def test_a_service_that_limits_the_rate_is_left_alone_so_long(here):
    here.service.faults.append(status(429, Retry_After="3600"))
    here.subscribe()
    here.ask_and_leave()
    wait_until(lambda: here.push.store.subscriptions()[0].failures)
    waiting = here.push.store.next([])
    assert 3590 < waiting.due - waiting.since < 3700
    assert here.push.store.subscriptions()[0].problem == "the service answered 429"


def test_a_service_that_stalls_holds_up_neither_the_answer_nor_the_others(here, monkeypatch):
    stalled = threading.Event()

    def stall(handler):
        stalled.set()
        dribble(handler)

    with push_service() as other:
        here.services.settings.push.local_services.append(other.origin)
        other.faults.extend([stall] * 50)
        slow = other.subscriber()
        assert here.client.post("/push", json=slow.as_json()).status_code == 201
        phone = here.subscribe()
        assert here.ask_and_leave("first").text
        assert stalled.wait(20)
        assert here.ask_and_leave("second").text
        wait_until(lambda: len(phone.messages) == 2)
        assert not slow.messages


def test_an_expired_subscription_is_removed_and_the_others_stay(here):
    phone, tablet = here.subscribe("phone"), here.subscribe("tablet")
    del here.service.subscribers["/push/phone"]
    here.service.faults.clear()
    here.ask_and_leave()
    wait_until(lambda: tablet.messages)
    here.settled()
    assert not phone.messages
    assert [each["name"] for each in here.client.get("/push").json["subscriptions"]] == ["tablet"]


def test_what_is_not_delivered_survives_a_restart(open_desk):
    with open_desk() as here:
        phone = here.subscribe()
        here.service.faults.extend([status(429, Retry_After="1")])
        here.ask_and_leave()
        wait_until(lambda: here.push.store.subscriptions()[0].failures)
    assert not phone.messages
    with open_desk() as here:
        wait_until(lambda: phone.messages)
        here.settled()
    assert len(phone.messages) == 1 and not here.service.refusals


def test_a_message_that_is_forgotten_before_it_is_sent_is_not_sent(here):
    here.service.faults.append(status(429, Retry_After="1"))
    here.subscribe()
    run = here.ask_and_leave("a secret")
    wait_until(lambda: here.push.store.subscriptions()[0].failures)
    assert b"secret" not in here.push.store._database.path.read_bytes()
    here.client.delete(f"/conversations/{run.spec.conversation_id}")
    here.settled()
    assert here.service.requests == 1


def test_an_answer_is_stored_although_its_message_cannot_be(here, monkeypatch):
    def full(*arguments, **more):
        raise StoreFull("The disk is full.", "Make room.")

    here.subscribe()
    monkeypatch.setattr(here.push.store, "add", full)
    run = here.ask_and_leave()
    assert here.assistant.conversations.message(run.spec.message_id).content == run.text


def test_a_conflict_is_told_once_until_it_has_rested(here, monkeypatch):
    phone = here.subscribe()
    path = "/context/PROJECT_CONTEXT.md"
    base = here.client.put(path, json={"text": "# P\n\nport 1\n"}, headers={"If-Match": version(here, path)})
    for text in ("port 2", "port 3", "port 4"):
        edit = here.client.put(
            path, json={"text": f"# P\n\n{text}\n"}, headers={"If-Match": base.headers["ETag"]}
        )
        assert edit.status_code == 200, edit.get_data(as_text=True)
    wait_until(lambda: phone.messages)
    here.settled()
    (message,) = phone.messages
    assert message["kind"] == "conflict" and message["document"] == "PROJECT_CONTEXT.md"
    assert "1 place" in message["text"]


def version(here, path):
    return here.client.get(path).headers["ETag"]


def test_everything_that_is_kept_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_WAITING", 10)
    monkeypatch.setattr(store, "MAX_TOLD", 20)
    monkeypatch.setattr(store, "MAX_SUBSCRIPTIONS", 2)
    kept = PushStore(tmp_path / "push.db")
    for number in range(2):
        kept.subscribe(f"https://push.example.net/{number}", "key", "auth", "", None)
    with pytest.raises(Conflict):
        kept.subscribe("https://push.example.net/3", "key", "auth", "", None)
    for number in range(50):
        assert kept.add(News.answered(str(number), "c", "m"), number, number, next_tier=False)
    with kept._database.read() as connection:
        assert connection.execute("SELECT count(*) FROM waiting").fetchone()[0] == 10
        assert connection.execute("SELECT count(*) FROM told").fetchone()[0] == 20
    assert kept.next([]).news.run_id == "45", "the oldest are dropped"
    assert not kept.add(News.answered("49", "c", "m"), 51, 51, next_tier=False)
    kept.close()
