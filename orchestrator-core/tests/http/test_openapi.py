"""The OpenAPI document is valid, complete, and what it promises is kept (schemathesis)."""

import pytest
from openapi_spec_validator import validate
from orchestrator_http.routes import SHARED, handoff
from support.desktop import desk
from support.openapi_promises import MODES, Promises, described, model, routes_of, served

OPEN = {"/health", "/household", "/pair", "/sealed"}
"""What a device may ask before it is known."""

EXAMPLES = 25
"""Requests per route; with 35 routes some hundreds in all."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with desk(tmp_path_factory.mktemp("data"), model()) as found:
        yield found


@pytest.fixture(scope="module")
def promises(here):
    # 403: nobody waits for the device that is made up.
    return Promises(here.app, also=(403, 429))


def document(here):
    return here.client.get("/openapi.json").json


def test_the_document_is_valid(here):
    validate(document(here))


def test_every_route_of_the_api_is_in_the_document(here):
    assert described(document(here)) == served(here.app)


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
            assert operation["security"] == ([] if path in OPEN else [{"key": []}])
    assert all(one["security"] == [] for each in document(here)["paths"].values() for one in each.values())


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("route", routes_of([*SHARED, handoff.api]), ids=" ".join)
def test_no_request_gets_an_undocumented_answer(promises, route, mode):
    promises.check(route, mode, EXAMPLES)
