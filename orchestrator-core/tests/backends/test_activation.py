"""A model follows another one in a running assistant, or does not and nothing changes."""

import threading

import pytest
from orchestrator_core.assistant import open_assistant
from orchestrator_core.backend import Prompt
from orchestrator_core.backends import switching
from orchestrator_core.backends.activation import Activator
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from orchestrator_core.backends.registered import reference_of
from orchestrator_core.backends.switching import SwitchingBackend, backend_for_server
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict, ModelUnusable, NotFound
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.models import active, memory
from orchestrator_core.models.files import sha256_of
from orchestrator_core.models.manifest import MEMORY_FACTOR
from orchestrator_core.models.registry import Registry
from orchestrator_core.settings import Settings
from shared_context.errors import StoreFull
from support.lora_gguf import write_adapter
from support.scripted import ScriptedBackend
from support.waiting import wait_until

BUILTIN = find_builtin(builtin_folders())


@pytest.fixture
def settings(tmp_path):
    settings = Settings(data=tmp_path / "data")
    settings.model.context_length = 512
    settings.context.embeddings = None
    return settings


@pytest.fixture
def registry(settings, tmp_path):
    """`whole:1` is a model, `tuned:1` an adapter on it, `broken:1` neither."""
    registry = Registry(settings.models_folder)
    registry.add({"whole.gguf": BUILTIN}, {"name": "whole"})
    adapter = write_adapter(BUILTIN, tmp_path / "adapter.gguf")
    base_sha256 = sha256_of(BUILTIN)
    about = {"base": "whole:1", "base_sha256": base_sha256}
    registry.add({"adapter.gguf": adapter}, {"name": "tuned", **about})
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(200))
    registry.add({"broken.gguf": tmp_path / "broken.gguf"}, {"name": "broken"})
    return registry


@pytest.fixture
def server(settings, registry):
    with open_assistant(settings, backend=backend_for_server(settings)) as assistant:
        yield assistant


def answer(assistant, message="What is the relay?"):
    run = assistant.ask(ChatRequest.model_validate({"message": message, "max_tokens": 8}))
    run.wait(60)
    return run


def test_the_next_answer_is_the_new_models_and_its_receipt_names_base_adapter_and_version(server, settings):
    activator = Activator(settings, server.backend)
    assert answer(server).spec.receipt["model"] == BUILTIN.name
    activator.activate("tuned:1")
    receipt = answer(server).spec.receipt
    assert (receipt["model"], receipt["base"], receipt["adapter"]) == ("tuned:1", "whole:1", "adapter.gguf")
    activator.activate(activator.previous())
    assert answer(server).spec.receipt["model"] == BUILTIN.name
    activator.activate(activator.previous())
    assert server.backend.describe().model == "tuned:1"


def test_an_adapter_changes_the_answer_and_one_of_zeros_does_not(settings, registry, tmp_path):
    def said(reference):
        Activator(settings).activate(reference)
        backend = create_backend(settings)
        try:
            prompt = Prompt.raw("What is the relay?")
            config = GenerationConfig(temperature=0.0, max_new_tokens=12)
            return "".join(token.text for token in backend.generate(prompt, config))
        finally:
            backend.close()

    zeros = write_adapter(BUILTIN, tmp_path / "zeros.gguf", scale=0.0)
    registry.add({"zeros.gguf": zeros}, {"name": "zeros", "base": "builtin"})
    assert said("whole:1") == said("zeros:1") != said("tuned:1")


@pytest.mark.parametrize("reference", ["broken:1", "absent:1"])
def test_a_model_that_does_not_load_leaves_the_old_one_answering(server, settings, reference):
    activator = Activator(settings, server.backend)
    activator.activate("whole:1")
    with pytest.raises((ModelUnusable, NotFound)):
        activator.activate(reference)
    assert activator.active().reference == "whole:1"
    assert answer(server).spec.receipt["model"] == "whole:1"


def test_a_file_that_was_changed_on_the_disk_is_not_activated(server, settings, registry):
    path = registry.find("tuned:1").path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelUnusable) as caught:
        Activator(settings, server.backend).activate("tuned:1", force=True)
    assert caught.value.code == "model_damaged"
    assert server.backend.describe().model == BUILTIN.name


def test_an_adapter_of_another_base_is_refused(settings, registry, tmp_path):
    adapter = write_adapter(BUILTIN, tmp_path / "other.gguf")
    about = {"name": "foreign", "base": "whole:1", "base_sha256": "0" * 64}
    registry.add({"other.gguf": adapter}, about)
    with pytest.raises(ModelUnusable, match="made for another whole:1"):
        Activator(settings).activate("foreign:1")


