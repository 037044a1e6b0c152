"""Who is told what, when, and how often it is tried."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from orchestrator_core.errors import ApplicationError
from orchestrator_core.news import News
from shared_context.errors import StoreError

from orchestrator_http.push.composing import StillWatched
from orchestrator_http.push.delivery import Keys, Outcome, WebPushSender
from orchestrator_http.push.store import NEXT_TIER, PushStore, Subscription, Waiting

SENDERS = 4
"""Messages on their way at once; of one receiver only one. A service that stalls holds up no other."""

GRACE_S = 2.0
"""A client that is given the end of its answer so soon after it needs no message."""

EXPIRES_S = 3 * 24 * 3600.0
"""Nobody wants to hear of an answer of last week. Also how long a service keeps a message for a phone that is off."""

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0
LONGEST_TIER_PAUSE_S = 30.0
"""The household's own VPS may be asked more often: it was restarted, and somebody waits."""
LONGEST_WISH_S = 24 * 3600.0
"""However long a service asks to be left alone."""

STOP_S = 2.0

_log = logging.getLogger(__name__)


class NextTier(Protocol):
    """The tier that sends in this one's place: it is reachable by day and night."""

    def present(self) -> bool:
        """Whether there is one; it need not be reachable."""

    def tell(self, news: News) -> Outcome:
        """Have it tell its subscribers."""

    def call(self, method: str, body: bytes, device: str | None) -> tuple[int, bytes]:
        """Its answer to a request for `/push`.

        Args:
            device: id of the paired device that asks; None: the owner does.

        Raises:
            TierUnreachable.
        """


class Push:
    """Sends in threads that live while there is something to send. Safe from any thread.

    Args:
        compose: the message that these news are for a person; None: nobody needs it any more.
        next_tier: is told of all news too, or None.
        was_revoked: whether a device that subscribed once was revoked since.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: PushStore,
        sender: WebPushSender,
        compose: Callable[[News], dict[str, Any] | None],
        *,
        next_tier: NextTier | None = None,
        was_revoked: Callable[[str], bool] = lambda device: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.next_tier = next_tier
        self._sender = sender
        self._compose = compose
        self._was_revoked = was_revoked
        self._clock = clock
        self._changed = threading.Condition()
        self._busy: list[str] = []
        self._threads = 0
        self._closed = False

    @property
    def public_key(self) -> str:
        """What clients subscribe with."""
        return self._sender.public_key

    def start(self) -> None:
        """Go on with what an earlier process left."""
        self._ensure_thread()

    def tell(self, news: News) -> None:
        """Have everybody told. Waits for nobody; a disk that is full loses the message, not the answer."""
        now = self._clock()
        elsewhere = self.next_tier is not None and self.next_tier.present()
        try:
            if self.store.add(news, now, now + GRACE_S, next_tier=elsewhere):
                self._ensure_thread()
        except StoreError as error:
            _log.warning("Nobody is told of %s: %s", news.ids[0], error.message)

    def subscriptions(self) -> list[Subscription]:
        """Those of revoked devices are gone.

        Raises:
            StoreError.
        """
        every = self.store.subscriptions()
        revoked = {each.endpoint for each in every if self._is_revoked(each)}
        for endpoint in revoked:
            self.store.unsubscribe(endpoint)
        return [each for each in every if each.endpoint not in revoked]

    def close(self) -> None:
        """What is not delivered waits for the next start. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            # A message that is on its way is sent again after the restart, under the same topic.
            self._changed.wait_for(lambda: not self._threads, STOP_S)
        self.store.close()

    def _ensure_thread(self) -> None:
        with self._changed:
            self._changed.notify_all()
            if self._threads < SENDERS and not self._closed:
                self._threads += 1
                threading.Thread(target=self._work, name="push", daemon=True).start()

    def _work(self) -> None:
        try:
            while (waiting := self._take()) is not None:
                try:
                    self._handle(waiting)
                finally:
                    with self._changed:
                        self._busy.remove(waiting.receiver.endpoint)
                        self._changed.notify_all()
        except StoreError as error:
            if not self._closed:
                _log.warning("Push messages wait for the next start: %s", error.message)
        except Exception:
            _log.exception("A thread for push messages ended")
        finally:
            with self._changed:
                self._threads -= 1
                self._changed.notify_all()

    def _take(self) -> Waiting | None:
        """The next message, when it is due; None when there is nothing to do for one more thread."""
        with self._changed:
            while not self._closed:
                waiting = self.store.next(self._busy)
                if waiting is None:
                    return None
                pause_s = waiting.due - self._clock()
                if pause_s <= 0:
                    self._busy.append(waiting.receiver.endpoint)
                    return waiting
                self._changed.wait(min(pause_s, LONGEST_PAUSE_S))
            return None

    def _handle(self, waiting: Waiting) -> None:
        now = self._clock()
        if self._is_revoked(waiting.receiver):
            self.store.unsubscribe(waiting.receiver.endpoint)
            return
        try:
            message = None if now - waiting.since > EXPIRES_S else self._compose(waiting.news)
            outcome = (
                None if message is None else self._send(waiting, message, EXPIRES_S - (now - waiting.since))
            )
        except StillWatched:
            self.store.delay(waiting, now + GRACE_S)
            return
        except (ApplicationError, OSError) as error:
            outcome = Outcome("later", str(error))
        receiver = waiting.receiver
        match outcome:
            case None:
                self.store.drop(waiting)
            case Outcome(what="delivered"):
                self.store.settle(waiting)
            case Outcome(what="gone"):
                _log.info("A push subscription is removed: %s", outcome.problem)
                self.store.unsubscribe(receiver.endpoint)
            case Outcome(what="refused"):
                _log.warning("A push message was not delivered: %s", outcome.problem)
                self.store.settle(waiting, problem=outcome.problem)
            case _:
                most_s = LONGEST_TIER_PAUSE_S if receiver.endpoint == NEXT_TIER else LONGEST_PAUSE_S
                pause_s = max(outcome.retry_after_s, _pause_s(receiver.failures, most_s))
                pause_s = min(LONGEST_WISH_S, pause_s)
                self.store.postpone(waiting, now + pause_s, outcome.problem)

    def _is_revoked(self, subscription: Subscription) -> bool:
        return subscription.device is not None and self._was_revoked(subscription.device)

    def _send(self, waiting: Waiting, message: dict[str, Any], ttl_s: float) -> Outcome:
        receiver, news = waiting.receiver, waiting.news
        if receiver.endpoint != NEXT_TIER:
            return self._sender.send(
                receiver.endpoint,
                keys_of(receiver),
                message,
                topic=topic_of(news),
                ttl_s=int(ttl_s),
                urgency="normal" if news.kind == "conflict" else "high",
            )
        if self.next_tier is None or not self.next_tier.present():
            return Outcome("gone", "there is no other tier any more")
        return self.next_tier.tell(news)


def keys_of(subscription: Subscription) -> Keys:
    return Keys(subscription.p256dh, subscription.auth)


def topic_of(news: News) -> str:
    """Of RFC 8030, 5.4: says nothing to the push service."""
    return hashlib.sha256(news.subject.encode()).hexdigest()[:32]


def _pause_s(failures: int, most_s: float) -> float:
    """Twice as long after each failure; never two receivers in step."""
    return min(most_s, FIRST_PAUSE_S * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1.0)
