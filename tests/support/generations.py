"""Answers of a backend, read to their end."""

from __future__ import annotations

from orchestrator_core.backends.base import Generation


def said(generation: Generation) -> str:
    return "".join(token.text for token in generation)
