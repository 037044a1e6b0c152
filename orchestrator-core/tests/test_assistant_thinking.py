"""What a reasoning model thinks is shown as such, and is no part of what is stored or asked later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from orchestrator_core.event_stream import events_in
from orchestrator_core.runs import codec
from support.desktop import Desk, desk
from support.scripted import Reply, ScriptedBackend
from support.two_tiers import WAIT, kinds, two_tiers

OPENS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}"
)
"""A template that begins the thoughts of each answer itself."""
PLAIN = OPENS.replace("<think>\n", "")
SAID = {
    PLAIN: "<think>\nLet me see, <b>.\n</think>\n\nIt is 4 < 5.",
    OPENS: "Let me see, <b>.\n</think>\n\nIt is 4 < 5.",
}
ANSWER = "It is 4 < 5."


@pytest.fixture(params=[PLAIN, OPENS], ids=["the model opens", "the template opens"])
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    backend = ScriptedBackend(otherwise=SAID[request.param], template=request.param)
    with desk(tmp_path, backend) as here:
        yield here


def streamed(here: Desk, **body: object) -> list[tuple[str, dict[str, object]]]:
    response = here.client.post("/chat/stream", json={"message": "2 + 2?", **body})
    return [(event.name, json.loads(event.data)) for event in events_in([response.get_data()])]


def test_the_answer_of_chat_has_no_thoughts_and_neither_has_the_next_prompt(here: Desk) -> None:
    answer = here.ask("2 + 2?")
    assert answer["response"] == ANSWER
    history = here.client.get("/conversation").json["history"]
    assert [said["content"] for said in history] == ["2 + 2?", ANSWER]
    here.ask("Sure?")
    prompt = here.backend.calls[-1].prompt.text
    assert ANSWER in prompt
    assert "Let me see" not in prompt


def test_a_stream_gives_thoughts_as_events_of_their_own_kind(here: Desk) -> None:
    events = streamed(here)
    thoughts = [data["thinking"] for name, data in events if name == "thinking"]
    assert "".join(map(str, thoughts)).strip() == "Let me see, <b>."
    tokens = [data["token"] for name, data in events if name == "message" and "token" in data]
    assert "".join(map(str, tokens)) == events[-1][1]["response"] == ANSWER
    kinds_in_order = [name for name, _ in events]
    assert kinds_in_order == sorted(kinds_in_order, reverse=True)
    again = here.client.get(f"/runs/{events[-1][1]['run_id']}/stream?from=0")
    assert [(each.name, json.loads(each.data)) for each in events_in([again.get_data()])] == events


def test_openai_clients_of_the_assistant_get_them_as_reasoning(here: Desk) -> None:
    body = {"model": "orchestrator", "messages": [{"role": "user", "content": "2 + 2?"}]}
    message = here.client.post("/v1/chat/completions", json=body).json["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"].strip()) == (ANSWER, "Let me see, <b>.")
    stream = here.client.post("/v1/chat/completions", json={**body, "stream": True}).get_data()
    deltas = [
        json.loads(event.data)["choices"][0]["delta"]
        for event in events_in([stream])
        if event.data != "[DONE]"
    ]
    assert "".join(delta.get("content") or "" for delta in deltas) == ANSWER
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas).strip() == "Let me see, <b>."


@pytest.mark.parametrize("after", range(1, 9))
def test_an_engine_that_dies_on_the_way_leaves_no_marks_in_the_answer(tmp_path: Path, after: int) -> None:
    """Before the answer begins it thinks again; later it goes on behind the end of its thoughts."""
    backend = ScriptedBackend(
        lambda prompt, config: (
            ANSWER if prompt.text.endswith("</think>\n\n") else Reply(text=SAID[OPENS], crash_after=(after,))
        ),
        template=OPENS,
    )
    with desk(tmp_path, backend) as here:
        events = streamed(here)
        assert events[-1][1]["response"] == ANSWER
        before_seam = events[: [name for name, _ in events].index("seam")]
        begun = any("token" in data for _, data in before_seam)
        assert [call.prompt.text.endswith("</think>\n\n") for call in backend.calls] == [False, begun]
        assert here.client.get("/conversation").json["history"][-1]["content"] == ANSWER


def test_thoughts_of_another_tier_are_passed_on(tmp_path: Path) -> None:
    desktop = ScriptedBackend(otherwise=SAID[OPENS], template=OPENS)
    with two_tiers(tmp_path, desktop, ScriptedBackend(otherwise="unused")) as pair:
        run = pair.ask()
        run.wait(WAIT)
        assert run.text == ANSWER
        assert run.thoughts.strip() == "Let me see, <b>."
        assert kinds(run)[0] == "thinking"


def test_a_stored_run_knows_how_its_model_thinks(here: Desk) -> None:
    run_id = here.ask()["run_id"]
    spec = here.services.assistant.runs.get(run_id).spec
    assert codec.unpack_spec(codec.pack_spec(spec), None).answer_format == spec.answer_format
