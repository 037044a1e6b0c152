"""A beginning that was computed once: shared, found again, saved, pinned."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from orchestrator_core.backend import Prompt
from support.generations import greedy
from support.llama_backend import ENDLESS, SENTENCE, Make, ask, at_once, cached
from support.waiting import wait_until


def test_sequences_at_different_places_of_the_same_text_do_not_mix(make: Make) -> None:
    """The scripted model looks at exact distances back, so a wrong position or a foreign cell shows at once."""
    backend = make()
    backend.load()
    starts = [SENTENCE[:cut] for cut in range(0, 64, 8)]
    found = at_once([lambda s=s: ask(backend, f"[INST] {s} [/INST]", s) for s in starts])
    assert found == [SENTENCE[len(start) :] for start in starts]


def test_requests_that_arrive_together_compute_their_common_beginning_once(make: Make) -> None:
    backend = make()
    backend.load()
    shared = "x" * 600
    blocker = backend.generate(Prompt.raw("hi"), greedy(grammar=ENDLESS))
    found = at_once([lambda n=n: ask(backend, f"{shared} question {n}:") for n in range(6)])
    blocker.cancel()
    assert found == [SENTENCE] * 6
    computed = backend.engine_figures()["prefilled"]
    assert computed < 700, f"{computed} tokens were computed for 600 shared ones"


def test_cached_tokens_are_counted_truly(make: Make) -> None:
    backend = make()
    first, second = "a" * 200, "a" * 200 + "b" * 50
    assert cached(backend, first) == 0
    assert cached(backend, first) == 200, "all but the last token, which has to be computed"
    assert cached(backend, second) == 201
    assert cached(backend, "c" * 100) == 1, "BOS"


def test_the_next_turn_finds_the_whole_conversation(make: Make) -> None:
    backend = make()
    asked = "[INST] tell me [/INST]"
    answer = ask(backend, asked)
    turn = backend.generate(Prompt.raw(f"{asked}{answer}</s>[INST] again [/INST]"), greedy())
    assert "".join(token.text for token in turn) == SENTENCE
    assert turn.usage.cached_tokens >= backend.count_prompt(Prompt.raw(asked + answer)) - 1


def test_a_prewarmed_prefix_is_there_when_it_is_asked_for(make: Make) -> None:
    backend = make()
    document = "The state of the project. " * 20
    prompt = Prompt((document, "and a question"), stable_prefix=len(document))
    backend.prewarm(prompt)
    tokens = backend.count_prompt(Prompt.raw(document))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= tokens)
    assert cached(backend, document + "What next?") == tokens


def test_a_saved_prefix_is_there_after_a_restart(make: Make, tmp_path: Path) -> None:
    document = "The state of the project. " * 20
    prompt = Prompt((document,), stable_prefix=len(document))
    first = make()
    first.prewarm(prompt)
    folder = tmp_path / "data" / "engine"
    wait_until(lambda: list(folder.glob("*.kv")))
    expected = ask(first, document + "What next?")
    first.close()
    second = make()
    generation = second.generate(Prompt.raw(document + "What next?"), greedy())
    assert "".join(token.text for token in generation) == expected == SENTENCE
    assert generation.usage.cached_tokens == second.count_prompt(Prompt.raw(document))
    second.close()
    saved = next(folder.glob("*.kv"))
    saved.write_bytes(saved.read_bytes()[:-1000])
    third = make()
    assert cached(third, document + "What next?") == 0
    assert ask(third, document + "What next?") == SENTENCE
    assert not saved.exists()


def test_saving_can_be_switched_off(make: Make, tmp_path: Path) -> None:
    backend = make(save_prefix=False)
    backend.prewarm(Prompt.raw("document " * 30))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
    assert ask(backend, "hi") == SENTENCE
    assert not (tmp_path / "data" / "engine").exists()


def test_the_prefix_is_pinned_again_after_a_crash(make: Make) -> None:
    backend = make(save_prefix=False)
    backend.prewarm(Prompt.raw("document " * 30))
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    wait_until(lambda: backend.stats().restarts == 1)
    wait_until(lambda: backend.engine_figures().get("used", 0) >= 200)
