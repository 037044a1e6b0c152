"""The VPS's app in this process, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from orchestrator_core.backend import ChatBackend
from orchestrator_vps.app import app_hub, app_services, close_app, create_app
from support.desktop import ReadingClient, settings_for
from support.scripted import ScriptedBackend, echo

KEY = "client-key"


@contextmanager
def vps_app(
    data: Path, backend: ChatBackend | None = None, *, relay: dict[str, Any] | None = None, **server: Any
) -> Iterator[SimpleNamespace]:
    """
    Args:
        relay, server: settings of these sections.
    """
    settings = settings_for(data, **{"api_key": KEY, **server})
    for name, value in (relay or {}).items():
        setattr(settings.relay, name, value)
    backend = backend or ScriptedBackend(echo)
    app = create_app(settings, backend=backend)
    app.test_client_class = ReadingClient
    try:
        app_services(app).model.ensure(10)
        yield SimpleNamespace(
            app=app,
            client=app.test_client(),
            services=app_services(app),
            hub=app_hub(app),
            backend=backend,
            data=data,
            key={"Authorization": f"Bearer {KEY}"},
        )
    finally:
        close_app(app)
