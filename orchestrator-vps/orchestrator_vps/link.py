"""One connected desktop, as the hub knows it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from orchestrator_core.tiers.remote import TierState
from orchestrator_relay import heads
from orchestrator_relay.connection import Ending, RelayConnection

from orchestrator_vps.credentials import EnrolledDesktop

DESKTOP = "desktop"


@dataclass(eq=False)
class DesktopLink:
    """A connected desktop.

    Args:
        noticed: the state of the memory that it was told of last.
        synced: the state of the memory that it said it has taken in.
        notices: the states it was told of and has not answered, with their numbers in that order.
        last_notice, taken_in: numbers of the latest notice, and of the latest that was answered. Answers
            come in order, so one answers all notices before it too.
        address: from where it dialled in.
        elsewhere: from where else its credential was used last while it was connected.
        suspect: from where else it was used, while that is looked into.
        gave_up_on: the state of the memory that it did not take in in time.
    """

    desktop: EnrolledDesktop
    connection: RelayConnection
    since: float = field(default_factory=time.monotonic)
    seen: float = 0.0
    noticed: str = ""
    synced: str = ""
    notices: dict[str, int] = field(default_factory=dict)
    last_notice: int = 0
    taken_in: int = 0
    telling: threading.Lock = field(default_factory=threading.Lock)
    gave_up_on: str = ""
    address: str = ""
    elsewhere: str = ""
    suspect: str = ""


def state_of(link: DesktopLink, silence_s: float, drops: int = 0) -> TierState:
    peer = link.connection.peer
    ready = peer is not None and peer.ready
    return TierState(
        DESKTOP,
        reachable=link.connection.heard_s_ago() < silence_s,
        ready=ready,
        queue=peer.queue if peer is not None else 0,
        up_s=time.monotonic() - link.since,
        drops=drops,
        why="" if ready else "its model is not loaded, or memories are not exchanged",
    )


def in_words(ending: Ending) -> str:
    """For people, in a few words that say nothing a desktop could have chosen freely."""
    words = {
        heads.STOPPING: "it was stopped",
        heads.REVOKED: "it was revoked",
        heads.SILENT: "it has fallen silent",
        heads.REPLACED: "it dialled anew",
    }
    return words.get(ending.code, "the connection was lost")
