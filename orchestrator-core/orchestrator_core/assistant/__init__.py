"""The way of an answer: from a message to a run whose end is stored.

`Assistant` is what servers, command line and SDK talk to; `Assistant.open` builds one from
settings. Knows nothing of HTTP.
"""

from orchestrator_core.assistant.answering import Assistant, LoadedContext

__all__ = ["Assistant", "LoadedContext"]
