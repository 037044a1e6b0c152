"""The Python SDK: one model, one conversation, no server.

from ai_orchestrator import MistralOrchestrator

with MistralOrchestrator() as orch:
    briefing = orch.load_session_context("SESSION_BRIEFING.md")
    print(orch.generate_response("How do I maintain continuity?", system_context=briefing))
    orch.save_conversation("conversation.json")

The conversation lives as long as the object (save it to keep it), so several programs can
use the SDK beside a running server. The handoff documents are read, never written.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from orchestrator_core.assistant import AnswerStore, Assistant
from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.prompting import Prompting
from orchestrator_core.backends.factory import choose_backend, create_backend
from orchestrator_core.backends.model_files import resolve_model_path
from orchestrator_core.backends.registered import in_force
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import InvalidRequest
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.store import RunStore
from orchestrator_core.settings import Settings, load_settings
from shared_context.conversations.store import ConversationStore
from shared_context.conversations.transfer import load_conversation, save_conversation

from ai_orchestrator.session_context import fit, read_document

if TYPE_CHECKING:
    from orchestrator_core.backend import ChatBackend
    from orchestrator_core.runs.run import Run

Device = Literal["auto", "cuda", "mps", "cpu"]

log = logging.getLogger(__name__)

REQUEST_NAMES = {"max_new_tokens": "max_tokens"}
"""Names of Hugging Face's generation options that requests call otherwise."""


