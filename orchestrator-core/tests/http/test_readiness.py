"""Loading the model beside the server: waiting, failing, trying again."""

import threading

import pytest
from orchestrator_core.backends.switching import SwitchingBackend
from orchestrator_core.errors import (
    BackendError,
    BackendLoading,
    ConfigurationError,
    ModelNotFound,
    ServerStopping,
)
from orchestrator_http.readiness import RETRY_AFTER_S, ModelLoader
from support.scripted import ScriptedBackend


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_it_is_loading_until_it_is_loaded():
    gate = threading.Event()
    loader = ModelLoader(ScriptedBackend(load_gate=gate))
    loader.start()
    with pytest.raises(BackendLoading):
        loader.ensure(timeout=0.01)
    assert loader.state == "loading"
    gate.set()
    loader.ensure(timeout=10)
    assert loader.state == "ready"


def test_a_failure_is_told_and_after_a_while_tried_again():
    clock = Clock()
    missing = ModelNotFound("There is no model.", hint="Put one there.")
    loader = ModelLoader(ScriptedBackend(load_errors=[missing]), clock=clock)
    loader.start()
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            loader.ensure(timeout=10)
        assert (caught.value.status, caught.value.code, caught.value.hint) == (
            503,
            "model_not_found",
            "Put one there.",
        )
    clock.now += RETRY_AFTER_S
    loader.ensure(timeout=10)
    assert loader.state == "ready"


def test_a_stopping_server_sends_away_who_waits():
    gate = threading.Event()
    loader = ModelLoader(ScriptedBackend(load_gate=gate))
    loader.start()
    sent_away = []

    def wait():
        with pytest.raises(ServerStopping):
            loader.ensure(timeout=60)
        sent_away.append(True)

    waiting = threading.Thread(target=wait)
    waiting.start()
    loader.stop_waiting()
    waiting.join(10)
    gate.set()
    assert sent_away


def test_a_wrong_setting_is_not_the_askers_fault():
    wrong = ConfigurationError("The folder holds several models.", hint="Name one.")
    loader = ModelLoader(ScriptedBackend(load_errors=[wrong]))
    loader.start()
    with pytest.raises(ConfigurationError) as caught:
        loader.ensure(timeout=10)
    assert (caught.value.status, caught.value.hint) == (503, "Name one.")


def test_an_unexpected_failure_tells_nothing_of_its_insides():
    class Broken(ScriptedBackend):
        def load(self):
            raise RuntimeError("secret path")

    loader = ModelLoader(Broken())
    loader.start()
    with pytest.raises(BackendError) as caught:
        loader.ensure(timeout=10)
    assert "secret" not in caught.value.message
    assert caught.value.status == 503


def test_a_backend_that_could_not_be_chosen_is_made_when_it_can_be():
    answers = [ModelNotFound("There is no model."), ScriptedBackend(["hi"], name="late")]

    def make():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    backend = SwitchingBackend(make)
    assert backend.stats().loaded is False
    with pytest.raises(ModelNotFound):
        backend.load()
    backend.load()
    assert backend.describe().model == "late"
    assert backend.stats().loaded is True
    backend.close()
