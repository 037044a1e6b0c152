"""Every error of the rooms below has a status, and no bug of ours tells its insides."""

import errno

import pytest
from orchestrator_core import errors as thinking
from orchestrator_http.problems import Problem, problem_from, unexpected
from shared_context import errors as memory


def tree(kind):
    """The class and those below it, as far as these rooms define them."""
    below = [one for child in kind.__subclasses__() for one in tree(child)]
    return [
        one for one in (kind, *below) if one.__module__.startswith(("orchestrator_core", "shared_context"))
    ]


@pytest.mark.parametrize("kind", tree(memory.SharedContextError), ids=lambda kind: kind.__name__)
def test_each_memory_error_has_a_status_of_its_own(kind):
    problem = problem_from(kind("What is wrong.", "What to do."))
    assert problem.message == "What is wrong."
    assert problem.hint == "What to do."
    assert problem.code != "memory_error" or kind is memory.SharedContextError
    assert 400 <= problem.status < 600


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (memory.ConversationNotFound, 404),
        (memory.DocumentNotFound, 404),
        (memory.StoreFull, 507),
        (memory.StoreReadOnly, 503),
        (memory.StaleVersion, 412),
        (memory.InvalidImport, 400),
    ],
)
def test_memory_errors_that_clients_act_upon(kind, status):
    assert problem_from(kind("x")).status == status


def test_thinking_errors_keep_their_status_code_and_field():
    problem = problem_from(thinking.InvalidRequest("Too many.", hint="Fewer.", param="stop"))
    assert (problem.status, problem.code, problem.param) == (400, "invalid_request", "stop")


def test_overload_says_when_to_come_back():
    assert problem_from(thinking.Overloaded("Full.", retry_after_s=7)).headers["Retry-After"] == "7"


def test_loading_says_when_to_come_back():
    assert problem_from(thinking.BackendLoading("Loading.")).headers["Retry-After"] == "5"


def test_a_missing_key_names_the_scheme():
    assert problem_from(thinking.Unauthorized("No.")).headers["WWW-Authenticate"].startswith("Bearer")


def test_a_full_disk_that_nobody_translated_is_507():
    assert problem_from(OSError(errno.ENOSPC, "No space left")).status == 507


def test_a_bug_is_no_problem_but_an_unexpected_error():
    assert problem_from(KeyError("secret")) is None
    told = unexpected("abc123")
    assert told.status == 500
    assert "abc123" in told.message


def test_the_openai_shape_carries_the_hint_in_the_message():
    body = Problem(400, "invalid_request_error", "c", "What.", "Next.", param="stop").openai_body()
    assert body == {
        "error": {"message": "What. Next.", "type": "invalid_request_error", "param": "stop", "code": "c"}
    }
