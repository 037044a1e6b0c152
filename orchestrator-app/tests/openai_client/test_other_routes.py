"""Models, completions and embeddings through the official `openai` package."""

import pytest


def test_models(serve):
    client, _, _ = serve()
    model, assistant = client.models.list().data
    assert assistant.id == "orchestrator"
    assert model.id == "scripted" and model.context_length == 8192
    assert client.models.retrieve("scripted").id == "scripted"
    # As in chat, any other name is the bare model's.
    assert client.models.retrieve("another/model").id == "scripted"


def test_completions(serve):
    client, backend, _ = serve("a theory.", "more")
    answer = client.completions.create(model="m", prompt="[INST] Continuity is [/INST]", max_tokens=9)
    assert answer.choices[0].text == "a theory." and answer.object == "text_completion"
    assert backend.calls[0].prompt.text == "[INST] Continuity is [/INST]"
    stream = client.completions.create(model="m", prompt="x", echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "xmore"


def test_embeddings(serve):
    client, _, _ = serve(embedding_size=8)
    found = client.embeddings.create(model="m", input=["one", "two"])
    assert [len(one.embedding) for one in found.data] == [8, 8]
    plain = client.embeddings.create(model="m", input="one", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(found.data[0].embedding, abs=1e-6)
    assert found.usage.prompt_tokens == 2