class MistralOrchestrator:
    """A model and a conversation with it.

    Args:
        model_path: a GGUF file, a folder with one, a Hugging Face folder or id; None: what
            the configuration names, by default the built-in model.
        config: settings to use instead of environment and configuration file.
        device: auto, cuda, mps or cpu (Hugging Face models).
        load_in_4bit: NF4 quantisation (Hugging Face models).
        backend: answers instead of the model the settings name; closed with this object.
        load: load the model now, so that a wrong one is noticed here; False: at the first use.
        generation: defaults for every answer: max_new_tokens, temperature, top_p, top_k,
            min_p, repetition_penalty, stop, seed.

    Raises:
        ModelNotFound, ModelUnusable, MissingExtra, ConfigurationError: the message says what
            is wrong with which value, `.hint` what to do.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        config: Settings | None = None,
        device: Device | None = None,
        load_in_4bit: bool = False,
        backend: ChatBackend | None = None,
        load: bool = True,
        **generation: Any,
    ) -> None:
        settings = load_settings() if config is None else config.model_copy(deep=True)
        if model_path is not None:
            settings.model.path = str(model_path)
        if device is not None:
            settings.model.device = device
        if load_in_4bit:
            settings.quantization.enabled, settings.quantization.load_in_bits = True, 4
        self._settings = settings
        self._defaults = _request_names(generation)
        with ExitStack() as opened:
            folder = Path(tempfile.mkdtemp(prefix="orchestrator-"))
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            conversations = ConversationStore.open(folder / "memory.db")
            opened.callback(conversations.close)
            run_store = RunStore.open(folder / "runs.db")
            opened.callback(run_store.close)
            if backend is None:
                _check_model_is_there(settings)
                backend = create_backend(settings)
            opened.callback(backend.close)
            collaborators = Collaborators(settings, "desktop", conversations, backend)
            runs = RunManager(run_store, backend, tier="desktop", on_finish=AnswerStore(collaborators))
            opened.callback(runs.close)
            close_all = opened.pop_all().close
            assistant = Assistant(collaborators, Prompting(collaborators), runs, close=[close_all])
            self._assistant = assistant
            opened.callback(assistant.close)
            self._conversation_id = conversations.create().conversation_id
            if load:
                backend.load()
            opened.pop_all()
        # Programs that never call `close` must leave no folder and no engine behind. Nothing
        # that the assistant holds refers to this object, or it would never be collected.
        weakref.finalize(self, assistant.close)

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        return self._assistant.backend.describe().model

    @property
    def conversation_history(self) -> list[dict[str, str]]:
        """What was said so far: `{"role", "content"}`, oldest first."""
        messages = self._assistant.conversations.messages(self._conversation_id)
        return [{"role": message.role, "content": message.content} for message in messages]

    def load_session_context(self, name: str | Path, max_tokens: int | None = None) -> str:
        """A handoff document, to be passed as `system_context`.

        Args:
            name: `PORTFOLIO_CONTEXT.md`, `PROJECT_CONTEXT.md`, `SESSION_BRIEFING.md` or
                `SESSION_LOG.md` of the configured context folder, or the path of a text file.
            max_tokens: what it may take, in the model's own tokens; default: a quarter of the
                window. What does not fit is left out at headings or entries; the text then
                says so in its first line, and so does the log.

        Raises:
            DocumentNotFound, DocumentRejected: no such document, or not readable as text.
            InvalidRequest: `max_tokens` is less than 1.
        """
        document = read_document(self._settings, name)
        room = max(1, self._assistant.backend.context_length // 4) if max_tokens is None else max_tokens
        if room < 1:
            raise InvalidRequest(f"max_tokens must be at least 1 (given: {room}).", param="max_tokens")
        return fit(document, room, self._assistant.builder)

    @overload
    def generate_response(
        self,
        prompt: str,
        system_context: str | None = None,
        stream: Literal[False] = False,
        **generation: Any,
    ) -> str: ...

    @overload
    def generate_response(
        self, prompt: str, system_context: str | None = None, *, stream: Literal[True], **generation: Any
    ) -> Iterator[str]: ...

    def generate_response(
        self, prompt: str, system_context: str | None = None, stream: bool = False, **generation: Any
    ) -> str | Iterator[str]:
        """The answer to `prompt` in this conversation.

        Args:
            system_context: extra system text for this answer only.
            stream: return the answer piece by piece, like `stream_response`.
            generation: max_new_tokens, temperature, top_p, top_k, min_p, repetition_penalty,
                stop, seed.

        Raises:
            InvalidRequest: a value out of range, an empty prompt, an unknown option.
            ContextLengthExceeded: prompt and context do not fit the window.
            BackendError: the model failed.
        """
        if stream:
            return self.stream_response(prompt, system_context, **generation)
        run = self._start(prompt, system_context, generation)
        try:
            result = run.wait()
        except BaseException:
            run.cancel()
            raise
        if result.error is not None:
            raise result.error
        return result.text

    def stream_response(
        self, prompt: str, system_context: str | None = None, **generation: Any
    ) -> Iterator[str]:
        """The answer piece by piece. Leaving the loop early stops it; what was said is kept.

        Raises:
            As `generate_response`; an error of the model may come after some text.
        """
        return self._pieces(self._start(prompt, system_context, generation))

    def save_conversation(self, path: str | Path) -> Path:
        """Write the conversation to a JSON file, which is replaced in one step.

        Raises:
            StoreFull, StoreReadOnly: the file cannot be written.
        """
        path = Path(path).expanduser()
        save_conversation(self._assistant.conversations, self._conversation_id, path)
        return path

    def load_conversation(self, path: str | Path) -> int:
        """Go on with a saved conversation in place of the present one; returns its messages' number.

        Raises:
            InvalidImport: no such file, or no conversation in it; the present one stays.
        """
        store = self._assistant.conversations
        fresh = store.create().conversation_id
        loaded = load_conversation(store, Path(path).expanduser(), fresh)
        self._conversation_id = loaded.conversation_id
        return len(store.messages(loaded.conversation_id))

    def clear(self) -> None:
        """Forget what was said."""
        self._assistant.conversations.clear(self._conversation_id)

    def close(self) -> None:
        """Free the model. Idempotent."""
        self._assistant.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MistralOrchestrator(model_path={self._settings.model.path!r})"

    def _pieces(self, run: Run) -> Iterator[str]:
        """A method, so that the stream keeps this object, and with it the model, alive."""
        try:
            for event in run.events():
                if event is not None and event.kind == "token":
                    yield str(event.data["token"])
        finally:
            run.cancel()
        error = run.wait().error
        if error is not None:
            raise error

    def _start(self, prompt: str, system_context: str | None, generation: dict[str, Any]) -> Run:
        body = {
            "message": prompt,
            "conversation_id": self._conversation_id,
            "context": system_context,
            **self._defaults,
            **_request_names(generation),
        }
        return self._assistant.ask(ChatRequest.parse(body))


def _request_names(generation: dict[str, Any]) -> dict[str, Any]:
    """
    Raises:
        InvalidRequest: an option that does not exist.
    """
    from orchestrator_core.chat_request import SamplingFields

    named = {REQUEST_NAMES.get(name, name): value for name, value in generation.items()}
    unknown = sorted(set(named) - set(SamplingFields.model_fields))
    if unknown:
        known = sorted({*SamplingFields.model_fields, *REQUEST_NAMES})
        raise InvalidRequest(f"There is no generation option {unknown[0]!r}; there are {', '.join(known)}.")
    return named


def _check_model_is_there(settings: Settings) -> None:
    """
    Raises:
        ModelNotFound, ConfigurationError: before anything is loaded.
    """
    settings = in_force(settings)
    if choose_backend(settings).value == "llama_cpp":
        resolve_model_path(settings)
