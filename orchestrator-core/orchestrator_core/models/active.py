"""Which version is active: one small file beside the versions, replaced in one step."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from shared_context.storage.atomic import write_whole
from shared_context.storage.sqlite_errors import translated_system

from orchestrator_core.errors import ModelUnusable
from orchestrator_core.models.files import locked

POINTER = ".active.json"


class Active(BaseModel):
    """Which version answers in place of the model that the settings name.

    Args:
        reference: None: the one the settings name.
        previous: what was before.
        instead_of: `model.path` of the settings then. When they name another one later, that is the
            newer word, and holds.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    reference: str | None
    previous: str | None = None
    instead_of: str = ""


def read_active(folder: Path) -> Active | None:
    """None: nothing was ever activated in this registry.

    Raises:
        ModelUnusable: the file is damaged.
    """
    try:
        return Active.model_validate_json((folder / POINTER).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelUnusable(
            f"{folder / POINTER}, which names the active model, cannot be read ({type(error).__name__}).",
            hint="Activate a model again: `orchestrator models activate NAME:VERSION`",
        ) from None


def activate(folder: Path, reference: str | None, instead_of: str) -> Active:
    """Name the active version, in one durable step; what was active becomes the previous one.

    Raises:
        StoreFull, StoreError: the former one is still active.
    """
    with locked(folder):
        try:
            before = read_active(folder)
        except ModelUnusable:
            before = None
        if before is not None and before.instead_of != instead_of:
            before = None
        if before is not None and before.reference == reference:
            return before
        previous = None if before is None else before.reference
        now = Active(reference=reference, previous=previous, instead_of=instead_of)
        _write(folder, now)
        return now


def restore(folder: Path, before: Active | None) -> None:
    """Note again what `read_active` said earlier.

    Raises:
        StoreError.
    """
    with locked(folder):
        if before is not None:
            _write(folder, before)
            return
        with translated_system(folder / POINTER):
            (folder / POINTER).unlink(missing_ok=True)


def _write(folder: Path, active: Active) -> None:
    with translated_system(folder / POINTER):
        write_whole(folder / POINTER, active.model_dump_json(indent=1))
