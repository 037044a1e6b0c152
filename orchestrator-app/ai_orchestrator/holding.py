"""Who has the handoff documents open: this process, for a moment, or the server.

One process at a time holds them, and its lock says which. A command that gets the lock opens
the folder itself and lets it go soon; one that does not asks the server that has it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from shared_context.errors import StoreLocked
from shared_context.storage.sqlite_errors import translated_system

from ai_orchestrator import server_file

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings
    from shared_context.documents.context_folder import ContextFolder

    from ai_orchestrator.cli.link.server import ServerLink

COMMAND_WAIT_S = 3.0
"""How long a command waits for another one to let go of the documents."""

POLL_S = 0.02


def reach(settings: Settings, wait_s: float = COMMAND_WAIT_S) -> ContextFolder | ServerLink:
    """The documents, opened here, or the server that has them; close it.

    Several processes may do so at once: each waits its turn. A server that is starting or
    stopping meanwhile is waited for.

    Args:
        wait_s: for a process that is no server, in seconds.

    Raises:
        StoreLocked: such a process kept the documents for longer. StoreError: they are unusable.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _opened(settings)
        except StoreLocked as error:
            server = _server(settings)
            if server is not None:
                return server
            if time.monotonic() >= deadline:
                raise StoreLocked(
                    error.message,
                    "Another orchestrator command is using it: end that one, or start `orchestrator serve`, "
                    "which several programs can share.",
                ) from error
        time.sleep(POLL_S)


def _opened(settings: Settings) -> ContextFolder:
    from shared_context.documents.context_folder import ContextFolder

    with translated_system(settings.data):
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = ContextFolder(
        settings.context_folder, project=settings.context.project, state=settings.data / "context-state"
    )
    # A server has the documents open for as long as its file says so: this one was killed, and
    # by now another server, with another memory, may listen on its port.
    with contextlib.suppress(OSError):
        (settings.data / server_file.NAME).unlink(missing_ok=True)
    return folder


def _server(settings: Settings) -> ServerLink | None:
    if server_file.read(settings.data) is None:
        return None
    from ai_orchestrator.cli.link.server import running_server

    return running_server(settings)
