from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.credentials import holds_credential
from orchestrator_core.handoff.named import NameKind, names
from orchestrator_core.handoff.units import one_line


def named(text: str, kind: NameKind) -> list[str]:
    return [name.text for name in names(text) if name.kind is kind]


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("Edit src/app.py and README.md.", ["src/app.py", "README.md"]),
        ("It is in /etc/nginx/nginx.conf, or ~/notes.", ["/etc/nginx/nginx.conf", "~/notes"]),
        ("Open C:\\Users\\ana\\x.txt", ["C:\\Users\\ana\\x.txt"]),
        ("`docs/` and `.env`", ["docs/", ".env"]),
        ("models/mistral-7b-continuity", ["models/mistral-7b-continuity"]),
        ("and/or, he/she, km/h, 10/11/2026, 24/7, TCP/IP, either/or", []),
        ("Datei Übersicht_2026.xlsx liegt in Büro/Ablage/Über", ["Büro/Ablage/Über", "Übersicht_2026.xlsx"]),
        ("Makefile, Dockerfile and archive.tar.gz", ["Makefile", "Dockerfile", "archive.tar.gz"]),
        ("e.g. i.e. etc. Nothing.", []),
    ],
)
def test_files(text: str, files: list[str]) -> None:
    assert named(text, NameKind.FILE) == files


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("We run Python 3.12 and torch 2.13.0.", ["Python 3.12", "torch 2.13.0"]),
        ("pin pydantic==2.13.1, tag v0.3.0", ["pydantic==2.13.1", "v0.3.0"]),
        ("It took 2.5 hours, About 3.5 GB, 1.480 Euro, 95.3 %", []),
        ("on 192.168.178.1 today", []),
    ],
)
def test_versions(text: str, versions: list[str]) -> None:
    assert named(text, NameKind.VERSION) == versions


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("Run `git push --force-with-lease` now.", ["git push --force-with-lease"]),
        ("```sh\n# first\nmake check\n$ ls -la\n```", ["make check", "ls -la"]),
        ("```\n$ orchestrator serve\nlistening\n```", ["orchestrator serve"]),
        ("```python\nimport os\n```", []),
        ("`max_tokens` is a field", []),
    ],
)
def test_commands(text: str, commands: list[str]) -> None:
    assert named(text, NameKind.COMMAND) == commands


def test_addresses_end_where_the_sentence_does() -> None:
    text = "See https://example.org/a?b=1#c, (http://localhost:5000/chat), git@example.org:me/it.git."
    assert named(text, NameKind.ADDRESS) == [
        "https://example.org/a?b=1#c",
        "http://localhost:5000/chat",
        "git@example.org:me/it.git",
    ]


@given(st.text(max_size=300) | st.text("ab/.:\\`~$ -v1 2\n", max_size=300))
def test_every_name_is_in_the_text(text: str) -> None:
    whole = one_line(text)
    for name in names(text):
        assert name.text in whole


@pytest.mark.parametrize(
    "text",
    [
        "My token is hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123",
        "password=hunter2hunter2",
        "Das Passwort ist blau42!",
        "api_key: 'abc12345'",
        "Authorization: Bearer abcdefghijklmnop",
        "https://ana:geheim@example.org/",
        "sk-proj-abcdefghijklmnop1234",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
        "export OPENAI_TOKEN=abcd1234",
        "use dGhpcyBpcyBhIHZlcnkgc2VjcmV0IGtleSBvZiBtaW5l4",
    ],
)
def test_what_looks_secret(text: str) -> None:
    assert holds_credential(text)


@pytest.mark.parametrize(
    "text",
    [
        "We need a password for the box.",
        "The token limit is 512.",
        "Where shall the password be? In /etc/restic/passwort?",
        "commit 4f2a9c1d0b6e8a7f4c3d2e1f0a9b8c7d6e5f4a3b",
        "max_tokens: 512",
        "orchestrator_core/prompt/template_filters.py",
        "01a1fdd5-c757-7dfc-b9d2-58ca20ef1b1f",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not holds_credential(text)
