"""The process that runs chat templates: `python -m orchestrator_core.prompt.render_worker`.

Templates come from model files and so from strangers. Jinja's sandbox keeps them from Python's
internals; the operating system bounds their time and memory. One JSON object per line in each
direction: `{"source", "variables", "today"}` is answered by `{"text"}` or `{"refused"}`. The
environment is that of Hugging Face's tokenizers, except that lists can be changed: they are copies.

This module is all the process needs: its start is what a first prompt waits for.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import SandboxedEnvironment

MAX_SECONDS = 5
MAX_MEMORY = 512 * 1024 * 1024
MAX_TEXT = 16 * 1024 * 1024
"""Characters of a finished prompt. The longest windows hold about four million."""

TODAY_IN_WORDS = "see the newest message"
"""What a template that writes today's date into the system text gets instead: a date there
would change the whole prompt at midnight. The date and time stand in each user turn."""


class _GenerationTag(Extension):
    """`{% generation %}`: marks the assistant's words for training; here only its content counts."""

    tags = {"generation"}

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return body


def _raise(message: object) -> None:
    raise TemplateError(str(message)[:500])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of Jinja's own filter."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=list,  # What Jinja's filters return.
    )


@lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    environment = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationTag]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


def answer(request: dict[str, Any]) -> dict[str, str]:
    """The reply to one request. A template can provoke every kind of error; each is a refusal."""
    today = datetime.fromisoformat(request["today"]) if request["today"] else None

    def strftime_now(pattern: str) -> str:
        return today.strftime(pattern) if today else TODAY_IN_WORDS

    try:
        text = _compiled(request["source"]).render(**request["variables"], strftime_now=strftime_now)
        if len(text) > MAX_TEXT:
            return {"refused": "it produces more text than any prompt has"}
        text.encode()
    except MemoryError:
        raise  # Ends the process, so that the caller learns that the template was stopped.
    except Exception as error:
        words = str(error).splitlines()[:1]
        kind = "" if isinstance(error, TemplateError) else type(error).__name__
        return {"refused": ": ".join(filter(None, [kind, *words]))[:500] or type(error).__name__}
    return {"text": text}


def confine() -> None:
    """No more memory than MAX_MEMORY, where the system can hold a process to that."""
    try:
        import resource
    except ImportError:  # Windows: time alone is bounded.
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def main() -> None:
    with Path(os.devnull).open("w") as nowhere:
        confine()
        _answer_all(nowhere)


def _answer_all(nowhere: TextIO) -> None:
    for line in sys.stdin.buffer:
        # A thread of its own ends the process, also while a template holds the interpreter.
        faulthandler.dump_traceback_later(MAX_SECONDS, exit=True, file=nowhere)
        reply = answer(json.loads(line))
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
