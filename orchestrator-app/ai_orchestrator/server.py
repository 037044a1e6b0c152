"""The desktop server as a process: start, say where it is, stop without losing anything.

Stopping: new questions are refused (503 with Retry-After), running answers may end within
`DRAIN_S`, the rest are interrupted and go on at the next start from the text already shown.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import click
from orchestrator_core.assistant import Assistant
from orchestrator_core.logs import configure_logging, stop_logging
from orchestrator_core.settings import Settings
from orchestrator_http.access.keys import refuse_open_bind
from orchestrator_http.access.origins import is_loopback
from orchestrator_http.binding import bind, close_all, reachable_url
from orchestrator_http.routes.sync import largest_body
from orchestrator_http.services import Services
from shared_context.storage import reserve

from ai_orchestrator import server_file
from ai_orchestrator.advertisement import Advertisement
from ai_orchestrator.app import app_services, create_app
from ai_orchestrator.listener import Listener
from ai_orchestrator.pairing.reachable import Bound
from ai_orchestrator.vps_link.link import VpsLink

DRAIN_S = 10.0
"""How long running answers may take to end when the server is stopped."""

SIGNAL_CHECK_S = 0.5
"""How late a signal may be noticed."""

_log = logging.getLogger(__name__)


class Server:
    """A listening desktop server. `start` once, `stop` once; `with` does both.

    Args:
        assistant: an open one, closed by its owner; None opens one and closes it.

    Raises (from `start`):
        ConfigurationError: open bind without a key, or an address that cannot be used
            (`PortInUse`).
        StoreLocked: another server holds the data folder. StoreError: it cannot be used.
    """

    def __init__(self, settings: Settings, assistant: Assistant | None = None) -> None:
        self.settings = settings
        self._given = assistant
        self._listener: Listener | None = None
        self._link: VpsLink | None = None
        self._advertisement: Advertisement | None = None
        self.services: Services

    def start(self) -> Server:
        server = self.settings.server
        refuse_open_bind(server)
        sockets = bind(server.host, server.port)
        try:
            reserve.prepare(self.settings.data)
            bound = Bound(tuple(socket.getsockname()[0] for socket in sockets), sockets[0].getsockname()[1])
            app = create_app(self.settings, self._given, bound)
        except BaseException:
            close_all(sockets)
            raise
        self.services = app_services(app)
        self.port: int = bound.port
        self.url = reachable_url(server.host, self.port)
        self._listener = Listener(app, sockets, threads=server.threads, max_body_bytes=largest_body(server))
        self._listener.start()
        self._link = VpsLink(self.settings, self.services, app)
        self._link.start()
        self._advertise(bound)
        if self._given is None:
            self.services.household.identity  # noqa: B018 - made at the first start
            server_file.announce(self.settings.data, self.url, self.services.access.own_key)
        _log.info("Listening on %s, data in %s", self.url, self.settings.data)
        return self

    def stop(self, drain_s: float = DRAIN_S, hurry: threading.Event | None = None) -> None:
        """
        Args:
            drain_s: seconds that running answers get.
            hurry: when set, they get no more.
        """
        if self._listener is None:
            return
        hurry = hurry or threading.Event()
        runs = self.services.assistant.runs
        self.services.stopping.set()
        if self._advertisement is not None:
            self._advertisement.close()
        if self._link is not None:
            self._link.begin_stop()
        self.services.model.stop_waiting()
        if self._given is None:
            server_file.withdraw(self.settings.data)
        deadline = time.monotonic() + drain_s
        while runs.active() and time.monotonic() < deadline and not hurry.wait(0.1):
            pass
        if self._link is not None:
            # First: the VPS goes on with what it hears no end of.
            self._link.stop()
        if self._given is None:
            runs.close(timeout=0)
        self.services.closing.set()
        self._listener.close()
        self._listener = None
        if self._given is None:
            self.services.assistant.close()
        _log.info("Stopped")

    def _advertise(self, bound: Bound) -> None:
        if not self.settings.server.advertise or all(map(is_loopback, bound.addresses)):
            return
        household, version = self.services.household.identity.id, self.services.version
        self._advertisement = Advertisement(household, version, bound.addresses, bound.port).start()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve(settings: Settings, *, say: Callable[[str], None] = click.echo) -> None:
    """Run the desktop server until SIGINT or SIGTERM. A second signal ends it without waiting.

    Returns normally after such a stop (exit code 0). A missing or corrupt model does not end
    the server: it says so in `/ready`, in answers, and here.

    Args:
        say: writes a line for the person who started it.

    Raises:
        ConfigurationError, StoreError: see `Server`.
    """
    refuse_open_bind(settings.server)
    configure_logging(settings.log, settings.data)
    stop, hurry = threading.Event(), threading.Event()
    try:
        with _signals(stop, hurry):
            server = Server(settings).start()
            say(f"Orchestrator listens on {server.url}   (Ctrl-C stops it)")
            threading.Thread(target=_report_model, args=(server, say), daemon=True).start()
            # A signal that the system delivers to another thread does not wake this one.
            while not stop.wait(SIGNAL_CHECK_S):
                pass
            active = len(server.services.assistant.runs.active())
            if active:
                say(
                    f"Stopping: {active} answer(s) may end within {DRAIN_S:.0f} s; Ctrl-C again stops at once."
                )
            server.stop(hurry=hurry)
    finally:
        stop_logging()


def _report_model(server: Server, say: Callable[[str], None]) -> None:
    """Says once what was loaded, or why nothing was."""
    from orchestrator_core.errors import BackendLoading, OrchestratorError

    services = server.services
    while not services.stopping.is_set():
        try:
            services.model.ensure(timeout=1.0)
        except BackendLoading:
            continue
        except OrchestratorError as error:
            say(f"The model cannot answer: {error.message}")
            if error.hint:
                say(f"  {error.hint}")
            return
        say(_model_line(services))
        return


def _model_line(services: Services) -> str:
    described = services.assistant.backend.describe()
    parts = [
        f"{described.model} ({described.backend} on {described.device})",
        f"window of {described.context_length:,} tokens",
    ]
    if described.adapter:
        parts.append(f"adapter {described.adapter}")
    build = described.details.get("llama_cpp")
    if build:
        # The versions; the list of instruction sets that follows them is in /model/info.
        parts.append("llama.cpp " + " ".join(str(build).split()[:2]))
    return "Ready: " + ", ".join(parts)


class _signals:
    """While the block runs, the first SIGINT or SIGTERM sets `stop`, the next one `hurry`.

    In a thread other than the main one signals cannot be caught: there it does nothing.
    """

    def __init__(self, stop: threading.Event, hurry: threading.Event) -> None:
        self._stop, self._hurry = stop, hurry
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._caught)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _caught(self, number: int, frame: FrameType | None) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()
