from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from support.command_line import COMMAND, fresh_user, orchestrator, serving

SLOW = """
token_delay_s: 0.05
replies:
  - {when: count, text: "one two three NUMBERS"}
otherwise: {text: "All right."}
""".replace("NUMBERS", "and so on " * 400)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return fresh_user(tmp_path, "say:Hello there.")


def test_the_answer_alone_is_on_standard_output(env: dict[str, str]) -> None:
    done = orchestrator(env, "ask", "good", "morning")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello there.\n", "")
    done = orchestrator(env, "ask", "good morning", "--no-stream")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello there.\n", "")


def test_json_is_one_document(env: dict[str, str]) -> None:
    done = orchestrator(env, "ask", "hi", "--json")
    answer = json.loads(done.stdout)
    assert (answer["response"], answer["model"], answer["tier"]) == ("Hello there.", "say", "desktop")
    assert {"conversation_id", "message_id", "usage", "receipt", "finish_reason"} <= set(answer)


def test_standard_input_comes_before_the_argument(env: dict[str, str]) -> None:
    assert orchestrator(env, "ask", "Explain", stdin="line one\nline two\n").returncode == 0
    assert orchestrator(env, "ask", stdin="only piped").returncode == 0
    assert orchestrator(env, "ask", "only typed").returncode == 0
    listed = json.loads(orchestrator(env, "logs", "--json").stdout)
    said = [
        json.loads(orchestrator(env, "logs", "--cid", one["conversation_id"], "--json").stdout)[0]["content"]
        for one in listed
    ]
    assert said == ["only typed", "only piped", "line one\nline two\n\nExplain"]


