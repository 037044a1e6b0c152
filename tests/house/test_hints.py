"""Every command that a message, a help text or a document names exists as it is written there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest
from ai_orchestrator.cli import COMMANDS, advice
from ai_orchestrator.cli import orchestrator as ORCHESTRATOR
from orchestrator_core import own_commands
from orchestrator_core.errors import MissingExtra

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    *("shared-context/shared_context", "orchestrator-core", "orchestrator-app/ai_orchestrator"),
    *("orchestrator-vps/orchestrator_vps", "fine-tuning/fine_tuning", "training-data/training_data"),
    "assistant-mobile/mobile_sync",
]
SOURCES = sorted(
    path for room in PACKAGES for path in (ROOT / room).rglob("*.py") if "tests" not in path.parts
)
SCRIPTS = [*ROOT.glob("deployment/**/*.sh"), *ROOT.glob("orchestrator-vps/*.sh")]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = re.compile(rf"\borchestrator (?:{'|'.join(COMMANDS)})\b")


def source_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module; what is put into a text at run time is 1 here."""
    tree = ast.parse(path.read_text())
    inner = {
        id(part) for text in ast.walk(tree) if isinstance(text, ast.JoinedStr) for part in ast.walk(text)
    } - {id(text) for text in ast.walk(tree) if isinstance(text, ast.JoinedStr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "1" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def docstrings(path: Path) -> set[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        ast.get_docstring(node, clean=False) or ""
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, kinds)
    }


def commands_in(text: str) -> Iterator[str]:
    """In backticks, and lines of code blocks and help texts."""
    yield from re.findall(r"`([^`\n]+)`", text)
    for line in text.replace("\\\n", " ").splitlines():
        if (
            re.match(r"\s*(\$ )?(sudo )?(\S*/)?(orchestrator|orchestrator-vps|make|hf) [a-z]", line)
            and "`" not in line
        ):
            yield line.strip().removeprefix("$ ")


def words_of(command: str) -> list[str]:
    """Up to a pipe, a redirection or the space that sets an explanation off."""
    lexer = shlex.shlex(re.split(r"\s{3,}", command)[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set("|&;<>()"), lexer))


def named_commands() -> list[tuple[str, str]]:
    """Where, and the command."""
    found = [
        (f"{path.relative_to(ROOT)}:{line}", command)
        for path in SOURCES
        for line, text in source_texts(path)
        for command in commands_in(text)
    ]
    found += [
        (str(path.relative_to(ROOT)), command)
        for path in SCRIPTS
        for command in re.findall(
            rf"orchestrator (?:{'|'.join(COMMANDS)})\b[^\"'`$()\n;&|]*", path.read_text()
        )
    ]
    found += [
        (path.name, command)
        for path in DOCUMENTS
        for part in re.split(r"[|]", path.read_text())
        if path.suffix == ".md"
        for command in commands_in(part)
    ]
    ours = "|".join(COMMANDS)
    first = re.compile(rf"(sudo )?(\S*/)?(orchestrator ({ours})\b|(orchestrator-vps|make|hf|python3?) \S)")
    return sorted({(where, command) for where, command in found if first.match(command)})


NAMED = named_commands()


def parse(words: list[str]) -> None:
    """
    Raises:
        click.UsageError: no such command, or not in this way.
    """
    if {"--help", "--version"} & set(words):
        return
    command, rest = advice.find_command(words)
    if rest:  # without any, it is only named
        try:
            command.make_context("orchestrator", rest, resilient_parsing=False).close()
        except click.BadParameter as error:
            if "does not exist" not in error.message:  # a file of the reader's
                raise


def test_there_are_commands_to_look_at():
    assert len([command for _, command in NAMED if "orchestrator" in command]) > 60


@pytest.mark.parametrize(
    ("where", "command"), NAMED, ids=[f"{where} {command[:60]}" for where, command in NAMED]
)
def test_a_named_command_exists(where, command):
    words = [word for word in words_of(command) if word != "sudo"]
    program = words.pop(0).rpartition("/")[2]
    if program == "orchestrator-vps":
        parse(["vps", *words])
    elif program == "orchestrator":
        parse(words)
    elif program == "make":
        targets = [word for word in words if word.islower() and "/" not in word]
        for target in targets:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    elif program == "hf":
        help_of = [*takewhile(lambda word: word.islower() and word.isalpha(), words), "--help"]
        assert subprocess.run([own_commands.program("hf"), *help_of], capture_output=True).returncode == 0
    elif words[0] != "-m":
        path = next(word for word in words if not word.startswith("-"))
        assert any((folder / path).exists() for folder in (ROOT, *ROOT.glob("*/"))), path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_messages_stand_in_backticks(path):
    """So that whoever shows the message can complete them (`own_commands.runnable`)."""
    help_texts = docstrings(path)
    for line, text in source_texts(path):
        if text not in help_texts and OURS.search(text) and not OURS.match(text):
            outside = re.sub(r"`[^`\n]+`", "", text)
            assert not OURS.search(outside), f"{path.name}:{line}: {text}"


def test_nothing_asks_pip_for_our_name():
    """On the package index that name is somebody else's."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    asking = re.compile(r"pip\b[^\n]{0,40}\binstall\b[^\n]*[ '\"]orchestrator(\[|['\" ]|$)", re.MULTILINE)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in (".py", ".md", ".sh", ".yaml", ".toml", ".in", ".txt", ".html", ".js")
            and path.is_file()
        ):
            if path == Path(__file__) or name == "CHANGELOG.md":
                continue
            assert not asking.search(path.read_text(errors="replace")), name


@pytest.mark.parametrize("extra", ["hf", "mcp", "vps", "train", "gguf"])
def test_an_optional_part_is_installed_from_this_checkout_into_this_environment(extra):
    hint = str(MissingExtra("package", extra, "It").hint)
    assert f"`orchestrator install {extra}`" in hint
    command = own_commands.pip_install(extra)
    assert command[0] == sys.executable
    assert any(word.startswith(str(ROOT)) for word in command)


@pytest.mark.parametrize("extra", ["hf", "train"])
def test_without_a_checkout_the_packages_themselves_are_named(extra, monkeypatch):
    monkeypatch.setattr(own_commands, "checkout", lambda: None)
    packages = own_commands.pip_install(extra)[5:]
    assert any(name.startswith("torch==") for name in packages)
    assert not any(name.startswith("orchestrator") for name in packages)


def test_a_shown_command_names_the_program_and_the_memory_of_the_one_that_showed_it(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    own = str(Path(sys.executable).with_name("orchestrator"))
    shown = advice.complete("See `orchestrator logs -c`.", {"data": "/d x", "config": "/c.yaml"})
    assert shown == f"See `{own} logs -c --data '/d x' --config /c.yaml`."
    assert advice.complete(shown, {"data": "/other"}) == shown
    assert advice.complete("`orchestrator install hf`", {"data": "/d"}) == f"`{own} install hf`"
    assert advice.complete("`make setup`", {}) == f"`make -C {shlex.quote(str(ROOT))} setup`"
    assert advice.complete("Look at `models/` and `x`.", {}) == "Look at `models/` and `x`."


def test_where_the_path_leads_to_it_the_name_is_enough(monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}/usr/bin")
    assert advice.complete("`orchestrator doctor`", {}) == "`orchestrator doctor`"


def test_a_failing_command_shows_a_hint_that_can_be_typed_where_it_is_read(tmp_path):
    """From another folder, with another PATH, about another data folder."""
    own = str(Path(sys.executable).with_name("orchestrator"))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [own, "ask", "x", "--tier", "vps", "--data", str(tmp_path / "d")]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    (hint,) = re.findall(r"`([^`]+)`", failed.stderr)
    assert shlex.split(hint) == [own, "serve", "--data", str(tmp_path / "d")]


def test_the_click_tree_is_the_one_that_is_installed():
    assert isinstance(ORCHESTRATOR, click.Group)
