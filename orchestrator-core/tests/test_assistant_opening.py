from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from orchestrator_core.assistant import open_assistant
from orchestrator_core.assistant.data_folder import DataFolder
from orchestrator_core.assistant.debounced import Debounced
from orchestrator_core.backend import Prompt
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import ModelNotFound
from orchestrator_core.settings import Settings
from shared_context.errors import StoreCorrupt, StoreError, StoreLocked
from support.children import Child
from support.scripted import BACKEND, ScriptedBackend

WAIT = 20.0


def settings(data: Path, **given: object) -> Settings:
    return Settings.model_validate({"data": data, **given})


def test_a_new_data_folder_is_private(tmp_path: Path) -> None:
    with open_assistant(settings(tmp_path / "a" / "data"), backend=ScriptedBackend()):
        folder = tmp_path / "a" / "data"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {"memory.db", "runs.db", "context", "lock"} <= {path.name for path in folder.iterdir()}


def test_a_second_process_on_the_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from orchestrator_core.assistant.data_folder import DataFolder
        folder = DataFolder(Path(sys.argv[1]))
        import os
        print(os.getpid())
        sys.stdin.readline()
    """
    with Child(code, tmp_path) as child:
        pid = child.line()
        with pytest.raises(StoreLocked) as caught:
            open_assistant(settings(tmp_path), backend=ScriptedBackend())
        assert f"process {pid}" in caught.value.message
        assert "ORCHESTRATOR_DATA" in (caught.value.hint or "")
        child.kill()
        with open_assistant(settings(tmp_path), backend=ScriptedBackend()):
            assert (tmp_path / "lock.pid").read_text().strip() == str(os.getpid())


def test_closing_frees_the_folder_and_may_be_repeated(tmp_path: Path) -> None:
    assistant = open_assistant(settings(tmp_path), backend=ScriptedBackend())
    assistant.close()
    assistant.close()
    DataFolder(tmp_path).release()


def test_what_fails_while_opening_frees_the_folder(tmp_path: Path) -> None:
    missing = settings(tmp_path, model={"path": str(tmp_path / "missing.gguf")})
    with pytest.raises(ModelNotFound):
        open_assistant(missing)
    (tmp_path / "runs.db").write_bytes(b"this is no database, but longer than a header" * 50)
    with pytest.raises(StoreCorrupt):
        open_assistant(settings(tmp_path), backend=ScriptedBackend())
    DataFolder(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        open_assistant(settings(tmp_path / "file" / "data"), backend=ScriptedBackend())
    assert "file" in str(caught.value)


def test_the_backend_comes_from_the_settings(tmp_path: Path) -> None:
    with open_assistant(settings(tmp_path, model={"backend": BACKEND, "path": "say:Hello"})) as assistant:
        assert assistant.backend.describe().model == "say"


class NotingBackend(ScriptedBackend):
    """Lets a test wait for prewarming."""

    def __init__(self) -> None:
        super().__init__(otherwise="Yes.")
        self._changed = threading.Condition()

    def prewarm(self, prompt: Prompt) -> None:
        with self._changed:
            super().prewarm(prompt)
            self._changed.notify_all()

    def wait_prewarmed(self, text: str) -> Prompt:
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in p.text for p in self.prewarmed), WAIT)
            return self.prewarmed[-1]


def test_the_documents_are_prewarmed_at_the_start_and_after_a_change(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "PROJECT_CONTEXT.md").write_text("# Project\n\nThe house is blue.\n")
    backend = NotingBackend()
    with open_assistant(settings(tmp_path), backend=backend) as assistant:
        assert assistant.context is not None
        backend.wait_prewarmed("The house is blue.")
        assistant.context.edit("PROJECT_CONTEXT.md", "# Project\n\nThe house is green.\n")
        warm = backend.wait_prewarmed("The house is green.")
        sent = assistant.preview(None, "x").prompt
        assert warm.text == sent.text[: sent.stable_prefix]


def test_the_conversation_that_is_going_on_is_read_ahead(tmp_path: Path) -> None:
    backend = NotingBackend()
    with open_assistant(settings(tmp_path), backend=backend) as assistant:
        assistant.ask(ChatRequest(message="The lamp is red.")).wait(WAIT)
        warm = backend.wait_prewarmed("The lamp is red.")
        assert assistant.preview(None, "And now?").prompt.text.startswith(warm.text)
    again = NotingBackend()
    with open_assistant(settings(tmp_path), backend=again):
        again.wait_prewarmed("The lamp is red.")


def test_work_happens_at_the_start_and_once_for_changes_that_come_together() -> None:
    calls: list[int] = []
    happened = threading.Condition()

    def warm() -> None:
        with happened:
            calls.append(1)
            happened.notify_all()
        if len(calls) == 1:
            raise RuntimeError("the model is not there yet")

    prewarmer = Debounced(warm, "prewarm", quiet_s=0.05)
    prewarmer.start()
    with happened:
        assert happened.wait_for(lambda: len(calls) == 1, WAIT)
    for _ in range(5):
        prewarmer.changed()
    with happened:
        assert happened.wait_for(lambda: len(calls) == 2, WAIT)
    prewarmer.close()
    prewarmer.changed()
    prewarmer.close()
    assert len(calls) == 2


def test_work_that_was_never_started_can_be_closed() -> None:
    Debounced(lambda: None, "nothing").close()


@pytest.mark.parametrize(("tier", "begins"), [("desktop", True), ("vps", False)])
def test_only_the_desktop_begins_with_starter_documents(tmp_path: Path, tier: str, begins: bool) -> None:
    with open_assistant(Settings(data=tmp_path / "data"), tier, ScriptedBackend()) as assistant:
        assert assistant.context is not None
        assert any(document.text for document in assistant.context.documents()) is begins
