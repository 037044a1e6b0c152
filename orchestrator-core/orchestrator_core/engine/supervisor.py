"""Keeps one engine process alive: starts it on demand, restarts it when it dies, unloads it when idle.

All of a process's life happens on one thread, the keeper: it starts the child, listens to it and
collects it. A process that dies loses its answers (`EngineLost`), and is started again at once; if it
keeps dying without having produced anything, more and more slowly, and after MAX_FAILED_LOADS deaths
while loading not at all, until it is worth another try (`load_failure`).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any

from orchestrator_core.backend import FinishReason, Token, TokenLogprob, Usage
from orchestrator_core.engine.channel import ChannelClosed
from orchestrator_core.engine.load import Loaded, LoadSpec
from orchestrator_core.engine.load_failure import MAX_FAILED_LOADS, LoadFailure, unusable
from orchestrator_core.engine.process import EngineProcess
from orchestrator_core.engine.stream import AnswerStream
from orchestrator_core.engine.watchdog import Liveness, WatchdogLimits, look
from orchestrator_core.errors import (
    ApplicationError,
    BackendError,
    EngineLost,
    InvalidRequest,
    from_body,
)
from orchestrator_core.generation import GenerationConfig

log = logging.getLogger("orchestrator.engine")

BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Pause before a restart, by the number of deaths in a row without a single token in between."""
SILENCE_S = 600.0
"""A process that has work and says nothing for so long hangs. It speaks at least once per step, and a step
is one prefill chunk at most."""


class EngineState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    UNLOADING = "unloading"
    FAILED = "failed"
    CLOSED = "closed"


