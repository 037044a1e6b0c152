"""How OpenAI-compatible servers differ, and the requests each of them understands. Pure.

Written from the servers' documentation. Run against: this project's own server and doubles. Not yet run
against: a real vLLM, llama-server, Ollama or Mistral's API.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator_core.backend import Prompt
from orchestrator_core.errors import Unsupported
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.message_shape import tools_in_words

MIN_RECOGNISED_ECHO = 8
"""Characters that must be repeated before we believe that a server of unknown habits echoes
the text it was given to continue; fewer may well be the answer itself."""

_CONTEXT_KEYS = ("max_model_len", "context_length", "max_context_length", "context_window")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    Args:
        name: for logs and /model/info.
        samplers: our sampling fields it understands beyond OpenAI's, with their names there.
        renamed: our fields whose names there are others than OpenAI's.
        max_stops: stop sequences it accepts; the others are cut on our side only.
        asks_usage: whether it must be asked for a usage chunk (and tolerates being asked).
        grammar: whether it takes a GBNF grammar.
        continues: fields that make it continue the last assistant message.
        marks_prefix: the assistant message to continue carries `prefix: true`.
        trims_prefill: whether that message is sent without its trailing whitespace, which the
            server's template would cut anyway.
        repeats_prefill: whether its answer begins with the text it was to continue;
            None: not known.
        tokenizer: whose tokenise route it has.
        top_k_off: what it takes for "no top-k".
    """

    name: str
    samplers: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    max_stops: int = 16
    asks_usage: bool = True
    grammar: bool = False
    continues: dict[str, Any] = field(default_factory=dict)
    marks_prefix: bool = False
    trims_prefill: bool = True
    repeats_prefill: bool | None = None
    tokenizer: Literal["vllm", "llama_server"] | None = None
    top_k_off: int = 0


_PUBLISHED = {
    "max_new_tokens": "max_tokens",
    **{name: name for name in ("temperature", "top_p", "seed", "stop")},
    **{name: name for name in ("presence_penalty", "frequency_penalty", "logit_bias")},
}
"""Our fields that OpenAI's API has, with their names there."""

_OF_SAMPLES = {"temperature", "top_p", "top_k", "min_p"}
"""What has no meaning where always the likeliest token is chosen."""

_OPEN_SAMPLERS = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"}

PLAIN = Dialect("plain", max_stops=4)
OPENAI = Dialect("openai", max_stops=4, renamed={"max_new_tokens": "max_completion_tokens"})
MISTRAL = Dialect(
    "mistral", renamed={"seed": "random_seed"}, asks_usage=False, marks_prefix=True, repeats_prefill=True
)
VLLM = Dialect(
    "vllm",
    samplers=_OPEN_SAMPLERS,
    continues={"continue_final_message": True, "add_generation_prompt": False},
    repeats_prefill=False,
    tokenizer="vllm",
    top_k_off=-1,  # older versions refuse 0
)
LLAMA_SERVER = Dialect(
    "llama_server",
    samplers={**_OPEN_SAMPLERS, "repetition_penalty": "repeat_penalty"},
    grammar=True,
    tokenizer="llama_server",
)
ORCHESTRATOR = Dialect("orchestrator", samplers=_OPEN_SAMPLERS, trims_prefill=False, repeats_prefill=False)

_BY_OWNER = {"vllm": VLLM, "llamacpp": LLAMA_SERVER, "orchestrator": ORCHESTRATOR}
_BY_HOST = {"api.mistral.ai": MISTRAL, "api.openai.com": OPENAI}


def recognise(host: str, entry: dict[str, Any]) -> Dialect:
    """The dialect, from the host and the model's entry in `/v1/models`."""
    return _BY_HOST.get(host) or _BY_OWNER.get(str(entry.get("owned_by")), PLAIN)


def context_length_of(entry: dict[str, Any]) -> int | None:
    """The window a server states in a model's entry in `/v1/models`, under any of its usual names."""
    meta = entry.get("meta")
    stated = [entry.get(key) for key in _CONTEXT_KEYS] + [
        meta.get("n_ctx") if isinstance(meta, dict) else None
    ]
    return next((value for value in stated if isinstance(value, int) and value > 0), None)


