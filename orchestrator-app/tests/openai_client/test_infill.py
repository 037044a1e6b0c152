"""What lies between two texts, through the vendors' clients and the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import ollama
import openai
import pytest
from ai_orchestrator.server import Server
from gguf_scripted import scripted_model
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.settings import Settings
from support.desktop import listening

MARKS = {
    "Qwen Coder": ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    "CodeLlama": ("<PRE>", "<SUF>", "<MID>"),
    "DeepSeek Coder": ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    "no marks": (),
}


@pytest.fixture(params=MARKS)
def marks(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return MARKS[request.param]


@pytest.fixture
def server(marks: tuple[str, ...], tmp_path: Path) -> Iterator[Server]:
    path = scripted_model(tmp_path / "model.gguf", "return a + b", control=marks, context=512)
    settings = Settings.model_validate({"data": tmp_path / "data", "model": {"path": str(path)}})
    with listening(tmp_path, LlamaCppBackend(settings)) as server:
        yield server


def test_the_middle_is_asked_for_in_the_models_own_marks(server: Server, marks: tuple[str, ...]) -> None:
    asked: list[str] = []
    generate = LlamaCppBackend.generate

    def noted(self, prompt, *more, **named):
        asked.append(prompt.text)
        return generate(self, prompt, *more, **named)

    before, after = "def add(a, b):\n    ", "\n\nprint(add(1, 2))\n"
    with (
        patch.object(LlamaCppBackend, "generate", noted),
        openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client,
        ExitStack() as closing,
    ):
        vendor = ollama.Client(host=server.url)
        closing.callback(vendor._client.close)
        if not marks:
            with pytest.raises(openai.BadRequestError, match="suffix") as refused:
                client.completions.create(model="m", prompt=before, suffix=after)
            assert refused.value.param == "suffix"
            with pytest.raises(ollama.ResponseError, match="suffix"):
                vendor.generate(model="m", prompt=before, suffix=after)
            assert not asked
            return
        written = client.completions.create(
            model="m", prompt=before, suffix=after, max_tokens=40, temperature=0, echo=True
        )
        assert written.choices[0].text == before + "return a + b"
        assert vendor.generate(model="m", prompt=before, suffix=after).response == "return a + b"
    pre, suf, mid = marks
    assert asked == [f"{pre}{before}{suf}{after}{mid}"] * 2
