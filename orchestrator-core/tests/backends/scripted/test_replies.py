"""What it says, and to whom."""

import pytest
from orchestrator_core.backend import Prompt
from orchestrator_core.errors import BackendError, ContextLengthExceeded, Overloaded, Unsupported
from support.generations import said
from support.scripted import ScriptedBackend, echo
from support.scripted.script import Reply
from support.scripted_answers import ASK, asking, config


def test_replies_come_in_order_and_then_run_out() -> None:
    backend = ScriptedBackend(["one", Reply(text="two")])
    backend.enqueue("three")
    assert [said(backend.generate(ASK, config())) for _ in range(3)] == ["one", "two", "three"]
    with pytest.raises(BackendError, match="no reply left"):
        backend.generate(ASK, config())


def test_a_reply_for_certain_questions_stays_and_goes_first() -> None:
    backend = ScriptedBackend(["plain", Reply(when="weather", text="Sunny.")])
    assert said(backend.generate(asking("How is the weather?"), config())) == "Sunny."
    assert said(backend.generate(asking("Hello"), config())) == "plain"
    assert said(backend.generate(asking("weather again"), config())) == "Sunny."


def test_a_function_of_the_prompt_can_answer() -> None:
    backend = ScriptedBackend(lambda prompt, config: f"{len(prompt.text)} {config.max_new_tokens}")
    assert said(backend.generate(Prompt.raw("abc"), config(max_new_tokens=7))) == "3 7"


def test_echo_says_the_last_question_back() -> None:
    assert said(ScriptedBackend(echo).generate(asking("漢字 🦜 twice"), config())) == "漢字 🦜 twice"


def test_several_texts_are_chosen_by_seed_and_greedy_takes_the_first() -> None:
    texts = tuple(f"answer {n}" for n in range(20))
    backend = ScriptedBackend(lambda prompt, config: Reply(text=texts))
    by_seed = [said(backend.generate(ASK, config(seed=seed))) for seed in range(10)]
    assert by_seed == [said(backend.generate(ASK, config(seed=seed))) for seed in range(10)]
    assert len(set(by_seed)) > 1
    assert said(backend.generate(ASK, config(greedy=True))) == "answer 0"


def test_one_byte_per_token_still_gives_whole_characters() -> None:
    backend = ScriptedBackend([Reply(text="a🦜", split="bytes")])
    generation = backend.generate(ASK, config())
    assert [(token.text, token.count) for token in generation] == [("a", 1), ("🦜", 4)]
    assert generation.usage.completion_tokens == 5


def test_a_broken_tail_is_replaced_when_the_reply_ends_and_dropped_when_it_is_cut() -> None:
    half = Reply(tokens=("ok", b"\xf0\x9f"))
    backend = ScriptedBackend([half, half.model_copy(update={"cut_after": 2})])
    assert said(backend.generate(ASK, config())) == "ok\ufffd"
    assert said(backend.generate(ASK, config())) == "ok"


def test_it_refuses_as_told() -> None:
    backend = ScriptedBackend([Reply(refuse="overloaded"), Reply(refuse=ContextLengthExceeded("no"))])
    with pytest.raises(Overloaded):
        backend.generate(ASK, config())
    with pytest.raises(ContextLengthExceeded, match="no"):
        backend.generate(ASK, config())


def test_calls_and_prewarmed_prefixes_are_remembered() -> None:
    backend = ScriptedBackend(["one"])
    backend.generate(ASK, config(seed=3), continue_from="o")
    backend.prewarm(ASK)
    assert (backend.calls[0].prompt, backend.calls[0].config.seed, backend.calls[0].continue_from) == (
        (ASK, 3, "o")
    )
    assert list(backend.prewarmed) == [ASK]


def test_embeddings_only_when_asked_for() -> None:
    with pytest.raises(Unsupported):
        ScriptedBackend().embed(["a"])
    first, second, again = ScriptedBackend(embedding_size=16).embed(["a", "b", "a"])
    assert len(first) == 16
    assert first == again != second
    assert sum(x * x for x in first) == pytest.approx(1)
