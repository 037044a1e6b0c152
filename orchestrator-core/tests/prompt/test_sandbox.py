from __future__ import annotations

from typing import Any

import pytest
from orchestrator_core.prompt.sandbox import MAX_SOURCE_CHARS, SandboxedTemplate, TemplateError

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Grüße <b> & 'so'"},
]


def render(source: str, **variables: Any) -> str:
    return SandboxedTemplate(source).render({"messages": MESSAGES, **variables})


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
    ],
)  # fmt: skip
def test_what_chat_templates_use_works(source: str, text: str) -> None:
    assert render(source, tools=None) == text


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(90000) %}{% for j in messages %}{% for k in messages %}{% for l in messages %}"
        "{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] | join %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(90) %}{% set ns.x = ns.x|replace('a', ns.x) %}{% endfor %}",
        "{% set x %}{% for i in range(90000) %}{{ 'long text ' * 100 }}{% endfor %}{% endset %}",
        "{% set ns = namespace(x='a') %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x='a') %}{% for i in range(90) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(90) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}"
        "{{ ns.x == ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x] * 2 %}{% endfor %}{{ ns.x }}",
        "{% set s = 'x' * 1000000 %}{{ ([s] * 100000) | join }}",
        "{% set s = 'x' * 1000000 %}{{ ','.join([s] * 100000) }}",
        "{% set s = 'x' * 1000000 %}{% for i in range(90000) %}{% set t = s[1:] %}{% endfor %}",
        "{% set s = 'x' * 1000000 %}{% for i in range(90000) %}{% if s in s ~ 'y' %}{% endif %}{% endfor %}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * [0] }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ '{:1000000000}'.format('x') }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ '" + "a" * 200_000 + "' | replace('a', '" + "b" * 200_000 + "') }}",
        "{{ range(1000000000) | list }}",
        "{% for i in range(50000) %}{{ range(50000) | list | length }}{% endfor %}",
        "{{ lipsum(100000) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ messages.append({}) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{% include 'file' %}",
        "{% import 'os' as os %}",
        "{{ unclosed ",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "9" * 400 + " * " + "9" * 400 + " }}",
        "x" * (MAX_SOURCE_CHARS + 1),
    ],
)
def test_what_a_hostile_template_tries_ends_in_an_error(source: str) -> None:
    before = [dict(message) for message in MESSAGES]
    with pytest.raises(TemplateError):
        render(source)
    assert before == MESSAGES


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
    with pytest.raises(TemplateError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")


def test_a_long_conversation_is_far_below_the_limits() -> None:
    long = [{"role": "user", "content": "word " * 2000}, {"role": "assistant", "content": "word " * 20}] * 400
    source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim ~ '<|end|>' }}{% endfor %}"
    text = SandboxedTemplate(source).render({"messages": long})
    assert len(text) > 4_000_000
