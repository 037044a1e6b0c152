from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.backend import Prompt
from orchestrator_core.backends import openai_dialect as dialects
from orchestrator_core.backends.openai_dialect import Dialect, Joint, context_length_of, recognise, request
from orchestrator_core.errors import Unsupported
from orchestrator_core.generation import ChatSampling, GenerationConfig
from orchestrator_core.messages import ChatMessage, Role

CHAT = Prompt(("rendered",), (ChatMessage(Role.SYSTEM, "be kind"), ChatMessage(Role.USER, "hi")))
ALL = [
    dialects.PLAIN,
    dialects.OPENAI,
    dialects.MISTRAL,
    dialects.VLLM,
    dialects.LLAMA_SERVER,
    dialects.ORCHESTRATOR,
]


def body(
    dialect: Dialect, prompt: Prompt = CHAT, continue_from: str = "", **config: object
) -> dict[str, Any]:
    return request(dialect, "m", prompt, GenerationConfig.model_validate(config), continue_from)[1]


@pytest.mark.parametrize(
    ("host", "owner", "dialect"),
    [
        ("127.0.0.1", "vllm", dialects.VLLM),
        ("127.0.0.1", "llamacpp", dialects.LLAMA_SERVER),
        ("127.0.0.1", "orchestrator", dialects.ORCHESTRATOR),
        ("127.0.0.1", "library", dialects.PLAIN),
        ("127.0.0.1", None, dialects.PLAIN),
        ("api.mistral.ai", "mistralai", dialects.MISTRAL),
        ("api.openai.com", "system", dialects.OPENAI),
    ],
)
def test_servers_are_recognised(host: str, owner: str | None, dialect: Dialect) -> None:
    assert recognise(host, {"owned_by": owner}) is dialect


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"max_model_len": 100}, 100),
        ({"context_length": 100}, 100),
        ({"max_context_length": 100}, 100),
        ({"meta": {"n_ctx": 100}}, 100),
        ({"meta": {"n_ctx_train": 100}}, None),
        ({"max_model_len": "100"}, None),
        ({"max_model_len": 0}, None),
        ({}, None),
    ],
)
def test_the_window_is_found_under_its_usual_names(entry: dict[str, Any], length: int | None) -> None:
    assert context_length_of(entry) == length


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_messages_go_to_the_chat_route_and_raw_text_to_completions(dialect: Dialect) -> None:
    config = GenerationConfig()
    assert request(dialect, "m", CHAT, config, "")[0] == "chat/completions"
    route, raw = request(dialect, "m", Prompt.raw("[INST] hi [/INST]"), config, " and")
    assert (route, raw["prompt"]) == ("completions", "[INST] hi [/INST] and")
    assert body(dialect)["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
    ]


def test_a_strict_server_is_sent_no_field_it_does_not_know() -> None:
    sent = body(
        dialects.PLAIN, max_new_tokens=9, temperature=0.5, top_p=0.5, seed=3, stop=["a"], top_k=5, min_p=0.1
    )
    assert set(sent) == {
        "model", "stream", "stream_options", "messages", "max_tokens", "temperature", "top_p", "seed", "stop",
    }  # fmt: skip
    mistral = body(dialects.MISTRAL, seed=3)
    assert mistral["random_seed"] == 3
    assert not {"seed", "stream_options", "top_k"} & set(mistral)
    assert body(dialects.OPENAI, max_new_tokens=9)["max_completion_tokens"] == 9


def test_open_servers_get_every_sampling_field_under_their_names() -> None:
    sent = body(dialects.VLLM, top_k=5, min_p=0.1, repetition_penalty=1.2)
    assert (sent["top_k"], sent["min_p"], sent["repetition_penalty"]) == (5, 0.1, 1.2)
    assert body(dialects.LLAMA_SERVER, repetition_penalty=1.2)["repeat_penalty"] == 1.2
    assert body(dialects.VLLM, top_k=0)["top_k"] == -1
    assert body(dialects.ORCHESTRATOR, top_k=0)["top_k"] == 0


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_what_nobody_asked_for_is_left_to_the_server(dialect: Dialect) -> None:
    sent = body(dialect)
    assert set(sent) - {"stream_options"} <= {
        "model", "stream", "messages", "max_tokens", "max_completion_tokens",
    }  # fmt: skip
    chat = request(dialect, "m", CHAT, ChatSampling(), "")[1]
    assert (chat["temperature"], chat["top_p"]) == (0.7, 0.9)
    assert "stop" not in chat


