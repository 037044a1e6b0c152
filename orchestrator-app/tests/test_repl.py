"""The REPL in a real terminal, with a real (scripted) assistant behind it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from gguf_models import preset_model
from shared_context.conversations.migrations import DEFAULT_CONVERSATION
from shared_context.conversations.store import ConversationStore
from support import scripted
from support.terminal_session import CTRL_C, CTRL_D, PASTE_BEGIN, PASTE_END, TerminalSession

SLOW = """
token_delay_s: 0.05
replies:
  - when: count
    text: "one two three four five six seven eight nine ten {more}"
otherwise: {text: "All right."}
""".replace("{more}", "and so on " * 400)

Start = Callable[..., TerminalSession]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh user, answered by a script."""
    script = tmp_path / "slow.yaml"
    script.write_text(SLOW)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "ORCHESTRATOR_DATA": str(tmp_path / "data"),
        **scripted.ENVIRONMENT,
        "ORCHESTRATOR_MODEL": str(script),
        "ORCHESTRATOR_ENGINE__SAVE_PREFIX": "false",
    }


@pytest.fixture
def start(env: dict[str, str]) -> Start:
    def begin(*arguments: str, variables: Mapping[str, str] | None = None) -> TerminalSession:
        return TerminalSession(
            [sys.executable, "-m", "ai_orchestrator.cli", *arguments], {**env, **(variables or {})}
        )

    return begin


def orchestrator(env: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "ai_orchestrator.cli", *arguments]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, check=True).stdout


def test_a_conversation_from_greeting_to_farewell(start: Start, env: dict[str, str]) -> None:
    with start("chat", variables={"ORCHESTRATOR_MODEL": "say:Hello there."}) as terminal:
        terminal.expect("Talking to say. /help lists the commands.")
        terminal.expect("you>")
        terminal.enter("good morning")
        terminal.expect("Hello there.")
        terminal.expect("desktop · say")
        terminal.enter("/history")
        shown = terminal.expect("Hello there.")
        assert "You, 2" in shown
        assert "good morning" in shown
        terminal.enter("/frobnicate")
        terminal.expect("There is no command /frobnicate. /help lists them")
        terminal.enter("/help")
        terminal.expect("/stream          switch streaming on or off")
        terminal.enter("/stream")
        terminal.expect("Streaming is off.")
        terminal.enter("once more")
        terminal.expect("Hello there.")
        terminal.enter("/save")
        saved = terminal.expect(".json").split("Saved to ")[1].replace("\n", "")
        terminal.enter("clear")
        terminal.expect("Conversation cleared.")
        terminal.enter("/history")
        terminal.expect("Nothing was said yet.")
        terminal.enter("q")
        terminal.expect("Kept as conversation ")
        assert terminal.wait() == 0
    assert [one["content"] for one in json.loads(Path(saved).read_text())["history"]] == [
        "good morning", "Hello there.", "once more", "Hello there.",
    ]  # fmt: skip
    history = Path(env["ORCHESTRATOR_DATA"]) / "repl_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+good morning" in history.read_text()


def test_a_session_in_which_nothing_was_said_leaves_nothing(start: Start, env: dict[str, str]) -> None:
    with start("chat") as terminal:
        terminal.expect("you>")
        for command in ("/history", "/clear", "/save"):
            terminal.enter(command)
            terminal.expect("Nothing was said yet.")
        terminal.enter("q")
        assert terminal.wait() == 0
    with ConversationStore.open(Path(env["ORCHESTRATOR_DATA"]) / "memory.db") as conversations:
        assert [one.conversation_id for one in conversations.list(empty=True)] == [DEFAULT_CONVERSATION]


def test_ctrl_c_stops_the_answer_and_keeps_the_session(start: Start, env: dict[str, str]) -> None:
    with start("chat") as terminal:
        terminal.expect("you>")
        terminal.enter("count")
        terminal.expect("two three")
        terminal.type(CTRL_C)
        said = terminal.expect("stopped")
        assert "and so on and so on and so on" not in said
        terminal.expect("you>")
        terminal.enter("are you still there?")
        terminal.expect("All right.")
        terminal.enter("/quit")
        assert terminal.wait() == 0
    user, answer, *rest = json.loads(orchestrator(env, "logs", "-c", "--json"))
    assert (user["content"], len(rest)) == ("count", 2)
    assert answer["content"].startswith("one two three")
    assert len(answer["content"]) < 1000


