"""The VPS server as a process: gunicorn with one threaded worker, embedded.

The master binds, keeps one worker alive and talks to systemd; the worker holds the data, the app and
the engine's process. Stopping: the port is closed, running answers may end within `DRAIN_S`, the rest
are interrupted and go on at the next start from the text already shown.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError
from orchestrator_core.errors import ApplicationError, ServerFailed
from orchestrator_core.own_commands import runnable
from orchestrator_core.settings import Settings
from orchestrator_http.access.keys import refuse_open_bind
from orchestrator_http.binding import BACKLOG, bind, close_all, reachable_url
from shared_context.storage import reserve
from shared_context.storage.folder_lock import FolderLock

from orchestrator_vps.api_key import key_file, provide_key
from orchestrator_vps.credentials import Credentials
from orchestrator_vps.notify import Notifier

if TYPE_CHECKING:
    from flask import Flask

DRAIN_S = 20.0
"""How long running answers, and the desktop's that pass through, may take to end when the server is stopped."""

STOP_S = DRAIN_S + 15.0
"""After so long the master kills the worker: longer than draining and closing take."""

BOOT_S = 120.0
"""A worker that does not serve so long after its start hangs. Bringing old databases up to date takes time."""

_JOURNAL_FORMAT = "%(levelname)s %(name)s: %(message)s"
"""The journal has its own clock."""

_log = logging.getLogger(__name__)


def serve(settings: Settings, *, say: Callable[[str], None] = click.echo) -> None:
    """Run the VPS server until SIGINT or SIGTERM. A second SIGINT ends it without waiting.

    Args:
        say: writes a line for the person who started it.

    Raises:
        ConfigurationError, StoreError: it cannot start. ServerFailed: its worker could not.
    """
    if settings.server.api_key is not None:
        refuse_open_bind(settings.server)
    sockets = bind(settings.server.host, settings.server.port)
    try:
        reserve.prepare(settings.data)
        # A journal keeps what a terminal only shows: there, codes are made by `orchestrator vps code`.
        code = None if _in_journal() else first_code(settings.data)
        # Held by the worker alone; here only to say in time that somebody else has it.
        FolderLock(settings.data).release()
        made = provide_key(settings)
    except BaseException:
        close_all(sockets)
        raise
    url = reachable_url(settings.server.host, sockets[0].getsockname()[1])
    gateway = Gateway(settings, sockets, lambda: _greet(settings, url, made, code, say))
    master = os.getpid()
    try:
        gateway.run()
    except SystemExit as ending:
        # Also passes here in the worker, a fork of this very call: the master reads its exit code.
        if os.getpid() != master:
            raise
        if ending.code:
            raise ServerFailed("The server could not start.", hint="The reason is above.") from None


class Gateway(BaseApplication):  # type: ignore[misc]
    """The embedded gunicorn: its options, and this tier's part in the life of its worker.

    Args:
        sockets: bound; gunicorn's from now on.
        on_ready: called in the master when the worker answers for the first time.
    """

    def __init__(
        self, settings: Settings, sockets: Sequence[socket.socket], on_ready: Callable[[], None]
    ) -> None:
        self.settings = settings
        # Given away, not lent: a port that is still held somewhere takes connections nobody answers.
        self._binds = [f"fd://{listener.detach()}" for listener in sockets]
        self.on_ready = on_ready
        self.notifier = Notifier()
        self.ready_pipe = os.pipe()
        os.set_blocking(self.ready_pipe[0], False)
        self._leaving = threading.Event()
        self._app: Flask | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in gunicorn_options(self.settings).items():
            self.cfg.set(name, value)
        self.cfg.set("bind", self._binds)
        self.cfg.set("post_worker_init", lambda worker: self._serving())

    def run(self) -> None:
        NotifyingArbiter(self).run()

    def load(self) -> Flask:
        """In the worker: opens the data and makes the app.

        Raises:
            AppImportError: gunicorn's way of giving up without a traceback.
        """
        from orchestrator_core.logs import configure_logging

        from orchestrator_vps.app import create_app

        try:
            configure_logging(self.settings.log, self.settings.data)
            _suit_the_journal()
            app = create_app(self.settings)
        except ApplicationError as error:
            raise AppImportError(f"Error: {error.message}\n{error.hint or ''}".rstrip()) from error
        self._app = app
        return app

    def leave(self) -> None:
        """In the worker, from a signal: begin to stop."""
        self._leaving.set()

    def left(self) -> None:
        """In the worker: no request is served any more, or none may be waited for any longer."""
        if self._app is not None:
            from orchestrator_vps.app import close_app

            close_app(self._app)
        _log.info("Stopped")

    def _serving(self) -> None:
        threading.Thread(target=self._drain, name="drain", daemon=True).start()
        os.write(self.ready_pipe[1], b"\n")
        # Wakes the master, which otherwise looks once a second.
        os.kill(os.getppid(), signal.SIGCHLD)

    def _drain(self) -> None:
        self._leaving.wait()
        from orchestrator_vps.app import app_hub, app_services

        assert self._app is not None
        services, hub = app_services(self._app), app_hub(self._app)
        services.stopping.set()
        services.model.stop_waiting()
        runs = services.assistant.runs
        deadline = time.monotonic() + DRAIN_S
        while (runs.active() or hub.streams) and time.monotonic() < deadline:
            time.sleep(0.1)
        runs.close(timeout=0)
        services.closing.set()
        hub.close()