def request(
    dialect: Dialect, model: str, prompt: Prompt, config: GenerationConfig, continue_from: str
) -> tuple[str, dict[str, Any]]:
    """Route (below /v1) and body of one generation.

    A prompt with messages goes to the chat route, so that the server applies its own template;
    a raw one goes to the completions route as it stands.

    Raises:
        Unsupported: a grammar for a server that takes none.
    """
    body: dict[str, Any] = {"model": model, "stream": True, **_sampling(dialect, config)}
    if dialect.asks_usage:
        body["stream_options"] = {"include_usage": True}
    if not prompt.messages:
        return "completions", {**body, "prompt": prompt.text + continue_from}
    body["messages"] = wire_messages(prompt)
    sent = continue_from.rstrip() if dialect.trims_prefill else continue_from
    if sent:
        body["messages"].append(
            {"role": "assistant", "content": sent, **({"prefix": True} if dialect.marks_prefix else {})}
        )
        body |= dialect.continues
    return "chat/completions", body


def wire_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The messages as they are sent.

    Tools are described in words, calls are answered as text: the layer above reads them there, and
    whether a server shows `tools` to a model that must not call them natively differs by server.
    """
    messages = tools_in_words(prompt.messages, prompt.tools) if prompt.tools else prompt.messages
    return [message.as_dict() for message in messages]


def _sampling(dialect: Dialect, config: GenerationConfig) -> dict[str, Any]:
    wanted = config.wanted
    if config.is_greedy:
        wanted = {name: wanted[name] for name in wanted.keys() - _OF_SAMPLES} | {"temperature": 0.0}
    if "top_k" in wanted:
        wanted["top_k"] = wanted["top_k"] or dialect.top_k_off
    names = _PUBLISHED | dialect.samplers | dialect.renamed
    fields = {names[name]: value for name, value in wanted.items() if name in names and value is not None}
    if "stop" in fields:
        fields["stop"] = fields["stop"][: dialect.max_stops]
    return fields | _constraint(dialect, config)


def _constraint(dialect: Dialect, config: GenerationConfig) -> dict[str, Any]:
    if config.json_schema is not None:
        schema = {"name": "answer", "schema": config.json_schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if config.grammar is None:
        return {}
    if not dialect.grammar:
        raise Unsupported(
            f"A {dialect.name} server takes no GBNF grammar.", hint="Use a JSON schema, or llama.cpp."
        )
    return {"grammar": config.grammar}


class Joint:
    """Where a server's text joins the text that was already shown.

    Most servers are sent the text to continue without its trailing whitespace, because chat
    templates trim it and because models write a word together with the space before it. So the
    answer may begin with that whitespace again; and some servers repeat the whole text. Both are
    removed.

    Args:
        shown: the text to continue.
        repeats: whether the server repeats it; None: recognised when it does.
    """

    def __init__(self, shown: str, repeats: bool | None = None) -> None:
        sent = shown.rstrip()
        self._certain = repeats is True
        looks = repeats is True or (repeats is None and len(sent) >= MIN_RECOGNISED_ECHO)
        self._echo = sent if looks else ""
        self._space = shown[len(sent) :]
        self._held = ""

    @classmethod
    def of(cls, dialect: Dialect, prompt: Prompt, continue_from: str) -> Joint:
        """The joint of one generation. A raw prompt is continued as it stands."""
        exact = not prompt.messages or not (dialect.trims_prefill or dialect.repeats_prefill)
        return cls("" if exact else continue_from, dialect.repeats_prefill)

    def feed(self, text: str) -> str:
        """What of this text is new; nothing as long as it may still be a repetition."""
        if not self._echo and not self._space:
            return text
        self._held += text
        if self._echo:
            if len(self._held) < len(self._echo) and self._echo.startswith(self._held):
                return ""
            self._held = self._held.removeprefix(self._echo)
            self._echo = ""
        if len(self._held) < len(self._space) and self._space.startswith(self._held):
            return ""
        return self._release()

    def flush(self) -> str:
        """End of the answer: what looked like a repetition and stayed incomplete."""
        if self._echo:
            if self._certain:
                self._held = ""
            self._echo = ""
        return self._release()

    def _release(self) -> str:
        same = 0
        while same < min(len(self._space), len(self._held)) and self._space[same] == self._held[same]:
            same += 1
        text, self._held, self._space = self._held[same:], "", ""
        return text
