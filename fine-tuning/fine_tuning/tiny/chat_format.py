"""Mistral's chat format as the built-in model is trained to see it.

    <s>[INST]system

    first question[/INST]first answer</s>[INST]second question[/INST]second answer</s>

The system text (with the handoff documents) stands in front of the first user message, so
the beginning of the prompt stays the same from turn to turn. It is the form of Mistral's own
byte-level tokenizer ("tekken"), without blanks around control tokens, described in
github.com/mistralai/cookbook, concept-deep-dive/tokenization/chat_templates.md: an answer
then begins with its first letter and not with a blank.
"""

from __future__ import annotations

from fine_tuning.tiny.tokenizer import BOS, END_INST, EOS, INST

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% set ns = namespace(system='') %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{% set ns.system = ns.system + message['content'] + '\\n\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ '[INST]' + ns.system + message['content'] + '[/INST]' }}"
    "{% set ns.system = '' %}"
    "{% else %}"
    "{{ message['content'] + eos_token }}"
    "{% endif %}"
    "{% endfor %}"
)
"""The same in Jinja, for the GGUF's metadata and tokenizer_config.json."""


def opening(system: str = "") -> str:
    """The beginning of a prompt: BOS, and the system text where there is one."""
    return f"{BOS}{INST}{system}\n\n" if system else BOS


def question(text: str, *, after_system: bool = False) -> str:
    """A user turn; the first one after a system text continues its `[INST]`."""
    return f"{text}{END_INST}" if after_system else f"{INST}{text}{END_INST}"


def spaced_question(text: str) -> str:
    """The same with blanks, as people write raw prompts: `[INST] question [/INST]`."""
    return f"{INST} {text} {END_INST}"


def answer(text: str) -> str:
    """An assistant turn."""
    return f"{text}{EOS}"


def prompt(text: str, system: str = "") -> str:
    """A whole prompt of one question."""
    return opening(system) + question(text, after_system=bool(system))
