"""Ids that tiers agree on without asking each other: of a question's runs, and of its answers.

A message that reaches two tiers is answered by runs of one id. Their answers are stored under ids of
their own, because they may say different things; whoever answers in another tier's place says
which answer his one supersedes, so that what a person saw is the answer everywhere.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from orchestrator_core.tiers.router import HOME


@dataclass(frozen=True, slots=True)
class AnswerId:
    """
    Args:
        supersedes: an answer that may never have been given.
    """

    message_id: str
    supersedes: str | None = None


def run_id(message_id: str, attempt: int, former: str | None = None) -> str:
    """
    Args:
        attempt: how many runs failed before without a word.
        former: the answer that shall be answered again.
    """
    again = "" if former is None else f" instead of {former}"
    return _derived(f"orchestrator run {attempt} for message {message_id}{again}")


def replayed_run_id(message_id: str) -> str:
    """Of a run that only tells a stored answer again, which named none."""
    return _derived(f"orchestrator replay of {message_id}")


def own_answer(run_id: str, tier: str, former: str | None = None) -> AnswerId:
    """Of a tier that answers from the beginning.

    Args:
        former: the answer that is answered again.
    """
    at_home = _of(run_id, HOME)
    return AnswerId(at_home, former) if tier == HOME else AnswerId(_of(run_id, tier), at_home)


def taken_over(run_id: str, tier: str, lost: str) -> AnswerId:
    """Of a tier that goes on where another one was lost.

    Args:
        run_id: of the run at the tier that was lost, which may yet end it.
    """
    return AnswerId(_of(run_id, f"{tier} after {lost}"), _of(run_id, lost))


def _of(run_id: str, whose: str) -> str:
    return _derived(f"orchestrator answer of the {whose} to run {run_id}")


def _derived(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))
