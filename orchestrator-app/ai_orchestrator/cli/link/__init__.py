"""Who answers a command: this process, or the server that already holds the data folder.

Commands and the REPL know only `Link`; which one it is they say in a line, nothing more.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.errors import ConfigurationError, TierUnreachable
from shared_context.errors import StoreLocked

from ai_orchestrator import server_file
from ai_orchestrator.cli.link.answers import AnswerEvent, Link, LinkAnswer

if TYPE_CHECKING:
    from orchestrator_core.backend import ChatBackend
    from orchestrator_core.settings import Settings

    from ai_orchestrator.cli.link.server import ServerLink

__all__ = ["AnswerEvent", "Link", "LinkAnswer", "open_link"]


def open_link(
    settings: Settings,
    *,
    model_named: bool = False,
    forget: bool = False,
    tier: str | None = None,
    backend: ChatBackend | None = None,
) -> Link:
    """The link a command uses; close it.

    Args:
        model_named: the caller named a model for this command. A running server that answers
            with another one is then an error, not a surprise.
        forget: answer without the memory: nothing is read from it, nothing stored.
        tier: who shall answer. This process is a desktop that knows no other tier.
        backend: for the in-process case, instead of the one the settings name.

    Raises:
        ConfigurationError: the server answers with another model than the one named.
        TierUnreachable: the VPS is wanted, and no server that could ask it is to answer.
        StoreLocked: another process, which is no server, holds the data folder.
        OrchestratorError, SharedContextError: whatever opening the assistant raises.
    """
    if forget:
        _check_tier(tier, "Leave --no-log out, so that a running server answers, or leave --tier out.")
        return _forgetful(settings, backend)
    server = _server(settings)
    if server is None:
        _check_tier(tier, "Start `orchestrator serve` on this data folder, or leave --tier out.")
        try:
            return _local(settings, backend)
        except StoreLocked as error:
            server = _server(settings)
            if server is None:
                raise StoreLocked(
                    error.message,
                    "Another orchestrator command is using it. Wait for it to end, use another folder "
                    "(--data), or start `orchestrator serve`, which several commands can share.",
                ) from error
    if model_named:
        _check_model(server, settings)
    return server


def _server(settings: Settings) -> ServerLink | None:
    if server_file.read(settings.data) is None:
        return None  # most often; spares the import of an HTTP client
    from ai_orchestrator.cli.link.server import running_server

    return running_server(settings)


def _local(settings: Settings, backend: ChatBackend | None) -> Link:
    from ai_orchestrator.cli.link.local import LocalLink

    return LocalLink.open(settings, backend)


def _forgetful(settings: Settings, backend: ChatBackend | None) -> Link:
    from ai_orchestrator.cli.link.local import LocalLink

    folder = Path(tempfile.mkdtemp(prefix="orchestrator-"))
    private = settings.model_copy(deep=True)
    private.data = folder
    private.context.folder = None
    private.context.share = 0.0
    private.engine.save_prefix = False
    try:
        return LocalLink.open(private, backend, at_close=lambda: shutil.rmtree(folder, ignore_errors=True))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_tier(tier: str | None, hint: str) -> None:
    if tier == "vps":
        raise TierUnreachable("The vps cannot be asked from here: this command answers by itself.", hint=hint)


def _check_model(server: ServerLink, settings: Settings) -> None:
    named, serving = settings.model.path, server.model()
    if serving in (named, Path(named).stem, Path(named).name):
        return
    server.close()
    raise ConfigurationError(
        f"The server at {server.where} answers with {serving!r}, not with {named!r}.",
        hint="Stop the server, leave the model out, or add --no-log to answer here without the memory.",
    )
