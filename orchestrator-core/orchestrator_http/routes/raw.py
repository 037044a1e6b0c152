"""`/generate`: a raw prompt, sent to the model as it stands. Nothing is stored in a conversation."""

from __future__ import annotations

from orchestrator_core.chat_request import GenerateRequest

from orchestrator_http.api import Api, Reply
from orchestrator_http.completions.response_cache import cache_key, model_identity
from orchestrator_http.routes.asking import STREAM_ERRORS, full_answer
from orchestrator_http.schemas.raw import GenerateAnswer
from orchestrator_http.services import services

api = Api("raw", scope="ask", answered_by="any_model")


@api.route("POST", "/generate", summary="Continue a raw prompt", errors=STREAM_ERRORS, answer=GenerateAnswer)
def generate(body: GenerateRequest) -> Reply:
    """Deterministic requests (temperature 0, or a seed) are answered from a cache when the same
    was asked before; the header X-Cache says HIT, MISS or BYPASS."""
    here = services()
    body.check_size(here.settings.server.max_message_chars)
    here.model.ensure()
    config = body.generation(here.assistant.api_sampling())
    described = here.assistant.backend.describe()
    here.cache.keep_for(model_identity(described, here.settings.model.path))
    key = cache_key(body.prompt, config, described)
    known = here.cache.get(key) if key else None
    if known is not None:
        return Reply(GenerateAnswer.model_validate(known), headers={"X-Cache": "HIT"})
    done = full_answer(lambda: here.assistant.generate_raw(body), cancel_when_gone=True)
    answer = GenerateAnswer.model_validate(done)
    if key is not None and answer.finish_reason != "cancelled":
        here.cache.put(key, answer.model_dump())
    return Reply(answer, headers={"X-Cache": "MISS" if key else "BYPASS"})
