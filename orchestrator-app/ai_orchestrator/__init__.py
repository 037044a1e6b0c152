"""The desktop tier: server, pages, command line, and the Python SDK.

`from ai_orchestrator import MistralOrchestrator` is the SDK; it is imported on first use,
so that the command line starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_orchestrator.orchestrator import MistralOrchestrator

__all__ = ["MistralOrchestrator"]


def __getattr__(name: str) -> Any:
    if name == "MistralOrchestrator":
        from ai_orchestrator.orchestrator import MistralOrchestrator

        return MistralOrchestrator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
