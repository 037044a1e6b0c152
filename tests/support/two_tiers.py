"""A desktop and a VPS in one process: two assistants, and between them a connection that fails when and
as it is told to. The desktop's side is its whole app; only the network is not there."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ai_orchestrator.app import app_services, create_app
from flask import Flask
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import ChatBackend
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import TierLost, TierUnreachable
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunEvent
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.remote import TierState
from shared_context.conversations.messages import Message
from shared_context.exchange.exchange import Exchange, answer
from shared_context.exchange.replica import Replica
from support.scripted import BACKEND
from werkzeug.test import EnvironBuilder, run_wsgi_app

WAIT = 20.0
Change = Callable[[Iterator[bytes]], Iterator[bytes]]
"""What becomes of an answer's bytes on their way; may raise TierLost."""


class AppResponse:
    """An answer of an app, read by a thread of its own."""

    def __init__(
        self, status: int, headers: Mapping[str, str], parts: Iterable[bytes], change: Change
    ) -> None:
        self.status = status
        self.headers = headers
        self.closed = threading.Event()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._change = change
        threading.Thread(target=self._pump, args=(parts,), daemon=True).start()

    def chunks(self) -> Iterator[bytes]:
        yield from self._change(self._arrived())

    def close(self) -> None:
        self.closed.set()
        self._queue.put(None)

    def _arrived(self) -> Iterator[bytes]:
        while (chunk := self._queue.get()) is not None:
            yield chunk
        if self.closed.is_set():
            raise TierLost("closed here")

    def _pump(self, parts: Iterable[bytes]) -> None:
        try:
            for part in parts:
                self._queue.put(bytes(part))
                if self.closed.is_set():
                    break
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
            self._queue.put(None)


class AppTier:
    """A `RemoteTier` around an app of this process.

    `known` is its state; `refusing` is raised by `open`; `change` is applied to streams of answers.
    """

    def __init__(self, app: Flask, name: str = "desktop") -> None:
        self.app = app
        self.known = TierState(name, reachable=True, up_s=1000)
        self.refusing: Exception | None = None
        self.change: Change = lambda chunks: chunks
        self.settles = 0
        self.settling: Callable[[], bool] = lambda: True
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    def state(self) -> TierState:
        return self.known

    def open(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> AppResponse:
        if not self.known.reachable:
            raise TierUnreachable("The desktop is not connected.")
        self.requests.append((method, target, json.loads(body) if body else {}))
        if self.refusing is not None and method == "POST":
            raise self.refusing
        builder = EnvironBuilder(target, method=method, headers=dict(headers or {}), data=body)
        parts, status, sent = run_wsgi_app(self.app, builder.get_environ())
        fields = {name.lower(): value for name, value in sent}
        return AppResponse(int(status.split()[0]), fields, parts, self.change)

    def settle(self, timeout_s: float) -> bool:
        self.settles += 1
        return self.known.reachable and self.settling()

    def leave(self) -> None:
        self.known = replace(self.known, reachable=False, ready=False, why="the plug was pulled")

    def come_back(self) -> None:
        self.known = replace(self.known, reachable=True, ready=True, why="")


@dataclass
class TwoTiers:
    desktop: Assistant
    vps: Assistant
    wire: AppTier
    replicas: tuple[Replica, Replica]
    runs: list[Run] = field(default_factory=list)

    def exchange(self) -> bool:
        """The desktop calls the VPS."""
        desktop, vps = self.replicas
        caller = Exchange(desktop)
        while (request := caller.next_request()) is not None:
            caller.take(answer(vps, request))
        return caller.report.complete

    def ask(self, message: str = "What is it?", **fields: Any) -> Run:
        """At the VPS."""
        return self.vps.ask(ChatRequest(message=message, **fields))

    def said(self, conversation_id: str = "default") -> list[tuple[str, str]]:
        """The conversation, which is the same on both after an exchange."""
        assert self.exchange()
        here = [(m.message_id, m.content) for m in self.vps.conversations.messages(conversation_id)]
        there = [(m.message_id, m.content) for m in self.desktop.conversations.messages(conversation_id)]
        assert here == there
        versions = self.vps.conversations.versions(conversation_id)
        assert versions == self.desktop.conversations.versions(conversation_id)
        return [(m.role, m.content) for m in self.vps.conversations.messages(conversation_id)]

    def answer(self, conversation_id: str = "default") -> tuple[Message, list[Message]]:
        """The last answer and its other versions."""
        shown = self.vps.conversations.messages(conversation_id)[-1]
        return shown, self.vps.conversations.versions(conversation_id).get(shown.message_id, [])

    def desktop_run(self, run: Run) -> Run:
        """The desktop's own run of the same question, ended."""
        there = self.desktop.runs.get(run.run_id)
        there.wait(WAIT)
        return there


def settings(data: Path, **relay: Any) -> Settings:
    return Settings.model_validate(
        {"data": data, "relay": relay, "model": {"backend": BACKEND}, "server": {"port": 0}}
    )


@contextmanager
def two_tiers(folder: Path, desktop: ChatBackend, vps: ChatBackend, **relay: Any) -> Iterator[TwoTiers]:
    with open_assistant(settings(folder / "desktop", **relay), backend=desktop) as home:
        app = create_app(home.settings, home)
        app_services(app).model.ensure(WAIT)
        wire = AppTier(app)
        with open_assistant(settings(folder / "vps", **relay), "vps", backend=vps, remote=wire) as away:
            replicas = (
                Replica(home.conversations, home.context, name="desktop"),
                Replica(away.conversations, away.context, name="vps"),
            )
            pair = TwoTiers(home, away, wire, replicas)
            wire.settling = pair.exchange
            yield pair
            for run in [*home.runs.active(), *away.runs.active()]:
                run.cancel()


def lost_after(events: int) -> Change:
    """The connection is lost when so many events (tokens, seams, the end) have come."""

    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        left = events
        for chunk in chunks:
            if chunk.startswith(b":"):
                yield chunk
                continue
            if left == 0:
                raise TierLost("The connection was lost: it was cut by a test.")
            left -= 1
            yield chunk

    return change


def kinds(run: Run) -> list[str]:
    return [event.kind for event in run.events() if event is not None]


def last(run: Run) -> RunEvent:
    event = list(run.events())[-1]
    assert event is not None
    return event
