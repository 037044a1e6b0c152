from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.backend import ChatBackend
from support.scripted import ScriptedBackend
from support.two_tiers import TwoTiers, two_tiers

Pair = Callable[..., TwoTiers]
DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
VPS_SAYS = " And the vps ends it."


@pytest.fixture
def open_pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as opened:

        def open_one(
            desktop: ChatBackend | None = None, vps: ChatBackend | None = None, **relay: Any
        ) -> TwoTiers:
            home = desktop or ScriptedBackend(otherwise=DESKTOP_SAYS, name="large")
            away = vps or ScriptedBackend(otherwise=VPS_SAYS, name="small")
            return opened.enter_context(two_tiers(tmp_path, home, away, **relay))

        yield open_one
