"""`python main.py`: flags, variables and defaults of the first chatbot."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator.cli.chatbot import SEED_MODEL, chatbot
from ai_orchestrator.cli.link.local import LocalLink
from click.testing import CliRunner, Result
from orchestrator_core.settings import ENVIRONMENT, HF_SEED_MODEL, Settings
from support.command_line import fresh_user, orchestrator, run
from support.scripted import ScriptedBackend
from support.terminal_session import CTRL_C, TerminalSession

APP = Path(__file__).parents[2]
MAIN = [sys.executable, str(APP / "main.py")]


class Chatbot:
    """The command in this process, answered by a script; remembers the settings it made."""

    def __init__(self, data: Path) -> None:
        self.backend = ScriptedBackend(otherwise="All right.")
        self.settings: Settings
        self.model_named: bool
        self._data = data

    def open_link(self, settings: Settings, *, model_named: bool) -> LocalLink:
        self.settings, self.model_named = settings, model_named
        return LocalLink.open(settings, self.backend)

    def run(self, *flags: str, **variables: str) -> Result:
        arguments = [*flags, "--data", str(self._data)]
        return CliRunner().invoke(chatbot, arguments, env=variables, catch_exceptions=False)


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chatbot]:
    for name in [*ENVIRONMENT, "ORCHESTRATOR_CONFIG"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    bot = Chatbot(tmp_path / "data")
    monkeypatch.setattr("ai_orchestrator.cli.link.open_link", bot.open_link)
    yield bot
    from orchestrator_core.logs import stop_logging

    stop_logging()


def test_one_prompt_gets_one_answer(bot: Chatbot) -> None:
    done = bot.run("--prompt", "Explain transformers in simple terms.")
    assert (done.exit_code, done.stdout) == (0, "All right.\n")
    assert "the small built-in one" in done.stderr
    assert SEED_MODEL in done.stderr
    assert not bot.model_named


def test_the_defaults_are_those_of_the_reference(bot: Chatbot) -> None:
    bot.run("--prompt", "x")
    config = bot.backend.calls[-1].config
    assert (config.max_new_tokens, config.temperature, config.top_p, config.top_k) == (512, 0.7, 0.9, 50)
    assert not config.greedy
    assert (bot.settings.model.device, bot.settings.log.level) == ("auto", "INFO")
    assert not bot.settings.quantization.enabled
    assert SEED_MODEL == HF_SEED_MODEL


def test_every_flag_has_its_effect(bot: Chatbot) -> None:
    bot.run(
        "--model", "owner/name", "--device", "cpu", "--quant", "8", "--max-tokens", "7", "--temperature", "0.3",
        "--top-p", "0.8", "--top-k", "3", "--system", "Reply in iambic pentameter.", "--log-level", "debug",
        "--prompt", "x",
    )  # fmt: skip
    call = bot.backend.calls[-1]
    assert (call.config.max_new_tokens, call.config.temperature) == (7, 0.3)
    assert (call.config.top_p, call.config.top_k) == (0.8, 3)
    assert "Reply in iambic pentameter." in call.prompt.text
    settings = bot.settings
    assert (settings.model.path, settings.model.device, settings.log.level) == ("owner/name", "cpu", "DEBUG")
    assert (settings.quantization.enabled, settings.quantization.load_in_bits) == (True, 8)
    assert bot.model_named


def test_greedy_ignores_the_sampling_flags(bot: Chatbot) -> None:
    bot.run("--greedy", "--temperature", "1.5", "--prompt", "x")
    assert bot.backend.calls[-1].config.is_greedy


def test_a_local_path_wins_over_the_model(bot: Chatbot) -> None:
    bot.run("--model", "owner/name", "--local-path", "some/folder", "--prompt", "x")
    assert bot.settings.model.path == "some/folder"


def test_every_variable_of_the_reference_counts_and_flags_win(bot: Chatbot) -> None:
    variables = {
        "LLM_MODEL_PATH": "owner/name", "LLM_MAX_NEW_TOKENS": "9", "LLM_TEMPERATURE": "0.2",
        "LLM_QUANT_ENABLED": "1", "LLM_QUANT_BITS": "8", "LLM_DEVICE": "cpu", "LLM_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    bot.run("--prompt", "x", **variables)
    config, settings = bot.backend.calls[-1].config, bot.settings
    assert (config.max_new_tokens, config.temperature) == (9, 0.2)
    assert (settings.model.path, settings.model.device, settings.log.level) == (
        "owner/name",
        "cpu",
        "WARNING",
    )
    assert (settings.quantization.enabled, settings.quantization.load_in_bits) == (True, 8)
    bot.run("--prompt", "x", "--max-tokens", "5", "--quant", "4", **variables)
    assert bot.backend.calls[-1].config.max_new_tokens == 5
    assert bot.settings.quantization.load_in_bits == 4


def test_a_session_is_resumed_by_its_id(bot: Chatbot) -> None:
    bot.run("--session-id", "work", "--prompt", "My lamp is blue.")
    bot.run("--session-id", "work", "--prompt", "Which colour?")
    bot.run("--prompt", "A new session.")
    assert "My lamp is blue." in bot.backend.calls[1].prompt.text
    assert "My lamp is blue." not in bot.backend.calls[2].prompt.text


@pytest.mark.parametrize(
    "flags",
    [
        ("--quant", "5"),
        ("--device", "tpu"),
        ("--max-tokens", "many"),
        ("--log-level", "LOUD"),
        ("--nonsense",),
    ],
)
def test_a_wrong_flag_is_wrong_usage(bot: Chatbot, flags: tuple[str, ...]) -> None:
    assert bot.run(*flags, "--prompt", "x").exit_code == 2


def test_the_launcher_runs_from_any_folder_and_reads_a_piped_prompt(tmp_path: Path) -> None:
    env = fresh_user(tmp_path, "say:Hello.")
    done = run(MAIN, env, stdin="good\nmorning\n", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello.\n", "Model: say.\n")
    said = json.loads(orchestrator(env, "logs", "-c", "--json").stdout)
    assert said[0]["content"] == "good\nmorning"
    done = run(MAIN, env, cwd=APP)
    assert (done.returncode, done.stdout) == (2, "")
    assert "give --prompt, or pipe the prompt in" in done.stderr
    done = run([*MAIN, "--max-tokens", "-1", "--prompt", "x"], env)
    assert done.returncode == 3
    assert "'generation.max_new_tokens' (command line)" in done.stderr


def test_the_chatbot_in_a_terminal(tmp_path: Path) -> None:
    script = tmp_path / "slow.yaml"
    slow: dict[str, Any] = {
        "token_delay_s": 0.05,
        "replies": [{"when": "count", "text": "one two three " + "and so on " * 400}],
        "otherwise": {"text": "All right."},
    }
    script.write_text(json.dumps(slow))
    env = fresh_user(tmp_path, str(script))
    with TerminalSession([*MAIN, "--session-id", "mine"], env) as terminal:
        terminal.expect("Model: slow.")
        terminal.expect("you>")
        terminal.enter("count")
        terminal.expect("one two")
        terminal.type(CTRL_C)
        terminal.expect("stopped")
        terminal.expect("you>")
        terminal.enter("/quit")
        terminal.expect("Kept as conversation mine")
        assert terminal.wait() == 0
    with TerminalSession([*MAIN, "--session-id", "mine"], env) as terminal:
        terminal.expect("you>")
        terminal.enter("/history")
        terminal.expect("one two")
        terminal.enter("/exit")
        assert terminal.wait() == 0
