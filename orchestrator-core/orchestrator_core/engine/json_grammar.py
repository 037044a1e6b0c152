"""JSON schemas as grammars of llguidance, which are followed token by token.

What llguidance knows of JSON Schema is held to; what it does not know (`not`, `if`, `uniqueItems`,
`contains`, patterns that look around, ...) is left open here, for whoever checks the finished text.
"""

from __future__ import annotations

import json
from typing import Any

from llguidance import LLMatcher

_WHITESPACE = r" |\n{1,2}[ \t]{0,20}"
"""Between the parts of a JSON text. Bounded, or a weak model would write spaces until its limit."""


def schema_grammar(schema: Any) -> str:
    """The grammar of JSON texts under this schema, as strict as it can be.

    Raises:
        ValueError: it is no schema, or nothing satisfies it.
    """
    grammar = _grammar(schema, lenient=True)
    if _complaint(grammar):
        grammar = _grammar(_without_unknown_patterns(schema), lenient=True)
    complaint = _complaint(grammar)
    if complaint:
        raise ValueError(complaint)
    return grammar


def is_enforced(schema: Any) -> bool:
    """Whether every text that follows `schema_grammar` satisfies the schema."""
    try:
        return not _complaint(_grammar(schema, lenient=False))
    except ValueError:
        return False


def _grammar(schema: Any, *, lenient: bool) -> str:
    overrides: Any = {"lenient": lenient, "whitespace_pattern": _WHITESPACE}
    return LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=overrides)


def _complaint(grammar: str) -> str:
    """Why the grammar cannot be used; "" when it can."""
    is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar)
    return "; ".join(messages) if is_error else ""


def _without_unknown_patterns(schema: Any) -> Any:
    """The schema without regular expressions that no automaton can follow."""
    if isinstance(schema, list):
        return [_without_unknown_patterns(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_unknown_patterns(value)
        for key, value in schema.items()
        if key != "pattern"
        or not isinstance(value, str)
        or not _complaint(LLMatcher.grammar_from_regex(value))
    }
