"""Putting another model in the place of the one that answers, without a restart and with a way back.

In this order: the memory that it needs, the files' hashes, the gate, loading and a first decode in a process of its own, the durable note of
what is active, the switch. Whatever fails, or wherever this ends, the model that answered before answers on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from orchestrator_core.backend import ChatBackend, Prompt
from orchestrator_core.backends.factory import create_plain_backend, create_registered_backend
from orchestrator_core.backends.registered import load_of
from orchestrator_core.backends.switching import SwitchingBackend
from orchestrator_core.errors import (
    ApplicationError,
    Conflict,
    ModelUnusable,
    OrchestratorError,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.models.active import Active
from orchestrator_core.models.files import Progress, nothing
from orchestrator_core.models.manifest import ModelManifest
from orchestrator_core.models.memory import check_fits
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import BUILTIN_MODEL, Settings

PROOF = Prompt.raw("The")
PROOF_TOKENS = 8

_log = logging.getLogger(__name__)

Gate = Callable[[Version | None, Version], None]
"""Given the active version (None: none of the registry's) and the one that shall follow it; raises Conflict
(`gate_refused`) when the new one must not."""


def open_gate(active: Version | None, following: Version) -> None:
    """Lets everything through."""


@dataclass(frozen=True, slots=True)
class ActivationState:
    """The latest activation.

    Args:
        reference: what shall be active; None: the model that the settings name.
        error: why it failed.
    """

    state: Literal["none", "running", "done", "failed"] = "none"
    reference: str | None = None
    error: ApplicationError | None = None


class Activator:
    """Activates versions of the registry, one at a time. Safe from any thread.

    Args:
        backend: of the server that shall answer with them; only a SwitchingBackend can. None: none runs here.
        gate: decides about versions that are not forced.
    """

    def __init__(
        self, settings: Settings, backend: ChatBackend | None = None, *, gate: Gate = open_gate
    ) -> None:
        self.registry = Registry(settings.models_folder)
        self.state = ActivationState()
        self._settings = settings
        self._backend = backend
        self._gate = gate
        self._busy = threading.Lock()

    def active(self) -> Active | None:
        """What answers in place of `model.path`; None while that answers itself.

        Raises:
            ModelUnusable: see `Registry.active`.
        """
        active = self.registry.active()
        return active if active is not None and active.instead_of == self._settings.model.path else None

    def previous(self) -> str | None:
        """What `rollback` goes back to; None: the model that the settings name.

        Raises:
            Conflict: there is nothing to go back to.
        """
        active = self.active()
        if active is None or (active.reference is None and active.previous is None):
            raise Conflict("There is no former model to go back to.", hint="`orchestrator models list`")
        return active.previous

    def start(self, reference: str | None, *, force: bool = False) -> ActivationState:
        """As `activate`, in a thread; how it goes says `state`.

        Raises:
            NotFound, InvalidRequest: there is no such version. Conflict: another activation is under way.
            ModelUnusable: it does not fit into the memory.
        """
        reference = self._fitting(reference)
        self._take(reference)
        threading.Thread(
            target=self._run, args=(reference, force), name="model-activation", daemon=True
        ).start()
        return self.state

    def activate(self, reference: str | None, *, force: bool = False, progress: Progress = nothing) -> Active:
        """Have this version answer from the next question on.

        Args:
            reference: None: the model that the settings name.
            force: whatever the gate says. Memory, hashes and the first decode are never passed over.

        Raises:
            NotFound, InvalidRequest: there is no such version.
            Conflict: the gate refuses it; or another activation is under way.
            ModelUnusable, BackendError: it does not fit into the memory, is damaged, or does not load.
            StoreError: it could not be noted.
        """
        reference = self._fitting(reference)
        self._take(reference)
        return self._perform(reference, force, progress)

    def _fitting(self, reference: str | None) -> str | None:
        """The version's full reference, of one that fits into this machine's memory beside what runs.

        Raises:
            NotFound, InvalidRequest, ModelUnusable.
        """
        if reference is None:
            return None
        manifest = self.registry.find(reference).manifest
        gpu_layers = self._settings.engine.n_gpu_layers
        check_fits(manifest.reference, self._size(manifest), gpu_layers=gpu_layers)
        return manifest.reference

    def _size(self, manifest: ModelManifest) -> int:
        """Bytes of its files and of its base's; of a base that is not there, loading will tell."""
        if manifest.base in (None, BUILTIN_MODEL):
            return manifest.size
        try:
            return manifest.size + self.registry.find(str(manifest.base)).manifest.size
        except OrchestratorError:
            return manifest.size

    def _take(self, reference: str | None) -> None:
        self._check_settings()
        if not self._busy.acquire(blocking=False):
            raise Conflict(
                f"{self.state.reference} is just being activated.", hint="Try again when it is done."
            )
        self.state = ActivationState("running", reference)

    def _run(self, reference: str | None, force: bool) -> None:
        try:
            self._perform(reference, force, nothing)
        except ApplicationError as error:
            _log.error("%s was not activated: %s", reference, error.message)
        except Exception:
            _log.exception("Activating %s failed unexpectedly", reference)

    def _perform(self, reference: str | None, force: bool, progress: Progress) -> Active:
        try:
            active = self._replace(reference, force, progress)
        except Exception as error:
            known = isinstance(error, ApplicationError)
            problem = error if known else ModelUnusable(f"It failed unexpectedly: {type(error).__name__}.")
            self.state = ActivationState("failed", reference, problem)  # type: ignore[arg-type]
            raise
        else:
            self.state = ActivationState("done", reference)
            return active
        finally:
            self._busy.release()

    def _replace(self, reference: str | None, force: bool, progress: Progress) -> Active:
        version = None if reference is None else self.registry.find(reference)
        if version is not None:
            version.verify(progress)
            if not force:
                self._gate(self._active_version(), version)
        following = self._proven(version)
        try:
            before = self.active()
            active = self.registry.activate(reference, self._settings.model.path)
            if isinstance(self._backend, SwitchingBackend):
                self._switch(self._backend, following, before)
            else:
                following.close()
        except BaseException:
            following.close()
            raise
        _log.info("The active model is %s.", reference or self._settings.model.path)
        return active

    def _switch(self, backend: SwitchingBackend, following: ChatBackend, before: Active | None) -> None:
        try:
            backend.switch(following)
        except BaseException:
            self.registry.restore(before)
            raise

    def _proven(self, version: Version | None) -> ChatBackend:
        """The version's backend, loaded, after its first tokens.

        Raises:
            BackendError.
        """
        if isinstance(self._backend, SwitchingBackend):
            self._backend.wait_for_room()
        if version is None:
            backend = create_plain_backend(self._settings)
        else:
            known = load_of(self._settings, version)
            if known.base_version is not None:
                known.base_version.verify()
            backend = create_registered_backend(known)
        try:
            prove(backend)
        except BaseException:
            backend.close()
            raise
        return backend

    def _active_version(self) -> Version | None:
        try:
            active = self.active()
            return (
                None if active is None or active.reference is None else self.registry.find(active.reference)
            )
        except OrchestratorError:
            return None

    def _check_settings(self) -> None:
        """
        Raises:
            Conflict: no model of the registry can answer under these settings.
        """
        if not isinstance(self._backend, SwitchingBackend | None):
            raise Conflict("The program that started this server chose its model; no other can follow it.")
        if self._settings.model.url is not None or ":" in self._settings.model.backend:
            raise Conflict(
                "The settings name a model that answers elsewhere (model.url, model.backend).",
                hint="Take model.url and model.backend out of the settings, and start the server again.",
            )
        if self._settings.context.embeddings == "engine":
            raise Conflict(
                "context.embeddings is `engine`: the search index holds vectors of the model that answers.",
                hint="Set context.embeddings to `static`, and start the server again.",
            )


def prove(backend: ChatBackend) -> None:
    """Load, and decode some tokens.

    Raises:
        BackendError: it cannot. ModelUnusable: nothing came of it.
    """
    backend.load()
    generation = backend.generate(PROOF, GenerationConfig(temperature=0.0, max_new_tokens=PROOF_TOKENS))
    tokens = sum(token.count for token in generation)
    if generation.finish_reason is None or not (tokens or generation.usage.completion_tokens):
        raise ModelUnusable(f"{backend.describe().model} was loaded and made no token.")
