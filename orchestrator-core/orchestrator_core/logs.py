"""Where log lines go: a rotating file in the data folder, and the console.

Lines carry no message texts, no bodies, no query strings and no keys; whoever logs
keeps to that. Only the packages of this project and warnings of others are written.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import LogSettings

FILE_NAME = "orchestrator.log"
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
QUIET = ("waitress.queue", "urllib3", "watchdog", "werkzeug", "httpx", "httpcore", "dulwich")
"""Loggers of libraries that would fill the file with what nobody can act on."""

SAY_EVERY_S = 600.0
"""Between two words that the log cannot be written."""

_MARK = "orchestrator"


def configure_logging(settings: LogSettings, data: Path | None, *, console: bool = True) -> None:
    """Set up the root logger; calling it again replaces what it set up before.

    Args:
        data: the data folder; None writes no file.

    Raises:
        ConfigurationError: the log file cannot be written.
    """
    stop_logging()
    root = logging.getLogger()
    root.setLevel(settings.level)
    for handler in _handlers(settings, data, console):
        handler.set_name(_MARK)
        handler.setFormatter(logging.Formatter(FORMAT))
        root.addHandler(handler)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # One line per task that waits, which a burst of phones makes many of; the queue is a metric.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def stop_logging() -> None:
    """Close and remove the handlers of `configure_logging`."""
    root = logging.getLogger()
    for handler in [one for one in root.handlers if one.get_name() == _MARK]:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # what a full disk has not taken is lost
            handler.close()


def _handlers(settings: LogSettings, data: Path | None, console: bool) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    if data is not None:
        handlers.append(_file_handler(settings, data / FILE_NAME))
    if console:
        handlers.append(logging.StreamHandler())
    return handlers


class _LogFile(RotatingFileHandler):
    """On a full disk lines are lost, and that is said now and then: not with a traceback for each of them."""

    _said_at = -math.inf

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif sys.stderr and time.monotonic() - self._said_at >= SAY_EVERY_S:
            self._said_at = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"The log file {self.baseFilename} cannot be written: {error.strerror}.\n")


def _file_handler(settings: LogSettings, path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _LogFile(path, maxBytes=settings.max_bytes, backupCount=settings.backups, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The log file {str(path)!r} cannot be written: {error.strerror}.",
            hint="Choose another data folder (--data, ORCHESTRATOR_DATA) or mend its permissions.",
        ) from error
