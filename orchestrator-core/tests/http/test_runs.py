import threading

from support.desktop import desk, events
from support.scripted import Gate, Reply, ScriptedBackend
from support.waiting import wait_until


def test_a_run_can_be_followed_again_from_any_offset(here):
    run_id = here.ask()["run_id"]
    whole = events(here.client.get(f"/runs/{run_id}/stream").get_data(as_text=True))
    for after in range(len(whole) + 1):
        rest = events(here.client.get(f"/runs/{run_id}/stream?from={after}").get_data(as_text=True))
        assert rest == whole[after:]
        same = here.client.get(f"/runs/{run_id}/stream?from=0", headers={"Last-Event-ID": str(after)})
        assert events(same.get_data(as_text=True)) == whole[after:]


def test_a_run_shows_its_state_and_text(here):
    run_id = here.ask()["run_id"]
    run = here.client.get(f"/runs/{run_id}").json
    assert run["state"] == "done" and run["text"] == "Hello 🦜 there."
    assert run["usage"]["completion_tokens"] > 0 and run["error"] is None
    assert here.client.delete(f"/runs/{run_id}").json["state"] == "done"


def test_stopping_a_run_from_elsewhere_keeps_its_text(tmp_path):
    gate = Gate()
    with desk(tmp_path, ScriptedBackend([Reply(text="one two three", gate=gate)])) as here:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(here.ask()))
        asking.start()
        gate.allow(2)
        assert gate.wait_blocked()
        (run,) = here.services.assistant.runs.active()
        wait_until(lambda: run.text == "one two")
        stopped = here.client.delete(f"/runs/{run.run_id}").json
        asking.join(10)
    assert stopped["state"] == "cancelled" and stopped["text"] == "one two"
    assert answers[0]["finish_reason"] == "cancelled" and answers[0]["response"] == "one two"