def test_a_full_disk_at_the_last_step_leaves_the_old_one_active(server, settings, monkeypatch):
    def full(*_):
        raise StoreFull("The disk is full.", "Free some space.")

    activator = Activator(settings, server.backend)
    monkeypatch.setattr(active, "write_whole", full)
    with pytest.raises(StoreFull):
        activator.activate("tuned:1")
    assert activator.active() is None
    assert server.backend.describe().model == BUILTIN.name


def test_the_gate_refuses_unless_forced(server, settings):
    def gate(active, following):
        raise Conflict(f"{following.reference} is worse.", code="gate_refused")

    activator = Activator(settings, server.backend, gate=gate)
    with pytest.raises(Conflict, match="worse"):
        activator.activate("tuned:1")
    assert activator.state.state == "failed"
    assert activator.active() is None
    activator.activate("tuned:1", force=True)
    assert activator.state.state == "done"


def test_a_restart_finds_the_active_model_until_the_settings_name_another(settings, registry):
    Activator(settings).activate("tuned:1")
    assert reference_of(settings) == "tuned:1"
    backend = create_backend(settings)
    assert backend.describe().model == "tuned:1"
    backend.close()
    settings.model.path = "whole"
    assert reference_of(settings) == "whole:1"
    settings.model.path = str(BUILTIN)
    assert reference_of(settings) is None


def test_a_model_that_vanished_is_said_to_have_and_the_server_starts(settings, registry):
    Activator(settings).activate("whole:1")
    registry.find("whole:1").path.unlink()
    backend = backend_for_server(settings)
    with pytest.raises(ModelUnusable, match="is missing") as caught:
        backend.load()
    assert "rollback" in caught.value.hint


def test_under_a_remote_model_nothing_is_activated(settings, registry):
    settings.model.url = "http://127.0.0.1:1/v1"
    with pytest.raises(Conflict, match="elsewhere"):
        Activator(settings).activate("whole:1")


class TestSwitching:
    def test_a_running_answer_ends_on_the_model_it_began_on(self, monkeypatch):
        monkeypatch.setattr(switching, "KEPT_S", 0.0)
        monkeypatch.setattr(switching, "LOOK_S", 0.01)
        old, new = (
            ScriptedBackend(["one two three"], name="old"),
            ScriptedBackend(["new"], name="new"),
        )
        backend = SwitchingBackend(lambda: old)
        closed = threading.Event()
        close = old.close
        old.close = lambda: (closed.set(), close())
        config = GenerationConfig(max_new_tokens=20)
        running = backend.generate(Prompt.raw("x"), config)
        words = iter(running)
        first = next(words).text
        backend.switch(new)
        assert backend.describe().model == "new"
        assert not closed.wait(0.1)
        assert first + "".join(token.text for token in words) == "one two three"
        del running, words
        assert closed.wait(10)
        wait_until(lambda: not backend._retiring)
        backend.close()

    def test_a_prompt_in_the_former_template_goes_to_the_former_model(self):
        old, new = ScriptedBackend(["old"], name="old"), ScriptedBackend(["new", "new"], name="new")
        backend = SwitchingBackend(lambda: old)
        config = GenerationConfig(max_new_tokens=4)
        before = Prompt(("x",), edition=backend.edition)
        backend.switch(new)
        after = Prompt(("x",), edition=backend.edition)
        for prompt, said in ((before, "old"), (after, "new"), (Prompt.raw("x"), "new")):
            assert "".join(token.text for token in backend.generate(prompt, config)) == said
        backend.close()

    def test_replaced_models_do_not_pile_up(self, monkeypatch):
        monkeypatch.setattr(switching, "ROOM_WAIT_S", 0.01)
        backend = SwitchingBackend(lambda: ScriptedBackend(["0"]))
        backend.load()
        for name in "12":
            backend.switch(ScriptedBackend([name], name=name))
        with pytest.raises(Conflict):
            backend.wait_for_room()
        assert backend.describe().model == "2"
        backend.close()


def test_a_base_counts_with_its_adapter_when_the_memory_is_looked_at(settings, registry, monkeypatch):
    whole, tuned = (registry.find(reference).manifest.size for reference in ("whole:1", "tuned:1"))
    room = memory.Memory(round((whole + tuned / 2) * MEMORY_FACTOR), 1 << 40)
    monkeypatch.setattr(memory, "GPU_DEVICES", ())
    monkeypatch.setattr(memory, "main_memory", lambda: room)
    with pytest.raises(ModelUnusable, match=r"tuned:1 needs about .*; this machine has"):
        Activator(settings).activate("tuned:1", force=True)
    assert Activator(settings).activate("whole:1").reference == "whole:1"
