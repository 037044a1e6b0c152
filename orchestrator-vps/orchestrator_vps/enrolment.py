"""`/enroll` and `/desktops`: how a desktop gets its credential, and how it loses it.

Covered: guessing codes (hopeless, see `codes`; wrong ones are logged as wrong keys are), a credential used where it must not
be (a desktop reaches its connection, the exchange and the answers of this tier; an extra one
only its connection).
Not covered: what a person with the API key does: it may do everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Literal

from flask import g, request
from orchestrator_core.errors import Forbidden, NotFound, Unauthorized
from orchestrator_http.access.keys import FailedAttempts
from orchestrator_http.api import Api, current_operation
from orchestrator_http.schemas.common import Body, Identifier, Parameters
from orchestrator_http.services import services
from orchestrator_relay.dial import PATH
from pydantic import BaseModel, Field

from orchestrator_vps.credentials import Credentials, EnrolledDesktop, ExtraDesktops

_log = logging.getLogger(__name__)


class EnrollBody(Body):
    code: str = Field(min_length=1, max_length=100, description="As the VPS printed it.")
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
    replica: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = Field(
        "", description="Id of its memory: enrolling again replaces the former enrolment."
    )


class EnrollAnswer(BaseModel):
    credential: str = Field(description="Secret; told this once.")
    desktop_id: str
    role: Literal["source", "extra"]
    tier: str
    version: str
    replica: str = Field(description="Id of this server's memory.")


class DesktopAnswer(BaseModel):
    desktop_id: str
    name: str
    role: Literal["source", "extra"]
    enrolled_at: str
    seen_at: str | None
    revoked_at: str | None
    connected: bool
    address: str = Field(description="From where it dialled in last.")
    elsewhere: str = Field(description="From where else its credential was used last; empty for nowhere.")
    elsewhere_at: str | None


class DesktopsAnswer(BaseModel):
    desktops: list[DesktopAnswer]


class DesktopPath(Parameters):
    desktop_id: Identifier


class Enrolment:
    """The routes and the check of credentials, around one list of desktops.

    Args:
        extra: what becomes of a second desktop.
        connected: ids of the desktops that are connected now.
        drop: end the connection of a desktop that was revoked.
        used: told of each request with a desktop's credential, and from where it came.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        extra: ExtraDesktops,
        connected: Callable[[], frozenset[str]],
        drop: Callable[[str], None],
        used: Callable[[EnrolledDesktop, str], None],
    ) -> None:
        self._credentials = credentials
        self._extra = extra
        self._connected = connected
        self._drop = drop
        self._used = used
        self._attempts = FailedAttempts()
        self.api = Api("desktops", scope="admin", answered_by="here")
        declare = self.api.route
        declare("POST", "/enroll", summary="Enrol a desktop", errors=(409, 429, 507), open=True,
                status=201, max_body_bytes=4096)(self.enroll)  # fmt: skip
        declare("GET", "/desktops", summary="The enrolled desktops")(self.index)
        declare("DELETE", "/desktops/<desktop_id>", summary="Refuse a desktop from now on",
                errors=(404, 507))(self.revoke)  # fmt: skip
        declare("DELETE", "/desktops/self", summary="Refuse the desktop that asks from now on",
                errors=(404, 507), for_desktop="any")(self.revoke_self)  # fmt: skip

    def verify(self, key: str) -> bool:
        """Whether the key is a desktop's credential, good for this request; `g.desktop` says whose.

        Raises:
            Forbidden: a valid one, used elsewhere.
            Unauthorized: it was revoked.
        """
        desktop = self._credentials.find(key)
        if desktop is None:
            if self._credentials.was_revoked(key):
                raise Unauthorized(
                    "This desktop was revoked.",
                    code="revoked",
                    hint="At home, enrol it anew: `orchestrator vps enroll URL CODE`",
                )
            return False
        operation = current_operation()
        reach = "none" if operation is None else operation.for_desktop
        if reach != "any" and reach != desktop.role:
            raise Forbidden(
                f"A desktop's credential is not for {request.path[:80]!r}.",
                code="not_for_desktops",
                hint="Use the API key.",
            )
        g.desktop = desktop
        if request.path != PATH:  # who dials in is looked at there
            self._used(desktop, request.remote_addr or "")
        return True

    def enroll(self, body: EnrollBody) -> EnrollAnswer:
        """The code is good for one desktop and one hour. 403 with the code `wrong_code`,
        `used_code` or `expired_code`; 409 when another desktop is the source of truth and this server
        takes no further ones."""
        here = services()
        try:
            desktop, credential = self._credentials.enroll(body.code, body.name, body.replica, self._extra)
        except Forbidden:
            self._attempts.add(request.remote_addr or "", "enrolment code")
            raise
        _log.info("Enrolled the desktop %s as %s", desktop.desktop_id, desktop.role)
        return EnrollAnswer(
            credential=credential,
            desktop_id=desktop.desktop_id,
            role=desktop.role,
            tier=here.assistant.tier,
            version=here.version,
            replica=here.replica.replica_id,
        )

    def index(self) -> DesktopsAnswer:
        connected = self._connected()
        return DesktopsAnswer(
            desktops=[_shown(desktop, connected) for desktop in self._credentials.desktops()]
        )

    def revoke(self, path: DesktopPath) -> DesktopAnswer:
        """Its connection ends at once."""
        return self._revoke(path.desktop_id)

    def revoke_self(self) -> DesktopAnswer:
        """The desktop whose credential the request carries; its connection ends at once."""
        asking: EnrolledDesktop | None = g.get("desktop")
        if asking is None:
            raise NotFound("Only a desktop is 'self' here.", hint="GET /desktops lists the ids.")
        return self._revoke(asking.desktop_id)

    def _revoke(self, desktop_id: str) -> DesktopAnswer:
        desktop = self._credentials.revoke(desktop_id)
        self._drop(desktop_id)
        _log.info("Revoked the desktop %s", desktop_id)
        return _shown(desktop, frozenset())


def _shown(desktop: EnrolledDesktop, connected: frozenset[str]) -> DesktopAnswer:
    return DesktopAnswer(
        desktop_id=desktop.desktop_id,
        name=desktop.name,
        role=desktop.role,
        enrolled_at=desktop.enrolled_at,
        seen_at=desktop.seen_at,
        revoked_at=desktop.revoked_at,
        connected=desktop.desktop_id in connected,
        address=desktop.address,
        elsewhere=desktop.elsewhere,
        elsewhere_at=desktop.elsewhere_at,
    )
