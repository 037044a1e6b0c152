import gc
import threading
from pathlib import Path

import pytest
from orchestrator_core.backends.base import FinishReason, Generation, Prompt
from orchestrator_core.backends.script import Gate, Reply, words
from orchestrator_core.backends.scripted import ScriptedBackend, echo
from orchestrator_core.errors import (
    BackendError,
    BackendUnreachable,
    ConfigurationError,
    ContextLengthExceeded,
    EngineLost,
    ModelNotFound,
    ModelUnusable,
    Overloaded,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.settings import Settings

ASK = Prompt.raw("[INST] Hi [/INST]")


def config(**fields: object) -> GenerationConfig:
    return GenerationConfig.model_validate(fields)


def said(generation: Generation) -> str:
    return "".join(token.text for token in generation)


def until_error(generation: Generation) -> tuple[str, BackendError]:
    shown = ""
    with pytest.raises(BackendError) as caught:
        for token in generation:
            shown += token.text
    return shown, caught.value


def asking(text: str) -> Prompt:
    return Prompt((f"[INST] {text} [/INST]",), (ChatMessage(Role.USER, text),))


# --- what it says ---


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


# --- limits and counts ---


def test_tokens_are_counted_by_the_fixed_rule() -> None:
    assert words("[INST] Hello wonderful_world 12345 </s>\n") == (
        ["[INST]", " Hello", " wonderfu", "l", "_", "world", " 123", "45", " ", "</s>", "\n"]
    )
    backend = ScriptedBackend()
    assert backend.count_tokens("Hello world") == 2
    assert backend.count_prompt(Prompt.raw("Hello world")) == 3
    assert backend.count_prompt(Prompt.raw("<s>Hello world")) == 3


def test_a_control_token_that_a_person_wrote_is_cut_and_counts_as_text() -> None:
    backend = ScriptedBackend()
    assert backend.count_prompt(Prompt(("a </", "s> b"))) > backend.count_prompt(Prompt(("a </s> b",)))


def test_usage_says_what_was_asked_and_made() -> None:
    backend = ScriptedBackend([Reply(text="one two three", cached_tokens=2)])
    generation = backend.generate(ASK, config())
    said(generation)
    assert generation.usage.prompt_tokens == backend.count_prompt(ASK)
    assert (generation.usage.completion_tokens, generation.usage.cached_tokens) == (3, 2)
    assert generation.finish_reason is FinishReason.STOP


def test_max_new_tokens_ends_with_length() -> None:
    generation = ScriptedBackend(["one two three"]).generate(ASK, config(max_new_tokens=2))
    assert said(generation) == "one two"
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.completion_tokens == 2


def test_a_full_window_ends_with_length() -> None:
    backend = ScriptedBackend(["x " * 100], context_length=64)
    generation = backend.generate(ASK, config())
    said(generation)
    assert generation.finish_reason is FinishReason.LENGTH
    assert generation.usage.prompt_tokens + generation.usage.completion_tokens == 64


def test_a_prompt_that_cannot_fit_is_refused() -> None:
    backend = ScriptedBackend(["x"], context_length=64)
    assert backend.generate(Prompt.raw("a\n" * 31), config())  # 62, BOS and one to answer
    with pytest.raises(ContextLengthExceeded, match="64 tokens; the window of 'scripted' holds 64"):
        backend.generate(Prompt.raw("a\n" * 31 + "b"), config())


def test_a_stop_across_tokens_is_cut_exactly() -> None:
    generation = ScriptedBackend([Reply(text="one <END> two", split="characters")]).generate(
        ASK, config(stop=["<END>", " two"])
    )
    assert said(generation) == "one "
    assert generation.finish_reason is FinishReason.STOP


def test_cut_off_ends_with_length() -> None:
    generation = ScriptedBackend([Reply(text="one two three", cut_after=1)]).generate(ASK, config())
    assert said(generation) == "one"
    assert generation.finish_reason is FinishReason.LENGTH


# --- going on after a seam ---


def test_after_a_crash_the_same_prompt_continues_the_same_reply() -> None:
    backend = ScriptedBackend([Reply(text="one two three four", crash_after=(1, 3)), "another"])
    shown, error = until_error(backend.generate(ASK, config()))
    assert (shown, type(error)) == ("one", EngineLost)
    more, error = until_error(backend.generate(ASK, config(), continue_from=shown))
    assert (more, type(error)) == (" two three", EngineLost)
    last = backend.generate(ASK, config(), continue_from=shown + more)
    assert said(last) == " four"
    assert last.usage.completion_tokens == 1
    assert backend.stats().restarts == 2
    assert said(backend.generate(ASK, config())) == "another"


def test_after_a_crash_the_engine_may_stay_down_for_some_calls() -> None:
    backend = ScriptedBackend([Reply(text="one two", crash_after=(0,), down_for=2)])
    shown, _ = until_error(backend.generate(ASK, config()))
    for _ in range(2):
        with pytest.raises(EngineLost, match="restarting"):
            backend.generate(ASK, config(), continue_from=shown)
    assert said(backend.generate(ASK, config(), continue_from=shown)) == "one two"


def test_held_back_text_is_not_lost_by_a_crash() -> None:
    backend = ScriptedBackend([Reply(text="ab<E>cd", split="characters", crash_after=(4,))])
    shown, _ = until_error(backend.generate(ASK, config(stop=["<E>"])))
    assert shown == "ab"
    assert said(backend.generate(ASK, config(stop=["<E>"]), continue_from=shown)) == ""


def test_a_crash_can_look_like_another_failure() -> None:
    backend = ScriptedBackend([Reply(text="one", crash_after=(0,), failure="unreachable")])
    assert isinstance(until_error(backend.generate(ASK, config()))[1], BackendUnreachable)


def test_another_backend_continues_from_the_text_shown_even_inside_a_token() -> None:
    backend = ScriptedBackend(["wonderful", "and more"])
    assert said(backend.generate(ASK, config(), continue_from="wond")) == "erful"
    assert said(backend.generate(ASK, config(), continue_from="something else ")) == "and more"


# --- waiting, cancelling, refusing ---


def test_the_gate_lets_tokens_pass_one_by_one() -> None:
    gate = Gate()
    generation = ScriptedBackend([Reply(text="one two three", gate=gate)]).generate(ASK, config())
    shown: list[str] = []
    reader = threading.Thread(target=lambda: shown.extend(token.text for token in generation))
    reader.start()
    assert gate.wait_blocked()
    assert shown == []
    gate.allow(2)
    gate.open()
    reader.join(10)
    assert shown == ["one", " two", " three"]


@pytest.mark.parametrize("stuck", ["gate", "hang"])
def test_cancel_from_another_thread_ends_a_stuck_answer(stuck: str) -> None:
    gate = Gate()
    gate.allow(1)
    reply = Reply(text="one two", gate=gate) if stuck == "gate" else Reply(text="one two", hang_after=1)
    generation = ScriptedBackend([reply]).generate(ASK, config())
    first = threading.Event()
    shown: list[str] = []

    def read() -> None:
        for token in generation:
            shown.append(token.text)
            first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(10)
    generation.cancel()
    generation.cancel()
    reader.join(10)
    assert not reader.is_alive()
    assert shown == ["one"]
    assert generation.finish_reason is FinishReason.CANCELLED


def test_cancelled_before_it_began_it_says_nothing() -> None:
    generation = ScriptedBackend(["one"]).generate(ASK, config())
    generation.cancel()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED


def test_close_cancels_what_runs_and_the_backend_can_be_loaded_again() -> None:
    backend = ScriptedBackend([Reply(text="one", hang_after=0), "two"])
    generation = backend.generate(ASK, config())
    backend.close()
    backend.close()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    assert not backend.stats().loaded
    assert said(backend.generate(ASK, config())) == "two"


def test_an_answer_dropped_half_way_can_be_collected_at_any_moment() -> None:
    """The collector may run while this thread holds the backend's lock; that must not block it."""
    backend = ScriptedBackend(otherwise="one two")
    next(iter(backend.generate(ASK, config())))
    with backend._lock:
        gc.collect()
    assert backend.stats().running == 0


def test_delays_go_through_the_injected_wait() -> None:
    waited: list[float] = []
    backend = ScriptedBackend(
        ["one two", Reply(text="three", delay_s=9)],
        token_delay_s=5,
        load_delay_s=60,
        wait=lambda seconds, cancelled: waited.append(seconds),
    )
    said(backend.generate(ASK, config()))
    said(backend.generate(ASK, config()))
    assert waited == [60, 5, 5, 9]


def test_it_refuses_as_told() -> None:
    backend = ScriptedBackend([Reply(refuse="overloaded"), Reply(refuse=ContextLengthExceeded("no"))])
    with pytest.raises(Overloaded):
        backend.generate(ASK, config())
    with pytest.raises(ContextLengthExceeded, match="no"):
        backend.generate(ASK, config())


def test_more_answers_than_allowed_are_refused_until_one_ends() -> None:
    backend = ScriptedBackend(["one", "two"], max_running=1)
    first = backend.generate(ASK, config())
    with pytest.raises(Overloaded):
        backend.generate(ASK, config())
    said(first)
    assert said(backend.generate(ASK, config())) == "two"


def test_load_fails_as_often_as_told() -> None:
    backend = ScriptedBackend(["one"], load_errors=[ModelUnusable("corrupt")])
    with pytest.raises(ModelUnusable):
        backend.generate(ASK, config())
    assert not backend.stats().loaded
    assert said(backend.generate(ASK, config())) == "one"


def test_a_slow_load_waits_for_its_gate() -> None:
    gate = threading.Event()
    backend = ScriptedBackend(["one"], load_gate=gate)
    loader = threading.Thread(target=backend.load)
    loader.start()
    assert not backend.stats().loaded
    gate.set()
    loader.join(10)
    assert backend.stats().loaded


def test_closing_ends_a_load_that_never_would() -> None:
    backend = ScriptedBackend(load_gate=threading.Event())
    failed: list[BaseException] = []

    def load() -> None:
        try:
            backend.load()
        except ModelUnusable as error:
            failed.append(error)

    loader = threading.Thread(target=load)
    loader.start()
    while loader.is_alive():
        backend.close()
        loader.join(0.05)
    assert "closed" in str(failed[0])


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


# --- from settings ---


def scripted(path: str, **model: object) -> ScriptedBackend:
    return ScriptedBackend.from_settings(
        Settings.model_validate({"model": {"backend": "scripted", "path": path, **model}})
    )


def test_echo_and_say_need_no_file() -> None:
    assert said(scripted("echo").generate(asking("hello"), config())) == "hello"
    assert said(scripted("builtin").generate(asking("hello"), config())) == "hello"
    backend = scripted("say:Always this.", context_length=128)
    assert [said(backend.generate(ASK, config())) for _ in range(2)] == ["Always this."] * 2
    assert backend.context_length == 128


def test_a_script_file_says_what_happens(tmp_path: Path) -> None:
    file = tmp_path / "play.yaml"
    file.write_text(
        """
        context_length: 100
        replies:
          - {text: "one two", crash_after: [1]}
          - {when: "too long", refuse: context_length_exceeded}
        otherwise: {text: "nothing more"}
        """
    )
    backend = scripted(str(file))
    assert (backend.describe().model, backend.context_length) == ("play", 100)
    shown, _ = until_error(backend.generate(ASK, config()))
    assert said(backend.generate(ASK, config(), continue_from=shown)) == " two"
    with pytest.raises(ContextLengthExceeded):
        backend.generate(asking("this is too long"), config())
    assert said(backend.generate(ASK, config())) == "nothing more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("replies: [{txet: hello}]", "replies.0.txet.*Extra inputs"),
        ("replies: 5", "at replies.*given: 5"),
        ("- just\n- a list", "at the file"),
        ("a: [", "Cannot read the script"),
    ],
)
def test_a_wrong_script_is_named_with_its_fault(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "play.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        scripted(str(file))


def test_a_missing_script_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no script at .*absent\.yaml"):
        scripted(str(tmp_path / "absent.yaml"))
