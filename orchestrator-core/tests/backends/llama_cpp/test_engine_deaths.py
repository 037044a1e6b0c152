from __future__ import annotations

import os
import random
import signal

import pytest
from orchestrator_core.backend import Prompt
from orchestrator_core.errors import EngineLost
from support.generations import greedy
from support.llama_backend import LONG, Make, ask


@pytest.mark.slow
def test_killed_at_twenty_places_every_answer_is_completed_exactly(make: Make) -> None:
    backend = make("long")
    dice = random.Random(5)
    lost = 0
    for death in range(20):
        text = ""
        dies_after = dice.randint(1, 300)
        generation = backend.generate(Prompt.raw("[INST] go on [/INST]"), greedy(max_new_tokens=800))
        try:
            for count, token in enumerate(generation):
                text += token.text
                if count == dies_after:
                    assert backend.pid is not None
                    os.kill(backend.pid, signal.SIGKILL)
        except EngineLost:
            lost += 1
        assert LONG.startswith(text), f"death {death}"
        text += ask(backend, "[INST] go on [/INST]", continued=text, max_new_tokens=800)
        assert text == LONG, f"death {death}"
    assert lost >= 15, "the engine was done before it was killed: nothing was tested"
    assert backend.stats().restarts == 20
