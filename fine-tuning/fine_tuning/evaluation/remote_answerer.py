"""A model behind an OpenAI-compatible server, for evaluation."""

from __future__ import annotations

import os
import time
from typing import Any

import requests

from fine_tuning.errors import BaseModelError
from fine_tuning.evaluation.answerers import GREEDY, Answerer, Messages, Sampling

KEY_VARIABLE = "OPENAI_API_KEY"
TIMEOUT_S = (10, 300)
"""To connect, and to wait for an answer."""
WAITS_S = (1.0, 4.0, 15.0)
"""Before asking again a server that is busy or cannot be reached, unless it says how long."""
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class RemoteAnswerer(Answerer):
    """Asks `POST <url>/chat/completions`. How likely an answer is, such a server does not tell.

    Args:
        url: as far as /v1.
        model: what the server calls it; "" takes the first one it lists.

    Raises:
        BaseModelError: the server cannot be reached, refuses, or answers with something else.
    """

    def __init__(self, url: str, model: str = "") -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        if key := os.environ.get(KEY_VARIABLE):
            self._session.headers["Authorization"] = f"Bearer {key}"
        self._model = model or self._first_model()

    def reply(self, messages: Messages, *, max_tokens: int = 96, sampling: Sampling = GREEDY) -> str:
        body = {
            "model": self._model,
            "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        answer = self._ask("POST", "chat/completions", body)
        try:
            return str(answer["choices"][0]["message"]["content"] or "").strip()
        except (KeyError, IndexError, TypeError) as error:
            raise BaseModelError(
                f"{self._url} answers with something else than a chat completion."
            ) from error

    def close(self) -> None:
        self._session.close()

    def _first_model(self) -> str:
        try:
            return str(self._ask("GET", "models")["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise BaseModelError(f"{self._url} lists no model: name one with --remote_model.") from error

    def _ask(self, method: str, route: str, body: Any = None) -> Any:
        for wait in (*WAITS_S, None):
            try:
                response = self._session.request(
                    method, f"{self._url}/{route}", json=body, timeout=TIMEOUT_S, allow_redirects=False
                )
                if response.ok:
                    return response.json()
                problem = f"{response.status_code}: {response.text[:200]}"
                again, asked = response.status_code in _AGAIN, response.headers.get("Retry-After", "")
            except requests.RequestException as error:  # also what is no JSON
                problem, again, asked = str(error)[:200], True, ""
            if wait is None or not again:
                raise BaseModelError(f"{self._url} does not answer: {problem}")
            time.sleep(min(float(asked), 60.0) if asked.isdecimal() else wait)
        raise AssertionError("the last wait is None")
