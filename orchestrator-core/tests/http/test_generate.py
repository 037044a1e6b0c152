def test_generate_is_cached_when_deterministic(here):
    body = {"prompt": "[INST] What is continuity theory? [/INST]", "max_tokens": 512, "temperature": 0}
    first = here.client.post("/generate", json=body)
    again = here.client.post("/generate", json=body)
    other = here.client.post("/generate", json={**body, "temperature": 0.7})
    assert [one.headers["X-Cache"] for one in (first, again, other)] == ["MISS", "HIT", "BYPASS"]
    assert first.json == again.json
    assert set(first.json) == {"response", "usage", "finish_reason", "tier", "model", "timestamp"}
    assert len(here.backend.calls) == 2
    assert here.backend.calls[0].prompt.text == body["prompt"]
