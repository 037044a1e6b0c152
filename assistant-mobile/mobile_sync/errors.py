"""The errors of reach. What a server answers is raised as `orchestrator_core.errors.from_body` makes it.

ReachError
├── NotPaired            this device belongs to no household yet
├── NothingReachable     no road leads to a server now; nothing was sent
├── ConnectionCut        every road was lost after the request was sent: it may have happened
├── PairingFailed        this device was not let in
└── EntryNotFound        the outbox has no such entry
"""

from __future__ import annotations

from orchestrator_core.errors import BackendError, ConfigurationError, OrchestratorError


class ReachError(OrchestratorError):
    """Base of this package's errors."""

    type = "backend_error"
    code = "reach_error"


class NotPaired(ReachError, ConfigurationError):
    """This device belongs to no household yet."""

    type = "authentication_error"
    code = "not_paired"
    status = 401


class NothingReachable(ReachError, BackendError):
    """No road leads to a server now; nothing was sent."""

    code = "nothing_reachable"
    status = 503


class ConnectionCut(ReachError, BackendError):
    """Every road was lost after the request was sent: it may have happened."""

    code = "connection_cut"
    status = 502


class EntryNotFound(ReachError):
    """The outbox has no such entry: it was delivered, or deleted."""

    type = "not_found_error"
    code = "entry_not_found"
    status = 404


class PairingFailed(ReachError):
    """This device was not let in: the code says who refused, and why."""

    type = "authentication_error"
    code = "pairing_failed"
    status = 403
