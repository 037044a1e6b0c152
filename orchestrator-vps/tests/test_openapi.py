"""The VPS's OpenAPI document is valid, complete, and what it promises is kept (schemathesis)."""

import re

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from orchestrator_core.backends.scripted import Reply, ScriptedBackend
from orchestrator_core.http.routes import SHARED
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from support.vps_app import vps_app

EXAMPLES = 15
"""Requests per route; the desktop's test asks the shared ones more."""

ENDLESS = {"/sync/events", "/relay"}
OWN = [("POST", "/enroll"), ("GET", "/desktops"), ("DELETE", "/desktops/{desktop_id}")]
ROUTES = OWN + [
    (operation.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule))
    for api in SHARED
    for operation in api.operations
    if operation.rule not in ENDLESS
]

CONFIG = SchemathesisConfig.from_str("""
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 428, 429, 503]

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 304, 400, 403, 404, 409, 412, 413, 428, 429, 503]
""")
"""403 and 429: a code that schemathesis makes up is wrong. 503: a tier was asked for that is away."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    backend = ScriptedBackend(otherwise=Reply(text='{"name": "x", "arguments": {}}'), embedding_size=4)
    with vps_app(tmp_path_factory.mktemp("data"), backend) as found:
        yield found


@pytest.fixture(scope="module")
def document(here):
    return here.client.get("/openapi.json", headers=here.key).json


@pytest.fixture(scope="module")
def api(here):
    return schemathesis.openapi.from_wsgi("/openapi.json", here.app, config=CONFIG, headers=here.key)


def test_the_document_is_valid(document):
    validate(document)


def test_every_route_is_in_the_document(here, document):
    described = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
    }
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in here.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("pages.")
    }
    assert described == served
    assert ("GET", "/relay") in described and set(OWN) <= described


def test_only_health_and_enrolment_need_no_key(document):
    unlocked = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation["security"] == []
    }
    assert unlocked == {"/health", "/enroll"}


def test_that_the_desktop_can_be_lost_is_in_the_document(document):
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert path in ("/health", "/enroll") or {"502", "503"} <= operation["responses"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_request_gets_an_undocumented_answer(api, here, method, path, mode):
    target = api[path][method]
    parts = (target.path_parameters, target.query, target.headers, target.body)
    if mode is GenerationMode.NEGATIVE and not any(list(part) for part in parts):
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
        case.call_and_validate(headers=here.key)

    check()
