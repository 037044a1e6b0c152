"""Ollama's routes, translated by `contracts.ollama`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response
from orchestrator_core.errors import InvalidRequest

from orchestrator_http.api import JSON, Api
from orchestrator_http.completions.chat_answers import (
    ASSISTANT,
    Make,
    chat_completions,
    infilled,
    means_assistant,
    refuse_assistant,
    text_completion,
)
from orchestrator_http.contracts import ollama
from orchestrator_http.contracts.ollama import NDJSON, OllamaWriter, line
from orchestrator_http.routes.asking import STREAM_ERRORS
from orchestrator_http.routes.completing import collected_completions, streamed_completions
from orchestrator_http.routes.embeddings import embedded
from orchestrator_http.schemas.common import JsonObject
from orchestrator_http.services import services

api = Api("ollama", scope="ask", answered_by="any_model", any_type=True)
ANSWERS: dict[str, Any] = {"errors": STREAM_ERRORS, "media": (JSON, NDJSON), "answer": JsonObject}


@api.route("POST", "/api/chat", summary="Answer messages in Ollama's words", **ANSWERS)
def chat(body: ollama.OllamaChat) -> JsonObject | Response:
    """Streams lines of JSON unless `stream` is false. Options of loading a model are ignored."""
    if not body.messages:
        return _loaded(OllamaWriter(body.model, chat=True))
    asked = ollama.chat_as_chat(body)
    return _answered(chat_completions(asked), asked.stream, OllamaWriter(body.model, chat=True))


@api.route("POST", "/api/generate", summary="Answer a prompt in Ollama's words", **ANSWERS)
def generate(body: ollama.OllamaGenerate) -> JsonObject | Response:
    """With `raw` the prompt is sent as it stands, with `suffix` what lies between the two is written; else it is
    the message of a user."""
    teller = OllamaWriter(body.model, chat=False)
    if not body.prompt and not body.suffix:
        return _loaded(teller)
    asked = ollama.generate_as_chat(body)
    if not body.raw and not body.suffix:
        return _answered(chat_completions(asked), asked.stream, teller)
    refuse_assistant(body.model)
    makes = [text_completion(infilled(ollama.raw_prompt(body), body.suffix), asked)]
    return _answered(makes, asked.stream, teller)


@api.route("GET", "/api/tags", summary="The models there are, in Ollama's words", errors=(502, 504))
def tags() -> JsonObject:
    return JsonObject({"models": _models()})


@api.route("GET", "/api/ps", summary="The models that are loaded, in Ollama's words", errors=(502, 504))
def loaded() -> JsonObject:
    return JsonObject({"models": _models()})


@api.route("POST", "/api/show", summary="One model, in Ollama's words", errors=(502, 504), repeatable=True)
def show(body: ollama.OllamaShow) -> JsonObject:
    backend = services().assistant.backend
    listed, _ = _models()
    described = backend.describe()
    return JsonObject(
        {
            "modelfile": "",
            "parameters": "",
            "license": "",
            "template": backend.chat_template() or "",
            "details": listed["details"],
            "modified_at": listed["modified_at"],
            "model_info": {
                "general.architecture": "llama",
                "general.basename": described.model,
                "llama.context_length": described.context_length,
            },
            "capabilities": ["completion"]
            if means_assistant(body.model or body.name)
            else ["completion", "tools"],
        }
    )


@api.route("POST", "/api/embed", summary="Vectors of texts, in Ollama's words", errors=(502, 504))
def embed(body: ollama.OllamaEmbed) -> JsonObject:
    if not body.input:
        raise InvalidRequest("The field 'input' is missing.", param="input")
    vectors, tokens = embedded(body.input, body.dimensions)
    return JsonObject({"model": body.model, "embeddings": vectors, "prompt_eval_count": tokens})


@api.route("POST", "/api/embeddings", summary="One vector, in Ollama's older words", errors=(502, 504))
def embed_one(body: ollama.OllamaEmbed) -> JsonObject:
    if not body.prompt:
        raise InvalidRequest("The field 'prompt' is missing.", param="prompt")
    vectors, _ = embedded(body.prompt, None)
    return JsonObject({"embedding": vectors[0]})


@api.route("GET", "/api/version", summary="The version of Ollama's API that is spoken")
def version() -> JsonObject:
    return JsonObject({"version": ollama.API_VERSION})


def _answered(makes: list[Make], stream: bool | None, teller: OllamaWriter) -> JsonObject | Response:
    if stream:
        return streamed_completions(
            makes,
            lambda runs, answers: teller.lines(answers[0]),
            on_problem=lambda problem: [line({"error": problem.message})],
            content_type=NDJSON,
        )
    ((_, completion),) = collected_completions(makes)
    return JsonObject(teller.whole(completion))


def _loaded(teller: OllamaWriter) -> JsonObject:
    services().model.ensure()
    return JsonObject(teller.loaded())


def _models() -> list[dict[str, Any]]:
    here = services()
    here.model.ensure()
    described = here.assistant.backend.describe()
    details = {
        "format": "gguf" if described.backend == "llama_cpp" else described.backend,
        "family": "llama",
        "families": ["llama"],
        "parameter_size": str(described.details.get("parameters", "")),
        "quantization_level": described.quantization or "",
        "parent_model": "",
    }
    common = {
        "modified_at": datetime.now(UTC).isoformat(),
        "size": 0,
        "digest": "",
        "details": details,
    }
    return [{"name": name, "model": name, **common} for name in (described.model, ASSISTANT)]
