"""How much work and text one rendering of a chat template may cost, and who keeps count."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2.runtime import Context, Macro

MAX_STEPS = 1_000_000
"""Loop turns, calls and filter work of one rendering; a long chat takes a few thousand."""
MAX_TEXT_CHARS = 16 * 1024 * 1024
"""Text one rendering may produce, intermediate results included."""
CHARS_PER_STEP = 64


class TemplateError(jinja2.TemplateError):
    """The template is broken, refuses these messages, or went over a limit."""


class _Budget:
    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.chars = MAX_TEXT_CHARS

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TemplateError("it does more work than a chat template needs")

    def produce(self, chars: int) -> None:
        self.chars -= chars
        if self.chars < 0:
            raise TemplateError("it produces more text than any prompt has")


_budget: ContextVar[_Budget | None] = ContextVar("template_budget", default=None)


def spend(steps: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.spend(steps)


def produce(chars: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.produce(chars)


def work(value: Any) -> Any:
    """Counts a look at `value`, not into what it holds; returns it."""
    if isinstance(value, str):
        spend(1 + len(value) // CHARS_PER_STEP)
    elif isinstance(value, Sized) and not isinstance(value, Context | Macro):
        spend(1 + len(value))
    else:
        spend(1)
    return value


def weigh(value: Any) -> Any:
    """Counts a walk through everything `value` holds, each occurrence of a shared part anew, as
    printing or comparing it would; returns it."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            spend(1 + len(part) // CHARS_PER_STEP)
            continue
        spend(1)
        if isinstance(part, dict):
            left += part.keys()
            left += part.values()
        elif isinstance(part, list | tuple | set):
            left += part
    return value


@contextmanager
def budgeted(failure: str) -> Iterator[None]:
    """A fresh budget; any error becomes a TemplateError. A template can provoke every kind."""
    token = _budget.set(_Budget())
    try:
        yield
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(f"{failure}: {_first_line(error)}") from error
    finally:
        _budget.reset(token)


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
