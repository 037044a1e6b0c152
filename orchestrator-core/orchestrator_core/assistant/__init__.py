"""The way of an answer: from a message to a run whose end is stored.

`Assistant` is what servers, command line and SDK talk to; `open_assistant` builds one from
settings. Knows nothing of HTTP.
"""

from orchestrator_core.assistant.assistant import Assistant
from orchestrator_core.assistant.context_loading import LoadedContext
from orchestrator_core.assistant.opening import open_assistant
from orchestrator_core.assistant.storing import AnswerStore

__all__ = ["AnswerStore", "Assistant", "LoadedContext", "open_assistant"]
