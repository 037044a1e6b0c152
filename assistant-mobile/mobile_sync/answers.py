"""One answer, followed over whatever road there is until it is complete. A run is the same run by any road."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from orchestrator_core.errors import NotFound, TierLost, TierUnreachable, from_body
from orchestrator_core.tiers.run_stream import RunStream, StreamEvent

from mobile_sync.errors import ConnectionCut, NothingReachable
from mobile_sync.household import Household
from mobile_sync.router import Choice

PATIENCE_S = 60.0
"""How long an answer that was begun is waited for without any progress."""

PAUSE_S = 0.3


class RoamingAnswer:
    """Iterate it once for its events: `token`, `seam`, `done`; and `road` whenever another road is taken.

    A seam with `from` says that what was shown behind that offset does not count: another tier begins anew.

    Args:
        body: of `/chat/stream`, with a `message_id`; None: only a run that exists is followed.
        run_id, offset: of a run that was followed before.
    """

    def __init__(
        self,
        household: Household,
        body: Mapping[str, Any] | None,
        *,
        run_id: str | None = None,
        offset: int = 0,
    ) -> None:
        self._household = household
        self._body = body
        self.run_id = run_id
        self.offset = offset
        self._sent = run_id is not None
        self._by: Choice | None = None

    def __iter__(self) -> Iterator[StreamEvent]:
        """
        Raises:
            NothingReachable: nothing was sent.
            ConnectionCut: it was sent, and no road led on; once something was shown, for `PATIENCE_S`.
            ApplicationError: the answer failed, or was refused.
        """
        give_up, at = time.monotonic() + PATIENCE_S, self.offset
        while True:
            choice = self._household.roads.choose(others=True)
            if self.offset > at:
                give_up, at = time.monotonic() + PATIENCE_S, self.offset
            if choice.url is not None:
                try:
                    yield from self._over(choice)
                    return
                except (NothingReachable, TierLost, ConnectionCut):
                    pass
            elif not self._sent:
                raise NothingReachable(f"Nothing was sent: {choice.reason}.")
            elif not self.offset:
                raise ConnectionCut(
                    "It was sent, and every road was lost before a word came back.",
                    "It is looked up, and sent again if need be, as soon as there is a road.",
                )
            if time.monotonic() > give_up:
                raise ConnectionCut(
                    "The answer was begun, and no road led back to it.", "It is looked up when one does."
                )
            time.sleep(PAUSE_S)

    def _over(self, choice: Choice) -> Iterator[StreamEvent]:
        if self._by != choice:
            yield StreamEvent("road", {"way": choice.way, "reason": choice.reason})
        moved, self._by = self._by is not None, choice
        if self.run_id is not None:
            try:
                yield from self._followed(choice, self.run_id)
                return
            except (NotFound, TierUnreachable):
                # Who had begun it cannot be reached by this road.
                if self._body is None:
                    raise
        assert self._body is not None
        self._sent = True
        with self._household.opened(choice, "POST", "/chat/stream", dict(self._body)) as answer:
            self.run_id = answer.headers.get("X-Run-Id") or self.run_id
            if moved and self.offset:
                self.offset = 0
                yield StreamEvent("seam", {"from": 0, "reason": "whoever began the answer was lost"})
            yield from self._events(answer.chunks(), choice)

    def _followed(self, choice: Choice, run_id: str) -> Iterator[StreamEvent]:
        path = f"/runs/{quote(run_id, safe='')}/stream"
        with self._household.opened(choice, "GET", path, query={"from": self.offset}) as answer:
            yield from self._events(answer.chunks(), choice)

    def _events(self, chunks: Iterator[bytes], choice: Choice) -> Iterator[StreamEvent]:
        stream, done = RunStream(), None
        for chunk in chunks:
            for event in stream.feed(chunk):
                if event.name == "error":
                    raise from_body(event.data)
                if event.name == "done":
                    done = event
                    continue
                if event.offset is not None:
                    if event.offset <= self.offset:
                        continue
                    self.offset = event.offset
                yield event
        # The end of a stream is signed behind its last event.
        if done is None:
            raise ConnectionCut("The stream ended before the answer did.")
        yield StreamEvent("done", {**done.data, "road": {"way": choice.way, "reason": choice.reason}})
