"""The OpenAPI document is valid, complete, and what it promises is kept (schemathesis)."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from orchestrator_core.backends.scripted import Reply, ScriptedBackend
from orchestrator_core.http.routes import SHARED, handoff
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from support.desktop import desk

EXAMPLES = 25
"""Requests per route; with 35 routes some hundreds in all."""


ENDLESS = {"/sync/events"}
"""Streams that end only with their client; their tests are beside their routes'."""

ROUTES = [
    operation
    for api in (*SHARED, handoff.api)
    for operation in api.operations
    if operation.rule not in ENDLESS
]

CONFIG = SchemathesisConfig.from_str("""
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 412, 413, 415, 428]

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 404, 409, 412, 413, 428]
""")
"""400 is right for valid data that says the wrong thing: a tier that is not here, tools that
contradict each other."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    backend = ScriptedBackend(otherwise=Reply(text='{"name": "x", "arguments": {}}'), embedding_size=4)
    with desk(tmp_path_factory.mktemp("data"), backend) as found:
        yield found


@pytest.fixture(scope="module")
def api(here):
    return schemathesis.openapi.from_wsgi("/openapi.json", here.app, config=CONFIG)


def document(here):
    return here.client.get("/openapi.json").json


def test_the_document_is_valid(here):
    validate(document(here))


def test_every_route_of_the_api_is_in_the_document(here):
    import re

    described = {
        (method.upper(), path)
        for path, operations in document(here)["paths"].items()
        for method in operations
    }
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in here.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("pages.")
    }
    assert described == served


def test_operations_have_names_of_their_own(here):
    names = [
        operation["operationId"]
        for operations in document(here)["paths"].values()
        for operation in operations.values()
    ]
    assert len(names) == len(set(names))


def test_request_bodies_are_described_by_the_models_that_validate(here):
    chat = document(here)["components"]["schemas"]["ChatRequest"]
    assert chat["required"] == ["message"]
    assert chat["properties"]["max_tokens"]["anyOf"][0] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_000_000,
    }


def test_where_a_key_is_asked_for_all_but_health_say_so(here, tmp_path):
    with desk(tmp_path, api_key="k") as locked:
        said = locked.client.get("/openapi.json", headers={"Authorization": "Bearer k"}).json
    for path, operations in said["paths"].items():
        for operation in operations.values():
            assert operation["security"] == ([] if path == "/health" else [{"key": []}])
    assert all(one["security"] == [] for each in document(here)["paths"].values() for one in each.values())


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", ROUTES, ids=lambda one: f"{one.method} {one.rule}")
def test_no_request_gets_an_undocumented_answer(api, operation, mode):
    """No 500, no status, content type or body that is not in the document; what the schema
    forbids is refused, what it allows is not."""
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule)
    target = api[path][operation.method]
    if mode is GenerationMode.NEGATIVE and not takes_anything(target):
        return

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate()

    check()


def takes_anything(target):
    return bool(
        list(target.path_parameters) or list(target.query) or list(target.headers) or list(target.body)
    )