class NotifyingArbiter(Arbiter):  # type: ignore[misc]
    """The master, which tells systemd what it sees. Its loop turns at least once a second."""

    def murder_workers(self) -> None:
        super().murder_workers()
        gateway: Gateway = self.app
        if _drained(gateway.ready_pipe[0]):
            gateway.notifier.send("READY=1", f"MAINPID={os.getpid()}", "STATUS=Serving")
            gateway.on_ready()
        if gateway.notifier.watchdog_s is not None and self._worker_lives(gateway.notifier.watchdog_s):
            gateway.notifier.send("WATCHDOG=1")

    def handle_int(self) -> None:
        """Ctrl-C stops as SIGTERM does; the next one, caught while stopping, does not wait."""
        self.handle_term()

    def stop(self, graceful: bool = True) -> None:
        self.app.notifier.send("STOPPING=1", "STATUS=Letting running answers end")
        super().stop(graceful)

    def _worker_lives(self, within_s: float) -> bool:
        """Whether the worker's loop turned lately."""
        try:
            beats = [worker.tmp.last_update() for worker in self.WORKERS.values()]
        except (OSError, ValueError):
            return False
        return any(_is_fresh(beat, within_s) for beat in beats)


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings for this tier."""
    shared_memory = Path("/dev/shm")  # noqa: S108 - a heartbeat must not wait for a disk
    options: dict[str, Any] = {
        "workers": 1,
        "worker_class": "orchestrator_vps.worker.VpsWorker",
        "threads": settings.server.threads,
        "worker_connections": settings.server.threads + 512,
        "timeout": 30,
        "graceful_timeout": int(STOP_S),
        "keepalive": 20,
        "backlog": BACKLOG,
        "limit_request_line": 8190,
        "loglevel": "warning",
        "control_socket_disable": True,
        "proc_name": "orchestrator-vps",
    }
    if os.access(shared_memory, os.W_OK):
        options["worker_tmp_dir"] = str(shared_memory)
    return options


def first_code(data: Path) -> str | None:
    """A code for the first desktop; None when one was enrolled before.

    Raises:
        StoreError: the list of desktops cannot be used.
    """
    with Credentials(data) as credentials:
        return None if credentials.desktops() else credentials.new_code()


def _is_fresh(beat: float, within_s: float) -> bool:
    """
    Args:
        beat: by the monotonic clock; of a worker that has not beaten yet gunicorn gives the time of
            day at which it was started.
    """
    age_s = time.monotonic() - beat
    return age_s < within_s if age_s >= 0 else time.time() - beat < BOOT_S


def _greet(
    settings: Settings,
    url: str,
    made: bool,
    code: str | None,
    say: Callable[[str], None],
) -> None:
    say(f"Orchestrator VPS listens on {url}   (Ctrl-C stops it)")
    if made and settings.server.api_key is not None:
        key = settings.server.api_key.get_secret_value()
        path = key_file(settings.data)
        # A journal keeps what a terminal only shows.
        say(f"API key, kept in {path}" + (f": {key}" if sys.stdout.isatty() else ""))
    if code is not None:
        say(f"Enrolment code for the desktop (valid for an hour): {code}")
        say(f"  at home, behind a server with TLS: `orchestrator vps enroll https://THIS-HOST {code}`")
        say(runnable(f"  on this machine, to try it: `orchestrator vps enroll {url} {code} --insecure`"))


def _in_journal() -> bool:
    """Whether systemd collects what this process says. A terminal may have been started by a service
    and have the variable from it: systemd.exec(5) tells to compare."""
    named = os.environ.get("JOURNAL_STREAM")
    return named is not None and named in map(_device_and_inode, (1, 2))


def _device_and_inode(descriptor: int) -> str:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _suit_the_journal() -> None:
    if not _in_journal():
        return
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter(_JOURNAL_FORMAT))


def _drained(pipe: int) -> bool:
    try:
        return bool(os.read(pipe, 16))
    except BlockingIOError:
        return False