class Supervisor:
    """Everything the server says to the engine goes through here. Thread-safe.

    Args:
        spec: what to load.
        idle_unload_s: seconds without any request after which the process ends; 0: never.
        silence_s: see `SILENCE_S`.
    """

    def __init__(self, spec: LoadSpec, *, idle_unload_s: float = 0.0, silence_s: float = SILENCE_S) -> None:
        self.restarts = 0
        self.loaded: Loaded | None = None
        """Of the latest successful load; stays when the process is gone."""
        self._spec = spec
        self._limits = WatchdogLimits(idle_unload_s, silence_s)
        self._heard = 0.0
        self._state = EngineState.STOPPED
        self._changed = threading.Condition()
        self._wanted = False
        self._keeper: threading.Thread | None = None
        self._process: EngineProcess | None = None
        self._failure: LoadFailure | None = None
        self._fruitless = 0
        self._ids = itertools.count(1)
        self._streams: dict[int, AnswerStream] = {}
        self._replies: dict[int, Future[dict[str, Any]]] = {}
        self._prefix: tuple[list[str], list[str]] | None = None
        self._last_use = time.monotonic()

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def pid(self) -> int | None:
        """Process id of the child, while there is one."""
        process = self._process
        return process.pid if process is not None else None

    def ensure_ready(self, *, retry: bool = False) -> Loaded:
        """Wait for the model, starting the process if need be.

        Args:
            retry: try again although loading has just failed.

        Raises:
            ModelUnusable, ConfigurationError: why it cannot be loaded.
        """
        with self._changed:
            self._last_use = time.monotonic()
            if self._failure is not None and (retry or self._failure.worth_retrying):
                self._failure = None
                self._state, self._fruitless = EngineState.STOPPED, 0
            while self._state is not EngineState.READY:
                if self._state is EngineState.CLOSED:
                    raise BackendError("The engine is closed.")
                if self._failure is not None:
                    raise self._failure.error
                self._want()
                self._changed.wait()
            assert self.loaded is not None
            return self.loaded

    def generate(self, pieces: Sequence[str], continued: str, config: GenerationConfig) -> AnswerStream:
        """Start an answer; returns when the engine has accepted it.

        Raises:
            ContextLengthExceeded, Overloaded, InvalidRequest: it was refused.
            EngineLost: the process died before it answered.
        """
        self.ensure_ready()
        stream = AnswerStream(next(self._ids), self._cancel)
        with self._changed:
            self._note_work()
            self._streams[stream.request_id] = stream
        try:
            reply = self._ask(
                stream.request_id,
                "generate",
                pieces=list(pieces),
                continued=continued,
                config=config.model_dump(mode="json"),
            )
        except BaseException:
            self._streams.pop(stream.request_id, None)
            raise
        stream.begin(prompt_tokens=reply["prompt_tokens"])
        return stream

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask something that can be asked twice (counts, embeddings): asked again if the process dies."""
        for attempt in (1, 2):
            self.ensure_ready()
            try:
                return self._ask(next(self._ids), op, **fields)
            except EngineLost:
                if attempt == 2:
                    raise
        raise AssertionError

    def prewarm(self, pieces: Sequence[str], follows: Sequence[str] = ()) -> None:
        """Ask for this prefix to be pinned, and for the prompt `follows` to be cached, now and after
        each restart. Returns at once."""
        with self._changed:
            self._prefix = list(pieces), list(follows)
            self._want()
            ready = self._state is EngineState.READY
        if ready:
            self._send_prefix()

    def peek(self, op: str) -> dict[str, Any] | None:
        """Ask a running process only; None when there is none."""
        if self._state is not EngineState.READY:
            return None
        try:
            return self._ask(next(self._ids), op)
        except EngineLost:
            return None

    def close(self) -> None:
        """End the process; open answers end as cancelled. Final."""
        with self._changed:
            if self._state is EngineState.CLOSED:
                return
            self._state = EngineState.CLOSED
            process, keeper = self._process, self._keeper
            streams = list(self._streams.values())
            self._changed.notify_all()
        for stream in streams:
            stream.cancel()
        if process is not None:
            process.channel.close()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join()

    # Messages

    def _ask(self, message_id: int, op: str, **fields: Any) -> dict[str, Any]:
        reply: Future[dict[str, Any]] = Future()
        with self._changed:
            self._last_use = time.monotonic()
            if self._state is not EngineState.READY or self._process is None:
                raise EngineLost("The engine process is not running.")
            channel = self._process.channel
            self._note_work()
            self._replies[message_id] = reply
        try:
            channel.send({"op": op, "id": message_id, **fields})
        except ChannelClosed:
            pass  # The keeper notices as well, and fails the reply with the reason.
        except ValueError as error:
            self._replies.pop(message_id, None)
            raise InvalidRequest(f"The text cannot be processed: {error}") from error
        answer = reply.result()
        if "error" in answer:
            raise from_body(answer["error"])
        return answer

    def _cancel(self, request_id: int) -> None:
        with self._changed:
            self._streams.pop(request_id, None)
            process = self._process
        self._tell(process, {"op": "cancel", "id": request_id})

    def _send_prefix(self) -> None:
        with self._changed:
            process, prefix = self._process, self._prefix
        if prefix is not None:
            pieces, follows = prefix
            message = {"op": "prewarm", "id": next(self._ids), "pieces": pieces, "follows": follows}
            self._tell(process, message)

    def _tell(self, process: EngineProcess | None, message: dict[str, Any]) -> None:
        if process is not None:
            try:
                process.channel.send(message)
            except (ChannelClosed, ValueError) as error:
                log.debug("The engine process did not take %s: %r", message["op"], error)

    # The keeper

    def _want(self) -> None:
        """With the lock held: have the keeper start the process if it does not run."""
        self._wanted = True
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="engine-keeper", daemon=True)
            self._keeper.start()
            threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()
        self._changed.notify_all()

    def _keep(self) -> None:
        while self._wait_until_wanted():
            try:
                process = EngineProcess(self._spec)
            except (OSError, ChannelClosed) as error:
                self._give_up(BackendError(f"The engine process cannot be started: {error}"))
                continue
            with self._changed:
                self._process = process
            self._live(process)

    def _wait_until_wanted(self) -> bool:
        """False when closed."""
        with self._changed:
            while self._state is not EngineState.CLOSED:
                if self._wanted and self._state in (EngineState.STOPPED, EngineState.STARTING):
                    self._state = EngineState.STARTING
                    pause = BACKOFF_S[min(self._fruitless, len(BACKOFF_S) - 1)]
                    self._changed.wait_for(lambda: self._state is EngineState.CLOSED, timeout=pause)
                    if self._state is EngineState.STARTING:
                        return True
                else:
                    self._changed.wait()
        return False

    def _live(self, process: EngineProcess) -> None:
        """One life: load, listen until the end, bury."""
        try:
            started = self._load(process)
            while started:
                message = process.receive()
                self._heard = time.monotonic()
                self._route(message)
        except ChannelClosed:
            pass
        process.stop()
        self._bury(process)

    def _load(self, process: EngineProcess) -> bool:
        message = process.receive()
        if message["ev"] == "failed":
            self._give_up(from_body(message["error"]))
            return False
        with self._changed:
            if self._state is not EngineState.STARTING:
                return False
            self.loaded = Loaded(**message["loaded"])
            self._state = EngineState.READY
            self._last_use = time.monotonic()
            self._changed.notify_all()
        loaded = self.loaded
        log.info(
            "Engine ready: %s on %s (%s), process %d.",
            loaded.description,
            loaded.device,
            loaded.device_reason,
            process.pid,
        )
        self._send_prefix()
        return True

    def _route(self, message: dict[str, Any]) -> None:
        if message["ev"] == "pulse":
            return
        if message["ev"] == "reply":
            reply = self._replies.pop(message["id"], None)
            if reply is not None:
                reply.set_result(message)
            return
        self._fruitless = 0
        for request_id, cached in message["begun"]:
            if request_id in self._streams:
                self._streams[request_id].begin(cached_tokens=cached)
        for request_id, text, count, *logprobs in message["tokens"]:
            stream = self._streams.get(request_id)
            if stream is not None:
                stream.put(Token(text, count, logprobs=tuple(TokenLogprob(*each) for each in logprobs)))
        for request_id, reason, *usage in message["done"]:
            stream = self._streams.pop(request_id, None)
            if stream is not None:
                stream.finish(FinishReason(reason), Usage(*usage))

    def _bury(self, process: EngineProcess) -> None:
        """The process is gone: fail what it owed, and decide whether to start another."""
        epitaph = process.epitaph()
        with self._changed:
            before = self._state
            self._process = None
            if before in (EngineState.STARTING, EngineState.READY):
                self._fruitless += 1
                self._state = EngineState.STOPPED
            elif before is EngineState.UNLOADING:
                self._state = EngineState.STOPPED
                # Somebody may have asked since; if not, sleep until somebody does.
            died_loading = before is EngineState.STARTING
            if before is EngineState.READY:
                self.restarts += 1
            streams, self._streams = list(self._streams.values()), {}
            replies, self._replies = list(self._replies.values()), {}
            self._changed.notify_all()
        lost = EngineLost(epitaph, hint="The engine restarts by itself; send the request again.")
        for stream in streams:
            stream.fail(lost)
        for reply in replies:
            reply.set_exception(lost)
        if before is EngineState.READY:
            log.error("%s Restarting it.", epitaph)
        if died_loading and self._fruitless >= MAX_FAILED_LOADS:
            self._give_up(unusable(self._spec.model, epitaph))
        elif died_loading:
            log.error("%s It was loading %s; trying again.", epitaph, self._spec.model)

    def _give_up(self, error: ApplicationError) -> None:
        log.error("The engine cannot start: %s", error.message)
        with self._changed:
            if self._state is not EngineState.CLOSED:
                self._state, self._failure = EngineState.FAILED, LoadFailure.of(self._spec.model, error)
                self._wanted = False
            self._changed.notify_all()

    def _note_work(self) -> None:
        """With the lock held, before work is handed over: silence before it means nothing."""
        if not self._owes:
            self._heard = time.monotonic()

    @property
    def _owes(self) -> bool:
        """Whether the process has work to do for somebody."""
        return bool(self._streams or self._replies)

    def _watch(self) -> None:
        """End a process that is not needed, or that hangs."""
        with self._changed:
            while self._state is not EngineState.CLOSED:
                wait_s = self._look() if self._state is EngineState.READY else None
                self._changed.wait(timeout=wait_s)

    def _look(self) -> float:
        """With the lock held; seconds until it is worth looking again."""
        process, now = self._process, time.monotonic()
        assert process is not None
        liveness, wait_s = look(
            self._limits, unused_s=now - self._last_use, silent_s=now - self._heard, owes=self._owes
        )
        if liveness is Liveness.HANGS:
            log.error("The engine has said nothing for %g seconds: ending it.", self._limits.silence_s)
            process.kill()
        elif liveness is Liveness.IDLE:
            log.info("The engine was idle for %g seconds: unloading the model.", self._limits.idle_s)
            self._state, self._wanted = EngineState.UNLOADING, False
            process.channel.close()
        return wait_s
