"""Builds an assistant from settings: folder, lock, stores, backend, runs, prewarming."""

from __future__ import annotations

from contextlib import ExitStack

from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import ContextFolder

from orchestrator_core.assistant.assistant import Assistant
from orchestrator_core.assistant.collaborators import Collaborators
from orchestrator_core.assistant.data_folder import DataFolder
from orchestrator_core.assistant.debounced import Debounced
from orchestrator_core.assistant.embedding import open_embedding
from orchestrator_core.assistant.forgetting import Forgetting
from orchestrator_core.assistant.prompting import Prompting
from orchestrator_core.assistant.reanswer_queue import KeptQuestions, Later
from orchestrator_core.assistant.remembering import kept_current, open_memory
from orchestrator_core.assistant.storing import AnswerStore
from orchestrator_core.assistant.tier_forwarding import TierForwarding
from orchestrator_core.backend import ChatBackend
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.backends.switching import SwitchingBackend
from orchestrator_core.news import NewsDesk
from orchestrator_core.runs.manager import RunManager
from orchestrator_core.runs.store import RunStore
from orchestrator_core.settings import Settings
from orchestrator_core.tiers.remote import RemoteTier
from orchestrator_core.tiers.router import HOME

DOCUMENTS_WAIT_S = 5.0
"""Commands and agents open the documents for a moment each while no server runs."""


def open_assistant(
    settings: Settings,
    tier: str = "desktop",
    backend: ChatBackend | None = None,
    *,
    remote: RemoteTier | None = None,
) -> Assistant:
    """An assistant with everything it needs, from settings.

    Answers that a crash interrupted go on; the documents are prewarmed in the background. What was
    opened is closed again when a later step fails.

    Args:
        backend: instead of the one the settings name; closed with the assistant.
        remote: another tier that may answer instead; closed by its owner, after the assistant.

    Raises:
        StoreLocked: another process holds the data folder.
        StoreError: a database cannot be used. ModelNotFound, ConfigurationError: the
            settings name no usable backend.
    """
    with ExitStack() as opened:
        folder = DataFolder(settings.data)
        opened.callback(folder.release)
        conversations = ConversationStore.open(folder.conversations)
        opened.callback(conversations.close)
        run_store = RunStore.open(folder.runs)
        opened.callback(run_store.close)
        context = ContextFolder(
            settings.context.folder or folder.context,
            project=settings.context.project,
            state=folder.context_state,
            author=tier,
            # The others start empty and pull: two sets of starters would merge into doubled lines.
            starters=tier == "desktop",
            wait_s=DOCUMENTS_WAIT_S,
        )
        opened.callback(context.close)
        backend = backend or create_backend(settings)
        embedding, close_embedding = open_embedding(settings, backend)
        if close_embedding is not None:
            opened.callback(close_embedding)
        memory = open_memory(folder.search, conversations, context.of_all_projects, embedding)
        if memory is not None:
            opened.callback(memory.close)
            opened.callback(kept_current(memory, conversations))
        collaborators = Collaborators(
            settings=settings,
            tier=tier,
            conversations=conversations,
            backend=backend,
            context=context,
            memory=memory,
            elsewhere=None if remote is None else TierForwarding(tier, remote, conversations),
            check_storage=folder.check,
        )
        prompting = Prompting(collaborators)
        prewarmer = Debounced(prompting.prewarm, "prewarming")
        news = NewsDesk()
        answers = AnswerStore(collaborators, changed=prewarmer.changed, tell=news.tell)
        runs = RunManager(run_store, backend, tier=tier, on_finish=answers)
        # What the desktop answers itself is as good as it gets.
        later = (
            None
            if remote is None or tier == HOME
            else _later(folder, conversations, runs, remote, tier, news)
        )
        folder.watch()
        forgetting = Forgetting(conversations, runs, memory)
        if isinstance(backend, SwitchingBackend):
            backend.on_switch(prewarmer.changed)
        stop_watching = context.on_change(lambda names: prewarmer.changed())
        # Last to first. The backend is closed twice: a warming that was just about to ask it
        # something may have loaded it again.
        for step in (
            backend.close,
            prewarmer.close,
            backend.close,
            prewarmer.stop,
            forgetting.close,
            stop_watching,
            runs.close,
            *([] if later is None else [later.close]),
        ):
            opened.callback(step)
        close_all = opened.pop_all()
        assistant = Assistant(
            collaborators,
            prompting,
            runs,
            news=news,
            later=later,
            forgetting=forgetting,
            close=[close_all.close],
        )
        opened.callback(assistant.close)
        assistant.recover()
        prewarmer.start()
        forgetting.start()
        if later is not None:
            later.start()
        opened.pop_all()
        return assistant


def _later(
    folder: DataFolder,
    conversations: ConversationStore,
    runs: RunManager,
    remote: RemoteTier,
    tier: str,
    news: NewsDesk,
) -> Later:
    return Later(
        KeptQuestions(folder.later),
        conversations,
        remote,
        tier=tier,
        tell=news.tell,
        being_answered=lambda message_id: any(run.spec.reply_to == message_id for run in runs.active()),
    )
