"""Whether a server keeps what its OpenAPI document promises: requests made up from the document (schemathesis)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from orchestrator_http.api import Api
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from support.scripted import Reply, ScriptedBackend

ENDLESS = {"/sync/events", "/relay"}
"""End only with their client; their tests are beside their routes'."""

Route = tuple[str, str]
"""Method and path, as in the document."""

MODES = pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"]
)


def model() -> ScriptedBackend:
    """Its answers fit every route: they are JSON, and a tool's call."""
    return ScriptedBackend(otherwise=Reply(text='{"name": "x", "arguments": {}}'), embedding_size=4)


def routes_of(apis: Iterable[Api]) -> list[Route]:
    """Those that end."""
    return [
        (operation.method, _path(operation.rule))
        for api in apis
        for operation in api.operations
        if operation.rule not in ENDLESS
    ]


def described(document: Mapping[str, Any]) -> set[Route]:
    return {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}


def served(app: Flask) -> set[Route]:
    """What is no page."""
    return {
        (method, _path(rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("pages.")
    }


class Promises:
    """Of one app.

    Args:
        refusals: statuses by which forbidden requests may be refused, besides those of every server.
        also: statuses that allowed ones may get, besides those of every server.
        headers: of every request.
    """

    def __init__(
        self,
        app: Flask,
        *,
        refusals: Iterable[int] = (),
        also: Iterable[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # 400 is right for valid data that says the wrong thing: a tier that is not here, tools that
        # contradict each other.
        negative = [400, 404, 405, 412, 413, 415, 428, *refusals]
        positive = ["2xx", 304, 400, 404, 409, 412, 413, 428, *also]
        config = SchemathesisConfig.from_str(
            "[generation]\nwith-security-parameters = false\n"  # every request has the key, see `headers`
            f"[checks.negative_data_rejection]\nexpected-statuses = {negative}\n"
            f"[checks.positive_data_acceptance]\nexpected-statuses = {positive}\n"
        )
        self._headers = dict(headers or {})
        self._api = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config, headers=self._headers)

    def check(self, route: Route, mode: GenerationMode, examples: int) -> None:
        """No 500, no status, content type or body that is not in the document; what the schema forbids is
        refused, what it allows is not."""
        method, path = route
        target = self._api[path][method]
        parts = (target.path_parameters, target.query, target.headers, target.body)
        if mode is GenerationMode.NEGATIVE and not any(list(part) for part in parts):
            return

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.call_and_validate(headers=self._headers)

        check()


def _path(rule: str) -> str:
    """Flask's `<path:name>` in OpenAPI's words."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
