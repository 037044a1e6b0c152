"""The requests that were taken a moment ago, so that none is taken twice.

Loads no cryptography: a server has its store from its start on, before anybody signs.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from orchestrator_relay.errors import RequestReplayed

MAX_AGE_S = 60
"""Seconds after `created` in which a request is taken."""

MAX_AHEAD_S = 10
"""Seconds that the signer's clock may be ahead."""

MAX_NONCES = 100_000
"""Requests of the last `MAX_AGE_S` that are remembered; beyond them the oldest moments are closed to their signer."""


@dataclass
class NonceStore:
    """The requests of the last minute, so that none is taken twice. Bounded; safe from any thread.

    Only rightly signed requests get in, so nobody fills it but who may ask. Where it is full, the moments of
    the oldest requests are closed to those who signed them, and to nobody else.

    Args:
        started: Unix time; what was signed earlier may have been taken by this server's former process.
    """

    most: int = MAX_NONCES
    started: float = field(default_factory=time.time)
    _used: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict, repr=False)
    _closed: dict[str, int] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def use(self, key_id: str, nonce: str, created: int, now: float) -> None:
        """
        Raises:
            RequestReplayed: it was used, or may have been.
        """
        with self._lock:
            self._forget(now)
            closed = self._closed.get(key_id, 0)
            if (key_id, nonce) in self._used or created <= closed or created < int(self.started):
                raise RequestReplayed(
                    "This request was taken before, or it was signed before this server started.",
                    server_time=int(now),
                )
            self._used[key_id, nonce] = created
            while len(self._used) > self.most:
                (oldest, _), moment = self._used.popitem(last=False)
                self._closed[oldest] = max(moment, self._closed.get(oldest, 0))

    def __len__(self) -> int:
        return len(self._used)

    def _forget(self, now: float) -> None:
        while self._used:
            entry, created = next(iter(self._used.items()))
            # Whoever is ahead is remembered until his moment has passed as well.
            if created + MAX_AGE_S + MAX_AHEAD_S >= now:
                break
            del self._used[entry]
        if len(self._closed) > 1 and min(self._closed.values()) + MAX_AGE_S < now:
            self._closed = {key: moment for key, moment in self._closed.items() if moment + MAX_AGE_S >= now}