def test_continue_goes_on_with_the_latest_conversation(env: dict[str, str]) -> None:
    first = json.loads(orchestrator(env, "ask", "one", "--json").stdout)["conversation_id"]
    second = json.loads(orchestrator(env, "ask", "two", "--json").stdout)["conversation_id"]
    assert first != second
    assert json.loads(orchestrator(env, "ask", "-c", "three", "--json").stdout)["conversation_id"] == second
    named = json.loads(orchestrator(env, "ask", "--cid", first, "four", "--json").stdout)
    assert named["conversation_id"] == first
    assert orchestrator(env, "logs", "-r").stdout == "Hello there.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "There is no prompt"),
        (("-c", "x"), 2, "There is no conversation to continue yet"),
        (("--cid", "nowhere", "x"), 1, "no conversation 'nowhere'"),
        (("x", "-o", "heat", "1"), 2, "unknown option 'heat'"),
        (("x", "-o", "temperature", "hot"), 2, "'temperature' must be a number"),
        (("x", "-o", "max_tokens", "0"), 2, "'max_tokens' must be at least 1"),
        (("x", "-m", "none.yaml"), 3, "none.yaml"),
        (("x", "--config", "none.yaml"), 3, "'none.yaml' does not exist"),
        (("x", "--tier", "vps"), 4, "orchestrator serve` on this data folder"),
        (("x", "--tier", "vps", "-n"), 4, "Leave --no-log out"),
        (("x", "--tier", "phone"), 2, "'phone'"),
        (("word " * 9000,), 1, "tokens"),
    ],
)
def test_what_cannot_work_is_told_on_standard_error(
    env: dict[str, str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = orchestrator(env, "ask", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_variable_is_named(env: dict[str, str]) -> None:
    done = orchestrator({**env, "LLM_TEMPERATURE": "warm"}, "ask", "x")
    assert done.returncode == 3
    assert "LLM_TEMPERATURE" in done.stderr


def test_options_and_system_text_reach_the_model(env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrator(
        {**env, "ORCHESTRATOR_MODEL": "echo"},
        "ask", "a b c d e f g h", "-o", "max_tokens", "9", "-o", "stop", "d", "-s", "Be brief.", "--json",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["usage"]["completion_tokens"] <= 9
    assert "d" not in answer["response"].split("]")[-1]


def test_a_tier_that_cannot_be_asked_leaves_no_conversation(env: dict[str, str], tmp_path: Path) -> None:
    assert orchestrator(env, "ask", "hi", "--tier", "vps").returncode == 4
    assert not (tmp_path / "data").exists()
    assert (
        json.loads(orchestrator(env, "ask", "hi", "--tier", "desktop", "--json").stdout)["tier"] == "desktop"
    )


def test_no_log_leaves_no_trace(env: dict[str, str], tmp_path: Path) -> None:
    done = orchestrator(env, "ask", "-n", "a secret")
    assert (done.returncode, done.stdout) == (0, "Hello there.\n")
    assert not (tmp_path / "data").exists()


def interrupted(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Ctrl-C after the first words of the answer."""
    command = [*COMMAND, "ask", "count"]
    asking = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert asking.stdout is not None
    begun = asking.stdout.read(10)
    asking.send_signal(signal.SIGINT)
    out, err = asking.communicate(timeout=60)
    return subprocess.CompletedProcess(command, asking.returncode, begun + out, err)


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(SLOW)
    env = fresh_user(tmp_path, str(tmp_path / "slow.yaml"))
    done = interrupted(env)
    assert (done.returncode, done.stderr) == (130, "")
    kept = orchestrator(env, "logs", "-r").stdout
    assert kept.startswith("one two three")
    assert len(kept) < 2000
    assert kept.startswith(done.stdout.rstrip("\n"))


@pytest.mark.slow
def test_a_fresh_machine_answers_with_the_built_in_model(tmp_path: Path) -> None:
    env = fresh_user(tmp_path)
    del env["ORCHESTRATOR_BACKEND"], env["ORCHESTRATOR_MODEL"]
    answer = json.loads(
        orchestrator(env, "ask", "What is a handoff document?", "-o", "seed", "1", "--json").stdout
    )
    assert answer["response"].strip()
    assert answer["usage"]["completion_tokens"] > 3
    assert answer["model"].endswith(".gguf")


# --- beside a running server -------------------------------------------------------------------


@pytest.mark.slow
def test_a_running_server_answers_instead(env: dict[str, str]) -> None:
    with serving(env) as url:
        assert url.startswith("http://127.0.0.1:")
        done = orchestrator(env, "ask", "hi")
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hello there.\n", "")
        answer = json.loads(orchestrator(env, "ask", "-c", "again", "--json").stdout)
        assert answer["response"] == "Hello there."
        shown = json.loads(orchestrator(env, "logs", "-c", "--json").stdout)
        assert [one["content"] for one in shown] == ["hi", "Hello there.", "again", "Hello there."]
    assert orchestrator(env, "ask", "alone").stdout == "Hello there.\n"


@pytest.mark.slow
def test_another_model_than_the_servers_is_refused_or_kept_apart(env: dict[str, str]) -> None:
    with serving(env):
        done = orchestrator(env, "ask", "hi", "-m", "say:Other.")
        assert (done.returncode, done.stdout) == (3, "")
        assert "answers with 'say'" in done.stderr
        assert "--no-log" in done.stderr
        assert orchestrator(env, "ask", "hi", "-m", "say:Other.", "-n").stdout == "Other.\n"


@pytest.mark.slow
def test_ctrl_c_stops_the_run_on_the_server(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(SLOW)
    env = fresh_user(tmp_path, str(tmp_path / "slow.yaml"))
    with serving(env):
        done = interrupted(env)
        assert (done.returncode, done.stderr) == (130, "")
        kept = orchestrator(env, "logs", "-r").stdout
        assert kept.startswith("one two three")
        assert len(kept) < 2000
        assert orchestrator(env, "ask", "still there?").stdout == "All right.\n"


@pytest.mark.slow
def test_a_servers_refusal_is_told_like_our_own(env: dict[str, str]) -> None:
    with serving(env):
        done = orchestrator(env, "ask", "--cid", "nowhere", "x")
        assert (done.returncode, done.stdout) == (1, "")
        assert "no conversation 'nowhere'" in done.stderr
        assert orchestrator(env, "ask", "word " * 9000).returncode == 1


@pytest.mark.slow
def test_a_server_that_knows_no_vps_says_so(env: dict[str, str]) -> None:
    with serving(env):
        assert orchestrator(env, "ask", "hi", "--tier", "desktop").stdout == "Hello there.\n"
        for command in (("ask", "hi"), ("chat",)):
            done = orchestrator(env, *command, "--tier", "vps", stdin="hi\n")
            assert (done.returncode, done.stdout) == (2, "")
            assert "The tier 'vps' cannot answer here: this is the desktop." in done.stderr


@pytest.mark.slow
def test_a_server_with_a_key_lets_in_who_reads_its_folder_or_has_the_key(
    env: dict[str, str], tmp_path: Path
) -> None:
    with_key = {**env, "ORCHESTRATOR_API_KEY": "k" * 40}
    with serving(with_key):
        assert orchestrator(env, "ask", "hi").stdout == "Hello there.\n"
        server_file = tmp_path / "data" / "server.json"
        address = json.loads(server_file.read_text())
        own_key = address.pop("key")
        server_file.write_text(json.dumps(address))
        assert orchestrator(with_key, "ask", "hi").stdout == "Hello there.\n"
        done = orchestrator(env, "ask", "hi")
        assert done.returncode == 1
        assert "Set ORCHESTRATOR_API_KEY" in done.stderr
        assert "kkk" not in done.stderr and own_key not in done.stderr


@pytest.mark.slow
def test_a_server_file_left_behind_does_no_harm(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stale = {"url": "http://127.0.0.1:9", "pid": 1, "started_at": "2026-01-01T00:00:00Z"}
    (tmp_path / "data" / "server.json").write_text(json.dumps(stale))
    assert orchestrator(env, "ask", "hi").stdout == "Hello there.\n"


@pytest.mark.slow
def test_a_folder_held_by_another_command_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(SLOW)
    env = fresh_user(tmp_path, str(tmp_path / "slow.yaml"))
    holder = subprocess.Popen(
        [*COMMAND, "ask", "count"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.read(3) == "one"
        done = orchestrator(env, "ask", "me too")
        assert (done.returncode, done.stdout) == (1, "")
        assert "in use" in done.stderr
        assert "orchestrator serve" in done.stderr
    finally:
        holder.kill()
        holder.communicate()
