"""Parts of a message's content, as several vendors write them."""

from __future__ import annotations

from typing import Any

from orchestrator_http.schemas.openai import TextPart, only_text


def text_of(block: dict[str, Any]) -> str:
    """The text of one part.

    Raises:
        InvalidRequest: it is none. pydantic.ValidationError: it has none.
    """
    return TextPart.model_validate(only_text(block)).text
