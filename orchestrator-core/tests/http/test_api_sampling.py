"""The contracts of others start from their own defaults; ours are for our conversations."""

from __future__ import annotations

import pytest
from orchestrator_core.generation import ChatSampling

ASKED = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("/v1/completions", {"prompt": "Hi"}),
    ("/generate", {"prompt": "Hi"}),
]


@pytest.mark.parametrize(("route", "body"), ASKED)
def test_who_asks_for_nothing_gets_neutral_sampling(here, route, body):
    here.services.settings.generation = ChatSampling(stop=["never"], top_k=3, greedy=True, max_new_tokens=7)
    assert here.client.post(route, json=body).status_code == 200
    used = here.backend.calls[-1].config
    assert set(used.wanted) <= {"max_new_tokens"}
    assert used.limit(1000) > 7


def test_the_models_own_advice_stands(here, monkeypatch):
    monkeypatch.setattr(here.backend, "suggested_sampling", lambda: {"temperature": 0.3, "top_k": 20})
    for route, body in ASKED:
        here.client.post(route, json=body)
        used = here.backend.calls[-1].config
        assert (used.temperature, used.top_k) == (0.3, 20)
        here.client.post(route, json={**body, "temperature": 0.9})
        assert here.backend.calls[-1].config.temperature == 0.9


def test_the_answer_may_be_as_long_as_the_window_leaves_and_never_more(here):
    window = here.backend.context_length
    for route, body in ASKED:
        for asked in ({}, {"max_tokens": window}, {"max_tokens": 999_999}):
            assert here.client.post(route, json={**body, **asked}).status_code == 200
            call = here.backend.calls[-1]
            room = window - here.backend.count_prompt(call.prompt)
            published = 16 if route == "/v1/completions" and not asked else room
            assert call.config.limit(room) == published
            assert not asked or call.config.max_new_tokens == room
