"""The VPS's OpenAPI document is valid, complete, and what it promises is kept (schemathesis)."""

import pytest
from openapi_spec_validator import validate
from orchestrator_http.access import keys
from orchestrator_http.routes import SHARED
from support.openapi_promises import MODES, Promises, described, model, routes_of, served
from support.vps_app import vps_app

EXAMPLES = 15
"""Requests per route; the desktop's test asks the shared ones more."""

OWN = [
    ("POST", "/enroll"),
    ("GET", "/desktops"),
    ("DELETE", "/desktops/self"),
    ("DELETE", "/desktops/{desktop_id}"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    # Schemathesis tries wrong keys too, far more of them than an address is answered with 401 for.
    with (
        pytest.MonkeyPatch.context() as patch,
        vps_app(tmp_path_factory.mktemp("data"), model()) as running,
    ):
        patch.setattr(keys, "MAX_FAILURES", 10**9)
        yield running


@pytest.fixture(scope="module")
def document(here):
    return here.client.get("/openapi.json", headers=here.key).json


@pytest.fixture(scope="module")
def promises(here):
    # 403 and 429: a code that is made up is wrong. 503: a tier is asked for that is away.
    return Promises(here.app, refusals=[401, 403, 409, 429, 503], also=[403, 429, 503], headers=here.key)


def test_the_document_is_valid(document):
    validate(document)


def test_every_route_is_in_the_document(here, document):
    assert described(document) == served(here.app)
    assert {("GET", "/relay"), *OWN} <= described(document)


def test_only_health_and_enrolment_need_no_key(document):
    unlocked = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if operation["security"] == []
    }
    assert unlocked == {"/health", "/enroll", "/household", "/pair", "/sealed"}


def test_that_the_desktop_can_be_lost_is_in_the_document(document):
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert (
                path in ("/health", "/enroll", "/household", "/pair", "/sealed")
                or {"502", "503"} <= operation["responses"].keys()
            )


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("route", [*OWN, *routes_of(SHARED)], ids=" ".join)
def test_no_request_gets_an_undocumented_answer(promises, route, mode):
    promises.check(route, mode, EXAMPLES)
