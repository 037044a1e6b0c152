"""Another tier that is reached over plain HTTP(S): the VPS, as the desktop sees it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import requests

from orchestrator_core.errors import TierLost, TierUnreachable
from orchestrator_core.streamed_http import TRANSPORT_FAILURES, StreamedRequest, failure_words, was_never_sent
from orchestrator_core.tiers.remote import TierState

CONNECT_S = 5.0
LOOK_EVERY_S = 5.0
"""Between looks at the other tier's state."""

STALE_S = 15.0
"""A state that was not seen for so long is no state any more."""

MINUTE_S = 60.0

_log = logging.getLogger(__name__)


class HttpTier:
    """A `RemoteTier`. Its state is looked at in the background while it is watched.

    Args:
        session: carries the key and what is trusted; see `relay.pinning.session_for`. Its owner is the
            tier from now on.
        exchange: makes this tier's memory and the other's equal; returns whether they are.
        answer_timeout_s: for the head of an answer, and for each pause in its body.
    """

    def __init__(
        self,
        name: str,
        url: str,
        session: requests.Session,
        *,
        exchange: Callable[[], bool],
        answer_timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._session = session
        self._exchange = exchange
        self._answer_timeout_s = answer_timeout_s
        self._clock = clock
        self._exchanging = threading.Lock()
        self._lock = threading.Lock()
        self._known = TierState(name, reachable=False, ready=False, why="it was not looked at yet")
        self._since = self._seen = clock()
        self._lost: list[float] = []
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"HttpTier({self.name!r}, {self._url!r})"

    def state(self) -> TierState:
        with self._lock:
            now = self._clock()
            known = self._known
            drops = sum(now - moment < MINUTE_S for moment in self._lost)
            if not known.reachable:
                return TierState(self.name, reachable=False, ready=False, drops=drops, why=known.why)
            if now - self._seen > STALE_S:
                return TierState(self.name, False, False, drops=drops, why="it was not seen for a while")
            return TierState(
                self.name, True, known.ready, known.queue, up_s=now - self._since, drops=drops, why=known.why
            )

    def watch(self, every_s: float = LOOK_EVERY_S) -> None:
        """Look at it again and again, until `close`."""
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._watch, args=(every_s,), name="tier-watch", daemon=True
            )
            self._watcher.start()

    def look(self) -> None:
        """Ask for its state now."""
        try:
            with self._session.get(
                f"{self._url}/info", timeout=(CONNECT_S, CONNECT_S), allow_redirects=False
            ) as response:
                info = response.json() if response.status_code == 200 else {}
        except (requests.RequestException, ValueError) as error:
            self._note_away(failure_words(error))
            return
        if response.status_code != 200:
            self._note_away(f"it answered {response.status_code}")
            return
        ready = info.get("state") == "ready"
        waiting = info.get("waiting")
        self._note(
            ready, waiting if isinstance(waiting, int) else 0, "" if ready else "its model is not ready"
        )

    def open(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> HttpResponse:
        """See `RemoteTier`. A key that is not accepted is this tier's affair and no answer to a
        client: the other tier is then as good as away."""
        request = StreamedRequest(
            lambda: self._session.request(
                method,
                f"{self._url}{target}",
                headers=dict(headers or {}),
                data=body,
                timeout=(CONNECT_S, timeout_s or self._answer_timeout_s),
                allow_redirects=False,
                stream=True,
            ),
            name="tier-reader",
        )
        try:
            response = request.head()
        except TRANSPORT_FAILURES as error:
            self._note_away(failure_words(error))
            if was_never_sent(error):
                raise TierUnreachable(
                    f"The {self.name} cannot be reached ({failure_words(error)})."
                ) from error
            raise TierLost(f"The {self.name} was lost ({failure_words(error)}).") from error
        assert response is not None, "nobody has closed the request"
        if response.status_code in (401, 403):
            request.close()
            raise TierUnreachable(f"The {self.name} does not accept this tier's key.")
        return HttpResponse(request, response, self.name)

    def settle(self, timeout_s: float) -> bool:
        """An exchange, one at a time; a longer one than `timeout_s` goes on for later questions."""
        give_up = self._clock() + timeout_s
        if not self._exchanging.acquire(timeout=timeout_s):
            return False
        done = threading.Event()
        results: list[bool] = []

        def work() -> None:
            try:
                results.append(self._exchange())
            except Exception as error:
                _log.info("The exchange with the %s failed: %s", self.name, error)
            finally:
                self._exchanging.release()
                done.set()

        threading.Thread(target=work, name="tier-settle", daemon=True).start()
        return done.wait(max(0.0, give_up - self._clock())) and results == [True]

    def close(self) -> None:
        """Idempotent."""
        self._closed.set()
        self._session.close()
        if self._watcher is not None:
            self._watcher.join(2 * CONNECT_S)

    def _watch(self, every_s: float) -> None:
        while True:
            self.look()
            if self._closed.wait(every_s):
                return

    def _note(self, ready: bool, waiting: int, why: str) -> None:
        with self._lock:
            self._seen = self._clock()
            if not self._known.reachable:
                self._since = self._seen
            self._known = TierState(self.name, True, ready, waiting, why=why)

    def _note_away(self, why: str) -> None:
        with self._lock:
            if self._known.reachable:
                now = self._clock()
                recent = [moment for moment in self._lost if now - moment < MINUTE_S]
                self._lost = [*recent[-100:], now]
            self._known = TierState(self.name, reachable=False, ready=False, why=why)


class HttpResponse:
    """A `RemoteResponse`."""

    def __init__(self, request: StreamedRequest, response: requests.Response, name: str) -> None:
        self.status = response.status_code
        self.headers = {field.lower(): value for field, value in response.headers.items()}
        self._request = request
        self._name = name

    def chunks(self) -> Iterator[bytes]:
        try:
            yield from self._request.chunks()
        except (*TRANSPORT_FAILURES, ValueError) as error:
            raise TierLost(f"The {self._name} was lost ({failure_words(error)}).") from error
        if self._request.closed:
            raise TierLost(f"The answer of the {self._name} was left.")

    def close(self) -> None:
        self._request.close()
