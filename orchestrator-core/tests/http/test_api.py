"""What is declared of a route is found again from a request, and decides what the rest of the house does."""

import logging

import pytest
from flask import Flask
from orchestrator_http.api import Api, current_operation
from orchestrator_http.error_formats import FORMATS, error_format
from pydantic import BaseModel


class Thing(BaseModel):
    name: str


@pytest.fixture
def app():
    api = Api("things", answered_by="any_model", quiet=True)

    @api.route("GET", "/things/<name>", summary="One", quiet=False)
    def show() -> Thing:
        """Says its name."""
        return Thing(name="x")

    @api.route("POST", "/things/<name>", summary="Make one", repeatable=True)
    def make(body: Thing) -> Thing:
        return body

    app = Flask(__name__)
    api.attach(app)
    return app


@pytest.mark.parametrize(("method", "name"), [("GET", "show"), ("HEAD", "show"), ("POST", "make")])
def test_a_request_finds_its_declaration(app, method, name):
    with app.test_request_context("/things/a", method=method):
        operation = current_operation()
        assert operation.name == name and operation.rule == "/things/<name>"


def test_a_path_is_known_also_by_a_method_that_it_does_not_take(app):
    with app.test_request_context("/things/a", method="PATCH"):
        assert current_operation().answered_by == "any_model"


def test_an_address_without_a_route_has_no_declaration(app):
    with app.test_request_context("/nothing"):
        assert current_operation() is None


def test_a_route_says_more_than_its_group(app):
    with app.test_request_context("/things/a"):
        assert not current_operation().quiet
    with app.test_request_context("/things/a", method="POST"):
        assert current_operation().quiet and current_operation().repeatable


def test_models_and_words_come_from_the_view(app):
    with app.test_request_context("/things/a", method="POST"):
        assert current_operation().parts == {"body": Thing}
    with app.test_request_context("/things/a"):
        operation = current_operation()
        assert operation.answer_model is Thing and operation.description == "Says its name."


@pytest.mark.parametrize(
    ("path", "prefix"), [("/", ""), ("/v1", "/v1"), ("/v1/x/y", "/v1"), ("/v10/x", ""), ("/x/v1/y", "")]
)
def test_the_path_says_how_errors_are_written(path, prefix):
    assert error_format(path).prefix == prefix


def test_each_family_of_clients_has_one_error_body():
    assert len({each.prefix for each in FORMATS}) == len(FORMATS)


def test_quiet_routes_leave_no_line_in_the_log(here, caplog):
    with caplog.at_level(logging.INFO, logger="orchestrator.http"):
        here.client.get("/health")
        here.client.get("/conversations")
    assert [record.getMessage().split()[1] for record in caplog.records] == ["/conversations"]
