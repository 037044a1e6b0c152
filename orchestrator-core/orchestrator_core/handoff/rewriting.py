"""Asks the model to word facts better, and keeps only what passed the check in `wording`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

from orchestrator_core.errors import OrchestratorError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.handoff.wording import says_the_same
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.runs.run import Run

log = logging.getLogger(__name__)

TIMEOUT_S = 45.0
"""For all of it: the owner waits, and clients give up after a minute of silence."""
LINES_AT_ONCE = 8
MOST_LINES = 40
INSTRUCTION = (
    "Below are numbered notes. Write each one again as a clear, grammatical sentence in its own"
    " language. Keep every name, number, path and the meaning; add nothing, join nothing, drop nothing."
    " Answer with the same numbers, one line each."
)
_LINE = re.compile(r"(\d{1,2})[.)][ \t]++(.+)")

Complete = Callable[[Sequence[ChatMessage], GenerationConfig], Run]


class Rewriter:
    """
    Args:
        complete: starts an answer to messages (`Assistant.complete`).
        now: seconds; to share the time between several questions.
    """

    def __init__(self, complete: Complete, now: Callable[[], float], timeout_s: float = TIMEOUT_S) -> None:
        self._complete = complete
        self._now = now
        self._timeout_s = timeout_s

    def better(self, texts: Sequence[str]) -> tuple[dict[str, str], str]:
        """Better words for those texts where the model found some that pass, and a line on what
        came of it. Whatever goes wrong, the texts stand as they are."""
        found: dict[str, str] = {}
        deadline = self._now() + self._timeout_s
        wanted = list(dict.fromkeys(texts))[:MOST_LINES]
        try:
            for start in range(0, len(wanted), LINES_AT_ONCE):
                found |= self._batch(wanted[start : start + LINES_AT_ONCE], deadline)
        except OrchestratorError as error:
            log.info("The draft of a handoff keeps its words: %s", error.message)
            return found, f"The model could not help with the wording: {error.message}"
        except TimeoutError:
            return found, f"The model took longer than {self._timeout_s:g} s; the rest is word for word."
        return found, f"{len(found)} of {len(wanted)} lines were reworded; the rest is word for word."

    def _batch(self, texts: Sequence[str], deadline: float) -> dict[str, str]:
        notes = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
        config = GenerationConfig.model_validate(
            {"max_new_tokens": min(1024, 64 + len(notes)), "temperature": 0.0}
        )
        run = self._complete([ChatMessage(Role.USER, f"{INSTRUCTION}\n\n{notes}")], config)
        answer = self._answer(run, deadline)
        return {
            texts[number - 1]: text
            for number, text in numbered(answer)
            if 0 < number <= len(texts)
            and text != texts[number - 1]
            and says_the_same(texts[number - 1], text)
        }

    def _answer(self, run: Run, deadline: float) -> str:
        try:
            result = run.wait(timeout=max(0.0, deadline - self._now()))
        except TimeoutError:
            run.cancel()
            raise
        if result.error is not None:
            raise result.error
        return result.text


def numbered(answer: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of an answer."""
    matches = (_LINE.fullmatch(line.strip()) for line in answer.split("\n"))
    return ((int(match.group(1)), match.group(2)) for match in matches if match)
