"""A backend that says what a script tells it to, and misbehaves on demand: the test double for a model.

Servers in processes of their own use it with `ENVIRONMENT`: `model.backend` takes the import path of any
function that makes a backend from settings. Users do not install this package.
"""

from pathlib import Path

from support.scripted.backend import Call, ScriptedBackend, echo, question
from support.scripted.script import Gate, Reply

__all__ = ["BACKEND", "ENVIRONMENT", "Call", "Gate", "Reply", "ScriptedBackend", "echo", "question"]

BACKEND = "support.scripted:ScriptedBackend.from_settings"
"""The setting `model.backend` that stands for it."""
ENVIRONMENT = {"ORCHESTRATOR_BACKEND": BACKEND, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
"""For a process of its own."""
