"""`/v1/embeddings`."""

from __future__ import annotations

import base64
import struct
from typing import Any

from orchestrator_core.errors import Unsupported

from orchestrator_http.api import Api
from orchestrator_http.routes.completions import texts_of
from orchestrator_http.schemas.openai import EmbeddingRequest
from orchestrator_http.schemas.openai_answers import Embedding, EmbeddingList, EmbeddingUsage
from orchestrator_http.services import services

api = Api("embeddings", scope="ask", answered_by="any_model")


@api.route("POST", "/v1/embeddings", summary="One vector per text", errors=(502, 504))
def create(body: EmbeddingRequest) -> EmbeddingList:
    """400 with the code `unsupported` where the backend has no embeddings."""
    vectors, tokens = embedded(body.input, body.dimensions)
    encode = _base64 if body.encoding_format == "base64" else list
    return EmbeddingList(
        data=[Embedding(index=index, embedding=encode(vector)) for index, vector in enumerate(vectors)],
        model=services().assistant.backend.describe().model,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


def embedded(given: Any, dimensions: int | None) -> tuple[list[list[float]], int]:
    """One vector per text, and how many tokens were read.

    Args:
        given: one or several texts, or numbers of tokens.
        dimensions: that the vectors shall have.

    Raises:
        Unsupported: the model has none, or of another length.
    """
    here = services()
    with here.places.hold():
        here.model.ensure()
        backend = here.assistant.backend
        texts = texts_of(given, backend)
        vectors = backend.embed(texts)
        tokens = sum(here.assistant.count_tokens(text) for text in texts)
    if dimensions not in (None, len(vectors[0])):
        raise Unsupported(
            f"This model's vectors have {len(vectors[0])} dimensions, and no other number.",
            hint="Leave dimensions out.",
            param="dimensions",
        )
    return vectors, tokens


def _base64(vector: list[float]) -> str:
    """The wire form the official client asks for by default: little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
