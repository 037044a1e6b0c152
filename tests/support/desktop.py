"""Apps and servers around a scripted model, for tests that speak HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_orchestrator.app import app_services, create_app
from ai_orchestrator.server import Server
from flask import Flask
from flask.testing import FlaskClient
from orchestrator_core.assistant import open_assistant
from orchestrator_core.backend import ChatBackend
from orchestrator_core.settings import Settings
from orchestrator_http.services import Services
from support.scripted import BACKEND, ScriptedBackend, echo


class ReadingClient(FlaskClient):
    """Reads every answer to its end and closes it, as a browser does."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return super().open(*args, **{"buffered": True, **kwargs})


@dataclass
class Desk:
    """An app in this process, without a socket."""

    app: Flask
    client: FlaskClient
    services: Services
    backend: Any

    def ask(self, message: str = "Hi", **fields: Any) -> Any:
        """The answer of `/chat`, which must be one."""
        response = self.client.post("/chat", json={"message": message, **fields})
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.json


def settings_for(
    data: Path,
    *,
    push: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    **server: Any,
) -> Settings:
    return Settings.model_validate(
        {
            "data": data,
            "model": {"backend": BACKEND, "path": "echo"},
            "server": {"port": 0, "threads": 16, **server},
            "push": push or {},
            "context": context or {},
        }
    )


@contextmanager
def desk(
    data: Path, backend: ChatBackend | None = None, *, wait: bool = True, **server: Any
) -> Iterator[Desk]:
    """The desktop's app with a scripted backend; by default it echoes the question.

    Args:
        wait: until the model is loaded.
    """
    settings = settings_for(data, **server)
    backend = backend or ScriptedBackend(echo)
    with open_assistant(settings, backend=backend) as assistant:
        app = create_app(settings, assistant)
        app.test_client_class = ReadingClient
        services = app_services(app)
        if wait:
            services.model.ensure(10)
        yield Desk(app, app.test_client(), services, backend)


@contextmanager
def listening(data: Path, backend: ChatBackend | None = None, **server: Any) -> Iterator[Server]:
    """The same, served by waitress on a free port of loopback."""
    settings = settings_for(data, **server)
    with open_assistant(settings, backend=backend or ScriptedBackend(echo)) as assistant:
        running = Server(settings, assistant).start()
        try:
            running.services.model.ensure(10)
            yield running
        finally:
            running.stop(drain_s=0)


def events(text: str) -> list[dict[str, Any]]:
    """Parsed SSE: `id`, `event` and `data` of each event; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] not in (":", ""))
        if "data" in fields:
            data = fields["data"]
            found.append(
                {
                    "id": int(fields["id"]) if "id" in fields else None,
                    "event": fields.get("event"),
                    "data": data if data == "[DONE]" else json.loads(data),
                }
            )
    return found
