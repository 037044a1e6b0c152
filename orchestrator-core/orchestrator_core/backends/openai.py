"""Any OpenAI-compatible server as a backend: vLLM, llama-server, Ollama, Mistral's API, our own /v1.

The server applies its own chat template and is responsible for control tokens in people's text;
our guard does not reach it. What each kind of server is sent is in `openai_dialect`.

Not every server can go on with an answer that broke off: vLLM, llama-server, Mistral's API and our own
continue the assistant message they are given last; others end it and begin a new one.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator_core.backend import (
    BackendDescription,
    BackendStats,
    ChatBackend,
    Generation,
    Prompt,
    SpecialTokens,
)
from orchestrator_core.backends import openai_dialect
from orchestrator_core.backends.openai_answer import OpenAIGeneration
from orchestrator_core.backends.openai_dialect import Dialect, Joint
from orchestrator_core.backends.openai_http import OpenAIClient
from orchestrator_core.backends.openai_tokens import ServerTokenizer
from orchestrator_core.backends.openai_wire import ProtocolError
from orchestrator_core.errors import (
    ConfigurationError,
    ContextLengthExceeded,
    ModelNotFound,
    OrchestratorError,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.settings import BUILTIN_MODEL, Settings

log = logging.getLogger(__name__)

DEFAULT_CONTEXT_LENGTH = 4096
"""Assumed where neither the server nor the settings say: Ollama's default on small machines, and
no server in use has less. Set `model.context_length` to what the server was started with."""

ANSWER_WAIT_S = 1.0
"""How long `generate` waits for a refusal. Servers refuse at once, but some hold back their headers
until the first token; then the generation is returned, and a late refusal is raised by iterating it."""


@dataclass(frozen=True, slots=True)
class _Server:
    """What loading found out."""

    model: str
    dialect: Dialect
    context_length: int
    context_source: str
    tokens: ServerTokenizer
    template: str | None = None
    special: SpecialTokens = field(default_factory=SpecialTokens)


class OpenAIBackend(ChatBackend):
    """A server at `model.url`; `model.path` is the model's name there (default: its first).

    Raises:
        ConfigurationError: `model.url` is missing or is not the address of a server.
    """

    def __init__(self, settings: Settings) -> None:
        model = settings.model
        if model.url is None:
            raise ConfigurationError(
                "The openai backend needs model.url.",
                hint="Set it to the server's base URL, for example http://127.0.0.1:8080/v1.",
            )
        self._client = OpenAIClient(
            model.url,
            model.api_key,
            connect_timeout_s=model.connect_timeout_s,
            read_timeout_s=model.read_timeout_s,
        )
        self._wanted = None if model.path == BUILTIN_MODEL else model.path
        self._stated_context = model.context_length
        self._loading = threading.Lock()
        self._loaded: _Server | None = None
        self._live: weakref.WeakSet[OpenAIGeneration] = weakref.WeakSet()

    def load(self) -> None:
        """Asks the server for its models; nothing is loaded there.

        Raises:
            BackendUnreachable, BackendTimeout, BackendError: no answer, or a refused key.
            ModelNotFound: no model was named and the server lists none.
        """
        self._server()

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        server = self._server()
        route, body = openai_dialect.request(server.dialect, server.model, prompt, config, continue_from)
        prompt_tokens = self.count_prompt(prompt)
        if server.tokens.exact and server.context_source != "assumed":
            self._fit(server, body, prompt_tokens + server.tokens.text(continue_from))
        stream = self._client.stream(route, body)
        generation = OpenAIGeneration(
            stream,
            config,
            continue_from,
            joint=Joint.of(server.dialect, prompt, continue_from),
            prompt_tokens=prompt_tokens,
            where=(self._client, server.model),
        )
        try:
            stream.wait_answered(ANSWER_WAIT_S)
        except OrchestratorError:
            stream.close()
            raise
        self._live.add(generation)
        return generation

    def count_tokens(self, text: str) -> int:
        return self._server().tokens.text(text)

    def count_prompt(self, prompt: Prompt) -> int:
        return self._server().tokens.prompt(prompt)

    @property
    def context_length(self) -> int:
        return self._server().context_length

    def describe(self) -> BackendDescription:
        """Before the server was reached: what the settings say."""
        server = self._loaded
        details: dict[str, Any] = {"url": self._client.url}
        if server is not None:
            details |= {"server": server.dialect.name, "context_length_source": server.context_source}
        return BackendDescription(
            backend="openai",
            model=server.model if server else self._wanted or "",
            context_length=server.context_length
            if server
            else self._stated_context or DEFAULT_CONTEXT_LENGTH,
            device="remote",
            device_reason=f"the model runs at {self._client.host}",
            exact_token_counts=server is not None and server.tokens.exact,
            details=details,
        )

    def close(self) -> None:
        for generation in list(self._live):
            generation.cancel()
        with self._loading:
            self._loaded = None

    def chat_template(self, *, tools: bool = False) -> str | None:
        return self._server().template

    def special_tokens(self) -> SpecialTokens:
        return self._server().special

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        server = self._server()
        body = {"model": server.model, "input": list(texts)}
        try:
            answer = self._client.post(f"{self._client.url}/embeddings", body, server.model)
            return [[float(x) for x in item["embedding"]] for item in answer["data"]]
        except ModelNotFound as error:
            raise Unsupported(f"{server.model!r} at {self._client.url} has no embeddings.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._client.failure(ProtocolError("/embeddings returned no vectors")) from error

    def stats(self) -> BackendStats:
        running = sum(not generation.ended for generation in list(self._live))
        return BackendStats(running=running, loaded=self._loaded is not None)

    def _fit(self, server: _Server, body: dict[str, Any], used: int) -> None:
        """Leaves room in the window, where sizes are known; some servers refuse what others cut."""
        room = server.context_length - used
        if room < 1:
            raise ContextLengthExceeded(
                f"The prompt has {used} tokens; the window of {server.model!r} holds {server.context_length}."
            )
        limit = server.dialect.renamed.get("max_new_tokens", "max_tokens")
        body[limit] = min(body.get(limit, room), room)

    def _server(self) -> _Server:
        with self._loading:
            if self._loaded is None:
                self._loaded = self._find_out()
                log.info(
                    "Model %s at %s (%s), window %d (%s)",
                    self._loaded.model,
                    self._client.url,
                    self._loaded.dialect.name,
                    self._loaded.context_length,
                    self._loaded.context_source,
                )
            return self._loaded

    def _find_out(self) -> _Server:
        entries = self._list_models()
        entry = _entry(entries, self._wanted)
        model = self._wanted or entry.get("id")
        if not isinstance(model, str) or not model:
            raise ModelNotFound(
                f"The server {self._client.url} lists no model.",
                hint="Set model.path to the model's name there, and check model.url: it usually ends in /v1.",
            )
        if entries and not entry:
            log.warning("The server %s does not list the model %s.", self._client.url, model)
        dialect = openai_dialect.recognise(self._client.host, entry)
        props = self._props() if dialect is openai_dialect.LLAMA_SERVER else {}
        length, source = self._context(entry, props)
        return _Server(
            model=model,
            dialect=dialect,
            context_length=length,
            context_source=source,
            tokens=ServerTokenizer(self._client, dialect, model),
            template=_text(props.get("chat_template")),
            special=_special(props),
        )

    def _list_models(self) -> list[dict[str, Any]]:
        try:
            answer = self._client.get(f"{self._client.url}/models")
        except ModelNotFound:
            log.info("The server %s has no /models route.", self._client.url)
            return []
        data = answer.get("data") if isinstance(answer, dict) else None
        return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []

    def _props(self) -> dict[str, Any]:
        """llama-server's /props; a server started without it is still usable."""
        try:
            answer = self._client.get(f"{self._client.root}/props")
        except OrchestratorError as error:
            log.info("No /props: %s", error.message)
            return {}
        return answer if isinstance(answer, dict) else {}

    def _context(self, entry: dict[str, Any], props: dict[str, Any]) -> tuple[int, str]:
        if self._stated_context is not None:
            return self._stated_context, "settings"
        generation = props.get("default_generation_settings")
        in_use = generation.get("n_ctx") if isinstance(generation, dict) else None
        stated = in_use if isinstance(in_use, int) and in_use > 0 else openai_dialect.context_length_of(entry)
        return (stated, "server") if stated is not None else (DEFAULT_CONTEXT_LENGTH, "assumed")


def _entry(entries: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    """The model's entry in the list; {} when it is not there."""
    if wanted is None:
        return entries[0] if entries else {}
    names = (wanted, f"{wanted}:latest")  # Ollama lists `mistral` as `mistral:latest`
    return next((entry for entry in entries if entry.get("id") in names), {})


def _special(props: dict[str, Any]) -> SpecialTokens:
    bos, eos = _text(props.get("bos_token")) or "", _text(props.get("eos_token")) or ""
    return SpecialTokens(bos=bos, eos=eos, control=frozenset(text for text in (bos, eos) if text))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
