"""Errors that cross a process, a database or a network, and errors that stay as they were made."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core import errors
from orchestrator_core.errors import ApplicationError, OrchestratorError, fields_of, from_body
from shared_context.errors import SharedContextError, StoreFull

ROOT = Path(__file__).parents[2]
HOUSE = ("shared_context", "orchestrator_core", "orchestrator_http", "ai_orchestrator", "orchestrator_vps")


def tree(kind: type[ApplicationError]) -> list[type[ApplicationError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]


KINDS = [*tree(OrchestratorError), *tree(SharedContextError)]


def made(kind: type[ApplicationError], **fields: object) -> ApplicationError:
    error = kind.__new__(kind, "What is wrong.")
    ApplicationError.__init__(error, "What is wrong.", "What to do.", **fields)
    return error


def sent(error: ApplicationError) -> ApplicationError:
    return from_body(json.loads(json.dumps(fields_of(error))))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class_and_words_between_processes(kind: type[ApplicationError]) -> None:
    error = made(kind, param="stop", retry_after_s=7)
    for back in (sent(error), sent(sent(error))):
        assert type(back) is kind
        assert vars(back) | {"type": kind.type, "status": kind.status} == vars(back)
        assert (back.message, back.hint, back.param, back.retry_after_s) == (
            "What is wrong.",
            "What to do.",
            "stop",
            7,
        )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class_over_http_and_in_an_event_stream(kind: type[ApplicationError]) -> None:
    error = made(kind)
    assert type(from_body(error.body(), error.status)) is kind
    assert type(from_body(error.body())) is kind


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in errors.FURTHER_CODES.items() for code in codes]
)
def test_an_error_with_a_code_of_its_own_keeps_its_class(kind: type[ApplicationError], code: str) -> None:
    back = sent(made(kind, code=code))
    assert (type(back), back.code) == (kind, code)


def test_no_two_classes_have_one_code() -> None:
    codes = [kind.code for kind in KINDS if kind is not OrchestratorError]
    assert len(codes) == len(set(codes))


def test_every_code_given_in_the_house_is_registered_for_its_class() -> None:
    known = {code for codes in errors.FURTHER_CODES.values() for code in codes}
    given_codes = {}
    for room in ROOT.glob("*/*"):
        for path in room.rglob("*.py") if room.name in HOUSE else ():
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    for word in node.keywords:
                        if word.arg == "code" and isinstance(word.value, ast.Constant):
                            given_codes[word.value.value] = f"{path.name}:{node.lineno}"
    assert len(given_codes) > 10
    assert {code: where for code, where in given_codes.items() if code not in known} == {}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": {"code": "of_tomorrow", "type": "permission_error"}}, None, errors.Forbidden),
        ({"error": {"code": "of_tomorrow"}}, 404, errors.NotFound),
        ({"error": {"code": "of_tomorrow"}}, 422, errors.RequestError),
        ({"error": {"code": "of_tomorrow"}}, 503, errors.BackendError),
        ({"error": {"code": "model_not_found", "type": "not_found_error"}}, 404, errors.NotFound),
        ({"error": {"code": "model_not_found"}}, 503, errors.ModelNotFound),
        ({"error": "a word"}, 429, errors.Overloaded),
        (["no", "body"], 502, errors.BackendError),
        (None, None, errors.BackendError),
    ],
)
def test_a_body_of_another_version_or_program_gets_the_nearest_class(
    body: object, status: int | None, kind: type[ApplicationError]
) -> None:
    back = from_body(body, status)
    assert type(back) is kind
    assert back.status == (status or kind.status)
    assert status is None or str(status) in back.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["type", "code", "message", "hint", "param", "status", "retry_after_s"])


@given(st.dictionaries(names, json_values), st.none() | st.integers(400, 599))
def test_whatever_a_body_says_it_becomes_an_error_that_can_be_sent_on(
    fields: dict[str, object], status: int | None
) -> None:
    error = from_body({"error": fields}, status)
    assert error.message
    assert isinstance(error.hint, str | None)
    assert 400 <= error.status < 600
    json.dumps(error.body())


def test_an_error_of_no_tree_becomes_a_backend_error() -> None:
    back = from_body(fields_of(ZeroDivisionError("x")))
    assert type(back) is errors.BackendError
    assert "ZeroDivisionError" in back.message


@pytest.mark.parametrize("name", ["message", "hint", "code", "status", "type", "param", "retry_after_s"])
@pytest.mark.parametrize("error", [errors.Overloaded("Full."), StoreFull("Full."), made(errors.MissingExtra)])
def test_an_error_cannot_be_changed(error: ApplicationError, name: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(error, name, "other")


def test_another_hint_makes_another_error() -> None:
    error = errors.Overloaded("Full.", retry_after_s=9)
    twin = error.with_hint("Wait.")
    assert (type(twin), twin.hint, twin.retry_after_s, str(twin)) == (errors.Overloaded, "Wait.", 9, "Full.")
    assert error.hint != "Wait."


def test_a_raised_error_keeps_its_traceback_and_cause() -> None:
    with pytest.raises(errors.NotFound) as caught:
        try:
            raise KeyError("x")
        except KeyError as cause:
            raise errors.NotFound("No such thing.") from cause
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__traceback__ is not None
