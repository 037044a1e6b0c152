"""The `openai` backend against this project's own `/v1`, over a network that breaks."""

from pathlib import Path

import pytest
from orchestrator_core.backend import Prompt
from orchestrator_core.errors import BackendUnreachable
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from support.cutting_proxy import CuttingProxy
from support.desktop import desk, listening
from support.openai_server import backend_for
from support.scripted import ScriptedBackend
from support.scripted.script import words

ANSWER = "One two,\n\n  three three three 🦜 three; and so on \nand so on \n\nto the end."
ASK = Prompt(("[INST] Count. [/INST]",), (ChatMessage(Role.USER, "Count."),))
CONFIG = GenerationConfig(max_new_tokens=200)


def test_our_own_server_is_recognised(tmp_path: Path) -> None:
    with listening(tmp_path, ScriptedBackend(otherwise=ANSWER, context_length=777)) as server:
        backend = backend_for(f"http://127.0.0.1:{server.port}/v1")
        backend.load()
        description = backend.describe()
    assert description.details["server"] == "orchestrator"
    assert (description.model, description.context_length) == ("scripted", 777)


def test_an_answer_cut_anywhere_goes_on_without_repeated_or_missing_text(tmp_path: Path) -> None:
    scripted = ScriptedBackend(otherwise=ANSWER)
    with listening(tmp_path, scripted) as server:
        # The first event opens the message; the answer's tokens follow.
        for cut in range(2, len(words(ANSWER)) + 2):
            with CuttingProxy(server.port, [cut]) as proxy:
                backend = backend_for(proxy.url)
                shown = ""
                with pytest.raises(BackendUnreachable):
                    for token in backend.generate(ASK, CONFIG):
                        shown += token.text
                assert shown == "".join(words(ANSWER)[: cut - 2])
                rest = backend.generate(ASK, CONFIG, continue_from=shown)
                assert shown + "".join(token.text for token in rest) == ANSWER
            asked = scripted.calls[-1]
            assert asked.continue_from == shown
            assert [message.content for message in asked.prompt.messages] == ["Count."]


def test_a_desktop_in_front_of_another_shows_one_answer_over_a_broken_connection(tmp_path: Path) -> None:
    scripted = ScriptedBackend(otherwise=ANSWER)
    with (
        listening(tmp_path / "behind", scripted) as server,
        CuttingProxy(server.port, [4, 6, 3]) as proxy,
        desk(tmp_path / "front", backend_for(proxy.url)) as front,
    ):
        answer = front.client.post("/chat", json={"message": "Count.", "max_tokens": 200})
        stored = front.client.get("/conversation").get_json()["history"]
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["response"] == ANSWER
    assert [message["content"] for message in stored] == ["Count.", ANSWER]
    assert proxy.cuts == []
    assert [ANSWER.startswith(call.continue_from) for call in scripted.calls] == [True] * 4
    lengths = [len(call.continue_from) for call in scripted.calls]
    assert lengths == sorted(set(lengths))
