"""The way of an answer: from a message to a run whose end is stored.

`Assistant` is what servers, command line and SDK talk to; `Assistant.open` builds one from
settings. Knows nothing of HTTP.
"""

from orchestrator_core.assistant.answering import Assistant
from orchestrator_core.assistant.context_loading import LoadedContext
from orchestrator_core.assistant.storing import AnswerStore

__all__ = ["AnswerStore", "Assistant", "LoadedContext"]