def test_ctrl_c_twice_at_an_empty_prompt_leaves(start: Start) -> None:
    with start("chat") as terminal:
        terminal.expect("you>")
        terminal.type("half a sentence")
        terminal.expect("half a sentence")
        terminal.type(CTRL_C)
        terminal.type(CTRL_C)
        terminal.expect("Press Ctrl-C again, or type /quit, to leave.")
        terminal.expect("you>")
        terminal.enter("hello")
        terminal.expect("All right.")
        terminal.expect("you>")
        terminal.type(CTRL_C)
        terminal.expect("Press Ctrl-C again")
        terminal.expect("you>")
        terminal.type(CTRL_C)
        terminal.expect("Kept as conversation")
        assert terminal.wait() == 0


def test_ctrl_d_leaves(start: Start) -> None:
    with start("chat") as terminal:
        terminal.expect("you>")
        terminal.type(CTRL_D)
        terminal.expect("Kept as conversation")
        assert terminal.wait() == 0


def test_several_lines_are_one_message(start: Start, env: dict[str, str]) -> None:
    with start("chat") as terminal:
        terminal.expect("you>")
        terminal.type(f"{PASTE_BEGIN}def f():\n    return 1\n\n/quit{PASTE_END}")
        terminal.enter()
        terminal.expect("All right.")
        terminal.expect("you>")
        terminal.enter('"""')
        terminal.expect("...")
        terminal.enter("block one")
        terminal.enter('block two"""')
        terminal.expect("All right.")
        terminal.expect("you>")
        terminal.enter("first\\")
        terminal.expect("...")
        terminal.enter("second")
        terminal.expect("All right.")
        terminal.expect("you>")
        terminal.enter("/quit")
        assert terminal.wait() == 0
    said = [one["content"] for one in json.loads(orchestrator(env, "logs", "-c", "--json"))]
    assert said[::2] == ["def f():\n    return 1\n\n/quit", "block one\nblock two", "first\nsecond"]


def test_an_error_is_told_and_the_session_goes_on(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "refusing.yaml"
    script.write_text("replies: [{when: bad, refuse: overloaded}]\notherwise: {text: Fine.}\n")
    with start("chat", variables={"ORCHESTRATOR_MODEL": str(script)}) as terminal:
        terminal.expect("you>")
        terminal.enter("bad one")
        terminal.expect("Error:", timeout=60)
        terminal.expect("you>")
        terminal.enter("good one")
        terminal.expect("Fine.")
        terminal.enter("exit")
        assert terminal.wait() == 0


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(start: Start) -> None:
    evil = "say:before \x1b]0;owned\x07\x1b[31mafter"
    with start("chat", variables={"ORCHESTRATOR_MODEL": evil}) as terminal:
        terminal.expect("you>")
        terminal.enter("hi")
        terminal.expect("before ]0;owned[31mafter")
        assert "\x1b]0;owned" not in terminal.raw
        assert "\x1b[31m" not in terminal.raw


@pytest.mark.slow
def test_ctrl_c_does_not_reach_the_engine(start: Start, env: dict[str, str], tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to every process in it, and the engine is one of them."""
    model = tmp_path / "babbling.gguf"
    preset_model(model, "5M")
    variables = {
        "ORCHESTRATOR_BACKEND": "llama_cpp",
        "ORCHESTRATOR_MODEL": str(model),
        "ORCHESTRATOR_GENERATION__GREEDY": "true",
        "LLM_MAX_NEW_TOKENS": "7000",
    }
    with start("chat", variables=variables) as terminal:
        for _ in range(2):
            terminal.expect("you>")
            terminal.enter("talk to me")
            terminal.expect("talk to me")
            terminal.expect_more(60)
            terminal.type(CTRL_C)
            terminal.expect("stopped")
        terminal.expect("you>")
        terminal.enter("/quit")
        assert terminal.wait() == 0
    log = (Path(env["ORCHESTRATOR_DATA"]) / "orchestrator.log").read_text()
    assert log.count("Engine ready") == 1


def test_no_colour_when_it_is_not_wanted(start: Start) -> None:
    with start("chat", variables={"NO_COLOR": "1"}) as terminal:
        terminal.expect("Talking to slow")
        assert "\x1b[2m" not in terminal.raw.split("Talking to slow")[0]
    with start("chat") as terminal:
        terminal.expect("Talking to slow")
        assert "\x1b[2m" in terminal.raw.split("Talking to slow")[0]


def test_without_a_terminal_each_line_is_a_message(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ai_orchestrator.cli", "chat"],
        env={**env, "ORCHESTRATOR_MODEL": "say:Yes."},
        input="one\n\n/nonsense\ntwo\nquit\nthree\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Yes.\nYes.\n")
    assert "There is no command /nonsense" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_without_a_terminal_a_failure_is_the_exit_code(env: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "refusing.yaml"
    script.write_text("replies: [{when: bad, refuse: context_length_exceeded}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "ai_orchestrator.cli", "chat"],
        env={**env, "ORCHESTRATOR_MODEL": str(script)},
        input="bad\ngood\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "good" in done.stdout
    assert "Error:" in done.stderr
