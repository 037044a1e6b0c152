from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from orchestrator_core.errors import TemplateOverrun, TemplateUnusable
from orchestrator_core.prompt.render_worker import MAX_MEMORY
from orchestrator_core.prompt.rendering import (
    MAX_SOURCE_CHARS,
    RENDERER,
    TemplateRenderer,
)

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Grüße <b> & 'so'"},
]


def render(source: str, **variables: Any) -> str:
    return RENDERER.render(source, {"messages": MESSAGES, **variables})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}\n{{ m.role }}{{ loop.index }}/{{ loop.length }}\n{% endfor %}", "system1/2\nuser2/2\n"),
        ("{{ messages[0]['content'] | trim }}", "Be brief."),
        ("{{ messages | tojson }}", '[{"role": "system", "content": " Be brief. "}, {"role": "user",'
         ' "content": "Grüße <b> & \'so\'"}]'),
        ("{{ {'b': 1, 'a': 2} | tojson(indent=2) }}", '{\n  "b": 1,\n  "a": 2\n}'),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{% generation %}said{% endgeneration %}", "said"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% macro say(x) %}<{{ x }}>{% endmacro %}{{ say('a') ~ say('b') }}", "<a><b>"),
        ("{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}", "b"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{{ 'x' * 3 + 'y' }}{{ [1] + [2] }}{{ 7 % 3 }}{{ 2 * 3 }}", "xxxy[1, 2]16"),
        ("{{ 'aXbX' | replace('X', '-') }}{{ ['a', 'b'] | join(', ') }}{{ 'a'.replace('a', 'bc') }}", "a-b-a, bbc"),
        ("{{ messages[1:] | map(attribute='role') | join('+') }}{{ 'b' in 'abc' }}", "userTrue"),
        ("{%- for a in [1, 2] %}\n  {%- for b in [3] %}{{ a * b }},{% endfor %}{% endfor %}", "3,6,"),
        ("{{ missing is defined }}{{ tools is none }}", "FalseTrue"),
        ("{% for a, b in {'k': 1}.items() %}{{ a }}{{ b }}{% endfor %}{{ messages[-1:] | length }}", "k11"),
        ("{% set a, b = 'x', 'y' %}{{ a == 'x' and b in ['y'] and 1 < 2 <= 2 }}{{ 'abc'[1:] }}", "Truebc"),
        ("{{ [{'n': 'a'}, {'n': 'b'}] | join('+', attribute='n') }}", "a+b"),
        ("{{ 'line\\nline' | indent(2) }}", "line\n  line"),
        ("{{ '{}:{}'.format('a', 1) }}", "a:1"),
    ],
)  # fmt: skip
def test_what_chat_templates_use_works(source: str, text: str) -> None:
    assert render(source, tools=None) == text


HOSTILE = [
    "{{ (1).to_bytes(2000000000, 'big') }}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ 1000000000 * [0] }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format('x') }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ range(1000000000) | list }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set s = 'x' * 1000000 %}{{ ([s] * 100000) | join }}",
    "{{ 'x' * 20000000 }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ '{0.__class__.__init__}'.format(messages).x.y }}",
    "{% include 'file' %}",
    "{% import 'os' as os %}",
    "{{ unclosed ",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ '\\ud800' }}",
    "x" * (MAX_SOURCE_CHARS + 1),
]
ENDLESS = [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{{ x }}" * 70_000,
]


@pytest.mark.parametrize("source", HOSTILE)
def test_what_a_hostile_template_tries_ends_in_an_error(source: str) -> None:
    with pytest.raises(TemplateUnusable):
        render(source)
    assert render("{{ messages | length }}") == "2"


@pytest.mark.slow
@pytest.mark.parametrize("source", ENDLESS)
def test_a_template_that_does_not_end_is_stopped(source: str) -> None:
    with pytest.raises(TemplateOverrun):
        render(source)
    assert render("{{ messages | length }}") == "2"


def test_its_process_has_little_memory_and_none_of_the_servers_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "sk-secret")
    renderer = TemplateRenderer()
    assert renderer.render("{{ 1 }}", {}) == "1"
    process = psutil.Process(renderer.pid)
    assert not [name for name in process.environ() if name.startswith("ORCHESTRATOR_")]
    if sys.platform == "linux":
        assert process.rlimit(psutil.RLIMIT_AS) == (MAX_MEMORY, MAX_MEMORY)
    renderer.close()
    assert not process.is_running()


def test_the_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "from orchestrator_core.prompt.rendering import RENDERER;"
        "import os, sys; RENDERER.render('x', {}); print(RENDERER.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    child = int(done.stdout)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(child)


def test_many_threads_get_each_their_own_text() -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda n: RENDERER.render("{{ n }}", {"n": n}), range(100)))
    assert texts == [str(number) for number in range(100)]


@pytest.mark.parametrize(
    "source",
    [
        "{{ (1).__class__ }}",
        "{{ messages | map(attribute='__class__') | join }}",
        "{{ messages[0].keys.__self__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ messages[0]['__class__'] }}",
    ],
)
def test_pythons_internals_look_undefined(source: str) -> None:
    assert render(source) == ""


def test_a_template_may_refuse_the_messages_with_its_own_words() -> None:
    with pytest.raises(TemplateUnusable, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


def test_what_a_template_changes_is_its_own_copy() -> None:
    source = "{% set x = messages.append({'role': 'x'}) %}{{ messages | length }}"
    assert render(source) == render(source) == "3"


def test_a_long_conversation_is_far_below_the_limits() -> None:
    long = [{"role": "user", "content": "word " * 2000}, {"role": "assistant", "content": "word " * 20}] * 400
    source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim ~ '<|end|>' }}{% endfor %}"
    text = RENDERER.render(source, {"messages": long})
    assert len(text) > 4_000_000
