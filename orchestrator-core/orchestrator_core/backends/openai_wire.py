"""What OpenAI-compatible servers send: chunks, error bodies. No network here.

Servers differ from the published protocol in ways this module has met: comment lines and CRLF,
events cut anywhere, a missing [DONE], an error object in place of a chunk, a chunk with usage and
no choices, content as a list of parts, a whole completion instead of a stream.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_core.backend import FinishReason, Usage
from orchestrator_core.errors import (
    BackendError,
    BackendLoading,
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    ModelNotFound,
    OrchestratorError,
    Overloaded,
)

MAX_QUOTE = 300
"""Characters of a server's own words that are repeated in our errors."""

_TOO_LONG = re.compile(
    r"maximum context length|context[ _](length|window|size)|too large for model"
    r"|prompt is too long|input (length|is too long)",
    re.IGNORECASE,
)


class ProtocolError(Exception):
    """The server sent something that is not the protocol."""


class ServerError(Exception):
    """An error object arrived in place of a chunk."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Delta:
    """What one chunk adds to the answer."""

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None


def read_delta(payload: str) -> Delta:
    """One chunk of a chat or text completion, or a whole completion.

    Raises:
        ServerError: it is an error object.
        ProtocolError: it is not a chunk.
    """
    try:
        chunk = json.loads(payload)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {quote(payload)}") from error
    if not isinstance(chunk, dict):
        raise ProtocolError(f"not an object: {quote(payload)}")
    if chunk.get("error"):
        raise ServerError(_error_status(chunk["error"]), error_text(payload))
    choices = chunk.get("choices")
    if choices is None and "usage" not in chunk:
        raise ProtocolError(f"no choices: {quote(payload)}")
    if not isinstance(choices or [], list):
        raise ProtocolError(f"choices is not a list: {quote(payload)}")
    usage = _usage(chunk.get("usage"))
    if not choices:
        return Delta(usage=usage)
    choice = choices[0]
    if not isinstance(choice, dict):
        raise ProtocolError(f"a choice is not an object: {quote(payload)}")
    finish = choice.get("finish_reason")
    return Delta(_text(choice, payload), finish if isinstance(finish, str) else None, usage)


def finish_reason(word: str | None) -> FinishReason:
    """Our word for the server's; what is unknown (tool_calls, content_filter) is an end like any other."""
    return FinishReason.LENGTH if word in ("length", "model_length", "max_tokens") else FinishReason.STOP


def error_for(
    status: int, text: str, headers: Mapping[str, str], *, server: str, model: str
) -> OrchestratorError:
    """What a refusal means to us.

    Args:
        status: HTTP status; 0 for an error object without one.
        text: the server's own words (see `error_text`), already free of secrets.
        headers: of the answer, for Retry-After and Location.
        server: the server's address, for people.
        model: the model that was asked for.
    """
    quoted = f" It says: {quote(text)}" if text else ""
    if status in (0, 400, 413, 422, 500) and _TOO_LONG.search(text):
        return ContextLengthExceeded(f"The prompt does not fit the window of {model!r} at {server}.{quoted}")
    if status in (401, 403):
        return BackendError(
            f"The server {server} does not accept our key ({status}).{quoted}",
            hint="Check model.api_key (or ORCHESTRATOR_MODEL_API_KEY) and that it may use this model.",
            code="backend_unauthorized",
        )
    if status == 404:
        return ModelNotFound(
            f"The server {server} has no model {model!r}, or not this route.{quoted}",
            hint="Check model.path (the model's name there) and model.url, which usually ends in /v1.",
        )
    if status == 429:
        return Overloaded(f"The server {server} is busy.{quoted}", retry_after_s=retry_after(headers))
    if 300 <= status < 400:
        return BackendError(
            f"The server {server} redirects elsewhere, and a key is never carried along.",
            hint=f"If {headers.get('Location', 'the new address')!r} is right, set model.url to it.",
            code="backend_redirect",
        )
    if status == 503 and "loading" in text.lower():
        return BackendLoading(f"The server {server} is still loading its model.{quoted}")
    if status in (408, 504):
        return BackendTimeout(f"The server {server} did not answer in time ({status}).{quoted}")
    if status == 0 or status >= 500:
        return BackendUnreachable(f"The server {server} failed ({status or 'error in the stream'}).{quoted}")
    return BackendError(
        f"The server {server} refused the request ({status}).{quoted}", code="backend_refused"
    )


def error_text(body: str) -> str:
    """The server's own words in an error body of any of the usual shapes; bounded."""
    try:
        content = json.loads(body)
    except ValueError:
        content = re.sub(r"<[^<>]*>", " ", body)
    problem = content
    for key in ("error", "message", "detail"):
        if isinstance(content, dict) and content.get(key):
            problem = content[key]
            break
    if isinstance(problem, dict) and isinstance(problem.get("message"), str):
        kinds = [kind for kind in (problem.get("type"), problem.get("code")) if isinstance(kind, str)]
        problem = problem["message"] + (f" ({', '.join(kinds)})" if kinds else "")
    return quote(problem if isinstance(problem, str) else json.dumps(problem))


def retry_after(headers: Mapping[str, str], default: int = 5) -> int:
    """Seconds from a Retry-After header (a number or a date), within 1 to 3600."""
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            seconds = default
    return int(min(3600, max(1, math.ceil(seconds)))) if math.isfinite(seconds) else default


def quote(text: str) -> str:
    """Somebody else's words, on one line and not too many of them."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUOTE else line[:MAX_QUOTE] + "…"


def _text(choice: dict[str, Any], payload: str) -> str:
    """Text of a chat chunk (delta), a whole answer (message) or a text completion (text)."""
    holder = choice.get("delta") or choice.get("message")
    if holder is not None and not isinstance(holder, dict):
        raise ProtocolError(f"delta is not an object: {quote(payload)}")
    content = choice.get("text") if holder is None else holder.get("content")
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content or "", str):
        raise ProtocolError(f"content is not text: {quote(payload)}")
    return content or ""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        _number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens")), _number(cached)
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _error_status(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 0
