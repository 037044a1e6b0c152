"""Which program calls: its name, as the history of the documents shows it."""

from __future__ import annotations

import re
from typing import Any

from mcp.server.mcpserver import Context
from shared_context.documents.log_entry import AUTHOR

Caller = Context[Any, Any]
"""A parameter of this type is filled by the SDK and not shown to the client."""

_UNUSABLE = re.compile(r"[^A-Za-z0-9 ._@+-]+")


def author_of(caller: Caller) -> str | None:
    """The client's name as an author; None when it gave none that can be one. A client that speaks
    an older protocol over HTTP names itself once and not with every call: it has none."""
    given = caller.session.client_params
    return None if given is None else usable(given.client_info.name)


def usable(name: str) -> str | None:
    """What of a name can be an author's."""
    plain = " ".join(_UNUSABLE.sub(" ", name).split()).lstrip(" ._@+-")[:64].rstrip()
    return plain if re.fullmatch(AUTHOR, plain) else None
