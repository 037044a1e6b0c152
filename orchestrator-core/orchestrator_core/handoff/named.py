"""What a text names: addresses, paths and files, commands, versions, names in code. Pure.

Every one is a part of the text as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_core.handoff.units import Unit, listed, units

MAX_COMMAND = 300
MAX_NAME = 120
MOST_SEARCHED = 1000
"""Characters of one sentence or line of code; longer ones are data, and would take long to search."""


class NameKind(StrEnum):
    """In the order an entry lists them."""

    FILE = "file"
    ADDRESS = "address"
    COMMAND = "command"
    VERSION = "version"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Name:
    kind: NameKind
    text: str


_EXTENSIONS = (
    "py pyi ipynb md rst txt tex bib csv tsv json jsonl yaml yml toml ini cfg conf env lock xml html htm css"
    " scss js mjs cjs ts tsx jsx vue svelte c h cc cpp hpp cs rs go java kt swift rb php pl lua r jl scala"
    " sql db sqlite sh bash zsh fish ps1 bat cmd service timer socket dockerfile tf gradle proto graphql"
    " log pdf doc docx odt ods xls xlsx ppt pptx png jpg jpeg gif svg webp mp3 mp4 wav zip tar gz tgz xz"
    " 7z bz2 gguf safetensors pt pth onnx bin so dll exe apk deb rpm whl pem crt key bak diff patch map"
)
_EXTENSION = rf"\.(?:{'|'.join(_EXTENSIONS.split())})"
_URL = re.compile(
    r"\b(?:https?|ftp|sftp|ssh|wss?|git|s3)://[^\s<>\"'`|)\]}]+|(?<![\w@.-])(?:[a-z]{2,6}:)?[\w.-]{1,64}@[\w.-]{1,128}:[\w./~-]+"
)
_PATH = re.compile(
    r"(?<![\w/.:@-])(?:"
    r"(?:~|\.{1,2})?/(?:[\w.@+%-]+/)*[\w.@+%*-]+/?"  # /etc/x, ~/x, ./x
    r"|[A-Za-z]:\\[\w.\\ -]*[\w-]"  # C:\x
    r"|(?:[\w.@+%-]+/)+(?:[\w.@+%*-]+)?"  # a/b/c
    r")"
)
_FILE = re.compile(
    rf"(?<![\w/.\\@+%-])(?:[\w@+%-][\w.@+%-]{{0,120}}{_EXTENSION}(?:\.gz|\.xz|\.bz2)?|Makefile|Dockerfile|Jenkinsfile|Justfile"
    r"|\.(?:env|gitignore|dockerignore|bashrc|zshrc|profile|editorconfig))(?![\w/-])",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(?<!`)`([^`\n]{2,300})`(?!`)")
_HASH = re.compile(r"(?<![\w/.-])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}(?![\w/-]|\.\w)")
_VERSION = re.compile(
    r"(?<![\w.,/:#+-])(?:"
    r"[A-Za-z][\w.-]{0,60}(?:\[[\w,]+\])?(?:==|>=|<=|~=|@\^?)v?\d[\w.*+-]*"  # name==1.2
    r"|v\d++(?:\.\d++)++[\w.+-]*"  # v1.2
    r"|(?:[A-Za-z][\w+#-]* )?\d+\.\d+\.\d+(?:[-+][\w.]+)?"  # name 1.2.3
    r"|(?:[Vv]ersion|[A-Z][a-z]*[A-Z\d]?\w*|python|node|pydantic|torch|php|java|go|ruby|debian|ubuntu) \d+\.\d+"
    r")(?![\w%€$/]|,\d|\.\d| ?(?:GB|MB|KB|kB|%|€|ms|s\b|h\b|km|kg|m\b|m²|Euro|euro|EUR|USD|Uhr|Prozent|percent))"
)
_NO_NAMES = listed(
    """
    About Around Over Under After Before Until From With Only Almost Nearly In At On By To The
    Section Table Figure Fig Chapter Abschnitt Kapitel Tabelle Abbildung Etwa Rund Um Ab Bis Mit
    Nach Vor Nur Fast Environ Avec Après Unos Con Loss Score Accuracy And Und Or Oder Then Dann
    Is Ist Was War
    """
)
_COMMANDS = listed(
    """
    git pip pip3 npm npx yarn pnpm docker podman kubectl helm systemctl journalctl make cmake
    python python3 node ssh scp rsync curl wget cargo go apt apt-get brew dnf pacman sudo cd ls
    cat cp mv rm mkdir chmod chown grep rg sed awk find tar unzip restic borg psql sqlite3 mysql
    pytest ruff mypy uv poetry conda ollama llama-server llama-cli llama-quantize llama-bench
    ffmpeg openssl nginx certbot ufw iptables ip nmcli ping dig avahi-browse crontab tmux screen
    vim nano code orchestrator gh terraform ansible-playbook java javac mvn gradle dotnet php
    composer ruby gem bundle adb flutter expo export source echo test systemd-analyze
    """
)
_SHELLS = frozenset(
    ("sh", "bash", "shell", "console", "zsh", "fish", "powershell", "ps1", "bat", "cmd", "terminal")
)
_TRAILING = ".,;:!?…)\"'»”’*"


def names(text: str) -> list[Name]:
    """Everything the message names, in order, each once."""
    found: dict[str, Name] = {}
    for unit in units(text):
        for name in _in_unit(unit.text[:MOST_SEARCHED], unit):
            limit = MAX_COMMAND if name.kind is NameKind.COMMAND else MAX_NAME
            if 2 <= len(name.text) <= limit:
                found.setdefault(name.text, name)
    return list(found.values())


def _in_unit(prose: str, unit: Unit) -> Iterator[Name]:
    if unit.kind == "code":
        yield from _in_code(prose, unit.language or "")
        return
    for span in _SPAN.finditer(prose):
        yield from _in_span(span.group(1).strip())
    yield from _in_prose(_SPAN.sub(" ", prose))


def _in_code(text: str, language: str) -> Iterator[Name]:
    """Commands; of other code only the files it names."""
    prompted = text.startswith(("$ ", "# ", "> ", "PS> "))
    command = text.split(" ", 1)[1] if prompted else text
    if not text.startswith("#") and (
        language in _SHELLS or text.startswith("$ ") or (language == "" and _is_command(command))
    ):
        yield Name(NameKind.COMMAND, command)
    yield from _addresses(text)
    for found in (*_PATH.finditer(text), *_FILE.finditer(text)):
        path = found.group().rstrip(_TRAILING)
        if _FILE.fullmatch(path.rpartition("/")[2]):
            yield Name(NameKind.FILE, path)


def _in_span(text: str) -> Iterator[Name]:
    """What stands between back quotes."""
    if _is_command(text):
        yield Name(NameKind.COMMAND, text)
        yield from _addresses(text)
    elif _URL.fullmatch(text):
        yield Name(NameKind.ADDRESS, text)
    elif _FILE.fullmatch(text) or (_PATH.fullmatch(text) and " " not in text):
        yield Name(NameKind.FILE, text)
    elif _VERSION.fullmatch(text):
        yield Name(NameKind.VERSION, text)
    elif len(text) <= MAX_NAME and any(c.isalnum() for c in text):
        yield Name(NameKind.CODE, text)


def _in_prose(text: str) -> Iterator[Name]:
    yield from _addresses(text)
    text = _URL.sub(" ", text)
    for path in _PATH.finditer(text):
        if _is_path(path.group().rstrip(_TRAILING)):
            yield Name(NameKind.FILE, path.group().rstrip(_TRAILING))
    for file in _FILE.finditer(_PATH.sub(" ", text)):
        yield Name(NameKind.FILE, file.group())
    for version in _VERSION.finditer(text):
        word, _, number = version.group().rpartition(" ")
        if not word or word not in _NO_NAMES:
            yield Name(NameKind.VERSION, version.group().rstrip(_TRAILING))
        elif number.count(".") > 1:
            yield Name(NameKind.VERSION, number.rstrip(_TRAILING))
    for commit in _HASH.finditer(text):
        yield Name(NameKind.CODE, commit.group())
    if _is_prompt(text):
        yield Name(NameKind.COMMAND, text[2:])


def _addresses(text: str) -> Iterator[Name]:
    for url in _URL.finditer(text):
        yield Name(NameKind.ADDRESS, url.group().rstrip(_TRAILING))


def _is_path(text: str) -> bool:
    """Not `and/or`, `km/h`, `10/11/2026`: a path has a file's ending, an anchor or several parts."""
    parts = [part for part in text.split("/") if part]
    if not any(c.isalpha() for c in text) or text in ("/", "./", "../"):
        return False
    if text[0] in "/~." or "\\" in text or text.endswith("/"):
        return len(text) > 2
    if _FILE.fullmatch(parts[-1]):
        return True
    marked = any(c in "._@-" for part in parts for c in part)
    return (len(parts) > 2 or marked or any(c.isdigit() for c in text)) and not _is_date_like(parts)


def _is_date_like(parts: list[str]) -> bool:
    return sum(part.isdigit() for part in parts) >= len(parts) - 1


def _is_prompt(text: str) -> bool:
    return text.startswith("$ ") and len(text) > 3


def _is_command(text: str) -> bool:
    first, _, rest = text.partition(" ")
    name = first.rpartition("/")[2]
    if "=" in first or not rest:
        return False
    return (
        name in _COMMANDS
        or name.endswith((".sh", ".py"))
        or bool(re.search(r"(?:^| )--?[a-z]", rest) and re.fullmatch(r"[a-z][\w.-]*", first))
    )
