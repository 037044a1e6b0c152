"""The engine process: `python -m orchestrator_core.engine.worker FD PARENT`.

Started by the server only. FD is its end of the channel, PARENT the server's process id. It ends when told
to, when the channel closes, and when the server dies, whichever comes first.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from orchestrator_core.engine.channel import Channel, ChannelClosed
from orchestrator_core.engine.load import LoadSpec
from orchestrator_core.errors import MissingExtra, OrchestratorError, fields_of
from orchestrator_core.generation import GenerationConfig

if TYPE_CHECKING:
    from orchestrator_core.engine.embedding_engine import EmbeddingEngine
    from orchestrator_core.engine.loop import Engine

PR_SET_PDEATHSIG = 1

CLEAN_EXIT = 0
ENGINE_FAILED = 70
"""EX_SOFTWARE: llama.cpp cannot go on; the server starts a new process."""


def main(argv: list[str]) -> int:
    descriptor, parent = int(argv[0]), int(argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the server's business.
    die_with(parent)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s: %(message)s")
    channel = Channel(socket.socket(fileno=descriptor))
    listener = RequestReader(channel)
    listener.start()
    engine = load(channel, listener.spec())
    if engine is None:
        return CLEAN_EXIT
    listener.engine.set_result(engine)
    try:
        engine.run()
    except ChannelClosed:
        return CLEAN_EXIT
    except Exception:
        logging.exception("The engine cannot go on")
        return ENGINE_FAILED
    return CLEAN_EXIT


def die_with(parent: int) -> None:
    """On Linux the kernel kills this process when the server dies; elsewhere the closed channel does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(CLEAN_EXIT)


def load(channel: Channel, spec: LoadSpec) -> Engine | EmbeddingEngine | None:
    """Load the model and say so, or say why not and return None."""
    try:
        try:
            from orchestrator_core.engine.embedding_engine import EmbeddingEngine
            from orchestrator_core.engine.loop import Engine
            from orchestrator_core.engine.native import quiet_backend
        except ImportError as error:
            if (error.name or "").split(".")[0] != "llama_cpp":
                raise
            raise MissingExtra("llama-cpp-python", "gguf", "Running a GGUF model") from error
        quiet_backend()
        engine = (EmbeddingEngine if spec.embeddings else Engine)(spec, channel.send)
    except OrchestratorError as error:
        channel.send({"ev": "failed", "error": fields_of(error)})
        return None
    channel.send({"ev": "loaded", "loaded": engine.loaded.wire()})
    return engine


class RequestReader(threading.Thread):
    """Reads what the server sends and hands it to the engine, so that the engine never waits for a pipe."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(name="listener", daemon=True)
        self._channel = channel
        self._spec: Future[LoadSpec] = Future()
        self.engine: Future[Engine | EmbeddingEngine] = Future()

    def spec(self) -> LoadSpec:
        """The first message; blocks until it is there."""
        return self._spec.result()

    def run(self) -> None:
        try:
            self._spec.set_result(LoadSpec(**self._channel.receive()))
            while True:
                self._answer(self._channel.receive())
        except ChannelClosed:
            # Nobody is listening any more, whatever the main thread is computing.
            os._exit(CLEAN_EXIT)

    def _answer(self, message: dict[str, Any]) -> None:
        engine = self.engine.result()
        try:
            reply = self._perform(engine, message)
        except OrchestratorError as error:
            reply = {"error": fields_of(error)}
        except Exception as error:
            logging.exception("Request %s failed", message.get("op"))
            reply = {"error": fields_of(error)}
        if reply is not None:
            self._channel.send({"ev": "reply", "id": message.get("id"), **reply})

    def _perform(self, engine: Engine | EmbeddingEngine, message: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out one message; the reply, or None for those that get none."""
        from orchestrator_core.engine.loop import Engine

        match message["op"]:
            case "embed":
                engine.embed(message["id"], message["texts"])
                return None
            case "close":
                engine.close()
                return None
            case _ if isinstance(engine, Engine):
                return self._perform_chat(engine, message)
            case other:
                raise ValueError(f"unknown message {other!r}")

    def _perform_chat(self, engine: Engine, message: dict[str, Any]) -> dict[str, Any] | None:
        match message["op"]:
            case "generate":
                config = GenerationConfig.model_validate(message["config"])
                count = engine.generate(message["id"], message["pieces"], message["continued"], config)
                return {"prompt_tokens": count}
            case "cancel":
                engine.cancel(message["id"])
                return None
            case "count":
                return {"tokens": len(engine.tokenizer.prompt(message["pieces"]))}
            case "count_text":
                return {"tokens": len(engine.tokenizer.beginning(message["text"]))}
            case "text":
                return {"text": engine.tokenizer.text(message["tokens"])}
            case "prewarm":
                return {"tokens": engine.prewarm(message["pieces"], message.get("follows", ()))}
            case "stats":
                return engine.stats()
            case other:
                raise ValueError(f"unknown message {other!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