@pytest.mark.parametrize("greedy", [{"greedy": True}, {"temperature": 0}])
def test_greedy_leaves_only_temperature_zero(greedy: dict[str, object]) -> None:
    sent = body(dialects.VLLM, top_k=5, min_p=0.1, top_p=0.5, **greedy)
    assert sent["temperature"] == 0.0
    assert not {"top_p", "top_k", "min_p"} & set(sent)


def test_a_continued_answer_is_the_last_message() -> None:
    last = {"role": "assistant", "content": "So far"}
    assert body(dialects.PLAIN, continue_from="So far \n")["messages"][-1] == last
    vllm = body(dialects.VLLM, continue_from="So far")
    assert vllm["messages"][-1] == last
    assert (vllm["continue_final_message"], vllm["add_generation_prompt"]) == (True, False)
    assert body(dialects.MISTRAL, continue_from="So far")["messages"][-1] == {**last, "prefix": True}
    assert "continue_final_message" not in body(dialects.VLLM)
    assert len(body(dialects.VLLM, continue_from="  ")["messages"]) == 2
    own = body(dialects.ORCHESTRATOR, continue_from="So far \n")["messages"][-1]
    assert own == {"role": "assistant", "content": "So far \n"}


def test_no_more_stops_than_the_server_accepts() -> None:
    stops = [str(n) for n in range(10)]
    assert body(dialects.PLAIN, stop=stops)["stop"] == stops[:4]
    assert body(dialects.VLLM, stop=stops)["stop"] == stops


def test_a_schema_goes_to_everyone_and_a_grammar_only_where_it_is_understood() -> None:
    schema = {"type": "object"}
    assert body(dialects.PLAIN, json_schema=schema)["response_format"]["json_schema"]["schema"] == schema
    assert body(dialects.LLAMA_SERVER, grammar='root ::= "a"')["grammar"] == 'root ::= "a"'
    with pytest.raises(Unsupported, match="plain server takes no GBNF"):
        body(dialects.PLAIN, grammar='root ::= "a"')


def test_tools_are_described_in_words_and_the_answer_stays_text() -> None:
    tool = {"type": "function", "function": {"name": "look_up"}}
    sent = body(dialects.VLLM, Prompt(("x",), CHAT.messages, (tool,)))
    assert not {"tools", "tool_choice"} & set(sent)
    assert '{"name": "look_up"}' in sent["messages"][0]["content"]
    assert sent["messages"][0]["content"].startswith("be kind")


# --- the joint ---


def joined(joint: Joint, text: str, sizes: list[int]) -> str:
    out, at = "", 0
    for size in sizes:
        out += joint.feed(text[at : at + size])
        at += size
    return out + joint.feed(text[at:]) + joint.flush()


SHOWN = st.text(alphabet="ab \n", max_size=14)
SIZES = st.lists(st.integers(1, 5), max_size=10)


@given(SHOWN, st.text(alphabet="ab \n", max_size=14), SIZES)
def test_a_repeated_text_is_removed_however_it_is_cut(shown: str, more: str, sizes: list[int]) -> None:
    sent = shown.rstrip()
    space = shown[len(sent) :]
    assert joined(Joint(shown, repeats=True), sent + space + "|" + more, sizes) == "|" + more


@given(SHOWN, st.text(alphabet="abc", max_size=14), SIZES)
def test_a_server_that_does_not_repeat_loses_nothing(shown: str, more: str, sizes: list[int]) -> None:
    assert joined(Joint(shown, repeats=False), more, sizes) == more


@given(SHOWN, st.text(alphabet="ab \n", max_size=14), SIZES)
def test_our_own_server_is_taken_at_its_word(shown: str, more: str, sizes: list[int]) -> None:
    assert joined(Joint.of(dialects.ORCHESTRATOR, CHAT, shown), more, sizes) == more
    assert joined(Joint.of(dialects.VLLM, Prompt.raw("p"), shown), more, sizes) == more


def test_an_unknown_server_is_believed_to_repeat_only_when_it_clearly_does() -> None:
    assert joined(Joint("The answer is"), "The answer is 42", [3, 3, 3]) == " 42"
    assert joined(Joint("The answer is"), "The other", [3, 3]) == "The other"
    assert joined(Joint("The answer is"), "The", []) == "The"
    assert joined(Joint("1"), "12", []) == "12"


def test_whitespace_at_the_seam_is_not_doubled() -> None:
    assert joined(Joint("Hello ", False), " world", []) == "world"
    assert joined(Joint("Hello ", False), "world", []) == "world"
    assert joined(Joint("A\n\n", False), "\nB", [1]) == "B"
    assert joined(Joint("Hello", False), " world", []) == " world"
